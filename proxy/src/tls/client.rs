//! What is offered to servers, and what they must show.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

use super::TlsError;

/// Whether servers over TLS are offered HTTP/2 (unless `disableHTTP2`). Until weir speaks it with servers: no.
pub const OFFERS_H2: bool = false;

/// The TLS half of a `serversTransport`.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Who may have signed a server's certificate.
    pub roots: Arc<RootCertStore>,
    /// HTTP is spoken over it, which is then said by ALPN: HTTP/1.1, and HTTP/2 unless it is disabled.
    pub http: bool,
    /// `disableHTTP2`
    pub disable_http2: bool,
}

/// TLS 1.2 and 1.3 towards servers. Sessions are resumed from the memory of the configuration: a worker clones it and
/// gives it a memory of its own.
///
/// # Errors
/// If the cryptography fails, which is no fault of the configuration.
pub fn client_config(settings: &ClientSettings) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::with_server)?
        .with_root_certificates(Arc::clone(&settings.roots))
        .with_no_client_auth();
    config.alpn_protocols = match (settings.http, OFFERS_H2 && !settings.disable_http2) {
        (true, true) => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        (true, false) => vec![b"http/1.1".to_vec()],
        (false, _) => Vec::new(),
    };
    Ok(config)
}
