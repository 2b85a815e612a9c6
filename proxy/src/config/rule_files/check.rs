//! Checking rule files without serving them: everything a load finds, and the lints.

use std::collections::HashSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Loader;
use crate::config::document::Document;
use crate::config::last_good::LastGood;
use crate::config::resolve::Resolver;
use crate::config::{Problem, Severity, Sources, StaticConfig, lint};

/// What is to be checked, and how.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// Of the static configuration; where there is none, entry points are those that rules name.
    pub sources: Sources,
    /// Files and directories of rules; without any, those of the static configuration.
    pub paths: Vec<PathBuf>,
    /// Away from where the rules serve: names are not resolved, and missing files are warnings.
    pub offline: bool,
}

/// What a check found, in the order of files and lines.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Errors, warnings and lints.
    pub problems: Vec<Problem>,
}

impl Checked {
    /// How many problems there are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.problems
            .iter()
            .filter(|problem| problem.severity == severity)
            .count()
    }
}

impl Check {
    /// Reads and judges everything.
    ///
    /// # Errors
    /// If the cryptography fails, which is no fault of the configuration.
    pub fn run(&self) -> Result<Checked, Box<dyn Error + Send + Sync>> {
        let (config, mut problems) = match StaticConfig::load(&self.sources) {
            Ok((config, warnings)) => (Some(config), warnings),
            Err(_) if !self.sources.are_given() && !self.paths.is_empty() => (None, Vec::new()),
            Err(problems) if self.paths.is_empty() => return Ok(Checked { problems }),
            Err(problems) => (None, problems),
        };
        let known = config.is_some();
        let config = config.unwrap_or_else(|| entry_points(&[]));
        let mut loader = Loader::new(Arc::new(config))?;
        if !self.paths.is_empty() {
            loader.paths.clone_from(&self.paths);
        }
        if self.offline {
            loader.resolver = Resolver::offline();
        }
        // A file counts as it is now.
        loader.last_good = LastGood::default();
        loader.read = loader.read();
        if !known {
            loader.config = Arc::new(entry_points(&loader.read.0));
        }
        problems.extend(lint::all(&loader.config, &loader.read.0));
        problems.extend(loader.compile().problems);
        if self.offline {
            excuse(&mut problems);
        }
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        Ok(Checked { problems })
    }
}

/// A static configuration with the entry points that the rules name.
fn entry_points(documents: &[Document]) -> StaticConfig {
    let http = documents.iter().flat_map(|document| &document.http.routers);
    let tcp = documents.iter().flat_map(|document| &document.tcp.routers);
    let named = http
        .filter_map(|router| router.draft.as_ref()?.entry_points.as_ref())
        .chain(tcp.filter_map(|router| router.draft.as_ref()?.entry_points.as_ref()));
    let mut names: Vec<&str> = named.flatten().map(|name| name.value.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        names.push("web");
    }
    StaticConfig::of_entry_points(&names)
}

/// A file that is missing here may be where the rules serve, and with it whatever needs it.
fn excuse(problems: &mut [Problem]) {
    const MISSING: [&str; 3] = ["No such file", "no such file", "Permission denied"];
    for problem in problems.iter_mut() {
        let missing = MISSING.iter().any(|text| problem.found.contains(text));
        if missing && !is_rule_file(problem) {
            demote(problem);
        }
    }
    // From transports to services, to services of these, to routers.
    loop {
        let errors = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error);
        let broken: HashSet<String> = errors.map(|error| element(&error.path)).collect();
        let mut any = false;
        for problem in problems.iter_mut() {
            let cause = cause(problem).filter(|_| problem.severity == Severity::Error);
            if cause.is_some_and(|cause| !broken.contains(&cause)) {
                demote(problem);
                any = true;
            }
        }
        if !any {
            return;
        }
    }
}

fn demote(problem: &mut Problem) {
    problem.severity = Severity::Warning;
    problem.lost = Box::default();
}

/// `http.services.s` of a path to it or below it.
fn element(path: &str) -> String {
    path.split('.').take(3).collect::<Vec<_>>().join(".")
}

/// The element that the problem is a consequence of.
fn cause(problem: &Problem) -> Option<String> {
    let protocol = problem.path.split('.').next()?;
    let section = problem.cause?.section();
    let name = problem.found.split('"').nth(1)?;
    Some(element(&format!("{protocol}.{section}.{name}")))
}

/// Whether it is about a rule file as a whole, which was asked for.
fn is_rule_file(problem: &Problem) -> bool {
    problem.origin.line == 0
        && problem
            .origin
            .source
            .path()
            .is_some_and(|path: &Path| !path.is_dir())
}
