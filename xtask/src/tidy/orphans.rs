//! Files that look like modules and are compiled by nobody, because no `mod` names them.

use std::collections::HashMap;

use super::{Problem, Tracked};

/// Files in the folder of a module that it does not declare. A folder without a module of its name holds roots.
pub(super) fn check(files: &[Tracked]) -> Vec<Problem> {
    let texts: HashMap<&str, &str> = files
        .iter()
        .map(|file| (file.path.as_str(), file.text.as_str()))
        .collect();
    let orphan = |file: &&Tracked| {
        let Some((owners, name)) = owners(&file.path) else {
            return false;
        };
        let mut owners = owners
            .iter()
            .filter_map(|owner| texts.get(owner.as_str()))
            .peekable();
        owners.peek().is_some() && !owners.any(|text| declares(text, name))
    };
    files
        .iter()
        .filter(orphan)
        .map(|file| file.problem(0, "no `mod` names it: it is not compiled"))
        .collect()
}

/// The files of which one must declare this one, and the name it must be declared by; `None` of a root.
fn owners(path: &str) -> Option<(Vec<String>, &str)> {
    let (folder, name) = path.strip_suffix(".rs")?.rsplit_once('/')?;
    let owners = match (folder, name) {
        (_, "main" | "lib") => return None,
        ("tests" | "proxy/src" | "xtask/src", _) => ["lib", "main"]
            .map(|root| format!("{folder}/{root}.rs"))
            .to_vec(),
        _ => vec![format!("{folder}.rs")],
    };
    Some((owners, name))
}

fn declares(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let declared = line.trim_start().strip_suffix(';').unwrap_or_default();
        declared.strip_suffix(name).is_some_and(|before| {
            before == "mod " || (before.starts_with("pub") && before.ends_with(" mod "))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracked(files: &[(&str, &str)]) -> Vec<Tracked> {
        let file = |(path, text): &(&str, &str)| Tracked {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        files.iter().map(file).collect()
    }

    #[test]
    fn a_file_that_no_module_names_is_found() {
        let files = tracked(&[
            ("tests/main.rs", "mod http1;\n"),
            ("tests/http1.rs", "pub mod origin;\n// mod clauses;\n"),
            ("tests/http1/origin.rs", ""),
            ("tests/http1/clauses.rs", ""),
            ("tests/lost.rs", ""),
        ]);
        let found: Vec<String> = check(&files).into_iter().map(|found| found.path).collect();
        assert_eq!(found, ["tests/http1/clauses.rs", "tests/lost.rs"]);
    }

    #[test]
    fn modules_of_any_visibility_and_roots_are_none() {
        let files = tracked(&[
            ("proxy/src/lib.rs", "pub mod a;\n"),
            (
                "proxy/src/a.rs",
                "#[cfg(test)]\nmod tests;\npub(super) mod b;\n",
            ),
            ("proxy/src/a/tests.rs", ""),
            ("proxy/src/a/b.rs", ""),
            ("proxy/src/main.rs", ""),
            ("proxy/examples/load.rs", ""),
        ]);
        assert!(check(&files).is_empty());
    }
}
