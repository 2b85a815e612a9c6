//! What is offered to clients.

use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::{Error, ServerConfig};

use super::{Store, TlsError};

/// TLS 1.2 and 1.3 with the certificates of a store; HTTP/2 and HTTP/1.1 by ALPN; session tickets whose keys outlive
/// the store, so that a reload does not end resumption. Nothing is kept for a session that has ended.
///
/// # Errors
/// If the cryptography fails, which is no fault of the configuration.
pub fn server_config(store: &Arc<Store>) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::with_client)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(store) as _);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ticketer().map_err(TlsError::with_client)?;
    Ok(Arc::new(config))
}

/// The same settings, in which no application protocol is agreed on.
pub fn without_protocols(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols.clear();
    Arc::new(config)
}

/// One for the process; it changes its keys by itself every six hours.
fn ticketer() -> Result<Arc<dyn ProducesTickets>, Error> {
    static TICKETER: OnceLock<Result<Arc<dyn ProducesTickets>, Error>> = OnceLock::new();
    TICKETER.get_or_init(Ticketer::new).clone()
}
