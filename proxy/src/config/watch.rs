//! Tells that something changed among the rule files, debounced.
//!
//! Owns the kernel's watches. Never reads a file: who is told loads everything anew.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::limits::{WATCH_LATEST, WATCH_QUIET};

mod files;

pub use self::files::FileWatcher;

/// Watches a directory with its sub-directories, or a file through its directory (which survives rename-over).
#[derive(Debug)]
pub struct Watch {
    changes: mpsc::Receiver<()>,
    pending: Option<Pending>,
    /// What is watched; `None` where somebody else has it.
    root: Option<Root>,
}

/// A directory or a file, whichever is at its path.
#[derive(Debug)]
struct Root {
    path: PathBuf,
    changes: mpsc::Sender<()>,
    /// Which it is that is watched: another may have been put in its place. Ends the watching when dropped.
    watched: Option<(Identity, RecommendedWatcher)>,
}

/// What tells a directory from one that comes after it: the number may be given again.
type Identity = (u64, u64, Option<SystemTime>);

#[derive(Clone, Copy, Debug)]
struct Pending {
    first: Instant,
    last: Instant,
}

impl Watch {
    /// Starts watching. What is not there is watched when it comes, if a [`Self::files`] follows its path.
    ///
    /// # Errors
    /// The kernel's: no inotify watches left (`fs.inotify.max_user_watches`).
    pub fn new(path: &Path) -> io::Result<Self> {
        // One place suffices: whoever reads it learns that something changed, however much it was.
        let (sender, changes) = mpsc::channel(1);
        let mut root = Root {
            // Not resolved further: a link that is pointed elsewhere is a change too.
            path: std::path::absolute(path)?,
            changes: sender,
            watched: None,
        };
        root.attach()?;
        Ok(Self {
            changes,
            pending: None,
            root: Some(root),
        })
    }

    /// Watches single files, too: what happens to those that it follows is told here.
    ///
    /// # Errors
    /// As [`FileWatcher::new`].
    pub fn files(&self) -> io::Result<Option<FileWatcher>> {
        let root = self.root.as_ref();
        root.map(|root| FileWatcher::telling(root.changes.clone()))
            .transpose()
    }

    /// Resolves when something has changed and has then been quiet for [`WATCH_QUIET`], or at the latest
    /// [`WATCH_LATEST`] after the first change. Cancel safe.
    pub async fn changed(&mut self) {
        loop {
            let Some(pending) = self.pending else {
                self.next_change().await;
                continue;
            };
            let due = (pending.last + WATCH_QUIET).min(pending.first + WATCH_LATEST);
            tokio::select! {
                () = sleep_until(due) => {
                    self.pending = None;
                    if let Some(Err(error)) = self.root.as_mut().map(Root::attach) {
                        warn!("rule files are not watched: {error}; send SIGHUP after a change");
                    }
                    return;
                }
                () = self.next_change() => {}
            }
        }
    }

    async fn next_change(&mut self) {
        if self.changes.recv().await.is_none() {
            // The watcher is gone only when this is.
            std::future::pending::<()>().await;
        }
        let now = Instant::now();
        let first = self.pending.map_or(now, |pending| pending.first);
        self.pending = Some(Pending { first, last: now });
    }
}

impl Root {
    /// Watches what is at the path now, unless it does already.
    fn attach(&mut self) -> io::Result<()> {
        let found = identity(&self.path);
        if self.watched.as_ref().map(|(identity, _)| identity) == found.as_ref() {
            return Ok(());
        }
        self.watched = None;
        if let Some(found) = found {
            self.watched = Some((found, self.watcher()?));
        }
        Ok(())
    }

    fn watcher(&self) -> io::Result<RecommendedWatcher> {
        let (directory, file, mode) = match self.path.parent() {
            Some(parent) if self.path.is_file() => {
                let file = Some(self.path.clone());
                (parent, file, RecursiveMode::NonRecursive)
            }
            _ => (&*self.path, None, RecursiveMode::Recursive),
        };
        let mut watcher = telling(self.changes.clone(), move |event| {
            concerns(event, file.as_ref())
        })?;
        watcher.watch(directory, mode).map_err(into_io)?;
        Ok(watcher)
    }
}

/// A watcher that tells of events that count, and of errors.
fn telling(
    changes: mpsc::Sender<()>,
    counts: impl Fn(&notify::Event) -> bool + Send + 'static,
) -> io::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| counts(&event)) {
            // Full means that a change is waiting to be read already.
            let _ = changes.try_send(());
        }
    })
    .map_err(into_io)
}

/// Which directory or file is at this path, if one is.
fn identity(path: &Path) -> Option<Identity> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.created().ok()))
}

/// Whether the event may have changed what the rules say. An overflow of the kernel's queue is an event without paths;
/// a mounted volume (Kubernetes) changes all its files by one link whose name begins with two dots.
fn concerns(event: &notify::Event, file: Option<&PathBuf>) -> bool {
    let is_link = |path: &PathBuf| {
        let name = path.file_name();
        name.is_some_and(|name| name.as_encoded_bytes().starts_with(b".."))
    };
    let about = |file: &PathBuf| {
        event.paths.is_empty() || event.paths.iter().any(|path| path == file || is_link(path))
    };
    !matches!(event.kind, EventKind::Access(_)) && file.is_none_or(about)
}

/// Whether the event may have changed one of these paths.
fn concerns_any(event: &notify::Event, wanted: &HashSet<PathBuf>) -> bool {
    let about_one = || event.paths.iter().any(|path| matters(path, wanted));
    !matches!(event.kind, EventKind::Access(_)) && (event.paths.is_empty() || about_one())
}

/// A mounted volume changes all its files by one link.
fn matters(path: &PathBuf, wanted: &HashSet<PathBuf>) -> bool {
    let name = path.file_name();
    wanted.contains(path)
        || name.is_some_and(|name| name.as_encoded_bytes().starts_with(b".."))
            && path.parent().is_some_and(|parent| wanted.contains(parent))
}

fn into_io(error: notify::Error) -> io::Error {
    match error.kind {
        notify::ErrorKind::Io(error) => error,
        notify::ErrorKind::MaxFilesWatch => {
            io::Error::other("no inotify watches left: raise fs.inotify.max_user_watches")
        }
        other => io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests;
