//! Regular expressions as Go's `regexp` reads them (RE2 syntax), which is what Traefik's users write.
//!
//! Owns: the translation of Go's syntax to that of the `regex` crate ([`go`]), which has the same engine family: no
//! backtracking, time linear in the text. Never: rules or requests. Invariant: what compiles takes at most
//! [`REGEXP_BYTES_MAX`] of memory as a program; what Go refuses is refused.
//! Source: <https://github.com/google/re2/wiki/Syntax>, <https://pkg.go.dev/regexp/syntax>.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use crate::limits::REGEXP_BYTES_MAX;

mod go;
mod hosts;
mod literals;

/// A compiled regular expression; compared by its text. Matches anywhere in a text, unless it says `^` or `$`.
#[derive(Clone)]
pub struct Regexp {
    text: Arc<str>,
    regex: Regex,
}

/// Why a text is no regular expression of Go's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexpError {
    /// What is wrong, with the part that is: ``lookahead `(?=` ``.
    pub found: String,
    /// What to do; empty where the fault says it.
    pub remedy: &'static str,
}

impl Regexp {
    /// Compiles `text`.
    pub fn new(text: &str) -> Result<Self, RegexpError> {
        let regex = compile(&go::translate(text)?, REGEXP_BYTES_MAX);
        let regex = regex.map_err(|error| RegexpError::of(&error))?;
        Ok(Self {
            text: text.into(),
            regex,
        })
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches somewhere in `text`.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// The leftmost match.
    pub fn find(&self, text: &[u8]) -> Option<Range<usize>> {
        self.regex.find(text).map(|found| found.range())
    }

    /// Go's `ReplaceAll`: each match replaced by `replacement`, in which `$1`, `${1}` and `${name}` stand for groups.
    pub fn replace_all<'t>(&self, text: &'t [u8], replacement: &str) -> Cow<'t, [u8]> {
        self.regex.replace_all(text, replacement.as_bytes())
    }

    /// Texts of which every lower-case ASCII text that matches contains all; empty where none is known.
    pub fn required_literals(&self) -> Vec<Box<[u8]>> {
        literals::required(self.regex.as_str())
    }
}

/// In at most so many bytes.
fn compile(text: &str, bytes: usize) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .size_limit(bytes)
        .dfa_size_limit(bytes)
        .build()
}

impl PartialEq for Regexp {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Regexp {}

impl fmt::Debug for Regexp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Regexp({:?})", self.text)
    }
}

impl RegexpError {
    fn new(found: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            found: found.into(),
            remedy,
        }
    }

    fn of(error: &regex::Error) -> Self {
        match error {
            regex::Error::CompiledTooBig(_) => Self::new(
                format!("a regular expression that compiles to more than {REGEXP_BYTES_MAX} bytes"),
                "write smaller repetitions",
            ),
            // The crate draws where it is wrong over several lines; the last says what.
            other => {
                let text = other.to_string();
                let last = text.lines().next_back().unwrap_or_default();
                let fault = last.strip_prefix("error: ").unwrap_or(last);
                Self::new(format!("a regular expression with a fault: {fault}"), "")
            }
        }
    }
}

#[cfg(test)]
mod tests;
