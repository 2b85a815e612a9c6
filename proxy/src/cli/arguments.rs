//! Which arguments configure (`--entryPoints.web.address=:80`, free in form) and which are the command's own.

use std::ffi::OsString;

use crate::config::static_file::keys;
use crate::config::walker::nearest_of;

/// The command's own options: never taken for a misspelt key.
const OWN: [&str; 10] = [
    "configFile",
    "dry-run",
    "format",
    "help",
    "json",
    "offline",
    "strict",
    "timeout",
    "version",
    "wait",
];

/// The arguments apart: those of the command, for clap, and those that configure, in their order.
///
/// What configures begins with `--` and a key of the static configuration, in any case, or one that is much like such
/// a key, so that its misspelling is answered with the right name.
pub(super) fn split(arguments: impl Iterator<Item = OsString>) -> (Vec<OsString>, Vec<String>) {
    let (mut own, mut flags) = (Vec::new(), Vec::new());
    let mut ended = false;
    for argument in arguments {
        ended |= argument == "--";
        match argument.to_str() {
            Some(text) if !ended && configures(text) => flags.push(text.to_owned()),
            Some(text) if !ended => own.push(canonical(text)),
            _ => own.push(argument),
        }
    }
    (own, flags)
}

fn configures(argument: &str) -> bool {
    let Some(name) = argument.strip_prefix("--").map(name) else {
        return false;
    };
    if is_own(name) || name.is_empty() {
        return false;
    }
    let first = name.split(['.', '[']).next().unwrap_or_default();
    let all = || keys::ROOT.known.iter().chain(keys::ROOT.later).copied();
    name.contains(['.', '['])
        || all().any(|key| key.eq_ignore_ascii_case(first))
        || nearest_of(first, all()).is_some()
}

/// `--configfile` is `--configFile`, as in Traefik.
fn canonical(argument: &str) -> OsString {
    const CONFIG_FILE: &str = "--configFile";
    match argument.get(..CONFIG_FILE.len()) {
        Some(start) if start.eq_ignore_ascii_case(CONFIG_FILE) => {
            format!("{CONFIG_FILE}{}", &argument[CONFIG_FILE.len()..]).into()
        }
        _ => argument.into(),
    }
}

fn is_own(name: &str) -> bool {
    OWN.iter().any(|own| own.eq_ignore_ascii_case(name))
}

fn name(argument: &str) -> &str {
    argument.split('=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_configure_are_told_from_the_commands_own() {
        let arguments = [
            "weir",
            "--configfile=a.toml",
            "--ping",
            "--entryPoints.web.address=:80",
            "check",
            "--json",
            "--strict",
            "--acceslog=true",
            "--LOG.level=DEBUG",
            "--nonsense",
            "rules",
            "--",
            "--ping",
        ];
        let (own, flags) = split(arguments.into_iter().map(OsString::from));
        let expected = [
            "weir",
            "--configFile=a.toml",
            "check",
            "--json",
            "--strict",
            "--nonsense",
            "rules",
            "--",
            "--ping",
        ];
        assert_eq!(own, expected);
        let expected = [
            "--ping",
            "--entryPoints.web.address=:80",
            "--acceslog=true",
            "--LOG.level=DEBUG",
        ];
        assert_eq!(flags, expected);
    }
}
