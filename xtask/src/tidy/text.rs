//! Rules for every text file: nothing of one machine in it, and the commands it names exist.

use super::{Problem, Tracked};
use crate::COMMANDS;

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
];

/// The one source packages come from, as Cargo.lock writes it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks one file.
pub(super) fn check(file: &Tracked) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (number, line) in file.lines() {
        if let Some(path) = MACHINE_PATHS.iter().find(|path| has_path(line, path)) {
            problems.push(file.problem(number, format!("a path of one machine ({path}..)")));
        }
        if file.path.ends_with("Cargo.lock") && foreign_source(line) {
            problems.push(file.problem(number, "packages come from crates.io, nowhere else"));
        }
        if file.path.ends_with(".md") || file.path.starts_with(".ci/") {
            let what = |name| format!("there is no `cargo xtask {name}`");
            problems.extend(unknown_command(line).map(|name| file.problem(number, what(name))));
        }
    }
    problems
}

/// Whether an absolute path begins so: `a/home/b` does not.
fn has_path(line: &str, path: &str) -> bool {
    let part = |character: char| character.is_alphanumeric() || ".-_}*".contains(character);
    line.match_indices(path)
        .any(|(start, _)| !line[..start].chars().next_back().is_some_and(part))
}

fn foreign_source(line: &str) -> bool {
    let source = line
        .strip_prefix("source = \"")
        .and_then(|rest| rest.strip_suffix('"'));
    source.is_some_and(|source| source != REGISTRY)
}

/// The first command after `cargo xtask` that does not exist.
fn unknown_command(line: &str) -> Option<&str> {
    let names = line.split("cargo xtask ").skip(1).map(|rest| {
        let end =
            rest.find(|character: char| !(character.is_ascii_lowercase() || character == '-'));
        &rest[..end.unwrap_or(rest.len())]
    });
    names
        .filter(|name| !name.is_empty())
        .find(|name| COMMANDS.iter().all(|command| command.name != *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        check(&Tracked {
            path: path.to_owned(),
            text: text.to_owned(),
        })
        .len()
    }

    #[test]
    fn nothing_of_one_machine() {
        assert_eq!(
            problems("a.toml", concat!("dir = \"/ho", "me/someone/x\"")),
            1
        );
        assert_eq!(problems("a.toml", concat!("dir = \"pages/ho", "me/x\"")), 0);
        assert_eq!(
            problems(
                "Cargo.lock",
                "source = \"registry+https://mirror.example/index\"\n"
            ),
            1
        );
        assert_eq!(
            problems("Cargo.lock", &format!("source = \"{REGISTRY}\"\n")),
            0
        );
    }

    #[test]
    fn documented_commands_exist() {
        assert_eq!(
            problems(
                "README.md",
                "Run `cargo xtask test`, then `cargo xtask check`.\n"
            ),
            0
        );
        assert_eq!(problems("docs/a.md", "cargo xtask deploy\n"), 1);
    }
}
