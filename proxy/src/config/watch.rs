//! Tells that something changed among the rule files, debounced.

use std::io;
use std::path::Path;

/// Watches a directory with its sub-directories, or a file through its directory (which survives rename-over).
#[derive(Debug)]
pub struct Watch {}

impl Watch {
    /// Starts watching. Errors are the kernel's: no such path, no inotify watches left.
    pub fn new(path: &Path) -> io::Result<Self> {
        let _ = path;
        todo!()
    }

    /// Resolves when something has changed and has then been quiet for [`crate::limits::WATCH_QUIET`], or at the latest
    /// [`crate::limits::WATCH_LATEST`] after the first change. Cancel safe.
    pub async fn changed(&mut self) {
        todo!()
    }
}
