//! What is allowed but probably not meant: lints over all rule files together, for `weir check`.
//!
//! Owns: the closed list of lints ([`Lint`]; each has a paragraph in docs/LINTS.md) and how each is found. Never: what
//! keeps rules from being served, which compiling finds itself; two lints only give such a problem its name.
//! Invariant: all lints together look at each element a bounded number of times: a check of 10,000 routers takes
//! seconds at most.

use super::document::Document;
use super::node::{Node, Value};
use super::{Problem, StaticConfig};

mod certificates;
mod hosts;
mod references;
mod routers;
mod steering;
mod view;

/// What a lint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lint {
    /// A `HostRegexp` that no host name can match.
    RegexpNeverMatches,
    /// A `HostRegexp` that also matches names with more before or after.
    UnanchoredRegexp,
    /// A router without `tls` where all others on its entry point have it.
    RouterWithoutTls,
    /// Two routers of one priority that may match one request.
    PriorityTie,
    /// A name that leads nowhere.
    DanglingReference,
    /// A service that nothing leads to.
    UnusedService,
    /// A metric label whose values clients choose.
    ClientControlledLabel,
    /// A steered rule that takes connections which other rules, or ACME, count on.
    SteeredShadows,
    /// A certificate whose names another one covers.
    CoveredCertificate,
}

impl Lint {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RegexpNeverMatches,
        Self::UnanchoredRegexp,
        Self::RouterWithoutTls,
        Self::PriorityTie,
        Self::DanglingReference,
        Self::UnusedService,
        Self::ClientControlledLabel,
        Self::SteeredShadows,
        Self::CoveredCertificate,
    ];

    /// As `weir check` and docs/LINTS.md call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RegexpNeverMatches => "regexp-never-matches",
            Self::UnanchoredRegexp => "unanchored-regexp",
            Self::RouterWithoutTls => "router-without-tls",
            Self::PriorityTie => "priority-tie",
            Self::DanglingReference => "dangling-reference",
            Self::UnusedService => "unused-service",
            Self::ClientControlledLabel => "client-controlled-label",
            Self::SteeredShadows => "steered-shadows",
            Self::CoveredCertificate => "covered-certificate",
        }
    }
}

/// All that the lints find in these files.
pub(super) fn all(config: &StaticConfig, documents: &[Document]) -> Vec<Problem> {
    let seen = view::http(config, documents);
    let mut problems = hosts::all(&seen);
    problems.extend(routers::without_tls(config, &seen));
    problems.extend(routers::ties(&seen));
    problems.extend(references::unused(documents));
    problems.extend(steering::all(config, documents, &seen));
    problems.extend(certificates::all(documents));
    problems
}

/// The value of a key, in any case.
fn child<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    let found = entries
        .iter()
        .find(|entry| entry.key.eq_ignore_ascii_case(key))?;
    Some(&found.node)
}

/// The entries of a mapping.
fn children(node: Option<&Node>) -> impl Iterator<Item = (&str, &Node)> {
    let entries = match node.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries
        .iter()
        .map(|entry| (entry.key.as_str(), &entry.node))
}

#[cfg(test)]
mod tests;
