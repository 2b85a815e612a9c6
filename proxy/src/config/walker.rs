//! Decodes a [`Node`] tree: the one walker behind every source. It tracks the path in the document and collects every
//! problem instead of stopping at the first.
//!
//! Keys are compared without case and scalars taken leniently (`443` and `"443"` are one), as Traefik does; a key
//! nobody knows is refused with the nearest one that is known.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::node::{Entry, Node, Value, quoted};
use super::{Origin, Problem, Severity};
use crate::limits::FILE_PROBLEMS_MAX;
use crate::rule::{Matcher, Rule, RuleError};

pub use crate::rule::nearest_of;

mod duration;

/// A node and the way to it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    node: &'a Node,
    /// Where the node is named: its key, or itself in a list.
    named: &'a Origin,
    way: Way<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Way<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it is.
    pub origin: Origin,
}

/// The keys of a mapping.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Those that mean something here.
    pub known: &'static [&'static str],
    /// Those that Traefik has and weir not yet: refused by name.
    pub later: &'static [&'static str],
}

/// The entries of a mapping under keys that are known.
#[derive(Debug)]
pub struct Fields<'a> {
    place: &'a Place<'a>,
    found: Vec<(&'static str, &'a Entry)>,
    /// Known keys that an unknown one was probably meant as: not missed a second time.
    misspelt: Vec<&'static str>,
    refused: bool,
}

/// What an error costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// The whole source: it does not say what it seems to.
    Source,
    /// The router, service or certificate around: it is clear, but cannot be had.
    Element,
}

/// Collects the problems of one source.
#[derive(Debug, Default)]
pub struct Walker {
    problems: Vec<(Problem, Cost)>,
    source_errors: usize,
    element_errors: usize,
}

impl<'a> Place<'a> {
    /// The whole document.
    pub fn root(node: &'a Node) -> Self {
        Self {
            node,
            named: &node.origin,
            way: Way::Root,
        }
    }

    /// Where the node is written: a scalar at itself, a collection at its key.
    pub fn origin(&self) -> &'a Origin {
        match self.node.value {
            Value::Scalar(_) => &self.node.origin,
            Value::Null | Value::List(_) | Value::Map(_) => self.named,
        }
    }

    /// Whether a flag or a variable gives it.
    fn is_assigned(&self) -> bool {
        self.node.origin.source.path().is_none()
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// `value`, written here.
    pub fn spanned<T>(&self, value: T) -> Spanned<T> {
        Spanned {
            value,
            origin: self.origin().clone(),
        }
    }

    fn key(&'a self, entry: &'a Entry) -> Place<'a> {
        Place {
            node: &entry.node,
            named: &entry.origin,
            way: Way::Key(self, &entry.key),
        }
    }
}

/// The path in the document, such as `http.services.a.loadBalancer.servers[0].url`.
impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.way {
            Way::Root => Ok(()),
            Way::Key(Place { way: Way::Root, .. }, key) => out.write_str(key),
            Way::Key(parent, key) => write!(out, "{parent}.{key}"),
            Way::Index(parent, index) => write!(out, "{parent}[{index}]"),
        }
    }
}

impl Walker {
    /// Whether the source as a whole cannot be used.
    pub fn has_source_errors(&self) -> bool {
        self.source_errors > 0
    }

    /// The problems, in the order found, each with what it costs.
    pub fn into_problems(self) -> Vec<(Problem, Cost)> {
        let errors = self.source_errors + self.element_errors;
        let mut problems = self.problems;
        if let Some((last, _)) = problems.last_mut()
            && errors > FILE_PROBLEMS_MAX
        {
            last.remedy = format!(
                "{}; {} more errors in this file",
                last.remedy,
                errors - FILE_PROBLEMS_MAX
            )
            .into();
        }
        problems
    }

    /// Adds a problem of this place.
    pub fn report(&mut self, cost: Cost, place: &Place<'_>, problem: Problem) {
        self.push(cost, problem.at(place.to_string()));
    }

    /// Decodes an element (`lost` names it), and says whether it, or something inside it, cannot be had.
    pub fn element<T>(
        &mut self,
        lost: &str,
        decode: impl FnOnce(&mut Self) -> Option<T>,
    ) -> (Option<T>, bool) {
        let (errors, first) = (
            self.source_errors + self.element_errors,
            self.problems.len(),
        );
        let decoded = decode(self);
        for (problem, cost) in &mut self.problems[first..] {
            if *cost == Cost::Element
                && problem.severity == Severity::Error
                && problem.lost.is_empty()
            {
                problem.lost = lost.into();
            }
        }
        let refused = decoded.is_none() || errors != self.source_errors + self.element_errors;
        (decoded, refused)
    }

    /// Decodes a part of an element that the element can do without.
    pub fn part<T>(
        &mut self,
        lost: &str,
        decode: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let errors = self.element_errors;
        let (decoded, refused) = self.element(lost, decode);
        self.element_errors = errors;
        decoded.filter(|_| !refused)
    }

    /// The known entries of a mapping; every other one is a problem. Nothing counts as an empty mapping.
    pub fn fields<'a>(&mut self, place: &'a Place<'a>, keys: &Keys) -> Option<Fields<'a>> {
        let mut found: Vec<(&'static str, &'a Entry)> = Vec::new();
        let mut misspelt = Vec::new();
        let errors = self.source_errors + self.element_errors;
        for entry in self.map(place)? {
            let same = |key: &&&str| key.eq_ignore_ascii_case(&entry.key);
            if let Some(known) = keys.known.iter().find(same) {
                match found.iter().any(|(key, _)| key == known) {
                    true => self.again(place, entry),
                    false => found.push((known, entry)),
                }
            } else if keys
                .later
                .iter()
                .any(|key| key.eq_ignore_ascii_case(&entry.key))
            {
                self.later(place, entry);
            } else {
                misspelt.extend(self.unknown(place, entry, keys));
            }
        }
        Some(Fields {
            place,
            found,
            misspelt,
            refused: errors != self.source_errors + self.element_errors,
        })
    }

    /// The entries of a mapping whose keys are names that the operator chose.
    pub fn named<'a>(&mut self, place: &'a Place<'a>) -> Vec<(&'a str, Place<'a>)> {
        let entries = self.map(place).unwrap_or_default();
        entries
            .iter()
            .map(|entry| (entry.key.as_str(), place.key(entry)))
            .collect()
    }

    /// The items of a list; nothing counts as an empty one.
    pub fn items<'a>(&mut self, place: &'a Place<'a>) -> Vec<Place<'a>> {
        let item = |(index, node): (usize, &'a Node)| Place {
            node,
            named: &node.origin,
            way: Way::Index(place, index),
        };
        match &place.node.value {
            Value::Null => Vec::new(),
            Value::List(items) => items.iter().enumerate().map(item).collect(),
            Value::Scalar(_) | Value::Map(_) => {
                self.wrong(place, "a list");
                Vec::new()
            }
        }
    }

    /// A list of texts, or one text with commas between.
    pub fn strings(&mut self, place: &Place<'_>) -> Vec<Spanned<String>> {
        if let Value::Scalar(scalar) = &place.node.value {
            return scalar
                .text
                .split(',')
                .map(|part| place.spanned(part.trim().to_owned()))
                .collect();
        }
        let mut strings = Vec::new();
        for item in &self.items(place) {
            match item.is_assigned() {
                true => strings.extend(self.strings(item)),
                false => strings.extend(self.string(item).map(|text| item.spanned(text))),
            }
        }
        strings
    }

    /// A text.
    pub fn string(&mut self, place: &Place<'_>) -> Option<String> {
        self.scalar(place, "text", |text| Some(text.to_owned()))
    }

    /// A truth value, in Go's spellings (`strconv.ParseBool`).
    pub fn boolean(&mut self, place: &Place<'_>) -> Option<bool> {
        self.scalar(place, "true or false", |text| match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        })
    }

    /// A whole number within a range.
    pub fn integer(&mut self, place: &Place<'_>, range: RangeInclusive<i64>) -> Option<i64> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        self.scalar(place, &allowed, |text| {
            text.parse().ok().filter(|number| range.contains(number))
        })
    }

    /// A duration in Go's form, or a number of seconds.
    pub fn duration(&mut self, place: &Place<'_>) -> Option<Duration> {
        self.scalar(
            place,
            "a duration such as 300ms, 1m30s, or a number of seconds",
            duration::parse,
        )
    }

    /// One of several words, compared without case.
    pub fn choice<T: Copy>(&mut self, place: &Place<'_>, words: &[(&str, T)]) -> Option<T> {
        let allowed = words
            .iter()
            .map(|(word, _)| *word)
            .collect::<Vec<_>>()
            .join(", ");
        self.scalar(place, &allowed, |text| {
            words
                .iter()
                .find(|(word, _)| word.eq_ignore_ascii_case(text))
                .map(|(_, value)| *value)
        })
    }

    /// What `parse` makes of a scalar; `None` and a problem where it makes nothing of it.
    pub fn scalar<T>(
        &mut self,
        place: &Place<'_>,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = match &place.node.value {
            Value::Scalar(scalar) => parse(&scalar.text),
            // Given by several flags: the last one counts.
            Value::List(items) if place.is_assigned() => match items.last().map(|last| &last.value)
            {
                Some(Value::Scalar(scalar)) => parse(&scalar.text),
                _ => None,
            },
            Value::Null | Value::List(_) | Value::Map(_) => None,
        };
        if parsed.is_none() {
            self.wrong(place, allowed);
        }
        parsed
    }

    /// A rule; its problem names the place inside the rule. `explain` may add what is special about this place.
    pub fn rule<M: Matcher>(
        &mut self,
        place: &Place<'_>,
        explain: impl FnOnce(RuleError) -> RuleError,
    ) -> Option<Rule<M>> {
        let Value::Scalar(scalar) = &place.node.value else {
            self.wrong(place, "a rule such as \"Host(`a.example`)\"");
            return None;
        };
        let error = match Rule::parse(&scalar.text) {
            Ok(rule) => return Some(rule),
            Err(error) => explain(error),
        };
        let origin = scalar.place(&place.node.origin, error.offset);
        let found = match origin == place.node.origin && error.offset > 0 {
            true => format!(
                "{} at character {} of the rule",
                error.found,
                error.offset + 1
            ),
            false => error.found,
        };
        self.report(
            Cost::Source,
            place,
            Problem::error(origin, found)
                .allowed(error.allowed)
                .remedy(error.remedy),
        );
        None
    }

    /// Something else stands here than what is allowed, which costs the element around.
    pub fn refuse(&mut self, place: &Place<'_>, allowed: &str) {
        let found = place.node.describe();
        let problem = Problem::error(place.origin().clone(), found).allowed(allowed);
        self.report(Cost::Element, place, problem);
    }

    /// Something else stands here than what is allowed.
    pub fn wrong(&mut self, place: &Place<'_>, allowed: &str) {
        let problem =
            Problem::error(place.origin().clone(), place.node.describe()).allowed(allowed);
        self.report(Cost::Source, place, problem);
    }

    fn map<'a>(&mut self, place: &Place<'a>) -> Option<&'a [Entry]> {
        match &place.node.value {
            Value::Null => Some(&[]),
            Value::Map(entries) => Some(entries),
            // `--ping` enables a structure with its defaults.
            Value::Scalar(scalar) if scalar.text == "true" && place.is_assigned() => Some(&[]),
            Value::Scalar(_) | Value::List(_) => {
                self.wrong(place, "a mapping");
                None
            }
        }
    }

    fn again(&mut self, place: &Place<'_>, entry: &Entry) {
        let found = format!("the key {} again", quoted(&entry.key));
        let problem = Problem::error(entry.origin.clone(), found)
            .remedy("remove one of the two (case does not matter)");
        self.report(Cost::Source, &place.key(entry), problem);
    }

    fn later(&mut self, place: &Place<'_>, entry: &Entry) {
        let found = format!("the key {}", quoted(&entry.key));
        let problem =
            Problem::error(entry.origin.clone(), found).remedy("Traefik has it, weir not yet");
        self.report(Cost::Element, &place.key(entry), problem);
    }

    /// Returns the key that was probably meant.
    fn unknown(&mut self, place: &Place<'_>, entry: &Entry, keys: &Keys) -> Option<&'static str> {
        let meant = nearest(&entry.key, keys);
        let remedy = meant.map_or_else(
            || "remove it".to_owned(),
            |key| format!("did you mean {key}?"),
        );
        let problem = Problem::error(
            entry.origin.clone(),
            format!("unknown key {}", quoted(&entry.key)),
        )
        .allowed(keys.known.join(", "))
        .remedy(remedy);
        self.report(Cost::Source, &place.key(entry), problem);
        meant
    }

    fn push(&mut self, cost: Cost, problem: Problem) {
        if problem.severity == Severity::Error {
            match cost {
                Cost::Source => self.source_errors += 1,
                Cost::Element => self.element_errors += 1,
            }
        }
        if self.problems.len() < FILE_PROBLEMS_MAX {
            self.problems.push((problem, cost));
        }
    }
}

impl<'a> Fields<'a> {
    /// The entry of a known key; nothing counts as absent.
    pub fn get(&self, key: &'static str) -> Option<Place<'a>> {
        let (_, entry) = self.found.iter().find(|(known, _)| *known == key)?;
        (entry.node.value != Value::Null).then(|| self.place.key(entry))
    }

    /// The number of a known key, if it is there and in this range.
    pub fn integer(
        &self,
        walker: &mut Walker,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        walker.integer(&self.get(key)?, range)
    }

    /// Whether the key is there, also with nothing after it.
    pub fn has(&self, key: &'static str) -> bool {
        self.found.iter().any(|(known, _)| *known == key)
    }

    /// The entry of a known key, also with nothing after it.
    pub fn entry(&self, key: &'static str) -> Option<Place<'a>> {
        let (_, entry) = self.found.iter().find(|(known, _)| *known == key)?;
        Some(self.place.key(entry))
    }

    /// The entry of a key that must be there.
    pub fn required(&self, walker: &mut Walker, key: &'static str) -> Option<Place<'a>> {
        let place = self.get(key);
        if place.is_none() && !self.misspelt.contains(&key) {
            let problem = Problem::error(self.place.origin().clone(), format!("no {key}"));
            walker.report(
                Cost::Source,
                self.place,
                problem.remedy(format!("add {key}")),
            );
        }
        place
    }

    /// Whether a key was refused.
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// The mapping itself.
    pub fn place(&self) -> &'a Place<'a> {
        self.place
    }
}

/// The key that was probably meant.
fn nearest(written: &str, keys: &Keys) -> Option<&'static str> {
    nearest_of(written, keys.known.iter().chain(keys.later).copied())
}

#[cfg(test)]
mod tests;
