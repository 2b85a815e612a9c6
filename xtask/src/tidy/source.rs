//! Rules for Rust files: their size, how they begin, what may not stand in them.

use super::{Problem, Tracked};

/// Lines of a file, tests included.
const MAX_LINES: usize = 600;
/// Characters of a comment line; rustfmt sees to the code, and a message is not torn apart for its length.
const MAX_WIDTH: usize = 120;

/// Marks of unfinished work.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
    concat!("d", "bg!"),
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
];

/// Where `unsafe` may stand: the ring, the door to libc, the XDP program's reads of packets and maps, and the promises
/// about map types.
const UNSAFE_PLACES: &[&str] = &[
    "proxy/src/uring",
    "proxy/src/sys",
    "ebpf/src/packet.rs",
    "ebpf/src/maps.rs",
    "ebpf/src/bench.rs",
    "ebpf/common/src/pod.rs",
];

/// Checks one Rust file.
pub(super) fn check(file: &Tracked) -> Vec<Problem> {
    let mut problems = whole(file);
    let unsafe_allowed = UNSAFE_PLACES
        .iter()
        .any(|place| file.path.starts_with(place));
    for (number, line) in file.lines() {
        if line.trim_start().starts_with("//") && line.chars().count() > MAX_WIDTH {
            problems.push(file.problem(number, format!("longer than {MAX_WIDTH} characters")));
        }
        if let Some(mark) = UNFINISHED.iter().find(|mark| line.contains(**mark)) {
            problems.push(file.problem(number, format!("{mark}: finish it or leave it out")));
        }
        if !unsafe_allowed && has_unsafe(&code(line)) {
            let places = UNSAFE_PLACES.join(", ");
            problems.push(file.problem(number, format!("unsafe code lives only in {places}")));
        }
    }
    problems
}

fn whole(file: &Tracked) -> Vec<Problem> {
    let mut problems = Vec::new();
    let length = file.text.lines().count();
    if length > MAX_LINES {
        problems.push(file.problem(
            0,
            format!("{length} lines; at most {MAX_LINES}, better 400"),
        ));
    }
    if !file.text.starts_with("//!") && !is_test(&file.path) {
        problems.push(file.problem(
            1,
            "a module opens with `//!`: what it owns, what it never does",
        ));
    }
    if file.path.ends_with("/mod.rs") {
        problems.push(file.problem(0, "call it by its name: foo.rs beside foo/"));
    }
    problems
}

/// A file of unit tests, which says what it is by its name.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The line without its string contents and its comment.
pub(super) fn code(line: &str) -> String {
    let mut code = String::new();
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '/' if characters.peek() == Some(&'/') => break,
            '"' if !code.ends_with('\'') => skip_string(&mut characters),
            other => code.push(other),
        }
    }
    code
}

fn skip_string(characters: &mut impl Iterator<Item = char>) {
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '"' => return,
            _ => {}
        }
    }
}

/// Whether the keyword stands in this code; the attribute form `#[unsafe(..)]` marks a symbol, it is no block.
fn has_unsafe(code: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(concat!("un", "safe"))
        .any(|(start, keyword)| {
            let before = code[..start].chars().next_back();
            let after = code[start + keyword.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word) && after != Some('(')
        })
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
    fn code_is_what_remains_without_strings_and_comments() {
        assert_eq!(code(r#"f("a // \" b"); // c"#), "f(); ");
        assert_eq!(code(r#"split('"') + "x""#), r#"split('"') + "#);
    }

    #[test]
    fn the_unsafe_keyword_stays_where_it_was_decided() {
        let block = concat!("//!\nun", "safe { f() }\n");
        assert_eq!(problems("proxy/src/uring/slot.rs", block), 0);
        assert_eq!(problems("proxy/src/net.rs", block), 1);
        assert_eq!(
            problems(
                "proxy/src/net.rs",
                concat!("//!\n#![deny(un", "safe_code)]\n")
            ),
            0
        );
        assert_eq!(
            problems(
                "ebpf/src/main.rs",
                concat!("//!\n#[un", "safe(no_mangle)]\n")
            ),
            0
        );
    }

    #[test]
    fn sizes_beginnings_and_marks() {
        assert_eq!(problems("a/b.rs", &format!("//!\n{}", "\n".repeat(599))), 0);
        assert_eq!(problems("a/b.rs", &format!("//!\n{}", "\n".repeat(600))), 1);
        assert_eq!(problems("a/mod.rs", "//!\n"), 1);
        assert_eq!(problems("a/b.rs", "fn f() {}\n"), 1);
        assert_eq!(problems("a/b.rs", concat!("//!\nd", "bg!(x)\n")), 1);
    }
}
