//! Which certificates the rules need: names of routers with the resolver that is to obtain them, what certificates
//! from files serve already, and which of these go to other programs.

use std::collections::HashSet;
use std::sync::Arc;

use super::Deploy;
use crate::tls::{KeyPair, Pem};

/// Names that a router needs a certificate for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// By which resolver.
    pub resolver: Arc<str>,
    /// Lower case; `*.` for one label.
    pub names: Vec<Box<str>>,
    /// Whoever issues them takes one name for a certificate.
    pub alone: bool,
    /// The router.
    pub router: Arc<str>,
}

/// All that the rules need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Of all routers.
    pub wanted: Vec<Wanted>,
    /// Served from files.
    pub files: FileNames,
    /// What is deployed, each to another directory.
    pub deploys: Vec<FileDeploy>,
}

/// The certificates of `tls.certificates` that are deployed to one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDeploy {
    /// How; its names are none, as each certificate has its own.
    pub deploy: Deploy,
    /// Those that can be used, expired ones too.
    pub certificates: Vec<Deployable>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployable {
    /// What its files begin with ([`super::stem`]).
    pub stems: Vec<String>,
    /// Its last second, since 1970.
    pub not_after: i64,
    /// What is in them.
    pub pem: Arc<Pem>,
}

/// The names of valid certificates from files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileNames(HashSet<Box<str>>);

impl FileNames {
    /// Those of these that have not expired at `now`, in seconds since 1970.
    pub fn new(pairs: &[KeyPair], now: i64) -> Self {
        let valid = pairs.iter().filter(|pair| pair.not_after() > now);
        Self(
            valid
                .flat_map(|pair| pair.names().iter().cloned())
                .collect(),
        )
    }

    /// Whether one of them is valid for a name.
    pub fn serve(&self, name: &str) -> bool {
        let wildcard = || {
            name.split_once('.')
                .map(|(_, parent)| format!("*.{parent}"))
        };
        self.0.contains(name) || wildcard().is_some_and(|wildcard| self.0.contains(&*wildcard))
    }
}
