//! The tree that every configuration source is read into, each node with where it is from.

use super::Origin;

/// A node and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it starts.
    pub origin: Origin,
    /// What it is.
    pub value: Value,
}

/// What a node is. Scalars have no type until somebody asks for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    /// Text, a number, a truth value.
    Scalar(Scalar),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the source; no key twice.
    Map(Vec<Entry>),
}

/// A scalar as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// The text, unquoted.
    pub text: String,
    /// How many columns after its origin the text starts, where it is written on one line without escapes.
    pub inset: Option<u8>,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key as written.
    pub key: String,
    /// Where the key is.
    pub origin: Origin,
    /// What it stands for.
    pub node: Node,
}

impl Node {
    /// How many nodes the tree has, itself included.
    pub fn size(&self) -> usize {
        1 + match &self.value {
            Value::Null | Value::Scalar(_) => 0,
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.node.size()).sum(),
        }
    }

    /// How many collections lie inside each other, itself included: 0 for a scalar.
    pub fn height(&self) -> usize {
        match &self.value {
            Value::Null | Value::Scalar(_) => 0,
            Value::List(items) => 1 + items.iter().map(Node::height).max().unwrap_or(0),
            Value::Map(entries) => {
                let heights = entries.iter().map(|entry| entry.node.height());
                1 + heights.max().unwrap_or(0)
            }
        }
    }

    /// What it is, for a message; never more than a short piece of the source.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar(scalar) => quoted(&scalar.text),
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Map(entries) => match entries.first() {
                Some(entry) => format!("a mapping with the key {}", quoted(&entry.key)),
                None => "an empty mapping".to_owned(),
            },
        }
    }
}

impl Scalar {
    /// The place of byte `offset` of the text, as near as it is known, given where the scalar starts.
    pub fn place(&self, origin: &Origin, offset: usize) -> Origin {
        let before = self.text.get(..offset).unwrap_or_default().chars().count();
        match (self.inset, u32::try_from(before)) {
            (Some(inset), Ok(before)) => Origin {
                column: origin.column + u32::from(inset) + before,
                ..origin.clone()
            },
            _ => origin.clone(),
        }
    }
}

/// `text` in quotes, cut where it is long, with control characters escaped: it may be a misplaced secret or worse.
pub fn quoted(text: &str) -> String {
    const SHOWN_CHARACTERS_MAX: usize = 60;
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}
