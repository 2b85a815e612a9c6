//! Flags and variables of the environment as the tree that files are read into, and trees laid over one another.
//!
//! An *assignment* is a path and a text: `--entryPoints.web.address=:80`, `WEIR_ENTRYPOINTS_WEB_ADDRESS=:80`. Keys are
//! compared without case, `[0]` (in a variable `_0_`) is an item of a list, no value or `true` on a structure enables
//! it with its defaults. A flag that is given again adds to a list and otherwise wins over the earlier one: which of
//! both, only the reader of the key knows, so the tree keeps them all.

use std::sync::Arc;

use super::node::{Entry, Node, Scalar, Value, quoted};
use super::{Origin, Problem, Source};
use crate::limits::{ASSIGNMENT_INDEX_MAX, ASSIGNMENTS_MAX, DOCUMENT_DEPTH_MAX};

/// The prefix of weir's variables.
const PREFIX: &str = "WEIR_";
/// Traefik's, which mean the same and come second.
const TRAEFIK_PREFIX: &str = "TRAEFIK_";

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The tree of the flags, `--a.b=c` or `--a`; all problems at once.
pub fn flags(arguments: &[String]) -> Result<Node, Vec<Problem>> {
    let parsed = arguments.iter().map(|argument| {
        let source = Arc::new(Source::Flag(argument.clone()));
        let text = argument.trim_start_matches('-');
        let (path, value) = match text.split_once('=') {
            Some((path, value)) => (path, value),
            None => (text, "true"),
        };
        let path = flag_path(path, &source)?;
        Ok((path, value.to_owned(), source))
    });
    tree(parsed)
}

/// The tree of the variables whose names begin as weir's or Traefik's do; weir's count more. Traefik's are taken only
/// where they begin with one of `roots`: a container has others, such as `TRAEFIK_SERVICE_HOST`.
pub fn variables(all: &[(String, String)], roots: &[&str]) -> Result<Node, Vec<Problem>> {
    let with = |prefix: &'static str| {
        let found = all.iter().filter_map(move |(name, value)| {
            let rest = name.strip_prefix(prefix)?;
            Some((name, rest, value))
        });
        let mut found: Vec<_> = found.collect();
        found.sort();
        found
    };
    let known = |(_, rest, _): &(&String, &str, &String)| {
        let first = rest.split('_').next().unwrap_or_default();
        roots.iter().any(|root| root.eq_ignore_ascii_case(first))
    };
    let read = |found: Vec<(&String, &str, &String)>| {
        tree(found.into_iter().map(|(name, rest, value)| {
            let source = Arc::new(Source::Variable(name.clone()));
            Ok((variable_path(rest), value.clone(), source))
        }))
    };
    let traefik = with(TRAEFIK_PREFIX).into_iter().filter(known).collect();
    Ok(over(read(traefik)?, read(with(PREFIX))?))
}

/// `upper` laid over `lower`: mappings key by key, everything else as a whole.
pub fn over(mut lower: Node, upper: Node) -> Node {
    match (&mut lower.value, upper.value) {
        (_, Value::Null) => {}
        // Enabling a structure changes nothing in it.
        (Value::Map(_), Value::Scalar(scalar)) if scalar.text == "true" => {}
        (Value::Map(entries), Value::Map(upper)) => {
            for entry in upper {
                match position(entries, &entry.key) {
                    Some(index) => {
                        let found = &mut entries[index];
                        let under = std::mem::replace(&mut found.node.value, Value::Null);
                        let under = Node {
                            value: under,
                            origin: found.node.origin.clone(),
                        };
                        found.node = over(under, entry.node);
                        found.origin = entry.origin;
                    }
                    None => entries.push(entry),
                }
            }
        }
        (_, value) => {
            lower = Node {
                origin: upper.origin,
                value,
            };
        }
    }
    lower
}

type Assignment = (Vec<Step>, String, Arc<Source>);

fn tree(
    assignments: impl Iterator<Item = Result<Assignment, Problem>>,
) -> Result<Node, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut root: Option<Node> = None;
    for (count, assignment) in assignments.enumerate() {
        let inserted = assignment.and_then(|(path, text, source)| {
            let origin = Origin::whole(&source);
            if count >= ASSIGNMENTS_MAX || path.len() > DOCUMENT_DEPTH_MAX {
                return Err(
                    Problem::error(origin, "one more, or a deeper path").allowed(format!(
                        "at most {ASSIGNMENTS_MAX}, {DOCUMENT_DEPTH_MAX} levels deep"
                    )),
                );
            }
            let value = Value::Scalar(Scalar { text, inset: None });
            let root = root.get_or_insert_with(|| nothing(&origin));
            insert(root, &path, Node { origin, value })
        });
        problems.extend(inserted.err());
    }
    let none = || {
        nothing(&Origin::whole(&Arc::new(Source::Flag(
            "the command line".to_owned(),
        ))))
    };
    if problems.is_empty() {
        Ok(root.unwrap_or_else(none))
    } else {
        Err(problems)
    }
}

fn insert(node: &mut Node, path: &[Step], leaf: Node) -> Result<(), Problem> {
    let enabled = matches!(&node.value, Value::Scalar(scalar) if scalar.text == "true");
    match (path.split_first(), &mut node.value) {
        (None, _) => put(node, leaf),
        (Some((Step::Key(key), rest)), Value::Map(entries)) => {
            let index = position(entries, key).unwrap_or_else(|| {
                entries.push(Entry {
                    key: key.clone(),
                    origin: leaf.origin.clone(),
                    node: nothing(&leaf.origin),
                });
                entries.len() - 1
            });
            insert(&mut entries[index].node, rest, leaf)
        }
        (Some((Step::Index(index), rest)), Value::List(items)) => {
            if items.len() <= *index {
                items.resize(index + 1, nothing(&leaf.origin));
            }
            insert(&mut items[*index], rest, leaf)
        }
        (Some((step, _)), value) if *value == Value::Null || enabled => {
            *value = match step {
                Step::Key(_) => Value::Map(Vec::new()),
                Step::Index(_) => Value::List(Vec::new()),
            };
            insert(node, path, leaf)
        }
        (Some(_), _) => Err(Problem::error(
            leaf.origin,
            "something below what is given a value elsewhere",
        )
        .remedy(format!("remove this or {}", node.origin))),
    }
}

/// The value at the end of a path; one that is there already is kept before it.
fn put(node: &mut Node, leaf: Node) -> Result<(), Problem> {
    match (&mut node.value, &leaf.value) {
        (Value::Null, _) => *node = leaf,
        (Value::Map(_), Value::Scalar(scalar)) if scalar.text == "true" => {}
        (Value::Map(_), _) => {
            return Err(Problem::error(leaf.origin.clone(), leaf.describe())
                .allowed("true, or values of its keys")
                .remedy(format!("remove this or {}", node.origin)));
        }
        (Value::List(items), _) => items.push(leaf),
        (Value::Scalar(_), _) => {
            let origin = leaf.origin.clone();
            let first = std::mem::replace(node, nothing(&origin));
            node.value = Value::List(vec![first, leaf]);
        }
    }
    Ok(())
}

fn position(entries: &[Entry], key: &str) -> Option<usize> {
    entries
        .iter()
        .position(|entry| entry.key.eq_ignore_ascii_case(key))
}

fn nothing(origin: &Origin) -> Node {
    Node {
        origin: origin.clone(),
        value: Value::Null,
    }
}

/// `a.b[0].c`
fn flag_path(text: &str, source: &Arc<Source>) -> Result<Vec<Step>, Problem> {
    let wrong = |found: String| {
        Problem::error(Origin::whole(source), found)
            .allowed("--key.key=value, --key[0].key=value or --key")
    };
    let mut path = Vec::new();
    for part in text.split('.') {
        let mut pieces = part.split('[');
        let key = pieces.next().unwrap_or_default();
        if key.is_empty() {
            return Err(wrong(format!("no key in {}", quoted(text))));
        }
        path.push(Step::Key(key.to_owned()));
        for piece in pieces {
            let index = piece.strip_suffix(']').and_then(|index| index.parse().ok());
            let index = index.filter(|index| *index < ASSIGNMENT_INDEX_MAX);
            path.push(Step::Index(index.ok_or_else(|| {
                wrong(format!("the index {}", quoted(&format!("[{piece}"))))
            })?));
        }
    }
    Ok(path)
}

/// `ENTRYPOINTS_WEB_ADDRESS`; names are lower case, as in Traefik.
fn variable_path(text: &str) -> Vec<Step> {
    let step = |(position, part): (usize, &str)| match part.parse() {
        Ok(index) if position > 0 && index < ASSIGNMENT_INDEX_MAX => Step::Index(index),
        _ => Step::Key(part.to_ascii_lowercase()),
    };
    text.split('_').enumerate().map(step).collect()
}

#[cfg(test)]
mod tests;
