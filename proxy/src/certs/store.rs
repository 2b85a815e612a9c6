//! The certificates that weir has obtained or imported, on disk and in memory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::durable;
use crate::tls::KeyPair;

/// Below the state directory.
const DIRECTORY: &str = "certificates";

/// A certificate as it is kept. A change of this needs a new version in [`durable`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The resolver that renews it.
    pub resolver: String,
    /// The names it was asked for; their set, with the resolver, is its identity.
    pub names: Vec<String>,
    /// The chain as PEM, its own certificate first.
    pub certificate: String,
    /// The private key as PEM. Never shown.
    pub key: String,
    /// When the authority wants it renewed (RFC 9773), if it has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("resolver", &self.resolver)
            .field("names", &self.names)
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// A renewal window of RFC 9773 section 4.2; seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// From then on.
    pub start: i64,
    /// Until then.
    pub end: i64,
    /// When to ask again.
    pub ask_again: i64,
}

/// A record and the key pair it holds.
#[derive(Clone, Debug)]
pub struct Held {
    /// As on disk.
    pub record: Record,
    /// Ready to be presented.
    pub pair: KeyPair,
}

/// What names a record: resolver and names, as a hash.
pub type Key = String;

/// All certificates kept in a state directory.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    held: BTreeMap<Key, Held>,
}

impl Store {
    /// Reads what is there, and one line for each file that cannot be used, or whose version before is used.
    ///
    /// # Errors
    /// If the directory cannot be made or read.
    pub fn open(state: &Path) -> io::Result<(Self, Vec<String>)> {
        let directory = state.join(DIRECTORY);
        durable::make_directory(&directory)?;
        let mut store = Self {
            directory,
            held: BTreeMap::new(),
        };
        let mut lines = Vec::new();
        for path in durable::list(&store.directory)? {
            match load(&path) {
                Ok((held, instead)) => {
                    lines.extend(instead);
                    store.held.insert(key(&held.record), held);
                }
                Err(line) => lines.push(line),
            }
        }
        Ok((store, lines))
    }

    /// All of them, in the order of their keys.
    pub fn all(&self) -> impl Iterator<Item = (&Key, &Held)> {
        self.held.iter()
    }

    /// One of them.
    pub fn get(&self, key: &str) -> Option<&Held> {
        self.held.get(key)
    }

    /// Keeps a certificate, in place of one of the same resolver with the same names.
    ///
    /// # Errors
    /// One line: the record's PEM is unusable, or what the file system says. What was there stays then.
    pub fn put(&mut self, record: Record) -> Result<Key, String> {
        let pair =
            KeyPair::load(&record.certificate, &record.key).map_err(|error| error.to_string())?;
        let key = key(&record);
        let path = self.directory.join(format!("{key}.json"));
        let body = serde_json::to_vec(&record).map_err(|error| error.to_string())?;
        durable::write(&path, &body)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        self.held.insert(key.clone(), Held { record, pair });
        Ok(key)
    }

    /// Forgets a certificate.
    ///
    /// # Errors
    /// The file system's.
    pub fn remove(&mut self, key: &str) -> io::Result<()> {
        durable::remove_all(&self.directory.join(format!("{key}.json")))?;
        self.held.remove(key);
        Ok(())
    }
}

/// The identity of a record.
pub fn key(record: &Record) -> Key {
    let mut parts: Vec<&str> = record.names.iter().map(String::as_str).collect();
    parts.sort_unstable();
    parts.insert(0, &record.resolver);
    hash(&parts)
}

/// A name for a file, from what it is about.
pub(super) fn hash(parts: &[&str]) -> String {
    HEXLOWER.encode(
        &digest(
            &SHA256,
            parts
                .join(
                    "
",
                )
                .as_bytes(),
        )
        .as_ref()[..16],
    )
}

fn load(path: &Path) -> Result<(Held, Option<String>), String> {
    let kept = durable::read(path)?.ok_or_else(|| format!("{} has gone", path.display()))?;
    let unusable =
        |error: &dyn std::fmt::Display| format!("{} cannot be used: {error}", path.display());
    let record: Record = serde_json::from_slice(&kept.body).map_err(|error| unusable(&error))?;
    let pair = KeyPair::load(&record.certificate, &record.key).map_err(|error| unusable(&error))?;
    Ok((Held { record, pair }, kept.instead))
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;

    /// A self-signed certificate for these names, valid from year to year.
    pub fn record(resolver: &str, names: &[&str], years: (i32, i32)) -> Record {
        let owned: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = rcgen::CertificateParams::new(owned.clone()).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        Record {
            resolver: resolver.to_owned(),
            names: owned,
            certificate: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
            window: None,
        }
    }

    #[test]
    fn certificates_outlive_the_process_and_a_damaged_file_costs_only_its_last_version() {
        let state = tempfile::tempdir().unwrap();
        let (mut store, lines) = Store::open(state.path()).unwrap();
        assert_eq!((store.all().count(), lines), (0, vec![]));
        let (old, new) = (
            record("le", &["a.example"], (2020, 2021)),
            record("le", &["a.example"], (2020, 2030)),
        );
        let key = store.put(old.clone()).unwrap();
        assert_eq!(store.put(new.clone()).unwrap(), key);
        let other = store
            .put(record("le", &["b.example"], (2020, 2030)))
            .unwrap();
        let (store, lines) = Store::open(state.path()).unwrap();
        assert_eq!(
            (store.get(&key).map(|held| &held.record), lines.len()),
            (Some(&new), 0)
        );
        for key in [&key, &other] {
            let path = state.path().join(DIRECTORY).join(format!("{key}.json"));
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }
        let (mut store, lines) = Store::open(state.path()).unwrap();
        assert_eq!(store.get(&key).map(|held| &held.record), Some(&old));
        assert!(store.get(&other).is_none());
        assert_eq!(lines.len(), 2, "{lines:?}");
        store.remove(&key).unwrap();
        assert_eq!(Store::open(state.path()).unwrap().0.all().count(), 0);
    }
}
