//! What connections read and the control plane changes without a new snapshot: certificates that were obtained, and the
//! answers to an authority that looks whether a name is ours.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::{KeyPair, TicketKeys};

/// The protocol of the TLS-ALPN-01 challenge (RFC 8737 section 6.2).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// One for the process.
#[derive(Debug, Default)]
pub struct Shared {
    /// Certificates that were obtained or imported: the loader puts them into the next snapshot.
    pub obtained: ArcSwap<Vec<KeyPair>>,
    /// HTTP-01: by token.
    pub tokens: ArcSwap<HashMap<Box<str>, HttpAnswer>>,
    /// TLS-ALPN-01: by server name, lower case.
    pub handshakes: ArcSwap<HashMap<Box<str>, Arc<ServerConfig>>>,
    /// What seals session tickets, in all snapshots.
    pub tickets: Arc<TicketKeys>,
    /// Handshakes in which a client that named a server was shown the self-signed certificate.
    pub self_signed: Arc<AtomicU64>,
}

/// The answer to `GET /.well-known/acme-challenge/token`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// On which entry point.
    pub entry_point: usize,
    /// The key authorization (RFC 8555 section 8.1).
    pub body: Arc<str>,
}

/// What answers the handshake of an authority that looks for `name`: a self-signed certificate with the digest of the
/// key authorization (RFC 8737 section 3).
///
/// # Errors
/// If the name is none, or the cryptography fails.
pub fn challenge_config(name: &str, digest: &[u8]) -> Result<Arc<ServerConfig>, String> {
    let mut params =
        CertificateParams::new([name.to_owned()]).map_err(|error| error.to_string())?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = rcgen::KeyPair::generate().map_err(|error| error.to_string())?;
    let certificate = params
        .self_signed(&key)
        .map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|error| error.to_string())?;
    // Not checked as others are: its critical extension means something to authorities only.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    Ok(Arc::new(config))
}
