//! PEM files for other programs: each whole or not there, its private key never readable by anybody else.
//!
//! The directory may belong to the other program, who may put anything there: nothing is followed, and nothing that is
//! not a plain file is opened for long.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{Gid, Uid, fchown};

use crate::config::{Deploy, SUFFIXES};
use crate::tls::Pem;

/// The files of a name: what each ends with, and what is in it. The first is for programs that read one file, and so
/// can never see a certificate with another's key.
pub(super) fn of(pem: &Pem) -> [(&'static str, String); 3] {
    let (chain, key) = (pem.chain.trim(), pem.key.trim());
    let [both, own, public] = SUFFIXES;
    [
        (both, format!("{chain}\n{key}\n")),
        (own, format!("{key}\n")),
        (public, format!("{chain}\n")),
    ]
}

/// Makes the directory if it is not there, for the owner of the files alone.
///
/// # Errors
/// The file system's.
pub(super) fn make_directory(deploy: &Deploy) -> io::Result<()> {
    if deploy.directory.is_dir() {
        return Ok(());
    }
    // Who may read a file may go into its directory.
    let mode = 0o700 | (deploy.mode & 0o440) | ((deploy.mode & 0o440) >> 2);
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(&deploy.directory)?;
    own(&File::open(&deploy.directory)?, deploy)
}

/// Puts a file where it is missing or different; whether it was.
///
/// # Errors
/// The file system's; the old file is untouched then.
pub(super) fn put(deploy: &Deploy, name: &str, content: &str) -> io::Result<bool> {
    let path = deploy.directory.join(name);
    if is_same(&path, deploy, content) {
        return Ok(false);
    }
    let draft = deploy.directory.join(format!(".{name}.new"));
    if let Err(error) = fs::remove_file(&draft)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    // It is made, never opened: whatever somebody has put there meanwhile is not followed.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    own(&file, deploy)?;
    file.set_permissions(fs::Permissions::from_mode(deploy.mode))?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, &path)?;
    Ok(true)
}

/// What was put outlives a power cut from then on.
///
/// # Errors
/// The file system's.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn own(file: &File, deploy: &Deploy) -> io::Result<()> {
    let owner = deploy.owner;
    if owner.user.is_none() && owner.group.is_none() {
        return Ok(());
    }
    Ok(fchown(file, owner.user, owner.group)?)
}

/// Whether the file has this content, owner and mode.
fn is_same(path: &Path, deploy: &Deploy, content: &str) -> bool {
    let open = || {
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)
    };
    let Ok(mut file) = open() else { return false };
    let Ok(there) = file.metadata() else {
        return false;
    };
    let owned = deploy
        .owner
        .user
        .is_none_or(|user| user == Uid::from_raw(there.uid()))
        && deploy
            .owner
            .group
            .is_none_or(|group| group == Gid::from_raw(there.gid()));
    let alike = there.is_file()
        && there.len() == content.len() as u64
        && owned
        && there.mode() & 0o7777 == deploy.mode;
    let mut text = String::new();
    alike && file.read_to_string(&mut text).is_ok() && text == content
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deploy(directory: &Path) -> Deploy {
        Deploy {
            directory: directory.join("a/b"),
            names: Vec::new(),
            owner: Default::default(),
            mode: 0o640,
            command: None,
        }
    }

    #[test]
    fn files_are_put_where_they_are_missing_or_different_and_nothing_is_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let deploy = deploy(scratch.path());
        make_directory(&deploy).unwrap();
        make_directory(&deploy).unwrap();
        let path = deploy.directory.join("x.pem");
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&deploy.directory), 0o750);
        assert!(put(&deploy, "x.pem", "one").unwrap());
        assert!(!put(&deploy, "x.pem", "one").unwrap());
        assert_eq!(mode(&path), 0o640);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(put(&deploy, "x.pem", "one").unwrap(), "another mode");
        assert!(put(&deploy, "x.pem", "two").unwrap());
        // Somebody else's traps: the target of a link stays, a pipe is not waited for.
        let secret = scratch.path().join("secret");
        fs::write(&secret, "two").unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&secret, &path).unwrap();
        std::os::unix::fs::symlink(&secret, deploy.directory.join(".x.pem.new")).unwrap();
        assert!(put(&deploy, "x.pem", "two").unwrap(), "a link is no file");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read_to_string(&secret).unwrap(), "two");
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(put(&deploy, "x.pem", "two").unwrap());
        sync(&deploy.directory).unwrap();
        assert_eq!(fs::read_dir(&deploy.directory).unwrap().count(), 1);
    }
}
