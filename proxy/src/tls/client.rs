//! What is offered to servers, and what they must show.

use std::fmt;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::verifier::Verifier;
use super::{KeyPair, TlsError, system_roots};

/// HTTP/2 over TLS as ALPN names it (RFC 9113 section 3.2).
pub const H2: &[u8] = b"h2";

/// The TLS half of a `serversTransport`. Equal settings are the same transport.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientSettings {
    /// `rootCAs`: who may have signed a server's certificate, or that certificate itself; `None` is whom this machine
    /// trusts.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// `certificates`: the first that the server takes is shown to a server that asks.
    pub certificates: Vec<ClientCertificate>,
    /// `insecureSkipVerify`: whatever the server shows is accepted; with `peer_uri`, whatever its name is.
    pub skip_verify: bool,
    /// `peerCertURI`: a URI that must be among the certificate's alternative names.
    pub peer_uri: Option<Box<str>>,
    /// HTTP is spoken over it, which is then said by ALPN: HTTP/1.1, and HTTP/2 unless it is disabled.
    pub http: bool,
    /// `disableHTTP2`
    pub disable_http2: bool,
}

/// A key pair to show to servers; equal where the chains are.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    key_pair: KeyPair,
    /// Who signed it and its chain, as DER.
    issuers: Vec<Vec<u8>>,
}

impl ClientCertificate {
    /// This key pair.
    pub fn new(key_pair: KeyPair) -> Self {
        let issuer = |der: &CertificateDer<'_>| {
            let (_, certificate) = X509Certificate::from_der(der).ok()?;
            Some(certificate.issuer().as_raw().to_vec())
        };
        let issuers = key_pair
            .certified()
            .cert
            .iter()
            .filter_map(issuer)
            .collect();
        Self { key_pair, issuers }
    }

    fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key_pair.certified().cert
    }

    /// Whether a server that names these authorities (none: it takes any) and schemes takes it.
    fn suits(&self, authorities: &[&[u8]], schemes: &[SignatureScheme]) -> bool {
        let signed_by = |issuer: &Vec<u8>| authorities.contains(&&issuer[..]);
        let key = &self.key_pair.certified().key;
        (authorities.is_empty() || self.issuers.iter().any(signed_by))
            && key.choose_scheme(schemes).is_some()
    }
}

impl PartialEq for ClientCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.chain() == other.chain()
    }
}

impl Eq for ClientCertificate {}

impl std::hash::Hash for ClientCertificate {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.chain().iter().for_each(|der| der.as_ref().hash(state));
    }
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
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier(settings)))
        .with_client_cert_resolver(Arc::new(Certificates(settings.certificates.clone())));
    config.alpn_protocols = match (settings.http, !settings.disable_http2) {
        (true, true) => vec![H2.to_vec(), b"http/1.1".to_vec()],
        (true, false) => vec![b"http/1.1".to_vec()],
        (false, _) => Vec::new(),
    };
    Ok(config)
}

fn verifier(settings: &ClientSettings) -> Verifier {
    let given = settings.roots.clone().unwrap_or_default();
    let roots = match &settings.roots {
        None => Arc::clone(&system_roots().store),
        Some(given) => {
            let mut store = RootCertStore::empty();
            // Those that cannot be an authority still count as themselves.
            store.add_parsable_certificates(given.iter().cloned());
            Arc::new(store)
        }
    };
    Verifier::new(
        roots,
        given,
        settings.skip_verify,
        settings.peer_uri.clone(),
    )
}

/// The certificates to show to servers that ask.
struct Certificates(Vec<ClientCertificate>);

impl ResolvesClientCert for Certificates {
    fn resolve(
        &self,
        authorities: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let mut suitable = self.0.iter().filter(|one| one.suits(authorities, schemes));
        suitable
            .next()
            .map(|one| Arc::clone(one.key_pair.certified()))
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Certificates({})", self.0.len())
    }
}
