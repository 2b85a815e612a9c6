//! The repository's own rules, those no other tool knows. Every violation is reported, each with its place.

mod layers;
mod orphans;
mod source;
mod text;

use std::fmt;
use std::fs;

use crate::shell::{Outcome, output, program, repository};

/// A file under version control.
struct Tracked {
    /// Its path from the top of the repository.
    path: String,
    text: String,
}

/// One violation.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    path: String,
    /// Counted from 1; 0 when it is about the whole file.
    line: usize,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what } = self;
        if *line == 0 {
            write!(formatter, "{path}: {what}")
        } else {
            write!(formatter, "{path}:{line}: {what}")
        }
    }
}

impl Tracked {
    fn problem(&self, line: usize, what: impl Into<String>) -> Problem {
        Problem {
            path: self.path.clone(),
            line,
            what: what.into(),
        }
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The lines with their numbers, counted from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

/// Checks every tracked file.
pub fn run() -> Outcome {
    let files = tracked()?;
    let mut problems: Vec<Problem> = files.iter().flat_map(check).collect();
    problems.extend(layers::unknown_modules(&files));
    problems.extend(orphans::check(&files));
    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => Ok(()),
        count => Err(format!("{count} violation(s) of the rules in {}", file!()).into()),
    }
}

fn check(file: &Tracked) -> Vec<Problem> {
    let mut problems = text::check(file);
    if file.is_rust() {
        problems.extend(source::check(file));
        problems.extend(layers::check(file));
    }
    problems
}

/// The tracked files that are text and in the work tree.
fn tracked() -> Outcome<Vec<Tracked>> {
    let list = output(&mut program(
        "git",
        &[
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
    ))?;
    let read = |path: &str| {
        let text = fs::read_to_string(repository().join(path)).ok()?;
        Some(Tracked {
            path: path.to_owned(),
            text,
        })
    };
    Ok(list.split_terminator('\0').filter_map(read).collect())
}
