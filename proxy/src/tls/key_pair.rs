//! A certificate chain with its private key, checked.

use std::fmt;
use std::sync::Arc;

use rustls::sign::CertifiedKey;

/// A certificate chain and the private key that belongs to it.
#[derive(Clone, Debug)]
pub struct KeyPair {
    certified: Arc<CertifiedKey>,
    names: Box<[Box<str>]>,
    not_after: i64,
}

/// A key pair that cannot be used: one line that names the file, what was found and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPairError(String);

impl KeyPair {
    /// Loads `certFile` and `keyFile` as Traefik's `tls.certificates` gives them: each a path, or the PEM text itself.
    ///
    /// # Errors
    /// A file that cannot be read, holds no PEM of the wanted kind, or a key that is not the certificate's.
    pub fn load(_cert_file: &str, _key_file: &str) -> Result<Self, KeyPairError> {
        todo!()
    }

    /// The names it is valid for: lower case, `*.` for one label; the subject's common name if there is no other.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// When it expires, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// What rustls presents.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl fmt::Display for KeyPairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyPairError {}
