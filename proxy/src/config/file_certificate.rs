//! What `weir status` says of the certificates of files; nobody serves by it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::document::CertificateDraft;
use crate::tls::{KeyPair, Store};

/// A certificate of `tls.certificates` or `tls.stores`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCertificate {
    /// Its file; where the rules hold the PEM text itself, the place in the rules.
    pub file: String,
    /// Lower case, `*.` for one label.
    pub names: Vec<String>,
    /// Its last second, since 1970.
    pub not_after: i64,
    /// Clients that ask for one of its names get it; else others cover them all.
    pub presented: bool,
}

impl FileCertificate {
    /// That of `draft`, as clients of `store` see it.
    pub fn new(draft: &CertificateDraft, pair: &KeyPair, store: &Store) -> Self {
        let is_shown = |name: &str| {
            let found = store.find(name);
            found.is_some_and(|found| Arc::ptr_eq(found.certified(), pair.certified()))
        };
        Self {
            file: place(draft),
            names: pair.names().iter().map(ToString::to_string).collect(),
            not_after: pair.not_after(),
            presented: pair.names().iter().any(|name| is_shown(name)),
        }
    }
}

fn place(draft: &CertificateDraft) -> String {
    match draft.cert_file.value.contains("-----BEGIN") {
        true => draft.cert_file.origin.to_string(),
        false => draft.cert_file.value.clone(),
    }
}
