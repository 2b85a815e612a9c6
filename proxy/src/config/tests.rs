//! The documentation names every key, and no other.

use std::collections::BTreeSet;

use super::{document, static_file};

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
    let known: BTreeSet<&str> = tables.flat_map(|keys| keys.known).copied().collect();
    // Named by the headings of their sections, or known only to be refused.
    let elsewhere = [
        "http",
        "tcp",
        "routers",
        "services",
        "certificates",
        "middlewares",
        "proxyProtocol",
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
