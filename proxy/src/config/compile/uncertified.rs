//! Which names of routers nobody has a certificate for: clients that ask for them get the self-signed one.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::config::{EntryPointTable, Wanted};
use crate::router::TcpTls;
use crate::rule::host::HostPattern;
use crate::rule::{HttpMatcher, TcpMatcher, Tree};
use crate::tls::Store;

/// Those of routers whose TLS ends here, in order. What a resolver is to obtain is not among them: it says itself what
/// is missing.
pub(super) fn names(
    store: &Arc<Store>,
    entry_points: &[EntryPointTable],
    wanted: &[Wanted],
) -> Vec<Box<str>> {
    if !store.is_self_signed() {
        return Vec::new();
    }
    let mut names = BTreeSet::new();
    for table in entry_points {
        for router in table.https.routers() {
            hosts(router.rule.tree(), &mut names, |matcher| match matcher {
                HttpMatcher::Host(host) => Some(host),
                _ => None,
            });
        }
        let ends = |tls: Option<TcpTls>| tls == Some(TcpTls::Terminate);
        let routers = table.tcp_tls.routers().iter();
        for router in routers.filter(|router| ends(router.tls)) {
            hosts(router.rule.tree(), &mut names, |matcher| match matcher {
                TcpMatcher::HostSni(host) => Some(host),
                _ => None,
            });
        }
    }
    let wanted: HashSet<&str> = wanted
        .iter()
        .flat_map(|wanted| wanted.names.iter().map(|name| &**name))
        .collect();
    let is_wanted = |name: &str| {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        wanted.contains(name)
            || parent.is_some_and(|parent| wanted.contains(&*format!("*.{parent}")))
    };
    // Of a wildcard, the label `*` stands for any.
    names.retain(|name| store.find(name).is_none() && !is_wanted(name));
    names.into_iter().collect()
}

/// The names in a rule, but those that are addresses, which clients do not ask for.
fn hosts<M>(tree: &Tree<M>, names: &mut BTreeSet<Box<str>>, host: fn(&M) -> Option<&HostPattern>) {
    match tree {
        Tree::Is(matcher) => match host(matcher) {
            Some(HostPattern::Exact(name)) if name.parse::<std::net::IpAddr>().is_err() => {
                names.insert(name.clone());
            }
            Some(HostPattern::Wildcard(parent)) => {
                names.insert(format!("*.{parent}").into());
            }
            Some(HostPattern::Exact(_) | HostPattern::Any) | None => {}
        },
        Tree::Not(_) => {}
        Tree::All(parts) | Tree::Any(parts) => {
            parts.iter().for_each(|part| hosts(part, names, host));
        }
    }
}
