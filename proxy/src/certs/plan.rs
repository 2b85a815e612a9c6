//! Which certificates are needed, and what is to be done about each: pure, with the time as an argument.
//!
//! The names of all routers of a resolver are reduced (one that a wildcard covers needs nothing of its own), given to
//! certificates that are there, and what is left is packed into as few as possible. The order is by the labels from
//! the right, so that names of one zone stay together and the same names make the same certificates. A certificate
//! that is there is used until it is renewed, and then takes in what was obtained apart from it in the meantime.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use super::store::{Key, Window};
use crate::config::Wanted;
use crate::limits::{CERTIFICATE_NAMES_MAX, RENEW_BEFORE};

/// A certificate that is there, as far as planning needs to know it.
#[derive(Clone, Debug)]
pub struct Have<'a> {
    /// Its identity.
    pub key: &'a Key,
    /// Who renews it.
    pub resolver: &'a str,
    /// What it is valid for.
    pub names: &'a [Box<str>],
    /// From when on; seconds since 1970, as the others.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// When the authority wants it renewed.
    pub window: Option<Window>,
}

/// A name that could not be obtained, and is asked for alone from then on so that it holds up no other.
pub type Troubled = BTreeSet<(Arc<str>, Box<str>)>;

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Certificates to ask for, now.
    pub orders: Vec<Order>,
    /// Certificates that serve on, by key, with the time of their renewal.
    pub kept: BTreeMap<Key, i64>,
    /// Certificates that no router needs: not renewed.
    pub unused: BTreeSet<Key>,
}

/// A certificate to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// From whom.
    pub resolver: Arc<str>,
    /// At most [`CERTIFICATE_NAMES_MAX`], in order; the first is its main one.
    pub names: Vec<Box<str>>,
    /// The certificate that it takes the place of: all of whose names that are still needed are among these.
    pub replaces: Option<Key>,
}

/// Makes the plan for this moment. `have` may be in any order. `by_files` says of a name whether a certificate from
/// a file serves it: nothing is asked for then.
pub fn plan(
    wanted: &[Wanted],
    have: &[Have<'_>],
    by_files: impl Fn(&str) -> bool,
    troubled: &Troubled,
    now: i64,
) -> Plan {
    let mut plan = Plan::default();
    let mut names: BTreeMap<&Arc<str>, (BTreeSet<&str>, usize)> = BTreeMap::new();
    for one in wanted {
        let most = if one.alone { 1 } else { CERTIFICATE_NAMES_MAX };
        let (own, _) = names
            .entry(&one.resolver)
            .or_insert((BTreeSet::new(), most));
        own.extend(
            one.names
                .iter()
                .map(|name| &**name)
                .filter(|name| !by_files(name)),
        );
    }
    for (resolver, (names, most)) in names {
        let have: Vec<&Have<'_>> = have
            .iter()
            .filter(|have| have.resolver == &**resolver)
            .collect();
        let needed = Needed {
            resolver,
            names: reduced(&names),
            most,
        };
        of_resolver(&mut plan, &needed, &have, troubled, now);
    }
    let used = |key: &Key| {
        plan.kept.contains_key(key)
            || plan
                .orders
                .iter()
                .any(|order| order.replaces.as_ref() == Some(key))
    };
    plan.unused = have
        .iter()
        .map(|have| have.key)
        .filter(|key| !used(key))
        .cloned()
        .collect();
    plan
}

/// What is needed of one resolver.
struct Needed<'n> {
    resolver: &'n Arc<str>,
    names: Vec<&'n str>,
    /// How many names it takes for a certificate.
    most: usize,
}

fn of_resolver(
    plan: &mut Plan,
    needed: &Needed<'_>,
    have: &[&Have<'_>],
    troubled: &Troubled,
    now: i64,
) {
    let resolver = needed.resolver;
    let mut left: BTreeSet<&str> = needed.names.iter().copied().collect();
    let (mut ask, mut due) = (Vec::new(), Vec::new());
    for (have, serves) in assigned(&mut left, have, now) {
        let at = renew_at(have);
        if at > now {
            plan.kept.insert(have.key.clone(), at);
        } else {
            due.push((have.key, serves.clone()));
            ask.extend(serves);
        }
    }
    ask.extend(left);
    ask.sort_by_cached_key(|name| by_labels(name));
    let is_troubled = |name: &&str| troubled.contains(&(resolver.clone(), Box::from(*name)));
    let (alone, together): (Vec<&str>, Vec<&str>) = ask.into_iter().partition(is_troubled);
    let packs = together.chunks(needed.most).chain(alone.chunks(1));
    let first = plan.orders.len();
    plan.orders.extend(packs.map(|names| Order {
        resolver: resolver.clone(),
        names: names.iter().map(|name| Box::from(*name)).collect(),
        replaces: None,
    }));
    for (key, serves) in due {
        let takes_over = |order: &&mut Order| {
            order.replaces.is_none()
                && serves
                    .iter()
                    .all(|name| order.names.iter().any(|own| **own == **name))
        };
        let order = plan.orders[first..].iter_mut().find(takes_over);
        match order {
            Some(order) => order.replaces = Some(key.clone()),
            // Its names go into a certificate that replaces another, or into several.
            None => drop(plan.kept.insert(key.clone(), now)),
        }
    }
}

/// Who serves which of the names, those with most to serve first, of equals that which expires last; takes them off
/// `left`. Each name is looked for once, so that ten thousand cost no more than their number.
fn assigned<'h, 'n>(
    left: &mut BTreeSet<&'n str>,
    have: &[&'h Have<'h>],
    now: i64,
) -> Vec<(&'h Have<'h>, Vec<&'n str>)> {
    let mut have: Vec<&Have<'_>> = have
        .iter()
        .copied()
        .filter(|have| have.not_after > now)
        .collect();
    have.sort_by(|a, b| (b.not_after, a.key).cmp(&(a.not_after, b.key)));
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, one) in have.iter().enumerate() {
        for name in one.names {
            by_name.entry(name).or_default().push(index);
        }
    }
    let mut serves: Vec<Vec<&str>> = vec![Vec::new(); have.len()];
    for name in left.iter().copied() {
        let wildcard = wildcard_of(name);
        let covering = [Some(name), wildcard.as_deref()].into_iter().flatten();
        let covering: BTreeSet<usize> = covering
            .filter_map(|own| by_name.get(own))
            .flatten()
            .copied()
            .collect();
        covering.iter().for_each(|index| serves[*index].push(name));
    }
    // How many each serves only falls: one whose number has not fallen since it was put here serves most.
    let counted = serves.iter().enumerate();
    let mut most: BinaryHeap<(usize, Reverse<usize>)> = counted
        .map(|(index, serves)| (serves.len(), Reverse(index)))
        .collect();
    let mut given = Vec::new();
    while let Some((count, Reverse(index))) = most.pop() {
        serves[index].retain(|name| left.contains(name));
        match serves[index].len() {
            0 => {}
            fewer if fewer < count => most.push((fewer, Reverse(index))),
            _ => {
                let served = std::mem::take(&mut serves[index]);
                for name in &served {
                    left.remove(name);
                }
                given.push((have[index], served));
            }
        }
    }
    given
}

/// When a certificate is to be renewed: at a moment within the authority's window that its key chooses, so that many
/// do not come at once; else, as Traefik, 30 days before its end if it lives for 90, and in general when a third of its
/// life is left. A clock that was set back changes nothing: these are moments, not waits.
pub fn renew_at(have: &Have<'_>) -> i64 {
    if let Some(window) = have.window.filter(|window| window.end > window.start) {
        let spread =
            u64::from_str_radix(have.key.get(..8).unwrap_or_default(), 16).unwrap_or_default();
        let length = window.end.abs_diff(window.start).max(1);
        return window
            .start
            .saturating_add_unsigned(spread % length)
            .min(have.not_after);
    }
    let life = have.not_after.saturating_sub(have.not_before).max(0);
    have.not_after - RENEW_BEFORE.min(life / 3)
}

/// Whether a certificate's name is that name, or a wildcard one label above it.
pub fn covers(own: &str, name: &str) -> bool {
    own == name || wildcard_of(name).is_some_and(|wildcard| own == wildcard)
}

/// The wildcard that covers a name, if one can.
fn wildcard_of(name: &str) -> Option<String> {
    let (label, parent) = name.split_once('.')?;
    (!label.is_empty() && label != "*").then(|| format!("*.{parent}"))
}

/// Those that no wildcard among them covers.
fn reduced<'n>(names: &BTreeSet<&'n str>) -> Vec<&'n str> {
    let by_wildcard =
        |name: &str| wildcard_of(name).is_some_and(|wildcard| names.contains(&*wildcard));
    names
        .iter()
        .copied()
        .filter(|name| !by_wildcard(name))
        .collect()
}

/// Orders by the labels from the right; an apex before its wildcard.
fn by_labels(name: &str) -> Vec<String> {
    name.rsplit('.')
        .map(|label| label.replace('*', ""))
        .collect()
}

#[cfg(test)]
mod tests;
