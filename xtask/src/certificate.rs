//! A certificate for tests and measurements: made on the spot, trusted by the client that comes with it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};

/// A self-signed certificate and its key (ECDSA P-256).
#[derive(Debug)]
pub struct Certificate {
    /// As PEM.
    pub chain: String,
    /// As PEM.
    pub key: String,
}

impl Certificate {
    /// One for this name.
    ///
    /// # Errors
    /// When the cryptography fails.
    pub fn new(name: &str) -> io::Result<Self> {
        let made =
            rcgen::generate_simple_self_signed([name.to_owned()]).map_err(io::Error::other)?;
        Ok(Self {
            chain: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        })
    }

    /// Writes `chain.pem`, `key.pem` and, for HAProxy, `both.pem`.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        fs::write(directory.join("chain.pem"), &self.chain)?;
        fs::write(directory.join("key.pem"), &self.key)?;
        fs::write(
            directory.join("both.pem"),
            format!("{}{}", self.chain, self.key),
        )
    }

    /// A client of it; see [`client`].
    ///
    /// # Errors
    /// When the cryptography fails.
    pub fn client(&self) -> io::Result<Arc<ClientConfig>> {
        client(&self.chain)
    }
}

/// A client that trusts this certificate (PEM) alone, offers X25519 and TLS_AES_128_GCM_SHA256 alone, and never resumes
/// a session.
///
/// # Errors
/// When it is no certificate, or the cryptography fails.
pub fn client(chain: &str) -> io::Result<Arc<ClientConfig>> {
    let mut config = resuming_client(chain)?;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// The same, but it resumes sessions, each ticket once.
///
/// # Errors
/// As for [`client`].
pub fn resuming_client(chain: &str) -> io::Result<ClientConfig> {
    let certificate = CertificateDer::from_pem_slice(chain.as_bytes()).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(io::Error::other)?;
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519];
    provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
