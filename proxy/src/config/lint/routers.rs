//! Routers beside each other: without TLS among those with it, and of one priority.

use std::collections::HashMap;

use super::Lint;
use super::view::Seen;
use crate::config::{Problem, StaticConfig};
use crate::rule::HttpMatcher;
use crate::rule::host::HostPattern;

/// Regular expressions of one priority that are held against hosts of that priority.
const COMPARED_MAX: usize = 200;

pub(super) fn without_tls(config: &StaticConfig, seen: &[Seen<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, entry_point) in config.entry_points.iter().enumerate() {
        let here = || {
            seen.iter()
                .filter(move |router| router.entry_points.contains(&index))
        };
        let plain: Vec<&Seen<'_>> = here().filter(|router| !router.tls).collect();
        let ([router], true) = (&plain[..], here().count() > plain.len()) else {
            continue;
        };
        let found = format!(
            "no tls on entry point {}, where all other routers have it",
            entry_point.name
        );
        let problem = Problem::warning(router.origin.clone(), found).at(router.path());
        problems.push(
            problem
                .lint(Lint::RouterWithoutTls)
                .remedy("it answers plain HTTP only, as in Traefik: add tls: {}"),
        );
    }
    problems
}

/// Routers that may match one request, and that only their names put into an order.
pub(super) fn ties(seen: &[Seen<'_>]) -> Vec<Problem> {
    let mut groups: HashMap<(usize, bool, i64), Vec<&Seen<'_>>> = HashMap::new();
    for router in seen {
        for entry_point in &router.entry_points {
            groups
                .entry((*entry_point, router.tls, router.priority))
                .or_default()
                .push(router);
        }
    }
    let mut problems: HashMap<&str, Problem> = HashMap::new();
    for group in groups.values().filter(|group| group.len() > 1) {
        for (first, second) in pairs(group) {
            let (first, second) = if first.name < second.name {
                (first, second)
            } else {
                (second, first)
            };
            let found = format!(
                "the priority {} of router {} too, for requests that both match",
                second.priority, first.name
            );
            let problem = Problem::warning(second.origin.clone(), found).at(second.path());
            problems.entry(second.name).or_insert_with(|| {
                problem.lint(Lint::PriorityTie).remedy(format!(
                    "{} comes first, by its name (in Traefik: at random): set priority",
                    first.name
                ))
            });
        }
    }
    problems.into_values().collect()
}

/// Those of one priority that meet at a host, each pair at most once.
fn pairs<'s, 'd>(group: &[&'s Seen<'d>]) -> Vec<(&'s Seen<'d>, &'s Seen<'d>)> {
    let mut pairs = Vec::new();
    let mut hosts: HashMap<&str, &Seen<'_>> = HashMap::new();
    let mut regexps = Vec::new();
    for router in group {
        for matcher in router.matchers() {
            match matcher {
                HttpMatcher::Host(HostPattern::Exact(host)) => match hosts.get(&**host) {
                    Some(other) if other.name != router.name && meet(other, router) => {
                        pairs.push((*other, *router))
                    }
                    Some(_) => {}
                    None => {
                        hosts.insert(host, router);
                    }
                },
                HttpMatcher::HostRegexp(regexp) if regexp.can_match_a_host() => {
                    regexps.push((regexp, *router))
                }
                _ => {}
            }
        }
    }
    for (index, (regexp, router)) in regexps.iter().enumerate().take(COMPARED_MAX) {
        let same = regexps[..index]
            .iter()
            .find(|(other, _)| other == regexp)
            .map(|(_, other)| *other);
        let matched = hosts
            .iter()
            .find(|(host, _)| regexp.is_match(host.as_bytes()))
            .map(|(_, other)| *other);
        let other = same
            .or(matched)
            .filter(|other| other.name != router.name && meet(other, router));
        pairs.extend(other.map(|other| (other, *router)));
    }
    pairs
}

/// Unless their paths, methods or whatever else tell them apart: only paths are looked at.
fn meet(a: &Seen<'_>, b: &Seen<'_>) -> bool {
    let paths = |router: &Seen<'_>| -> Vec<String> {
        let of = |matcher: &&HttpMatcher| match matcher {
            HttpMatcher::PathPrefix(path) | HttpMatcher::Path(path) => Some(path.to_string()),
            _ => None,
        };
        router.matchers().iter().filter_map(of).collect()
    };
    let (left, right) = (paths(a), paths(b));
    let overlap = |x: &String, y: &String| x.starts_with(&**y) || y.starts_with(&**x);
    left.is_empty() || right.is_empty() || left.iter().any(|x| right.iter().any(|y| overlap(x, y)))
}
