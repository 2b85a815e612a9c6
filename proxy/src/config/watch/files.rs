//! Watches files, wherever they are: PEM files that rules name, and rule files that are links.
//!
//! Files are watched through their directories, which outlive a replaced file; a link through the directory it is in
//! and that of what it leads to. What is not there yet is waited for where it would appear.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::{Identity, Watch, concerns_any, identity, into_io, telling};
use crate::config::{Origin, Problem};

/// Links on the way to a file: the kernel's limit.
const LINKS_MAX: usize = 40;

/// Says which files are watched; who is told has the [`Watch`].
#[derive(Debug)]
pub struct FileWatcher {
    watcher: RecommendedWatcher,
    /// Directories and which they were: one that was replaced is another.
    watched: HashMap<PathBuf, Identity>,
    /// What an event must be about.
    wanted: Arc<ArcSwap<HashSet<PathBuf>>>,
    changes: mpsc::Sender<()>,
}

impl FileWatcher {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The kernel's: no inotify instances left (`fs.inotify.max_user_instances`).
    pub fn new() -> io::Result<(Self, Watch)> {
        let (sender, changes) = mpsc::channel(1);
        let watch = Watch {
            changes,
            pending: None,
            root: None,
        };
        Ok((Self::telling(sender)?, watch))
    }

    /// Watches nothing yet, and will tell a watch that there is.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn telling(changes: mpsc::Sender<()>) -> io::Result<Self> {
        let wanted: Arc<ArcSwap<HashSet<PathBuf>>> = Arc::default();
        let looked_at = Arc::clone(&wanted);
        let counts = move |event: &notify::Event| concerns_any(event, &looked_at.load());
        Ok(Self {
            watcher: telling(changes.clone(), counts)?,
            watched: HashMap::new(),
            wanted,
            changes,
        })
    }

    /// Tells of a change that came before the watch.
    pub fn tell(&self) {
        // Full means that a change is waiting to be read already.
        let _ = self.changes.try_send(());
    }

    /// Watches these files from now on, and no others. Blocks: belongs on the control plane's lane. A warning for each
    /// directory that cannot be watched.
    pub fn follow(&mut self, files: &BTreeSet<PathBuf>) -> Vec<Problem> {
        let (mut directories, mut wanted) = (BTreeSet::new(), HashSet::new());
        for file in files {
            if let Ok(file) = std::path::absolute(file) {
                places(&file, &mut directories, &mut wanted);
            }
        }
        wanted.extend(directories.iter().cloned());
        // Before the watches: an event between the two must count.
        self.wanted.store(Arc::new(wanted));
        let gone: Vec<PathBuf> = self
            .watched
            .keys()
            .filter(|known| !directories.contains(*known))
            .cloned()
            .collect();
        for directory in gone {
            self.watched.remove(&directory);
            // It may be gone itself.
            let _ = self.watcher.unwatch(&directory);
        }
        let each = directories.iter();
        each.filter_map(|directory| self.watch(directory)).collect()
    }

    fn watch(&mut self, directory: &Path) -> Option<Problem> {
        let outcome = match identity(directory).ok_or(io::ErrorKind::NotFound) {
            Ok(found) if self.watched.get(directory) == Some(&found) => return None,
            Ok(found) => {
                if self.watched.remove(directory).is_some() {
                    let _ = self.watcher.unwatch(directory);
                }
                let watched = self.watcher.watch(directory, RecursiveMode::NonRecursive);
                watched.map_err(into_io).map(|()| {
                    self.watched.insert(directory.to_owned(), found);
                })
            }
            Err(error) => Err(error.into()),
        };
        let error = outcome.err()?;
        let found = format!("a directory with files of the rules that is not watched: {error}");
        Some(
            Problem::warning(Origin::file(directory), found)
                .remedy("send SIGHUP after a change in it"),
        )
    }
}

/// The directories to watch for a file, and the paths in them that matter: each link on the way, also those that lead
/// to others, what is at the end, and what is not there yet.
fn places(file: &Path, directories: &mut BTreeSet<PathBuf>, wanted: &mut HashSet<PathBuf>) {
    let mut add = |path: &Path| {
        if let Some(parent) = path.parent()
            && parent.is_dir()
        {
            directories.insert(parent.to_owned());
            wanted.insert(path.to_owned());
        }
    };
    // What is still to be walked, the next part last; and how far it has led, free of links.
    let parts = |path: &Path| -> Vec<OsString> {
        let parts = path.components().rev();
        parts.map(|part| part.as_os_str().to_owned()).collect()
    };
    let (mut rest, mut here, mut links) = (parts(file), PathBuf::from("/"), 0);
    while let Some(part) = rest.pop() {
        if part == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&part);
        match fs::read_link(&next) {
            Ok(target) if links < LINKS_MAX => {
                links += 1;
                add(&next);
                rest.extend(parts(&target));
            }
            // Where it will appear.
            _ if fs::symlink_metadata(&next).is_err() => return add(&next),
            _ => here = next,
        }
    }
    add(&here);
}
