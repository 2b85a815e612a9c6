//! Certificates that another one makes needless: those of files, and those that routers ask for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Lint, child, view};
use crate::config::document::Document;
use crate::config::node::{Node, Value};
use crate::config::{Origin, Problem};
use crate::tls::KeyPair;

/// The path of those of files.
const FILES: &str = "tls.certificates";

/// A certificate and who wants it.
struct Wanted {
    origin: Origin,
    path: String,
    names: BTreeSet<String>,
    /// Other programs have it, too: it is never needless.
    deployed: bool,
}

pub(super) fn all(documents: &[Document]) -> Vec<Problem> {
    let mut wanted = of_files(documents);
    wanted.extend(
        documents
            .iter()
            .filter_map(|document| document.tree.as_deref())
            .flat_map(of_routers),
    );
    // By name, so that one is held only against those that may cover its first name.
    let mut having: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, one) in wanted.iter().enumerate() {
        one.names
            .iter()
            .for_each(|name| having.entry(name).or_default().push(index));
    }
    let covering = |index: usize, one: &Wanted| {
        let first = one.names.first()?;
        let wildcard = first
            .split_once('.')
            .map(|(_, parent)| format!("*.{parent}"));
        let named = [Some(first.clone()), wildcard].into_iter().flatten();
        let candidates = named
            .filter_map(|name| having.get(&*name).map(|found| found.to_vec()))
            .flatten();
        let mut better = candidates
            .filter(|other| *other != index && covers(&wanted[*other], one, *other < index));
        better.next()
    };
    let mut problems = Vec::new();
    for (index, one) in wanted.iter().enumerate().filter(|(_, one)| !one.deployed) {
        let Some(other) = covering(index, one) else {
            continue;
        };
        let names: Vec<&str> = one.names.iter().map(String::as_str).collect();
        let found = format!("a certificate for {}", names.join(", "));
        problems.push(
            Problem::warning(one.origin.clone(), found)
                .at(one.path.clone())
                .lint(Lint::CoveredCertificate)
                .remedy(format!(
                    "the one at {} has all its names: remove this",
                    wanted[other].origin
                )),
        );
    }
    problems
}

/// Whether `other` has all names of `one`; of two with the same names, the first covers the second.
fn covers(other: &Wanted, one: &Wanted, before: bool) -> bool {
    let has = |name: &String| {
        let wildcard = name
            .split_once('.')
            .map(|(_, parent)| format!("*.{parent}"));
        other.names.contains(name)
            || wildcard.is_some_and(|wildcard| other.names.contains(&wildcard))
    };
    // Routers that ask for the same names share one certificate.
    let files = one.path == FILES && other.path == FILES;
    one.names.iter().all(has) && (other.names != one.names || (before && files))
}

fn of_files(documents: &[Document]) -> Vec<Wanted> {
    let drafts = documents.iter().flat_map(|document| &document.certificates);
    let wanted = drafts.filter_map(|draft| {
        // What cannot be loaded is a problem that compiling tells.
        let pair = KeyPair::load(&draft.cert_file.value, &draft.key_file).ok()?;
        Some(Wanted {
            origin: draft.cert_file.origin.clone(),
            deployed: draft.deploy.is_some(),
            path: FILES.to_owned(),
            names: pair
                .names()
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
        })
    });
    wanted.filter(|one| !one.names.is_empty()).collect()
}

/// What `tls.domains` of routers ask for; the same for several routers is one certificate.
fn of_routers(root: &Node) -> Vec<Wanted> {
    let mut known = BTreeSet::new();
    let mut all = Vec::new();
    for (way, tls) in view::router_tls(root) {
        let Some(Value::List(domains)) = child(tls, "domains").map(|node| &node.value) else {
            continue;
        };
        for domain in domains {
            let mut names = BTreeSet::new();
            names.extend(child(domain, "main").and_then(text));
            match child(domain, "sans").map(|node| &node.value) {
                Some(Value::List(sans)) => names.extend(sans.iter().filter_map(text)),
                Some(Value::Scalar(scalar)) => {
                    names.extend(scalar.text.split(',').map(|name| name.trim().to_owned()))
                }
                _ => {}
            }
            if !names.is_empty() && known.insert(names.clone()) {
                all.push(Wanted {
                    origin: domain.origin.clone(),
                    path: format!("{way}.tls.domains"),
                    names,
                    deployed: false,
                });
            }
        }
    }
    all
}

fn text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Scalar(scalar) => Some(scalar.text.to_ascii_lowercase()),
        _ => None,
    }
}
