//! Tells that something changed among the rule files, debounced.
//!
//! Owns the kernel's watches. Never reads a file: who is told loads everything anew.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::limits::{WATCH_LATEST, WATCH_QUIET};

mod pem;

pub use self::pem::PemWatcher;

/// Watches a directory with its sub-directories, or a file through its directory (which survives rename-over).
#[derive(Debug)]
pub struct Watch {
    changes: mpsc::Receiver<()>,
    pending: Option<Pending>,
    /// Ends the watching when dropped; `None` where somebody else has it.
    _watcher: Option<RecommendedWatcher>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    first: Instant,
    last: Instant,
}

impl Watch {
    /// Starts watching.
    ///
    /// # Errors
    /// The kernel's: no such path, no inotify watches left (`fs.inotify.max_user_watches`).
    pub fn new(path: &Path) -> io::Result<Self> {
        // Not resolved further: a link that is pointed elsewhere is a change too.
        let path = std::path::absolute(path)?;
        path.metadata()?;
        let (directory, file) = match path.parent() {
            Some(parent) if path.is_file() => (parent.to_path_buf(), Some(path)),
            _ => (path, None),
        };
        let mode = if file.is_some() {
            RecursiveMode::NonRecursive
        } else {
            RecursiveMode::Recursive
        };
        // One place suffices: whoever reads it learns that something changed, however much it was.
        let (sender, changes) = mpsc::channel(1);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if event.map_or(true, |event| concerns(&event, file.as_ref())) {
                    // Full means that a change is waiting to be read already.
                    let _ = sender.try_send(());
                }
            })
            .map_err(into_io)?;
        watcher.watch(&directory, mode).map_err(into_io)?;
        Ok(Self {
            changes,
            pending: None,
            _watcher: Some(watcher),
        })
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
