//! Whether a client is who it should be.
//!
//! As Go's crypto/tls decides it for each `ClientAuthType`. Invariant: a mode that verifies accepts only what an
//! authority of `caFiles` has signed, or what stands there itself.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::options::{ClientAuth, Options};
use super::verifier::verify_time;

/// Verifies clients by one set of options.
pub struct ClientVerifier {
    mode: ClientAuth,
    /// `None` where no certificate of `caFiles` can be an authority.
    chains: Option<Arc<dyn ClientCertVerifier>>,
    given: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    /// `None` where clients are not asked.
    pub fn new(options: &Options) -> Option<Arc<Self>> {
        if options.client_auth == ClientAuth::NoClientCert {
            return None;
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(options.authorities.iter().cloned());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let chains = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Some(Arc::new(Self {
            mode: options.client_auth,
            // It refuses to be built without roots, and has no other objection where there are no revocation lists.
            chains: chains.ok(),
            given: options.authorities.clone(),
            algorithms,
        }))
    }

    /// Whether a client that resumes a session with this certificate would get a new one too: tickets outlive
    /// certificates.
    ///
    /// # Errors
    /// Why not.
    pub fn verify_again(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        now: UnixTime,
    ) -> Result<(), Error> {
        match chain.and_then(<[_]>::split_first) {
            Some((own, others)) => self.verify_client_cert(own, others, now).map(|_| ()),
            None if self.mode.is_mandatory() => Err(Error::NoCertificatesPresented),
            None => Ok(()),
        }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mode.is_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        let chains = self.chains.as_ref();
        chains.map_or(&[], |chains| chains.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if !self.mode.verifies() {
            return Ok(ClientCertVerified::assertion());
        }
        let signed = match &self.chains {
            Some(chains) => chains.verify_client_cert(certificate, intermediates, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        match signed {
            Err(_) if self.given.iter().any(|given| given == certificate) => {
                verify_time(certificate, now)?;
                verify_purpose(certificate)?;
                Ok(ClientCertVerified::assertion())
            }
            signed => signed,
        }
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

/// A certificate that says what it is for must be for clients, wherever it stands, as in Go.
fn verify_purpose(certificate: &CertificateDer<'_>) -> Result<(), Error> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let purposes = parsed
        .extended_key_usage()
        .map_err(|_| CertificateError::BadEncoding)?;
    let fits = purposes.is_none_or(|purposes| purposes.value.client_auth || purposes.value.any);
    match fits {
        true => Ok(()),
        false => Err(CertificateError::InvalidPurpose.into()),
    }
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ClientVerifier({:?})", self.mode)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::ExtendedKeyUsagePurpose;

    use super::*;

    #[test]
    fn what_stands_among_the_authorities_itself_must_be_for_clients_all_the_same() {
        let accepted = |purposes: &[ExtendedKeyUsagePurpose]| {
            let key = rcgen::KeyPair::generate().expect("a key");
            let mut params = rcgen::CertificateParams::new(["client".to_owned()]).expect("a name");
            params.extended_key_usages = purposes.to_vec();
            let own = params.self_signed(&key).expect("signed").der().clone();
            let options = Options {
                client_auth: ClientAuth::RequireAndVerifyClientCert,
                authorities: vec![own.clone()],
                ..Options::default()
            };
            let verifier = ClientVerifier::new(&options).expect("clients are asked");
            verifier
                .verify_client_cert(&own, &[], UnixTime::now())
                .is_ok()
        };
        use ExtendedKeyUsagePurpose::{Any, ClientAuth as Client, ServerAuth};
        for (purposes, fits) in [
            (&[][..], true),
            (&[Client], true),
            (&[ServerAuth, Client], true),
            (&[Any], true),
            (&[ServerAuth], false),
        ] {
            assert_eq!(accepted(purposes), fits, "{purposes:?}");
        }
    }
}
