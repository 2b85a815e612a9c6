//! What is wrong with a configuration: where, what, what is allowed, what to do.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A place in a configuration source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: Arc<Path>,
    /// From 1; 0 where the whole file is meant.
    pub line: u32,
    /// From 1, in characters; 0 where the whole file is meant.
    pub column: u32,
}

/// Whether something was left out because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It works, but probably not as meant.
    Warning,
    /// Something was left out, or nothing starts.
    Error,
}

/// One thing wrong with the configuration. `Display` is one line:
/// `file:line:column: path: found X; allowed Y; do Z`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    pub origin: Origin,
    /// The path in the document, such as `http.routers.a.rule`; empty for the document itself.
    pub path: String,
    /// What was found.
    pub found: String,
    /// What is allowed there; empty where nothing is.
    pub allowed: String,
    /// What to do, and what was left out.
    pub remedy: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.file.display())?;
        match self.line {
            0 => Ok(()),
            line => write!(out, ":{line}:{}", self.column),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.origin)?;
        if !self.path.is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        write!(out, "found {}", self.found)?;
        if !self.allowed.is_empty() {
            write!(out, "; allowed {}", self.allowed)?;
        }
        if !self.remedy.is_empty() {
            write!(out, "; {}", self.remedy)?;
        }
        Ok(())
    }
}
