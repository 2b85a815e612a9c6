//! What is wrong with a configuration: where, what, what is allowed, what to do.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lint::Lint;

/// What a piece of configuration was written in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// An argument of the command line, as written.
    Flag(String),
    /// A variable of the environment, by name.
    Variable(String),
}

/// A place in a configuration source. Ordered by source, then line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// What it is written in.
    pub source: Arc<Source>,
    /// From 1; 0 where the whole source is meant. Of a template: after expansion.
    pub line: u32,
    /// From 1, in characters; 0 where the whole source is meant.
    pub column: u32,
    /// The line of the template that the line came from; 0 where the source is none.
    pub template_line: u32,
}

impl Origin {
    /// All of a source.
    pub fn whole(source: &Arc<Source>) -> Self {
        Self::at(source, 0, 0)
    }

    /// A line and a column, both from 1.
    pub fn at(source: &Arc<Source>, line: usize, column: usize) -> Self {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            source: Arc::clone(source),
            line: number(line),
            column: number(column),
            template_line: 0,
        }
    }

    /// All of a file.
    pub fn file(path: &Path) -> Self {
        Self::whole(&Source::file(path))
    }

    /// The place of byte `offset` of the source's text.
    pub fn of_offset(source: &Arc<Source>, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.matches('\n').count();
        Self::at(source, line, 1 + before[line_start..].chars().count())
    }
}

impl Source {
    /// A file.
    pub fn file(path: &Path) -> Arc<Self> {
        Arc::new(Self::File(path.to_owned()))
    }

    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Source::File(path) => Some(path),
            Source::Flag(_) | Source::Variable(_) => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => write!(out, "{}", path.display()),
            Source::Flag(argument) => out.write_str(argument),
            Source::Variable(name) => out.write_str(name),
        }
    }
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
    pub path: Box<str>,
    /// What was found.
    pub found: Box<str>,
    /// What is allowed there; empty where nothing is.
    pub allowed: Box<str>,
    /// What to do.
    pub remedy: Box<str>,
    /// What is left out because of it, such as `the file` or `router a`; empty where nothing is.
    pub lost: Box<str>,
    /// What kind of thing it is, where docs/LINTS.md has a paragraph about it.
    pub lint: Option<Lint>,
    /// It is only the consequence of an error of what was found: of which kind that is.
    pub cause: Option<Cause>,
}

/// What a problem may be the consequence of: something that `found` names in quotes, of the same protocol. Small, as
/// problems are returned as errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A service.
    Service,
    /// A servers transport.
    ServersTransport,
}

impl Cause {
    /// The section in which such things are.
    pub const fn section(self) -> &'static str {
        match self {
            Self::Service => "services",
            Self::ServersTransport => "serversTransports",
        }
    }
}

impl Problem {
    /// Something that is left out because of what was found.
    pub fn error(origin: Origin, found: impl Into<Box<str>>) -> Self {
        Self::new(Severity::Error, origin, found.into())
    }

    /// Something that works, but probably not as meant.
    pub fn warning(origin: Origin, found: impl Into<Box<str>>) -> Self {
        Self::new(Severity::Warning, origin, found.into())
    }

    fn new(severity: Severity, origin: Origin, found: Box<str>) -> Self {
        Self {
            severity,
            origin,
            path: Box::default(),
            found,
            allowed: Box::default(),
            remedy: Box::default(),
            lost: Box::default(),
            lint: None,
            cause: None,
        }
    }

    /// At this path in the document.
    pub fn at(self, path: impl Into<Box<str>>) -> Self {
        Self {
            path: path.into(),
            ..self
        }
    }

    /// What may stand there.
    pub fn allowed(self, allowed: impl Into<Box<str>>) -> Self {
        Self {
            allowed: allowed.into(),
            ..self
        }
    }

    /// What to do.
    pub fn remedy(self, remedy: impl Into<Box<str>>) -> Self {
        Self {
            remedy: remedy.into(),
            ..self
        }
    }

    /// Its kind.
    pub fn lint(self, lint: Lint) -> Self {
        Self {
            lint: Some(lint),
            ..self
        }
    }

    /// It is only the consequence of an error of what was found.
    pub fn because_of(self, cause: Cause) -> Self {
        Self {
            cause: Some(cause),
            ..self
        }
    }

    /// What is left out because of it.
    pub fn lost(self, lost: impl Into<Box<str>>) -> Self {
        Self {
            lost: lost.into(),
            ..self
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.source)?;
        if self.line > 0 {
            write!(out, ":{}:{}", self.line, self.column)?;
        }
        match self.template_line {
            0 => Ok(()),
            line => write!(out, " (template line {line})"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let out = &mut OneLine(out);
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
        if !self.lost.is_empty() {
            write!(out, " ({} left out)", self.lost)?;
        }
        Ok(())
    }
}

/// Escapes control characters: names of files, keys and routers may have them, and a log or a terminal obeys them.
struct OneLine<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(char::is_control) {
            match piece.char_indices().next_back() {
                Some((end, last)) if last.is_control() => {
                    write!(self.0, "{}{}", &piece[..end], last.escape_default())?;
                }
                _ => self.0.write_str(piece)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_whatever_names_are() {
        let origin = Origin::at(&Source::file(Path::new("a\n.yml")), 1, 2);
        let problem = Problem::error(origin, "x")
            .at("http.\u{1b}[31m")
            .lost("router é\u{9b}\r");
        let expected = "a\\n.yml:1:2: http.\\u{1b}[31m: found x (router é\\u{9b}\\r left out)";
        assert_eq!(problem.to_string(), expected);
    }
}
