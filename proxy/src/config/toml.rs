//! TOML text to a [`Node`] tree: the `toml` crate's table of spans, with every key and value at its place.
//!
//! Invariants: as for YAML, no more than [`DOCUMENT_BYTES_MAX`] are read; nesting is bounded by the crate. TOML has no
//! aliases, so a tree is never larger than its text.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::node::{Entry, Node, Scalar, Value};
use super::{Origin, Problem, Source};
use crate::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX};

/// The tree of `text`. A file that is no TOML has one problem: after it, nothing is certain.
pub fn read(file: &Arc<Source>, text: &str) -> Result<Node, Problem> {
    if text.len() > DOCUMENT_BYTES_MAX {
        let problem = Problem::error(Origin::whole(file), format!("{} bytes", text.len()));
        return Err(problem
            .allowed(format!("at most {DOCUMENT_BYTES_MAX}"))
            .remedy("split the file"));
    }
    let lines = Lines::new(file, text);
    let table = DeTable::parse(text).map_err(|error| {
        let origin = lines.origin(error.span().unwrap_or_default().start);
        let reason = error.message().lines().collect::<Vec<_>>().join(", ");
        Problem::error(origin, format!("what is no TOML: {reason}"))
            .remedy("correct the syntax at or just before this place")
    })?;
    let node = Node {
        origin: Origin::at(file, 1, 1),
        value: lines.table(table.get_ref(), 0)?,
    };
    Ok(node)
}

/// Where lines begin, so that an offset becomes a place without looking at the whole text again.
struct Lines<'t> {
    file: &'t Arc<Source>,
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(file: &'t Arc<Source>, text: &'t str) -> Self {
        let after = text.match_indices('\n').map(|(newline, _)| newline + 1);
        Self {
            file,
            text,
            starts: std::iter::once(0).chain(after).collect(),
        }
    }

    fn origin(&self, offset: usize) -> Origin {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let before = self.text.get(start..offset).unwrap_or_default();
        Origin::at(self.file, line, 1 + before.chars().count())
    }

    fn node(&self, value: &Spanned<DeValue<'_>>, depth: usize) -> Result<Node, Problem> {
        let origin = self.origin(value.span().start);
        if depth > DOCUMENT_DEPTH_MAX {
            return Err(Problem::error(origin, "a deeper nesting")
                .allowed(format!("at most {DOCUMENT_DEPTH_MAX} levels")));
        }
        let scalar = |text: String| {
            let inset = self.inset(&value.span(), &text);
            Value::Scalar(Scalar { text, inset })
        };
        let value = match value.get_ref() {
            DeValue::String(text) => scalar(text.to_string()),
            DeValue::Integer(number) => scalar(number.to_string()),
            DeValue::Float(number) => scalar(number.to_string()),
            DeValue::Boolean(truth) => scalar(truth.to_string()),
            DeValue::Datetime(time) => scalar(time.to_string()),
            DeValue::Array(items) => Value::List(
                items
                    .iter()
                    .map(|item| self.node(item, depth + 1))
                    .collect::<Result<_, _>>()?,
            ),
            DeValue::Table(table) => self.table(table, depth)?,
        };
        Ok(Node { origin, value })
    }

    /// In the order of the text: it is that of entry points.
    fn table(&self, table: &DeTable<'_>, depth: usize) -> Result<Value, Problem> {
        let mut entries = Vec::with_capacity(table.len());
        for (key, value) in table {
            entries.push(Entry {
                key: key.get_ref().to_string(),
                origin: self.origin(key.span().start),
                node: self.node(value, depth + 1)?,
            });
        }
        entries.sort_by(|a, b| a.origin.cmp(&b.origin));
        Ok(Value::Map(entries))
    }

    /// How many columns after its place a text begins that is written on one line without escapes.
    fn inset(&self, span: &Range<usize>, text: &str) -> Option<u8> {
        let written = self.text.get(span.clone())?;
        [(written, 0), (written.get(1..written.len().max(1) - 1)?, 1)]
            .into_iter()
            .find_map(|(inner, inset)| (inner == text && !text.contains('\n')).then_some(inset))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::yaml;

    fn file() -> Arc<Source> {
        Source::file(Path::new("a.toml"))
    }

    /// What a tree says, without places.
    fn plain(node: &Node) -> String {
        match &node.value {
            Value::Null => "null".to_owned(),
            Value::Scalar(scalar) => format!("{:?}", scalar.text),
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(plain).collect();
                format!("[{}]", items.join(","))
            }
            Value::Map(entries) => {
                let item = |entry: &Entry| format!("{}:{}", entry.key, plain(&entry.node));
                let items: Vec<String> = entries.iter().map(item).collect();
                format!("{{{}}}", items.join(","))
            }
        }
    }

    #[test]
    fn toml_and_yaml_are_one_tree() {
        let toml = "[http.routers.a]\nrule = \"Host(`a.example`)\"\npriority = 7\nentryPoints = [\"web\", 'x']\n\
                    [http.routers.a.tls]\n[[http.services.s.loadBalancer.servers]]\nurl = \"http://h\"\n";
        let as_yaml = "http: {routers: {a: {rule: 'Host(`a.example`)', priority: 7, entryPoints: [web, x], tls: {}}}, \
                       services: {s: {loadBalancer: {servers: [{url: 'http://h'}]}}}}";
        let tree = read(&file(), toml).unwrap();
        assert_eq!(plain(&tree), plain(&yaml::read(&file(), as_yaml).unwrap()));
    }

    #[test]
    fn places_are_those_of_keys_and_values() {
        let tree = read(&file(), "# é\n[log]\nlevel = \"INFO\" # x\n").unwrap();
        let Value::Map(entries) = &tree.value else {
            panic!("{tree:?}")
        };
        assert_eq!(entries[0].origin.to_string(), "a.toml:2:2");
        let Value::Map(inner) = &entries[0].node.value else {
            panic!("{tree:?}")
        };
        assert_eq!(inner[0].origin.to_string(), "a.toml:3:1");
        assert_eq!(inner[0].node.origin.to_string(), "a.toml:3:9");
        let Value::Scalar(scalar) = &inner[0].node.value else {
            panic!("{tree:?}")
        };
        assert_eq!(scalar.inset, Some(1));
    }

    #[test]
    fn what_is_no_toml_is_one_problem_at_its_place() {
        let said = read(&file(), "a = 1\nb = [1,\n").unwrap_err().to_string();
        assert!(
            said.starts_with("a.toml:") && said.contains("what is no TOML"),
            "{said}"
        );
        assert!(!said.contains('\n'), "{said}");
        read(&file(), &"a = ".repeat(3)).unwrap_err();
        read(&file(), &format!("a = {}", "[".repeat(10_000))).unwrap_err();
        read(&file(), "a = 1\na = 2\n").unwrap_err();
        assert_eq!(read(&file(), "").unwrap().value, Value::Map(Vec::new()));
    }
}
