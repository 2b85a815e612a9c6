//! What the rules consist of, by name, to tell two loads apart: nothing of how it is decoded, only what is written.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::node::{Node, Value};

/// `http.routers.app` and what is written below it, as a hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory(BTreeMap<Arc<str>, u64>);

/// What became of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It was not there before.
    Added,
    /// It is not there any more.
    Removed,
    /// Something in it is written differently.
    Changed,
}

impl Inventory {
    /// What one rule file has.
    pub fn of(root: &Node) -> Self {
        let mut elements = BTreeMap::new();
        for (protocol, sections) in entries(root) {
            for (section, list) in entries(sections) {
                for (name, element) in entries(list) {
                    let mut hasher = DefaultHasher::new();
                    hash(element, &mut hasher);
                    elements.insert(
                        format!("{protocol}.{section}.{name}").into(),
                        hasher.finish(),
                    );
                }
                if let Value::List(items) = &list.value {
                    let mut hasher = DefaultHasher::new();
                    items.iter().for_each(|item| hash(item, &mut hasher));
                    elements.insert(format!("{protocol}.{section}").into(), hasher.finish());
                }
            }
        }
        Self(elements)
    }

    /// Adds what another file has; of one name, the first counts. Lists are put together.
    pub fn add(&mut self, more: Self) {
        for (name, hash) in more.0 {
            let is_list = name.matches('.').count() < 2;
            let known = self.0.entry(name).or_insert(hash);
            if is_list && *known != hash {
                *known = known.rotate_left(1) ^ hash;
            }
        }
    }

    /// What is different now, by name.
    pub fn changes_to(&self, now: &Self) -> Vec<(Change, Arc<str>)> {
        let gone = self.0.keys().filter(|name| !now.0.contains_key(*name));
        let mut changes: Vec<_> = gone.map(|name| (Change::Removed, name.clone())).collect();
        for (name, hash) in &now.0 {
            match self.0.get(name) {
                None => changes.push((Change::Added, name.clone())),
                Some(before) if before != hash => changes.push((Change::Changed, name.clone())),
                Some(_) => {}
            }
        }
        changes.sort_by(|a, b| a.1.cmp(&b.1));
        changes
    }
}

fn entries(node: &Node) -> impl Iterator<Item = (&str, &Node)> {
    let entries = match &node.value {
        Value::Map(entries) => entries.as_slice(),
        _ => &[],
    };
    entries
        .iter()
        .map(|entry| (entry.key.as_str(), &entry.node))
}

/// The order of keys and their case mean nothing.
fn hash(node: &Node, hasher: &mut DefaultHasher) {
    std::mem::discriminant(&node.value).hash(hasher);
    match &node.value {
        Value::Null => {}
        Value::Scalar(scalar) => scalar.text.hash(hasher),
        Value::List(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| hash(item, hasher));
        }
        Value::Map(entries) => {
            let sorted: BTreeMap<String, &Node> = entries
                .iter()
                .map(|entry| (entry.key.to_ascii_lowercase(), &entry.node))
                .collect();
            sorted.len().hash(hasher);
            for (key, node) in sorted {
                key.hash(hasher);
                hash(node, hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Source, yaml};

    fn of(text: &str) -> Inventory {
        Inventory::of(&yaml::read(&Source::file(Path::new("a.yml")), text).unwrap())
    }

    #[test]
    fn what_changes_is_named() {
        let before = of(
            "http: {routers: {a: {rule: x, service: y}, b: {rule: x}}}\ntls: {certificates: [{certFile: a}]}",
        );
        let same = of(
            "\n\nhttp:\n  routers:\n    b: {rule: x}\n    a: {Service: 'y', rule: x}\ntls: {certificates: [{certFile: a}]}",
        );
        assert_eq!(before.changes_to(&same), []);
        let after = of(
            "http: {routers: {a: {rule: z, service: y}}, services: {y: {}}}\ntls: {certificates: []}",
        );
        let named = before.changes_to(&after);
        let named: Vec<String> = named
            .iter()
            .map(|(change, name)| format!("{change:?} {name}"))
            .collect();
        let expected = [
            "Changed http.routers.a",
            "Removed http.routers.b",
            "Added http.services.y",
            "Changed tls.certificates",
        ];
        assert_eq!(named, expected);
    }
}
