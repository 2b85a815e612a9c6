//! One file that is whole or not there, with the version before it.
//!
//! A first line carries the format's version and the digest of the rest, so that a truncated or damaged file is known
//! as such. Beside `a.json` there may be `a.json.previous`, the last good version before it; `a.json.new`, a write that
//! was interrupted; and `a.json.damaged`, what was found unusable when a new version came.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;

/// What every file begins with; the number is the format's version.
const MAGIC: &str = "weir-kept 1 ";

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// As it was given to [`write()`].
    pub body: Vec<u8>,
    /// Why this is the version before the last, in words; `None` where it is the last.
    pub instead: Option<String>,
}

/// Reads what was last written, or the version before it where that is damaged. `None` where nothing was ever written.
///
/// # Errors
/// One line where neither version can be used.
pub fn read(path: &Path) -> Result<Option<Kept>, String> {
    let problem = match read_one(path) {
        Ok(Some(body)) => {
            return Ok(Some(Kept {
                body,
                instead: None,
            }));
        }
        Ok(None) => None,
        Err(problem) => Some(problem),
    };
    let before = beside(path, "previous");
    match (problem, read_one(&before)) {
        (None, Ok(None)) => Ok(None),
        (problem, Ok(Some(body))) => {
            let problem = problem.unwrap_or_else(|| "is missing".to_owned());
            let instead = format!(
                "{} {problem}: {} is used, and nothing is overwritten",
                path.display(),
                before.display()
            );
            Ok(Some(Kept {
                body,
                instead: Some(instead),
            }))
        }
        (problem, before) => {
            let problem = problem.or(before.err()).unwrap_or_default();
            Err(format!(
                "{} {problem}, and there is no good version before it",
                path.display()
            ))
        }
    }
}

/// Writes a new version: readers, and a process that starts after a crash, see the old one or the new one. Mode 0600.
///
/// # Errors
/// The file system's; the old version is untouched then.
pub fn write(path: &Path, body: &[u8]) -> io::Result<()> {
    let draft = beside(path, "new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    writeln!(file, "{MAGIC}{}", checksum(body))?;
    file.write_all(body)?;
    file.sync_all()?;
    match read_one(path) {
        Ok(None) => {}
        // A second name, so that at no moment there is none.
        Ok(Some(_)) => {
            let link = beside(path, "linked");
            remove(&link)?;
            fs::hard_link(path, &link)?;
            fs::rename(&link, beside(path, "previous"))?;
        }
        Err(_) => fs::rename(path, beside(path, "damaged"))?,
    }
    fs::rename(&draft, path)?;
    sync_directory(path)
}

/// Removes all versions.
///
/// # Errors
/// The file system's.
pub fn remove_all(path: &Path) -> io::Result<()> {
    for version in ["new", "previous"] {
        remove(&beside(path, version))?;
    }
    remove(path)?;
    sync_directory(path)
}

/// Makes a directory that nobody else may look into, with those above it.
///
/// # Errors
/// The file system's.
pub fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The files in a directory that [`write()`] has written, each once, in the order of their names.
///
/// # Errors
/// The file system's.
pub fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => paths.push(path),
            Some("previous") => paths.push(path.with_extension("")),
            _ => {}
        }
    }
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// The content, `None` where there is no file, or what is wrong with it.
fn read_one(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    let line = memchr::memchr(b'\n', &bytes).ok_or("is truncated")?;
    let (head, body) = (&bytes[..line], &bytes[line + 1..]);
    let digest = head
        .strip_prefix(MAGIC.as_bytes())
        .ok_or("was not written by this version of weir")?;
    if digest != checksum(body).as_bytes() {
        return Err("is truncated or damaged".to_owned());
    }
    Ok(Some(body.to_vec()))
}

fn checksum(body: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, body).as_ref())
}

fn beside(path: &Path, version: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(version);
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn body(path: &Path) -> Option<(Vec<u8>, bool)> {
        read(path)
            .unwrap()
            .map(|kept| (kept.body, kept.instead.is_some()))
    }

    #[test]
    fn the_version_before_serves_while_the_last_is_damaged_and_neither_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        assert_eq!(body(&path), None);
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(body(&path), Some((b"two".to_vec(), false)));
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        for cut in (0..whole.len())
            .map(|length| whole[..length].to_vec())
            .chain([damaged])
        {
            fs::write(&path, &cut).unwrap();
            assert_eq!(body(&path), Some((b"one".to_vec(), true)));
            assert_eq!(fs::read(&path).unwrap(), cut);
        }
        write(&path, b"three").unwrap();
        assert_eq!(body(&path), Some((b"three".to_vec(), false)));
        let previous = read_one(&beside(&path, "previous")).unwrap();
        assert_eq!(
            previous.as_deref(),
            Some(&b"one"[..]),
            "the last good one is kept"
        );
        assert!(beside(&path, "damaged").exists());
        assert_eq!(list(directory.path()).unwrap(), std::slice::from_ref(&path));
        remove_all(&path).unwrap();
        assert_eq!(body(&path), None);
    }

    #[test]
    fn an_interrupted_write_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        write(&path, b"one").unwrap();
        fs::write(beside(&path, "new"), b"weir-kept 1 half").unwrap();
        assert_eq!(body(&path), Some((b"one".to_vec(), false)));
        fs::rename(&path, beside(&path, "previous")).unwrap();
        assert_eq!(body(&path), Some((b"one".to_vec(), true)));
        assert_eq!(list(directory.path()).unwrap(), [path]);
    }

    #[test]
    fn two_bad_versions_are_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        fs::write(&path, b"x").unwrap();
        assert!(read(&path).unwrap_err().contains("no good version"));
    }
}
