//! Certificates by name.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::KeyPair;

/// Chooses the certificate for the name a client asks for. Immutable: a change of certificates is a new store.
#[derive(Debug)]
pub struct Store {
    by_name: HashMap<Box<str>, KeyPair>,
    default: KeyPair,
}

impl Store {
    /// A store of these key pairs; `default` is for clients that ask for no name or one that nobody has.
    pub fn new(_pairs: impl IntoIterator<Item = KeyPair>, _default: KeyPair) -> Self {
        todo!()
    }

    /// The key pair for a name: an exact one before a wildcard of one label; among several for one name that which
    /// expires last, then that which came first. `None`: the default would be presented.
    pub fn find(&self, _server_name: &str) -> Option<&KeyPair> {
        let _ = (&self.by_name, &self.default);
        todo!()
    }
}

impl ResolvesServerCert for Store {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        todo!()
    }
}
