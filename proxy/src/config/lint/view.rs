//! Routers as lints look at them.

use super::{child, children};
use crate::config::document::{Document, RouterDraft};
use crate::config::node::Node;
use crate::config::{Origin, StaticConfig};
use crate::rule::Tree;
use crate::rule::{HttpMatcher, HttpRule};

/// An HTTP router that is not refused.
pub(super) struct Seen<'d> {
    pub(super) name: &'d str,
    pub(super) origin: &'d Origin,
    pub(super) rule: &'d HttpRule,
    pub(super) priority: i64,
    pub(super) tls: bool,
    /// By index in the static configuration.
    pub(super) entry_points: Vec<usize>,
}

impl Seen<'_> {
    pub(super) fn path(&self) -> String {
        format!("http.routers.{}", self.name)
    }

    /// The matchers that must or may hold, not those that must not.
    pub(super) fn matchers(&self) -> Vec<&HttpMatcher> {
        let mut found = Vec::new();
        collect(self.rule.tree(), &mut found);
        found
    }
}

fn collect<'r>(tree: &'r Tree<HttpMatcher>, found: &mut Vec<&'r HttpMatcher>) {
    match tree {
        Tree::Is(matcher) => found.push(matcher),
        Tree::Not(_) => {}
        Tree::All(parts) | Tree::Any(parts) => parts.iter().for_each(|part| collect(part, found)),
    }
}

/// All of them; of one name, the first.
pub(super) fn http<'d>(config: &StaticConfig, documents: &'d [Document]) -> Vec<Seen<'d>> {
    let mut names = std::collections::HashSet::new();
    let routers = documents.iter().flat_map(|document| &document.http.routers);
    let first = routers.filter(|named| names.insert(named.name.clone()));
    let seen = first.filter_map(|named| {
        let draft = named.usable()?;
        Some(Seen {
            name: &named.name,
            origin: &named.origin,
            rule: &draft.rule,
            priority: draft
                .priority
                .unwrap_or_else(|| i64::try_from(draft.rule.text().len()).unwrap_or(i64::MAX)),
            tls: draft.tls,
            entry_points: entry_points(config, draft),
        })
    });
    seen.collect()
}

/// Where a router is: as compiling does, without a word about names that lead nowhere.
pub(super) fn entry_points<M>(config: &StaticConfig, draft: &RouterDraft<M>) -> Vec<usize> {
    let all = || config.entry_points.iter().enumerate();
    let indices = |chosen: &dyn Fn(&crate::config::static_file::EntryPoint) -> bool| -> Vec<usize> {
        all()
            .filter(|(_, entry_point)| chosen(entry_point))
            .map(|(index, _)| index)
            .collect()
    };
    if let Some(names) = &draft.entry_points {
        return indices(&|entry_point| names.iter().any(|name| name.value == entry_point.name));
    }
    let default = indices(&|entry_point| entry_point.as_default);
    if default.is_empty() {
        indices(&|_| true)
    } else {
        default
    }
}

/// The `tls` of each router of a file, with the router's path.
pub(super) fn router_tls(root: &Node) -> impl Iterator<Item = (String, &Node)> {
    ["http", "tcp"].into_iter().flat_map(move |protocol| {
        let routers = child(root, protocol).and_then(|section| child(section, "routers"));
        children(routers).filter_map(move |(name, router)| {
            Some((format!("{protocol}.routers.{name}"), child(router, "tls")?))
        })
    })
}
