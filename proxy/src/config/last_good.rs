//! The last good version of each rule file: in memory, and in the state directory, so that a restart has it too.
//!
//! Owns: the copies below `stateDir`/rules, mode 0600, one for each rule file, named by the hash of its path. Never:
//! the rule files themselves. Invariants: a copy is whole or not there (written beside and renamed); what cannot be
//! written costs a warning, never a load; copies go when their file goes.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;

use super::{Origin, Problem, source};

/// Below the state directory.
const DIRECTORY: &str = "rules";

/// Texts of rule files that were good when they were last read.
#[derive(Clone, Debug, Default)]
pub struct LastGood {
    directory: Option<PathBuf>,
    texts: HashMap<PathBuf, Arc<str>>,
}

impl LastGood {
    /// With copies in this state directory, made if missing. What is there already is taken; a problem says why
    /// nothing can be kept.
    pub fn open(state: &Path) -> (Self, Option<Problem>) {
        let directory = state.join(DIRECTORY);
        let mut last_good = Self::default();
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory);
        let entries = match made.and_then(|()| fs::read_dir(&directory)) {
            Ok(entries) => entries,
            Err(error) => return (last_good, Some(unwritable(&directory, &error))),
        };
        for entry in entries.flatten() {
            // The path, then the text as it was.
            let copy = source::read(&entry.path()).ok();
            let Some((path, text)) = copy.as_deref().and_then(|copy| copy.split_once('\n')) else {
                continue;
            };
            if entry.file_name().to_str() == Some(&*name(Path::new(path))) {
                last_good.texts.insert(PathBuf::from(path), Arc::from(text));
            }
        }
        last_good.directory = Some(directory);
        (last_good, None)
    }

    /// The same texts, and nothing is written any more: for a look at what would be.
    pub fn detached(&self) -> Self {
        Self {
            directory: None,
            texts: self.texts.clone(),
        }
    }

    /// What the file last said when it was good.
    pub fn get(&self, file: &Path) -> Option<&Arc<str>> {
        self.texts.get(&key(file))
    }

    /// The file is good as it is now.
    pub fn keep(&mut self, file: &Path, text: &str) -> Option<Problem> {
        let key = key(file);
        if self.texts.get(&key).is_some_and(|kept| **kept == *text) {
            return None;
        }
        let written = self.write(&key, text);
        self.texts.insert(key, Arc::from(text));
        let directory = self.directory.as_deref().unwrap_or(Path::new(""));
        written.err().map(|error| unwritable(directory, &error))
    }

    /// Forgets all files but these.
    pub fn retain<'f>(&mut self, files: impl Iterator<Item = &'f Path>) {
        let there: BTreeSet<PathBuf> = files.map(key).collect();
        let directory = self.directory.clone();
        self.texts.retain(|path, _| {
            let keep = there.contains(path);
            if let (false, Some(directory)) = (keep, &directory) {
                // Missing is as good as removed; anything else is tried again at the next load.
                let _ = fs::remove_file(directory.join(name(path)));
            }
            keep
        });
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let (Some(directory), Some(path_text)) = (&self.directory, path.to_str()) else {
            return Ok(());
        };
        if path_text.contains('\n') {
            return Ok(());
        }
        let target = directory.join(name(path));
        let draft = target.with_extension("new");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        write!(file, "{path_text}\n{text}")?;
        fs::rename(&draft, &target)
    }
}

/// Rule files may be given relative to a directory that the next start is not in.
fn key(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

fn name(path: &Path) -> String {
    HEXLOWER.encode(digest(&SHA256, path.as_os_str().as_encoded_bytes()).as_ref())
}

fn unwritable(directory: &Path, error: &io::Error) -> Problem {
    let found = format!("a state directory that cannot be used: {error}");
    Problem::warning(Origin::file(directory), found)
        .remedy("choose another with stateDir: until then a restart has no last good version of a broken rule file")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn copies_outlive_the_process_and_go_with_their_file() {
        let state = tempfile::tempdir().unwrap();
        let (mut first, none) = LastGood::open(state.path());
        assert_eq!(none, None);
        let (a, b) = (Path::new("/rules/a.yml"), Path::new("/rules/b.yml"));
        assert_eq!(first.keep(a, "one\ntwo"), None);
        assert_eq!(first.keep(b, ""), None);
        let copies = || {
            fs::read_dir(state.path().join(DIRECTORY))
                .unwrap()
                .flatten()
                .collect::<Vec<_>>()
        };
        for copy in copies() {
            assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        let (mut second, _) = LastGood::open(state.path());
        assert_eq!(second.get(a).map(|text| &**text), Some("one\ntwo"));
        assert_eq!(second.get(b).map(|text| &**text), Some(""));
        second.retain([a].into_iter());
        assert_eq!((second.get(b), copies().len()), (None, 1));
        second.detached().retain(std::iter::empty());
        assert_eq!(copies().len(), 1);
    }

    #[test]
    fn a_state_directory_that_cannot_be_used_is_a_warning() {
        let (mut last_good, problem) = LastGood::open(Path::new("/proc/nowhere"));
        assert!(problem.unwrap().to_string().contains("stateDir"));
        assert_eq!(last_good.keep(Path::new("/a.yml"), "x"), None);
        assert!(last_good.get(Path::new("/a.yml")).is_some());
    }
}
