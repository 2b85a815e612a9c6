//! What is offered to clients.

use std::sync::Arc;

use super::Store;

/// TLS 1.2 and 1.3 with the certificates of a store; HTTP/1.1 by ALPN; session tickets whose keys outlive the store, so
/// that a reload does not end resumption.
pub fn server_config(_store: &Arc<Store>) -> Arc<rustls::ServerConfig> {
    todo!()
}
