//! Which routers of a table may take a request, by its host: a few of ten thousand.
//!
//! Pure and immutable. Invariant: a router that takes a request is among [`HostIndex::candidates`] of its host, which
//! come in precedence order; so the first of them that takes it is the one a scan of the whole table would find.
//!
//! From each rule keys are derived such that the rule can hold only if one of them is found: names and suffixes by
//! hash, regular expressions by a text that every match contains (all such texts are looked for in one pass). Of
//! several parts joined by `&&` the rarest key counts; a rule with no key is a candidate for every host.

use std::collections::HashMap;

use aho_corasick::AhoCorasick;

use crate::rule::host::HostPattern;
use crate::rule::{HttpMatcher, HttpRule, RequestView, Tree};

/// Routers by their place in precedence order, ascending.
type Ranks = Box<[u32]>;

/// The index of one table.
#[derive(Debug, Default)]
pub struct HostIndex {
    names: HashMap<Box<str>, Ranks>,
    /// By what follows the first label.
    suffixes: HashMap<Box<str>, Ranks>,
    texts: Option<AhoCorasick>,
    /// By the number of the text.
    by_text: Vec<Ranks>,
    /// Of any host.
    rest: Ranks,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Name(Box<str>),
    Suffix(Box<str>),
    Text(Box<[u8]>),
}

impl HostIndex {
    /// The index of rules given in precedence order.
    pub fn new<'r>(rules: impl Iterator<Item = &'r HttpRule> + Clone) -> Self {
        let mut texts = HashMap::new();
        for rule in rules.clone() {
            count_texts(rule.tree(), &mut texts);
        }
        let mut by_key: HashMap<Key, Vec<u32>> = HashMap::new();
        let mut rest = Vec::new();
        // A snapshot holds far fewer routers than u32 counts: a file's nodes and the count of files are bounded.
        for (rank, rule) in (0u32..).zip(rules) {
            match keys(rule.tree(), &texts) {
                Some(keys) => keys
                    .into_iter()
                    .for_each(|key| push_once(by_key.entry(key).or_default(), rank)),
                None => rest.push(rank),
            }
        }
        Self::of(by_key, rest)
    }

    fn of(by_key: HashMap<Key, Vec<u32>>, mut rest: Vec<u32>) -> Self {
        let mut index = Self::default();
        let (mut texts, mut text_ranks) = (Vec::new(), Vec::new());
        for (key, ranks) in by_key {
            match key {
                Key::Name(name) => drop(index.names.insert(name, ranks.into())),
                Key::Suffix(suffix) => drop(index.suffixes.insert(suffix, ranks.into())),
                Key::Text(text) => {
                    texts.push(text);
                    text_ranks.push(ranks);
                }
            }
        }
        match AhoCorasick::new(&texts) {
            Ok(automaton) if !texts.is_empty() => {
                index.texts = Some(automaton);
                index.by_text = text_ranks.into_iter().map(Into::into).collect();
            }
            // Too many texts for one automaton: then each of them may be there.
            _ => {
                rest.extend(text_ranks.into_iter().flatten());
                rest.sort_unstable();
                rest.dedup();
            }
        }
        index.rest = rest.into();
        index
    }

    /// The ranks of the routers that may take the request, ascending; one may come twice.
    pub fn candidates(&self, request: &RequestView<'_>) -> Candidates<'_> {
        let name = request.host();
        let suffix = name.split_once('.').map(|(_, suffix)| suffix);
        let suffix = suffix.and_then(|suffix| self.suffixes.get(suffix));
        Candidates {
            lists: [
                ranks(self.names.get(name)),
                ranks(suffix),
                ranks(Some(&self.rest)),
            ],
            by_text: self.by_text(request.host_with_dot()),
            next_by_text: 0,
        }
    }

    fn by_text(&self, host: &str) -> Vec<u32> {
        let mut ranks = Vec::new();
        if let Some(texts) = &self.texts {
            for found in texts.find_overlapping_iter(host) {
                ranks.extend_from_slice(&self.by_text[found.pattern().as_usize()]);
            }
            ranks.sort_unstable();
        }
        ranks
    }
}

fn ranks(found: Option<&Ranks>) -> &[u32] {
    found.map_or(&[], |ranks| ranks)
}

/// See [`HostIndex::candidates`].
pub struct Candidates<'i> {
    lists: [&'i [u32]; 3],
    by_text: Vec<u32>,
    next_by_text: usize,
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let texts = &self.by_text[self.next_by_text..];
        let heads = self
            .lists
            .iter()
            .copied()
            .chain([texts])
            .map(<[u32]>::first);
        let next = *heads.flatten().min()?;
        for list in &mut self.lists {
            if let Some((first, after)) = list.split_first()
                && *first == next
            {
                *list = after;
            }
        }
        if self.by_text.get(self.next_by_text) == Some(&next) {
            self.next_by_text += 1;
        }
        Some(next)
    }
}

/// How many rules' regular expressions require each text.
fn count_texts(tree: &Tree<HttpMatcher>, counts: &mut HashMap<Box<[u8]>, u32>) {
    match tree {
        Tree::Is(HttpMatcher::HostRegexp(regexp)) => {
            for text in regexp.required_literals() {
                *counts.entry(text).or_default() += 1;
            }
        }
        Tree::Is(_) | Tree::Not(_) => {}
        Tree::All(parts) | Tree::Any(parts) => {
            parts.iter().for_each(|part| count_texts(part, counts));
        }
    }
}

/// Keys of which one is found in every request that the rule takes; `None` where there are none.
fn keys(tree: &Tree<HttpMatcher>, texts: &HashMap<Box<[u8]>, u32>) -> Option<Vec<Key>> {
    match tree {
        Tree::Is(HttpMatcher::Host(HostPattern::Exact(name))) => {
            Some(vec![Key::Name(name.clone())])
        }
        Tree::Is(HttpMatcher::Host(HostPattern::Wildcard(suffix))) => {
            Some(vec![Key::Suffix(suffix.clone())])
        }
        Tree::Is(HttpMatcher::HostRegexp(regexp)) => {
            let literals = regexp.required_literals().into_iter();
            let rarity = |text: &[u8]| (texts.get(text).copied(), usize::MAX - text.len());
            let text = literals.min_by_key(|text| rarity(text))?;
            Some(vec![Key::Text(text)])
        }
        Tree::Is(_) | Tree::Not(_) => None,
        Tree::All(parts) => {
            let each = parts.iter().filter_map(|part| keys(part, texts));
            each.min_by_key(|keys| cost(keys, texts))
        }
        Tree::Any(parts) => {
            let each: Option<Vec<_>> = parts.iter().map(|part| keys(part, texts)).collect();
            Some(each?.into_iter().flatten().collect())
        }
    }
}

/// The smaller, the fewer requests have one of the keys.
fn cost(keys: &[Key], texts: &HashMap<Box<[u8]>, u32>) -> u64 {
    let each = keys.iter().map(|key| match key {
        Key::Name(_) => 1,
        Key::Suffix(_) => 2,
        Key::Text(text) => 2 + u64::from(texts.get(text).copied().unwrap_or_default()),
    });
    each.sum()
}

fn push_once(ranks: &mut Vec<u32>, rank: u32) {
    if ranks.last() != Some(&rank) {
        ranks.push(rank);
    }
}

#[cfg(test)]
mod tests;
