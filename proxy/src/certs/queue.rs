//! Names that could not be obtained: what the authority said, and when they are asked for again. Kept on disk, so that
//! a restart does not begin anew at the limits of an authority.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::error;

use super::durable;
use super::plan::{Order, Troubled};
use crate::limits::{AUTHORITY_RETRY, NAME_RETRY};

/// What went wrong, and when it is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// How often in a row.
    pub failures: u32,
    /// Not before; seconds since 1970.
    pub not_before: i64,
    /// In the words of whoever refused.
    pub error: String,
}

/// All troubles: of names, and of authorities as a whole.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Queue {
    #[serde(skip)]
    path: PathBuf,
    /// By resolver, then by name.
    names: BTreeMap<String, BTreeMap<String, Trouble>>,
    /// By resolver.
    authorities: BTreeMap<String, Trouble>,
}

impl Queue {
    /// Reads it; a damaged file is said and is as good as none, since it holds only waiting times.
    pub fn open(path: &Path) -> Self {
        let kept = durable::read(path).unwrap_or_else(|line| {
            error!("{line}");
            None
        });
        let read = kept.and_then(|kept| serde_json::from_slice(&kept.body).ok());
        Self {
            path: path.to_owned(),
            ..read.unwrap_or_default()
        }
    }

    /// Names that are asked for alone.
    pub fn troubled(&self) -> Troubled {
        let each = |(resolver, names): (&String, &BTreeMap<String, Trouble>)| {
            let resolver: Arc<str> = Arc::from(resolver.as_str());
            names
                .keys()
                .map(move |name| (resolver.clone(), Box::from(name.as_str())))
                .collect::<Vec<_>>()
        };
        self.names.iter().flat_map(each).collect()
    }

    /// When the order may be tried: the latest time of its names and its authority.
    pub fn not_before(&self, order: &Order) -> i64 {
        let authority = self
            .authorities
            .get(&*order.resolver)
            .map(|trouble| trouble.not_before);
        let names = self.names.get(&*order.resolver);
        let of_name = |name: &str| Some(names?.get(name)?.not_before);
        order
            .names
            .iter()
            .filter_map(|name| of_name(name))
            .chain(authority)
            .max()
            .unwrap_or(i64::MIN)
    }

    /// When the authority may be asked for anything.
    pub fn authority_not_before(&self, resolver: &str) -> i64 {
        self.authorities
            .get(resolver)
            .map_or(i64::MIN, |trouble| trouble.not_before)
    }

    /// What was last said about a name, or about its authority.
    pub fn trouble(&self, resolver: &str, name: &str) -> Option<&Trouble> {
        let of_name = self.names.get(resolver).and_then(|names| names.get(name));
        of_name.or_else(|| self.authorities.get(resolver))
    }

    /// A name was refused.
    pub fn name_failed(&mut self, resolver: &str, name: &str, error: String, now: i64) {
        let names = self.names.entry(resolver.to_owned()).or_default();
        let failures = names.get(name).map_or(0, |trouble| trouble.failures);
        names.insert(name.to_owned(), next(failures, NAME_RETRY, error, now));
        self.write();
    }

    /// The authority as a whole could not be used.
    pub fn authority_failed(&mut self, resolver: &str, error: String, now: i64) {
        let failures = self
            .authorities
            .get(resolver)
            .map_or(0, |trouble| trouble.failures);
        self.authorities.insert(
            resolver.to_owned(),
            next(failures, AUTHORITY_RETRY, error, now),
        );
        self.write();
    }

    /// It went well: nothing is remembered against these.
    pub fn succeeded(&mut self, order: &Order) {
        let mut changed = self.authorities.remove(&*order.resolver).is_some();
        if let Some(names) = self.names.get_mut(&*order.resolver) {
            for name in &order.names {
                changed |= names.remove(&**name).is_some();
            }
        }
        if changed {
            self.write();
        }
    }

    /// Tries these names, and their authorities, at once.
    pub fn forgive(&mut self, of: impl Fn(&str) -> bool) {
        for (resolver, names) in &mut self.names {
            for (_, trouble) in names.iter_mut().filter(|(name, _)| of(name)) {
                trouble.not_before = i64::MIN;
                self.authorities.remove(resolver);
            }
        }
        self.write();
    }

    fn write(&self) {
        let written = serde_json::to_vec(self).map_err(std::io::Error::from);
        if let Err(error) = written.and_then(|body| durable::write(&self.path, &body)) {
            error!(
                "{} cannot be written: {error}; a restart forgets how long to wait",
                self.path.display()
            );
        }
    }
}

/// The next trouble after `failures`: each time four times as long.
fn next(failures: u32, (first, most): (i64, i64), error: String, now: i64) -> Trouble {
    let wait = first
        .saturating_mul(4i64.saturating_pow(failures))
        .min(most);
    Trouble {
        failures: failures.saturating_add(1),
        not_before: now.saturating_add(wait),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_times_grow_and_outlive_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.json");
        let order = |names: &[&str]| Order {
            resolver: "le".into(),
            names: names.iter().map(|name| Box::from(*name)).collect(),
            replaces: None,
        };
        let mut queue = Queue::open(&path);
        assert_eq!(queue.not_before(&order(&["a"])), i64::MIN);
        let mut waits = Vec::new();
        for _ in 0..20 {
            queue.name_failed("le", "a", "no".to_owned(), 0);
            waits.push(queue.not_before(&order(&["a", "b"])));
        }
        assert!(waits.is_sorted());
        assert_eq!((waits[0], waits[19]), NAME_RETRY);
        let mut queue = Queue::open(&path);
        assert_eq!(
            queue.trouble("le", "a").map(|trouble| trouble.failures),
            Some(20)
        );
        assert_eq!(queue.troubled().len(), 1);
        queue.authority_failed("le", "down".to_owned(), 0);
        assert_eq!(
            queue.trouble("le", "b").map(|trouble| &*trouble.error),
            Some("down")
        );
        queue.succeeded(&order(&["a"]));
        assert_eq!(Queue::open(&path).troubled().len(), 0);
    }
}
