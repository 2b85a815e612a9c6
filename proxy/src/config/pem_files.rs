//! The PEM files that rules name: certificates with their keys, and authorities.
//!
//! Owns: what each was when it was last good, for as long as some rule names it. Never: a watch, or a copy on disk.
//! Invariants: a file that has not changed is not read again; a pair of which one half has been written, and anything
//! else that cannot be used, leaves the last good one in place and is told.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::clock;
use crate::tls::{self, KeyPair, KeyPairError, Pem};

/// What was made of files, now or when they were last good.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// As the files say, or as they said when they were last good.
    pub good: Option<T>,
    /// Why they cannot be used as they are now.
    pub trouble: Option<KeyPairError>,
}

/// All that were named lately. What names them may be a private key itself.
#[derive(Clone, Default)]
pub struct PemFiles {
    pairs: HashMap<Files, Kept<KeyPair>>,
    /// Those that are deployed: with their text, unless it was last good when it was not deployed.
    deployed: HashMap<Files, Kept<WithPem>>,
    authorities: HashMap<Box<str>, Kept<Arc<[CertificateDer<'static>]>>>,
}

impl std::fmt::Debug for PemFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PemFiles")
            .field("paths", &self.paths())
            .finish_non_exhaustive()
    }
}

/// `certFile` and `keyFile`.
type Files = (Box<str>, Box<str>);

/// A certificate with its key, and their text.
type WithPem = (KeyPair, Option<Arc<Pem>>);

#[derive(Clone)]
struct Kept<T> {
    /// What the files looked like before they were read.
    stamps: Vec<Stamp>,
    /// Whether they cannot change any more without looking different.
    settled: bool,
    loaded: Loaded<T>,
    /// Named since the last [`PemFiles::begin`].
    used: bool,
}

/// What tells a file from its next version; `None` where there is none.
type Stamp = Option<(u64, u64, u64, [i64; 4])>;

impl PemFiles {
    /// A load begins.
    pub fn begin(&mut self) {
        self.pairs.values_mut().for_each(|kept| kept.used = false);
        let deployed = self.deployed.values_mut();
        deployed.for_each(|kept| kept.used = false);
        let authorities = self.authorities.values_mut();
        authorities.for_each(|kept| kept.used = false);
    }

    /// A load has ended: what no rule names any more is forgotten.
    pub fn end(&mut self) {
        self.pairs.retain(|_, kept| kept.used);
        self.deployed.retain(|_, kept| kept.used);
        self.authorities.retain(|_, kept| kept.used);
    }

    /// A certificate and its key, each a path or PEM text.
    pub fn pair(&mut self, cert_file: &str, key_file: &str) -> Loaded<KeyPair> {
        let key: Files = (cert_file.into(), key_file.into());
        let deployed = self.deployed.get(&key);
        let deployed = deployed.and_then(|kept| kept.loaded.good.clone());
        let before = deployed.map(|(pair, _)| pair);
        take(
            &mut self.pairs,
            key,
            (&[cert_file, key_file], before),
            || KeyPair::load(cert_file, key_file),
        )
    }

    /// The same, with their text; without it where they were last good before it was asked for.
    pub fn pair_with_pem(&mut self, cert_file: &str, key_file: &str) -> Loaded<WithPem> {
        let key: Files = (cert_file.into(), key_file.into());
        let pair = self.pairs.get(&key);
        let pair = pair.and_then(|kept| kept.loaded.good.clone());
        let before = pair.map(|pair| (pair, None));
        take(
            &mut self.deployed,
            key,
            (&[cert_file, key_file], before),
            || {
                let (pair, pem) = KeyPair::load_with_pem(cert_file, key_file)?;
                Ok((pair, Some(Arc::new(pem))))
            },
        )
    }

    /// The certificates of `setting`, a path or PEM text.
    pub fn authorities(
        &mut self,
        setting: &'static str,
        file: &str,
    ) -> Loaded<Arc<[CertificateDer<'static>]>> {
        take(&mut self.authorities, file.into(), (&[file], None), || {
            tls::certificates(setting, file).map(Arc::from)
        })
    }

    /// Whether a file looks different from before it was read.
    pub fn have_changed(&self) -> bool {
        let pairs = self.pairs.iter().map(|(files, kept)| (files, &kept.stamps));
        let deployed = self.deployed.iter();
        let deployed = deployed.map(|(files, kept)| (files, &kept.stamps));
        let pairs = pairs
            .chain(deployed)
            .map(|((cert, key), stamps)| (vec![&**cert, &**key], stamps));
        let authorities = self
            .authorities
            .iter()
            .map(|(file, kept)| (vec![&**file], &kept.stamps));
        pairs
            .chain(authorities)
            .any(|(sources, before)| stamps(&sources) != *before)
    }

    /// The files that are named since the load began.
    pub fn named(&self) -> BTreeSet<PathBuf> {
        self.files(true)
    }

    /// The files that are named now.
    pub fn paths(&self) -> BTreeSet<PathBuf> {
        self.files(false)
    }

    fn files(&self, lately: bool) -> BTreeSet<PathBuf> {
        let pairs = in_use(&self.pairs, lately).chain(in_use(&self.deployed, lately));
        let pairs = pairs.flat_map(|(cert, key)| [cert, key]);
        let named = pairs.chain(in_use(&self.authorities, lately));
        named
            .filter(|text| !tls::is_pem_text(text))
            .map(|path| PathBuf::from(&**path))
            .collect()
    }
}

/// All, or those that were named since the load began.
fn in_use<K, T>(all: &HashMap<K, Kept<T>>, lately: bool) -> impl Iterator<Item = &K> {
    let named = all.iter().filter(move |(_, kept)| kept.used || !lately);
    named.map(|(key, _)| key)
}

fn take<K: Eq + std::hash::Hash, T: Clone>(
    all: &mut HashMap<K, Kept<T>>,
    key: K,
    (sources, elsewhere): (&[&str], Option<T>),
    load: impl FnOnce() -> Result<T, KeyPairError>,
) -> Loaded<T> {
    // Before they are read: what is written meanwhile is read by the next load.
    let stamps = stamps(sources);
    let settled = are_settled(&stamps);
    let before = all.get(&key);
    if let Some(kept) = before
        && kept.settled
        && settled
        && kept.stamps == stamps
    {
        let loaded = kept.loaded.clone();
        all.entry(key).and_modify(|kept| kept.used = true);
        return loaded;
    }
    let loaded = match load() {
        Ok(good) => Loaded {
            good: Some(good),
            trouble: None,
        },
        Err(trouble) => Loaded {
            good: before
                .and_then(|kept| kept.loaded.good.clone())
                .or(elsewhere),
            trouble: Some(trouble),
        },
    };
    let kept = Kept {
        stamps,
        settled,
        loaded: loaded.clone(),
        used: true,
    };
    all.insert(key, kept);
    loaded
}

fn stamps(sources: &[&str]) -> Vec<Stamp> {
    let stamp = |source: &&str| {
        let file = match tls::is_pem_text(source) {
            true => return None,
            false => fs::metadata(Path::new(source)).ok()?,
        };
        let times = [
            file.mtime(),
            file.mtime_nsec(),
            file.ctime(),
            file.ctime_nsec(),
        ];
        Some((file.dev(), file.ino(), file.size(), times))
    };
    sources.iter().map(stamp).collect()
}

/// Not if one has been written so lately that it may be written again without looking any different: the kernel's clock
/// for files ticks slowly.
fn are_settled(stamps: &[Stamp]) -> bool {
    const SETTLED_SECONDS: i64 = 2;
    let now = i64::try_from(clock::unix_seconds()).unwrap_or(i64::MAX);
    let mut files = stamps.iter().flatten();
    files.all(|(_, _, _, times)| now.saturating_sub(times[2]) >= SETTLED_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn half_a_pair_leaves_the_last_good_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (cert, key) = (path("a.crt"), path("a.key"));
        let write = |path: &str, text: &str| fs::write(path, text).expect("written");
        let mut files = PemFiles::default();
        assert!(files.pair(&cert, &key).good.is_none());
        let (old, new) = (pem("old"), pem("new"));
        write(&cert, &old.0);
        write(&key, &old.1);
        let loaded = files.pair(&cert, &key);
        assert!(loaded.trouble.is_none() && !files.have_changed());
        write(&cert, &new.0);
        assert!(files.have_changed());
        let loaded = files.pair(&cert, &key);
        let names = loaded.good.expect("the last good one");
        assert_eq!(*names.names(), ["old".into()]);
        let trouble = loaded.trouble.expect("told").to_string();
        assert!(trouble.contains("do not belong together"), "{trouble}");
        write(&key, &new.1);
        let loaded = files.pair(&cert, &key);
        assert!(loaded.trouble.is_none());
        assert_eq!(*loaded.good.expect("new").names(), ["new".into()]);
        fs::remove_file(&key).expect("removed");
        let loaded = files.pair(&cert, &key);
        assert!(loaded.trouble.is_some() && loaded.good.is_some());
        assert_eq!(files.paths().len(), 2);
        files.begin();
        files.end();
        assert!(files.paths().is_empty() && files.pair(&cert, &key).good.is_none());
    }

    #[test]
    fn the_last_good_pair_stays_when_it_is_to_be_deployed_or_no_longer() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (cert, key) = (path("a.crt"), path("a.key"));
        let (certificate, private) = pem("a");
        fs::write(&cert, certificate).expect("written");
        fs::write(&key, private).expect("written");
        let mut files = PemFiles::default();
        files.begin();
        assert!(files.pair(&cert, &key).good.is_some());
        files.end();
        fs::remove_file(&key).expect("removed");
        for _ in 0..2 {
            files.begin();
            let (_, pem) = files.pair_with_pem(&cert, &key).good.expect("the pair");
            assert!(pem.is_none(), "its text is not known");
            files.end();
        }
        for _ in 0..2 {
            files.begin();
            assert!(files.pair(&cert, &key).good.is_some());
            files.end();
        }
    }

    #[test]
    fn inline_keys_are_never_shown() {
        let (cert, key) = pem("a");
        let mut files = PemFiles::default();
        assert!(files.pair(&cert, &key).good.is_some());
        let document =
            serde_json::json!({"tls": {"certificates": [{"certFile": cert, "keyFile": key}]}});
        let (document, problems) =
            super::super::document::decode(Path::new("a.yml"), &document.to_string());
        assert!(problems.is_empty());
        let drafts = document.expect("a document").certificates;
        let shown = format!("{files:?} {drafts:?}");
        assert!(
            shown.contains("BEGIN CERTIFICATE") && !shown.contains("PRIVATE KEY"),
            "{shown}"
        );
    }

    #[test]
    fn what_has_not_changed_is_not_read_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.pem");
        fs::write(&path, pem("ca").0).expect("written");
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        let file = fs::File::options().write(true).open(&path).expect("opened");
        file.set_modified(long_ago).expect("touched");
        let text = path.display().to_string();
        let mut files = PemFiles::default();
        let first = files.authorities("caFiles", &text).good.expect("read");
        // The time of its change cannot be set: it has just been written.
        let again = files.authorities("caFiles", &text).good.expect("read");
        assert_eq!(first, again);
        let inline = pem("inline").0;
        let first = files.authorities("caFiles", &inline).good.expect("read");
        let again = files.authorities("caFiles", &inline).good.expect("kept");
        assert!(Arc::ptr_eq(&first, &again), "text is the same for ever");
        assert_eq!(files.paths().len(), 1);
    }
}
