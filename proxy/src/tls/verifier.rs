//! Whether a server is who it should be.
//!
//! As Go's crypto/tls and Traefik's transports decide it, by webpki. Invariant: only `insecureSkipVerify` without
//! `peerCertURI` accepts a certificate that nobody vouches for.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Verifies servers for one transport.
#[derive(Debug)]
pub struct Verifier {
    roots: Arc<RootCertStore>,
    /// Certificates that are accepted as a server's own, as Go accepts one that is its own authority.
    given: Vec<CertificateDer<'static>>,
    skip: bool,
    uri: Option<Box<str>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The certificate has other URIs than the one asked for.
#[derive(Debug)]
pub struct WrongUri {
    wanted: Box<str>,
    found: Vec<String>,
}

impl fmt::Display for WrongUri {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = match &self.found[..] {
            [] => "none".to_owned(),
            found => found.join(", "),
        };
        write!(
            out,
            "the certificate is not for the URI {}, its URIs: {found}",
            self.wanted
        )
    }
}

impl std::error::Error for WrongUri {}

impl Verifier {
    /// Trusts `roots`, and `given` themselves; `skip` accepts anything but another URI.
    pub fn new(
        roots: Arc<RootCertStore>,
        given: Vec<CertificateDer<'static>>,
        skip: bool,
        uri: Option<Box<str>>,
    ) -> Self {
        Self {
            roots,
            given,
            skip,
            uri,
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        }
    }

    fn verify_trust(
        &self,
        certificate: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let signed = verify_server_cert_signed_by_trust_anchor(
            parsed,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        );
        match signed {
            Err(_) if self.given.iter().any(|given| given == certificate) => {
                verify_time(certificate, now)
            }
            signed => signed,
        }
    }

    fn verify_uri(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let Some(wanted) = &self.uri else {
            return Ok(());
        };
        let found = uris(certificate).unwrap_or_default();
        if found.iter().any(|uri| **uri == **wanted) {
            return Ok(());
        }
        let wanted = wanted.clone();
        let other = OtherError(Arc::new(WrongUri { wanted, found }));
        Err(CertificateError::Other(other).into())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.skip || self.uri.is_some() {
            let parsed = ParsedCertificate::try_from(certificate)?;
            self.verify_trust(certificate, &parsed, intermediates, now)?;
            if !self.skip {
                verify_server_name(&parsed, name)?;
            }
        }
        self.verify_uri(certificate)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether a certificate is valid now, whoever signed it.
pub(super) fn verify_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let bad = |problem: CertificateError| Err(Error::InvalidCertificate(problem));
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return bad(CertificateError::BadEncoding);
    };
    let validity = certificate.validity();
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if seconds < validity.not_before.timestamp() {
        return bad(CertificateError::NotValidYet);
    }
    if seconds > validity.not_after.timestamp() {
        return bad(CertificateError::Expired);
    }
    Ok(())
}

fn uris(certificate: &CertificateDer<'_>) -> Option<Vec<String>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    Some(names.value.general_names.iter().filter_map(uri).collect())
}

#[cfg(test)]
mod tests;
