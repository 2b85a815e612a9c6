//! The directories that are one process's alone, `runtimeDir` and `stateDir`: locked for as long as it runs.
//!
//! Two processes may share ports (SO_REUSEPORT), so nothing else would tell them apart: the second would take over the
//! admin socket and overwrite what the first keeps, and remove both at its end. The lock is the kernel's (flock(2), on
//! the directory itself): it leaves no file, and ends with the process however that ends. Commands take none.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use tracing::warn;

use super::status;
use crate::config::StaticConfig;

/// Both, until dropped.
pub struct Own {
    #[expect(dead_code, reason = "held for their locks")]
    directories: Vec<File>,
}

impl Own {
    /// Takes them, and makes them where they are missing. What cannot be opened is left to those who need it.
    ///
    /// # Errors
    /// Another process has one of them.
    pub fn take(config: &StaticConfig) -> Result<Self, String> {
        let (runtime, state) = (&config.runtime_dir, &config.state_dir);
        let mut directories = Vec::new();
        if let Some(directory) = open(runtime, 0o755) {
            directories.push(lock(directory, "runtimeDir", (runtime, config))?);
        }
        let opened = open(state, 0o700);
        let same = fs::canonicalize(runtime).ok() == fs::canonicalize(state).ok();
        if let Some(directory) = opened.filter(|_| !same) {
            directories.push(lock(directory, "stateDir", (state, config))?);
        }
        Ok(Self { directories })
    }
}

fn open(path: &Path, mode: u32) -> Option<File> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    made.and_then(|()| File::open(path)).ok()
}

fn lock(
    directory: File,
    key: &str,
    (path, config): (&Path, &StaticConfig),
) -> Result<File, String> {
    match directory.try_lock() {
        Ok(()) => Ok(directory),
        Err(TryLockError::WouldBlock) => {
            let process = status::process(&config.runtime_dir);
            let process = process.map_or_else(String::new, |id| format!(" (process {id})"));
            Err(format!(
                "{key}: another weir{process} runs with {}: stop it first, or give this one a runtimeDir and a \
                 stateDir of its own",
                path.display()
            ))
        }
        // Not every file system can: nothing is known of others then.
        Err(TryLockError::Error(error)) => {
            warn!("{key}: {} cannot be locked: {error}", path.display());
            Ok(directory)
        }
    }
}
