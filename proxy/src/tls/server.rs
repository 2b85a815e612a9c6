//! What is offered to clients: a set of options with the certificates of a store.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use super::client_auth::ClientVerifier;
use super::{H2, Options, Store, TicketKeys, Tickets, TlsError};

/// What is agreed on with clients by one set of options, with the certificates of one store. Immutable: a change of
/// either makes another.
pub struct Terms {
    options: Arc<Options>,
    store: Arc<Store>,
    verifier: Option<Arc<ClientVerifier>>,
    http: Arc<ServerConfig>,
    tcp: Arc<ServerConfig>,
}

impl Terms {
    /// These options with these certificates. Tickets are good for as long as the keys are, whatever the store, so that
    /// a reload does not end resumption. Nothing is kept for a session that has ended.
    ///
    /// # Errors
    /// If the cryptography fails, or the options leave nothing to agree on.
    pub fn new(
        options: &Arc<Options>,
        store: &Arc<Store>,
        keys: &Arc<TicketKeys>,
    ) -> Result<Self, TlsError> {
        let verifier = ClientVerifier::new(options);
        let builder = ServerConfig::builder_with_provider(Arc::new(options.provider()))
            .with_protocol_versions(options.versions())
            .map_err(TlsError::with_client)?;
        let verify = match &verifier {
            Some(verifier) => Arc::clone(verifier) as _,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = builder
            .with_client_cert_verifier(verify)
            .with_cert_resolver(Arc::clone(store) as _);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if options.tickets {
            config.ticketer = Arc::new(Tickets::new(keys, options.fingerprint()));
        } else {
            config.send_tls13_tickets = 0;
        }
        let mut tcp = config.clone();
        let given = options.protocols.clone();
        tcp.alpn_protocols = given.clone().unwrap_or_default();
        config.alpn_protocols = given.unwrap_or_else(|| vec![H2.to_vec(), b"http/1.1".to_vec()]);
        Ok(Self {
            options: Arc::clone(options),
            store: Arc::clone(store),
            verifier,
            http: Arc::new(config),
            tcp: Arc::new(tcp),
        })
    }

    /// The options: the same as long as they say the same, over reloads.
    pub fn options(&self) -> &Arc<Options> {
        &self.options
    }

    /// The certificates.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// For HTTP.
    pub fn http(&self) -> &Arc<ServerConfig> {
        &self.http
    }

    /// For TCP routers, whose servers speak whatever they do: no application protocol is agreed on unless the options
    /// name some.
    pub fn tcp(&self) -> &Arc<ServerConfig> {
        &self.tcp
    }

    /// Whether a client that asks for this server is to be refused: `sniStrict`, and no certificate for it.
    pub fn refuses(&self, server_name: &str) -> bool {
        self.options.sni_strict && self.store.find(server_name).is_none()
    }

    /// Whether a client that has resumed a session and showed this certificate when that began may still have it.
    ///
    /// # Errors
    /// Why not: the certificate has expired meanwhile.
    pub fn verify_resumed(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        now: UnixTime,
    ) -> Result<(), TlsError> {
        match &self.verifier {
            Some(verifier) => verifier
                .verify_again(chain, now)
                .map_err(TlsError::with_client),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Terms").field(&self.options).finish()
    }
}
