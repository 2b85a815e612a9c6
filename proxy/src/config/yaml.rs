//! YAML text to a [`Node`] tree: saphyr-parser's events, with anchors, aliases and merge keys (`<<`) resolved.
//!
//! Invariants: no more than [`DOCUMENT_BYTES_MAX`] are read, no tree is deeper than [`DOCUMENT_DEPTH_MAX`] or has more
//! than [`DOCUMENT_NODES_MAX`] nodes after aliases are resolved, so that neither depth nor aliases exhaust anything.
//! Why this crate: docs/decisions/0002-yaml-crate.md.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::node::{Entry, Node, Scalar, Value, quoted};
use super::{Origin, Problem, Source};
use crate::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX, DOCUMENT_NODES_MAX};

/// The first document of `text`; `Null` for an empty file. A file that is no YAML has one problem: after it, nothing
/// is certain.
pub fn read(file: &Arc<Source>, text: &str) -> Result<Node, Problem> {
    let whole = Origin::whole(file);
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(Problem::error(whole, format!("{} bytes", text.len()))
            .allowed(format!("at most {DOCUMENT_BYTES_MAX}"))
            .remedy("split the file"));
    }
    let mut reader = Reader {
        file,
        stack: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
    };
    let mut parser = Parser::new_from_str(text);
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            Problem::error(
                reader.origin(error.marker()),
                format!("what is no YAML: {}", error.info()),
            )
            .remedy(
                "correct the syntax (indentation, quotes, brackets) at or just before this place",
            )
        })?;
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                return Err(
                    Problem::error(reader.origin(&span.start), "a second document")
                        .allowed("one for each file")
                        .remedy("put it into a file of its own"),
                );
            }
        }
        reader.take(event, span)?;
    }
    Ok(reader.root.unwrap_or(Node {
        origin: Origin::at(file, 1, 1),
        value: Value::Null,
    }))
}

struct Reader<'f> {
    file: &'f Arc<Source>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Arc<Node>>,
    nodes: usize,
    root: Option<Node>,
}

/// A collection whose end has not come yet.
struct Open {
    origin: Origin,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        merges: Vec<Node>,
        key: Option<Key>,
    },
}

struct Key {
    text: String,
    origin: Origin,
    merge: bool,
}

impl Reader<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let origin = self.origin(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                check_tag(&origin, tag.as_deref())?;
                let merge = text == "<<" && style == ScalarStyle::Plain;
                let node = Node {
                    origin,
                    value: scalar(text.into_owned(), style, span),
                };
                self.close(node, anchor, merge)
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(&origin, tag.as_deref())?;
                self.open(Open {
                    origin,
                    anchor,
                    content: Content::List(Vec::new()),
                })
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(&origin, tag.as_deref())?;
                let content = Content::Map {
                    entries: Vec::new(),
                    merges: Vec::new(),
                    key: None,
                };
                self.open(Open {
                    origin,
                    anchor,
                    content,
                })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, origin),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), Problem> {
        let Some(open) = self.stack.pop() else {
            return Ok(());
        };
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Map {
                entries, merges, ..
            } => Value::Map(self.merge(entries, merges)?),
        };
        self.close(
            Node {
                origin: open.origin,
                value,
            },
            open.anchor,
            false,
        )
    }

    fn alias(&mut self, anchor: usize, origin: Origin) -> Result<(), Problem> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(Problem::error(origin, "an alias of what contains it")
                .remedy("write the content out"));
        };
        let (size, height) = (node.size(), node.height());
        // Without its root, which counts when it is closed.
        self.count(size.saturating_sub(1), &origin)?;
        self.check_depth(height, &origin)?;
        self.close(Node::clone(&node), 0, false)
    }

    fn open(&mut self, open: Open) -> Result<(), Problem> {
        self.check_depth(1, &open.origin)?;
        self.stack.push(open);
        Ok(())
    }

    /// Whether something this high may stand here: an alias counts with all that it stands for.
    fn check_depth(&self, height: usize, origin: &Origin) -> Result<(), Problem> {
        if self.stack.len() + height <= DOCUMENT_DEPTH_MAX {
            return Ok(());
        }
        Err(Problem::error(origin.clone(), "a deeper nesting")
            .allowed(format!("at most {DOCUMENT_DEPTH_MAX} levels")))
    }

    /// Puts a finished node where it belongs: into the collection around it, as a key or as a value.
    fn close(&mut self, node: Node, anchor: usize, merge: bool) -> Result<(), Problem> {
        self.count(1, &node.origin)?;
        if anchor > 0 {
            self.count(node.size(), &node.origin)?;
            self.anchors.insert(anchor, Arc::new(node.clone()));
        }
        match self.stack.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map {
                entries,
                merges,
                key,
            }) => match key.take() {
                None => *key = Some(as_key(node, merge)?),
                Some(Key { merge: true, .. }) => merges.push(node),
                Some(Key { text, origin, .. }) => entries.push(Entry {
                    key: text,
                    origin,
                    node,
                }),
            },
        }
        Ok(())
    }

    fn count(&mut self, more: usize, origin: &Origin) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes <= DOCUMENT_NODES_MAX {
            return Ok(());
        }
        Err(Problem::error(
            origin.clone(),
            "more nodes than a file may have, aliases resolved",
        )
        .allowed(format!("at most {DOCUMENT_NODES_MAX}"))
        .remedy("split the file"))
    }

    /// The entries of a mapping: its own first, then those of `<<` that it does not have.
    /// Source: <https://yaml.org/type/merge.html>.
    fn merge(&mut self, mut entries: Vec<Entry>, merges: Vec<Node>) -> Result<Vec<Entry>, Problem> {
        let mut seen = HashSet::with_capacity(entries.len());
        for entry in &entries {
            if !seen.insert(entry.key.clone()) {
                return Err(Problem::error(
                    entry.origin.clone(),
                    format!("the key {} again", quoted(&entry.key)),
                )
                .remedy("remove one of the two"));
            }
        }
        for node in merges {
            for entry in merged(node)? {
                if seen.insert(entry.key.clone()) {
                    entries.push(entry);
                }
            }
        }
        Ok(entries)
    }

    fn origin(&self, marker: &Marker) -> Origin {
        Origin::at(self.file, marker.line(), marker.col() + 1)
    }
}

fn merged(node: Node) -> Result<Vec<Entry>, Problem> {
    match node.value {
        Value::Map(entries) => Ok(entries),
        Value::List(items) => {
            let maps: Vec<Vec<Entry>> = items.into_iter().map(merged).collect::<Result<_, _>>()?;
            Ok(maps.into_iter().flatten().collect())
        }
        Value::Null | Value::Scalar(_) => Err(Problem::error(node.origin.clone(), node.describe())
            .allowed("a mapping, or a list of mappings, after <<")),
    }
}

fn as_key(node: Node, merge: bool) -> Result<Key, Problem> {
    match node.value {
        Value::Scalar(scalar) => Ok(Key {
            text: scalar.text,
            origin: node.origin,
            merge,
        }),
        _ => Err(
            Problem::error(node.origin.clone(), format!("{} as a key", node.describe()))
                .allowed("text"),
        ),
    }
}

fn check_tag(origin: &Origin, tag: Option<&Tag>) -> Result<(), Problem> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => Err(Problem::error(
            origin.clone(),
            format!("the tag {}", quoted(&tag.to_string())),
        )
        .remedy("remove the tag")),
        _ => Ok(()),
    }
}

fn scalar(text: String, style: ScalarStyle, span: Span) -> Value {
    let quotes = match style {
        ScalarStyle::Plain if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") => {
            return Value::Null;
        }
        ScalarStyle::Plain => Some(0),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Some(1),
        ScalarStyle::Literal | ScalarStyle::Folded => None,
    };
    let as_written = |quote: &u8| {
        span.start.line() == span.end.line()
            && span.len() == text.chars().count() + 2 * usize::from(*quote)
    };
    Value::Scalar(Scalar {
        inset: quotes.filter(as_written),
        text,
    })
}

#[cfg(test)]
mod tests;
