//! `deploy` of a resolver or of a certificate of a rule file: where certificates are written for other programs, and
//! what is run then.
//!
//! In rule files it counts only where the static configuration says so (`providers.file.allowDeploy`): nobody starts
//! programs, or is given private keys, by a rule file alone.

use std::path::{Component, Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};

use super::Problem;
use super::static_file::keys;
use super::walker::{Cost, Place, Walker};

/// `deploy`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deploy {
    /// `directory`: absolute, without `..`.
    pub directory: PathBuf,
    /// `names`: for which names there are files, lower case; empty: for all.
    pub names: Vec<Box<str>>,
    /// `owner`: of the files.
    pub owner: Owner,
    /// `mode`: of the files.
    pub mode: u32,
    /// `command`: run by a shell when files have changed.
    pub command: Option<String>,
}

/// Whose files are; `None` is whoever weir runs as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: Option<Uid>,
    /// The group.
    pub group: Option<Gid>,
}

/// Read and written by weir's user alone.
const MODE: u32 = 0o600;
/// What may be set: others never read a private key, and nobody executes one.
const MODE_BITS: u32 = 0o660;

/// What the files of a name end with: chain and key, the key, the chain.
pub const SUFFIXES: [&str; 3] = ["pem", "key", "crt"];

/// What files of a name begin with, as lego has it: `_` for the `*` of a wildcard. `None` for what is no name of a
/// host.
pub fn stem(name: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let stem = name.replacen('*', "_", 1);
    (stem.bytes().all(plain) && !stem.is_empty() && !stem.starts_with('.')).then_some(stem)
}

pub(super) fn deploy(walker: &mut Walker, place: &Place<'_>) -> Option<Deploy> {
    let fields = walker.fields(place, &keys::DEPLOY)?;
    let directory = fields
        .required(walker, "directory")
        .and_then(|at| walker.scalar(&at, "an absolute path without ..", directory));
    let owner = fields.get("owner").and_then(|at| {
        let allowed = "user, user:group or :group, by names that this machine knows or numbers";
        let found = at.text().and_then(owner);
        // It may be known later, and keeps nothing else from being used.
        if found.is_none() {
            walker.refuse(&at, allowed);
        }
        found
    });
    let mode = fields.get("mode").and_then(|at| {
        let allowed = "0400, 0440, 0600, 0640 or 0660: others must not read private keys";
        walker.scalar(&at, allowed, mode)
    });
    let names = fields.get("names").map(|at| names(walker, &at));
    let command = fields.get("command").and_then(|at| walker.string(&at));
    Some(Deploy {
        directory: directory?,
        names: names.unwrap_or_default(),
        owner: owner.unwrap_or_default(),
        mode: mode.unwrap_or(MODE),
        command,
    })
}

fn directory(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let climbs = path.components().any(|part| part == Component::ParentDir);
    // One spelling of each.
    (path.is_absolute() && !climbs).then(|| path.components().collect())
}

fn names(walker: &mut Walker, place: &Place<'_>) -> Vec<Box<str>> {
    let mut names = Vec::new();
    for name in walker.strings(place) {
        if stem(&name.value).is_none() {
            let problem = Problem::error(name.origin.clone(), format!("the name {:?}", name.value))
                .allowed("names of hosts, and of wildcards such as *.example.org");
            walker.report(Cost::Element, place, problem);
        }
        names.push(name.value.to_ascii_lowercase().into());
    }
    names
}

fn mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let mode = u32::from_str_radix(digits, 8).ok()?;
    (mode & !MODE_BITS == 0 && mode & 0o400 != 0).then_some(mode)
}

fn owner(text: &str) -> Option<Owner> {
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    if user.is_empty() && group.is_empty() {
        return None;
    }
    let by_name = |name: &str| User::from_name(name).ok().flatten().map(|user| user.uid);
    let group_by_name = |name: &str| Group::from_name(name).ok().flatten().map(|group| group.gid);
    // What is given and not known is refused, not left out.
    let find = |text: &str| match text {
        "" => Some(None),
        text => Some(Some(
            text.parse::<u32>()
                .ok()
                .map(Uid::from_raw)
                .or_else(|| by_name(text))?,
        )),
    };
    let find_group = |text: &str| match text {
        "" => Some(None),
        text => {
            let number = text.parse::<u32>().ok().map(Gid::from_raw);
            Some(Some(number.or_else(|| group_by_name(text))?))
        }
    };
    Some(Owner {
        user: find(user)?,
        group: find_group(group)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_files_of_the_directory() {
        assert_eq!(stem("*.a.example").as_deref(), Some("_.a.example"));
        assert_eq!(stem("a-b.example").as_deref(), Some("a-b.example"));
        for wrong in ["", "../a", ".a", "a/b", "a b", "*.*.a", "a\0", "::1"] {
            assert_eq!(stem(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn directories_are_where_they_seem_to_be() {
        let found = directory("/a/.//b/").expect("absolute");
        assert_eq!(found.as_os_str(), "/a/b");
        for wrong in ["", "a", "./a", "/a/../b", "/..", "~/a"] {
            assert_eq!(directory(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn owners_and_modes() {
        let ids = |text: &str| {
            owner(text).map(|owner| (owner.user.map(Uid::as_raw), owner.group.map(Gid::as_raw)))
        };
        assert_eq!(ids("root"), Some((Some(0), None)));
        assert_eq!(ids("root:33"), Some((Some(0), Some(33))));
        assert_eq!(ids(":root"), Some((None, Some(0))));
        for wrong in ["", ":", "nobody-has-this-name", "root:nobody-has-this-name"] {
            assert_eq!(ids(wrong), None, "{wrong:?}");
        }
        for (text, bits) in [("0640", 0o640), ("640", 0o640), ("0o400", 0o400)] {
            assert_eq!(mode(text), Some(bits));
        }
        for wrong in ["0644", "0700", "0040", "rw", "", "4640"] {
            assert_eq!(mode(wrong), None, "{wrong:?}");
        }
    }
}
