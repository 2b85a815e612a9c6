//! Why a TLS session failed, and whose fault it is.

use std::fmt;

use rustls::{AlertDescription, CertificateError, Error};

use super::verifier::WrongUri;

/// Who has to change something for the session to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The client: it does not speak TLS, offers nothing acceptable, or breaks the protocol.
    Client,
    /// The server: it does not speak TLS, agrees to nothing, or breaks the protocol.
    Server,
    /// The operator: one side did not accept the other's certificate.
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

impl TlsError {
    /// A session with a client.
    pub fn with_client(source: Error) -> Self {
        Self::with(Fault::Client, source)
    }

    /// A session with a server.
    pub fn with_server(source: Error) -> Self {
        Self::with(Fault::Server, source)
    }

    fn with(peer: Fault, source: Error) -> Self {
        let (fault, reason) = classify(peer, &source);
        Self {
            fault,
            reason,
            source,
        }
    }

    /// What the operator can do about it; empty where there is nothing to say. Names options of `serversTransports`, as
    /// only towards servers weir is the one who verifies.
    pub fn remedy(&self) -> &'static str {
        match &self.source {
            Error::InvalidCertificate(problem) if self.fault == Fault::Operator => {
                certificate_remedy(problem)
            }
            Error::InvalidMessage(_) if self.fault == Fault::Server => {
                "correct the port, or write http:// for a server without TLS"
            }
            Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::HandshakeFailure,
            ) => {
                "if the server asks for a client certificate, give it in certificates of the serversTransport"
            }
            Error::AlertReceived(AlertDescription::UnrecognisedName) => {
                "the server knows no such name: set serverName of the serversTransport"
            }
            _ => "",
        }
    }
}

fn certificate_remedy(problem: &CertificateError) -> &'static str {
    use CertificateError as Bad;
    match problem {
        Bad::UnknownIssuer | Bad::BadSignature => {
            "add who signed it to rootCAs of the serversTransport, or let the server send its whole chain"
        }
        Bad::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "give the certificate a subjectAltName: its common name does not count"
        }
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            "set serverName of the serversTransport to a name of the certificate"
        }
        Bad::Expired | Bad::ExpiredContext { .. } => "renew the server's certificate",
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "compare this machine's clock with the certificate's first day"
        }
        Bad::Revoked => "replace the server's certificate",
        Bad::Other(other) if other.0.is::<WrongUri>() => {
            "correct peerCertURI of the serversTransport, or the server's certificate"
        }
        _ => {
            "correct the server's certificate, or add it itself to rootCAs of the serversTransport if you trust it"
        }
    }
}

fn classify(peer: Fault, error: &Error) -> (Fault, &'static str) {
    use AlertDescription as Alert;
    match error {
        Error::InvalidMessage(_) => (peer, "tls_not_spoken"),
        Error::PeerIncompatible(_) => (peer, "tls_nothing_in_common"),
        Error::NoApplicationProtocol => (peer, "tls_alpn"),
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => match peer {
            Fault::Server => (Fault::Operator, "tls_certificate_invalid"),
            _ => (peer, "tls_certificate_invalid"),
        },
        Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord => (peer, "tls_protocol"),
        Error::DecryptError => (peer, "tls_decrypt"),
        Error::AlertReceived(
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::UnsupportedCertificate
            | Alert::CertificateRequired,
        ) => (Fault::Operator, "tls_certificate_refused"),
        Error::AlertReceived(_) => (peer, "tls_alert"),
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
