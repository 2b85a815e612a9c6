//! Why a TLS session failed, and whose fault it is.

use std::fmt;

/// Who has to change something for the session to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The client: it does not speak TLS, offers nothing acceptable, or did not accept what it was offered.
    Client,
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
    source: rustls::Error,
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
