//! `serversTransports`: how servers are reached.

use std::sync::{Arc, LazyLock};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::config::document::{Host, ServerDraft};
use crate::service::{Scheme, ServerTls, ServersTransport, TransportId};
use crate::tls::{self, ClientSettings};

/// The transports of one load after another: where a transport's settings stay, it stays.
#[derive(Debug)]
pub struct Transports {
    default: Arc<ServersTransport>,
    default_tls: LazyLock<Option<Arc<ClientConfig>>>,
}

impl Default for Transports {
    fn default() -> Self {
        Self {
            default: Arc::new(ServersTransport::default_internal(TransportId(0))),
            default_tls: LazyLock::new(|| {
                let settings = ClientSettings {
                    roots: tls::system_roots().store.clone(),
                    http: true,
                    disable_http2: false,
                };
                tls::client_config(&settings).ok().map(Arc::new)
            }),
        }
    }
}

impl Transports {
    /// Traefik's `default@internal`.
    pub(super) fn default(&self) -> &Arc<ServersTransport> {
        &self.default
    }

    /// TLS to this server, where its scheme asks for it.
    pub(super) fn tls(&self, draft: &ServerDraft) -> Option<ServerTls> {
        if draft.scheme != Scheme::Https {
            return None;
        }
        Some(ServerTls {
            config: self.default_tls.clone()?,
            name: server_name(&draft.host)?,
        })
    }
}

/// Who a server must prove to be if `serverName` does not say: the host of its URL.
fn server_name(host: &Host) -> Option<ServerName<'static>> {
    match host {
        Host::Address(address) => Some(ServerName::IpAddress((*address).into())),
        Host::Name(name) => ServerName::try_from(name.clone()).ok(),
    }
}
