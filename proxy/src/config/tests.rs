//! The documentation names every key and no other, and its examples work; Traefik's keys are known.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Problem, StaticConfig, document, static_file};

mod documented;
mod traefik;
mod tree;

const README: &str = include_str!("../../../README.md");
const STAGING: &str = include_str!("../../../docs/HOWTO-staging.md");
const DOCUMENT: &str = include_str!("../../../docs/CONFIGURATION.md");

/// The keys that begin the rows of tables whose first column is `key`.
fn documented() -> BTreeSet<&'static str> {
    let mut inside = false;
    let mut keys = BTreeSet::new();
    for line in DOCUMENT.lines() {
        inside = line.starts_with("| key |") || (inside && line.starts_with('|'));
        let first = line
            .split('|')
            .nth(1)
            .filter(|cell| inside && cell.contains('`'));
        let words = |cell: &'static str| cell.split(|c: char| !c.is_ascii_alphanumeric());
        keys.extend(
            first
                .into_iter()
                .flat_map(words)
                .filter(|word| !word.is_empty()),
        );
    }
    keys
}

#[test]
fn every_key_is_documented_and_every_documented_key_is_known() {
    let tables = static_file::keys::ALL
        .into_iter()
        .chain(document::keys::ALL);
    let known = tables.flat_map(|keys| keys.known).copied();
    let settings = crate::middleware::KINDS
        .iter()
        .flat_map(|kind| kind.keys)
        .copied();
    let below = ["depth", "excludedIPs", "ipv6Subnet"];
    let known: BTreeSet<&str> = known.chain(settings).chain(below).collect();
    // Named by the headings of their sections, or known only to be refused.
    let elsewhere = [
        "http",
        "tcp",
        "routers",
        "services",
        "certificates",
        "serversTransports",
        "middlewares",
        "proxyProtocol",
        "certificatesResolvers",
        "acme",
        "deploy",
        "tailscale",
        "preferredChain",
    ];
    let expected: BTreeSet<&str> = known
        .into_iter()
        .filter(|key| !elsewhere.contains(key))
        .collect();
    let found = documented()
        .into_iter()
        .filter(|key| !elsewhere.contains(key))
        .collect();
    assert_eq!(expected, found);
    for key in elsewhere {
        assert!(DOCUMENT.contains(key), "{key}");
    }
}

/// The blocks of YAML in a text.
fn examples(text: &'static str) -> impl Iterator<Item = &'static str> {
    blocks(text, "```yaml\n")
}

/// The blocks in a text that begin so.
fn blocks(text: &'static str, begin: &'static str) -> impl Iterator<Item = &'static str> {
    let blocks = text.split(begin).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or_default())
}

/// The problems of an example, which is a static file (or a part of one) or a rule file, by its first key.
fn problems(example: &str) -> Vec<Problem> {
    let path = Path::new("example.yml");
    let first = example.split(':').next().unwrap_or_default();
    if !static_file::keys::ROOT.known.contains(&first) {
        return document::decode(path, example).1;
    }
    let entry_points = if first == "entryPoints" {
        ""
    } else {
        "entryPoints: {web: {address: ':80'}}\n"
    };
    match StaticConfig::parse(path, &format!("{entry_points}{example}")) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    }
}

#[test]
fn every_example_works() {
    // Those of `yaml` there are loaded one after the other by a test of their own.
    let staging = blocks(STAGING, "```yml\n");
    let all: Vec<&str> = examples(DOCUMENT)
        .chain(examples(README))
        .chain(staging)
        .collect();
    assert!(all.len() >= 10, "{}", all.len());
    for example in all {
        let lines: Vec<String> = problems(example).iter().map(Problem::to_string).collect();
        assert_eq!(lines, Vec::<String>::new(), "{example}");
    }
}
