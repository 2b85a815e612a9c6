//! The direction in which the modules of `proxy/src` may use each other: the map of docs/ARCHITECTURE.md as a table.

use super::source::code;
use super::{Problem, Tracked};

/// Each module with all it may use, from the lowest up. `main` and `lib` are not in it: they only name the others.
const MAY_USE: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("clock", &[]),
    // The IO column: no protocol.
    ("sys", &["limits"]),
    ("uring", &["limits", "sys"]),
    ("net", &["limits", "sys", "uring"]),
    // The pure column: bytes in, events out; no socket, no clock.
    ("http", &["limits"]),
    ("http1", &["limits", "http"]),
    ("http2", &["limits", "http", "http1"]),
    ("failure", &["http", "http1", "http2"]),
    ("tls", &["limits"]),
    ("proxy_protocol", &["limits"]),
    // What the configuration compiles to.
    ("rule", &["limits", "http"]),
    ("service", &["limits", "rule", "tls", "proxy_protocol"]),
    ("middleware", &["limits", "http", "rule"]),
    (
        "router",
        &["limits", "http", "tls", "rule", "service", "middleware"],
    ),
    (
        "config",
        &[
            "limits",
            "clock",
            "http",
            "http1",
            "http2",
            "rule",
            "service",
            "middleware",
            "router",
            "tls",
            "proxy_protocol",
        ],
    ),
    ("admin", &["limits", "service", "config"]),
    (
        "certs",
        &["limits", "clock", "sys", "http", "tls", "config"],
    ),
    (
        "health",
        &[
            "limits", "clock", "sys", "http", "http1", "http2", "tls", "service",
        ],
    ),
    // The two planes, and what starts them.
    (
        "steering",
        &["limits", "sys", "service", "router", "config"],
    ),
    ("transport", &["limits", "sys", "uring", "net", "tls"]),
    (
        "upstream",
        &[
            "limits",
            "uring",
            "net",
            "http",
            "http1",
            "http2",
            "tls",
            "proxy_protocol",
            "service",
            "transport",
        ],
    ),
    ("exchange", EXCHANGE),
    ("app", APP),
    ("cli", CLI),
];

const EXCHANGE: &[&str] = &[
    "limits",
    "failure",
    "clock",
    "sys",
    "uring",
    "net",
    "http",
    "http1",
    "http2",
    "tls",
    "proxy_protocol",
    "rule",
    "service",
    "middleware",
    "router",
    "config",
    "transport",
    "upstream",
];
const APP: &[&str] = &[
    "limits",
    "failure",
    "clock",
    "sys",
    "uring",
    "net",
    "http",
    "http1",
    "http2",
    "tls",
    "proxy_protocol",
    "rule",
    "service",
    "middleware",
    "router",
    "config",
    "admin",
    "certs",
    "health",
    "steering",
    "transport",
    "upstream",
    "exchange",
];
const CLI: &[&str] = &[
    "limits", "clock", "sys", "uring", "tls", "service", "config", "admin", "certs", "steering",
    "app",
];

/// Every use of a module that is not below the file's own.
pub(super) fn check(file: &Tracked) -> Vec<Problem> {
    let Some((_, allowed)) = module(&file.path).and_then(layer) else {
        return Vec::new();
    };
    let own = module(&file.path).unwrap_or_default();
    let code: Vec<String> = file.lines().map(|(_, line)| code(line)).collect();
    let known = |used: &&str| layer(used).is_some() && *used != own;
    let forbidden = |(line, used): (usize, &str)| {
        let wrong = known(&used) && !allowed.contains(&used);
        let what = || {
            format!(
                "`{own}` must not use `{used}`: the allowed direction is in xtask's tidy/layers.rs"
            )
        };
        wrong.then(|| file.problem(line, what()))
    };
    let whole = code.join("\n");
    used_modules(&whole)
        .into_iter()
        .filter_map(forbidden)
        .collect()
}

/// Modules that the table does not know: a new one must be given its place.
pub(super) fn unknown_modules(files: &[Tracked]) -> Vec<Problem> {
    let unknown =
        |file: &&Tracked| module(&file.path).is_some_and(|module| layer(module).is_none());
    let what = "a module without a place in the table of xtask's tidy/layers.rs";
    files
        .iter()
        .filter(unknown)
        .map(|file| file.problem(0, what))
        .collect()
}

/// The top module a file belongs to; `None` outside of proxy/src and for its two roots.
fn module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("proxy/src/")?;
    let name = inside.split('/').next()?;
    let name = name.strip_suffix(".rs").unwrap_or(name);
    (!["main", "lib"].contains(&name)).then_some(name)
}

fn layer(module: &str) -> Option<&'static (&'static str, &'static [&'static str])> {
    MAY_USE.iter().find(|(name, _)| *name == module)
}

/// The modules named after `crate::`, singly or in braces, each with its line.
fn used_modules(code: &str) -> Vec<(usize, &str)> {
    let mut used = Vec::new();
    for (position, prefix) in code.match_indices("crate::") {
        let line = 1 + code[..position].matches('\n').count();
        let rest = &code[position + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => used.extend(first_names(group).map(|name| (line, name))),
            None => used.push((line, identifier(rest))),
        }
    }
    used
}

/// The first name of each path in a brace group: `a::{b, c}, d}` has `a` and `d`.
fn first_names(group: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    let mut starts = vec![0];
    for (position, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts.push(position + 1),
            _ => {}
        }
    }
    starts
        .into_iter()
        .map(|start| identifier(group[start..].trim_start()))
}

fn identifier(text: &str) -> &str {
    let end = text.find(|character: char| !(character.is_alphanumeric() || character == '_'));
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<usize> {
        let file = Tracked {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        check(&file).iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn lower_must_not_use_higher() {
        assert_eq!(
            problems(
                "proxy/src/http/head.rs",
                "use crate::limits;\nuse crate::exchange::Client;\n"
            ),
            [2]
        );
        assert_eq!(
            problems(
                "proxy/src/uring.rs",
                "use crate::{\n    sys::{self, mmap},\n    net,\n};\n"
            ),
            [1]
        );
        assert_eq!(
            problems(
                "proxy/src/http1.rs",
                "fn f() -> crate::http::Head { crate::net::g() }"
            ),
            [1]
        );
    }

    #[test]
    fn own_module_comments_and_other_packages_are_free() {
        let text = "//! See [`crate::app`].\nuse crate::sys::page;\nlet x = \"crate::cli\"; // crate::cli\n";
        assert_eq!(problems("proxy/src/sys/map.rs", text), [0; 0]);
        assert_eq!(problems("xtask/src/shell.rs", "use crate::app;"), [0; 0]);
    }

    #[test]
    fn the_table_is_ordered_from_the_lowest_up() {
        for (position, (module, allowed)) in MAY_USE.iter().enumerate() {
            let below: Vec<&str> = MAY_USE[..position].iter().map(|(name, _)| *name).collect();
            for used in *allowed {
                assert!(
                    below.contains(used),
                    "{module} may use {used}, which is not below it"
                );
            }
        }
    }

    #[test]
    fn a_new_module_needs_a_place() {
        let file = Tracked {
            path: "proxy/src/novelty/part.rs".to_owned(),
            text: String::new(),
        };
        assert_eq!(unknown_modules(&[file]).len(), 1);
    }
}
