//! Why a TLS session failed, and whose fault it is.

use std::fmt;

use rustls::{AlertDescription, Error};

/// Who has to change something for the session to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The client: it does not speak TLS, offers nothing acceptable, or breaks the protocol.
    Client,
    /// The operator: the client did not accept the certificate.
    Operator,
    /// weir.
    Us,
}

/// A session that failed. The alert for the peer, if any, is already among the bytes to send.
#[derive(Clone, Debug)]
pub struct TlsError {
    /// Whose fault.
    pub fault: Fault,
    /// One word for logs and metrics; stable.
    pub reason: &'static str,
    source: Error,
}

impl From<Error> for TlsError {
    fn from(source: Error) -> Self {
        let (fault, reason) = classify(&source);
        Self {
            fault,
            reason,
            source,
        }
    }
}

fn classify(error: &Error) -> (Fault, &'static str) {
    use AlertDescription as Alert;
    match error {
        Error::InvalidMessage(_) => (Fault::Client, "tls_not_spoken"),
        Error::PeerIncompatible(_) => (Fault::Client, "tls_nothing_in_common"),
        Error::NoApplicationProtocol => (Fault::Client, "tls_alpn"),
        Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord => (Fault::Client, "tls_protocol"),
        Error::DecryptError => (Fault::Client, "tls_decrypt"),
        Error::AlertReceived(
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::UnsupportedCertificate,
        ) => (Fault::Operator, "tls_certificate_refused"),
        Error::AlertReceived(_) => (Fault::Client, "tls_alert"),
        _ => (Fault::Us, "tls_internal"),
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.source)
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
