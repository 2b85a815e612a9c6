//! Which TLS options a server name has: Traefik's rules (`buildEntryPointHandler` in its
//! `pkg/server/router/tcp/manager.go`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Router;
use crate::rule::host::HostPattern;
use crate::rule::{HttpMatcher, Tree};
use crate::tls::options::ClientAuth;
use crate::tls::{Options, Terms};

/// What is agreed on with clients of HTTPS on one entry point, by the server they name: the `Host` matchers of the
/// routers say which options a name has. Immutable.
#[derive(Debug, Default)]
pub struct TermsTable {
    exact: HashMap<Box<str>, Option<Arc<Terms>>>,
    /// `*.example.org` as `example.org`.
    wildcard: HashMap<Box<str>, Option<Arc<Terms>>>,
    /// Of all other names, and where none is given.
    other: Option<Arc<Terms>>,
    /// What clients must have proved to be served by a router, whatever chose the options of their connection; by the
    /// router's name, and only of those that ask for a certificate.
    demands: HashMap<Arc<str>, Arc<Options>>,
}

/// Routers that want different options for one name.
#[derive(Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The name, as in a rule.
    pub host: String,
    /// The routers.
    pub routers: BTreeSet<Arc<str>>,
}

/// What a connection of HTTPS began with.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// Its options.
    pub options: Arc<Options>,
    /// The server that the client named, lower case; empty if none.
    pub server_name: Box<str>,
}

/// What routers want for a host.
struct Claim {
    /// `None` where a router's options have an error: nobody knows what they would have asked for.
    terms: Option<Arc<Terms>>,
    differs: bool,
    routers: BTreeSet<Arc<str>>,
}

impl TermsTable {
    /// For these routers and their terms; they, or `default`, are `None` where the options have an error: who would get
    /// those is refused. Of a host for which routers want different ones, clients get the default ones.
    pub fn new<'r>(
        routers: impl IntoIterator<Item = (&'r Arc<Router>, Option<&'r Arc<Terms>>)> + Clone,
        default: Option<&Arc<Terms>>,
    ) -> (Self, Vec<Conflict>) {
        let is_default = |terms: &Arc<Terms>| default.is_some_and(|one| Arc::ptr_eq(one, terms));
        let mut table = Self {
            other: default.cloned(),
            ..Self::default()
        };
        if routers
            .clone()
            .into_iter()
            .all(|(_, terms)| terms.is_some_and(is_default))
        {
            return (table, Vec::new());
        }
        table.demands = demands(routers.clone());
        let mut claims: HashMap<&HostPattern, Claim> = HashMap::new();
        for (router, terms) in routers {
            hosts(router.rule.tree(), &mut |host| {
                let claim = claims.entry(host).or_insert_with(|| Claim {
                    terms: terms.cloned(),
                    differs: false,
                    routers: BTreeSet::new(),
                });
                match (&claim.terms, terms) {
                    (Some(claimed), Some(terms)) => claim.differs |= !Arc::ptr_eq(claimed, terms),
                    _ => claim.terms = None,
                }
                claim.routers.insert(Arc::clone(&router.name));
            });
        }
        let mut conflicts = Vec::new();
        for (host, claim) in claims {
            let differs = claim.differs && claim.terms.is_some();
            let terms = match differs {
                true => default.cloned(),
                false => claim.terms,
            };
            if differs {
                // As in Traefik: the default options are what is asked for then, and the administrator is told.
                claim
                    .routers
                    .iter()
                    .for_each(|router| drop(table.demands.remove(router)));
                let (host, routers) = (host.to_string(), claim.routers);
                conflicts.push(Conflict { host, routers });
            }
            match host {
                HostPattern::Exact(name) => drop(table.exact.insert(name.clone(), terms)),
                HostPattern::Wildcard(parent) => {
                    drop(table.wildcard.insert(parent.clone(), terms));
                }
                HostPattern::Any => table.other = terms,
            }
        }
        conflicts.sort_by(|a, b| a.host.cmp(&b.host));
        (table, conflicts)
    }

    /// Those for a server name (lower case, without a dot at its end; empty if none was given): an exact one before a
    /// wildcard. `None`: the connection is to be refused.
    pub fn find(&self, server_name: &str) -> Option<&Arc<Terms>> {
        let parent = || server_name.split_once('.').map(|(_, parent)| parent);
        let named = self.exact.get(server_name);
        let named = named.or_else(|| self.wildcard.get(parent()?));
        named.unwrap_or(&self.other).as_ref()
    }

    /// Whether the server name makes a difference.
    pub fn looks_at_names(&self) -> bool {
        let strict = |terms: &Arc<Terms>| terms.options().sni_strict;
        !self.exact.is_empty()
            || !self.wildcard.is_empty()
            || self.other.as_ref().is_some_and(strict)
    }

    /// Whether a request for this host (as [`Self::find`] takes it) must not be served on a connection: the client
    /// named a server with other options when it connected (domain fronting), or it has not proved what the host's
    /// options ask for since they changed.
    pub fn misdirects(&self, agreed: &Agreed, host: &str) -> bool {
        let Some(wanted) = self.find(host) else {
            return true;
        };
        if Arc::ptr_eq(wanted.options(), &agreed.options) {
            return false;
        }
        if !wanted.options().asks_the_same(&agreed.options) {
            return true;
        }
        *host != *agreed.server_name
            && self
                .find(&agreed.server_name)
                .is_none_or(|terms| terms.options() != wanted.options())
    }

    /// Whether a router asks for a proof that this connection did not: it was chosen by something else than the host
    /// that has its options, one of another router or none at all.
    pub fn owes(&self, agreed: &Agreed, router: &Router) -> bool {
        let demand = self.demands.get(&router.name);
        demand.is_some_and(|options| !options.asks_the_same(&agreed.options))
    }
}

fn demands<'r>(
    routers: impl IntoIterator<Item = (&'r Arc<Router>, Option<&'r Arc<Terms>>)>,
) -> HashMap<Arc<str>, Arc<Options>> {
    let asking = routers.into_iter().filter_map(|(router, terms)| {
        let options = terms?.options();
        let asks = options.client_auth != ClientAuth::NoClientCert;
        asks.then(|| (Arc::clone(&router.name), Arc::clone(options)))
    });
    asking.collect()
}

/// Whether a rule says for which hosts its router's options are.
pub fn names_a_host(tree: &Tree<HttpMatcher>) -> bool {
    let mut found = false;
    hosts(tree, &mut |_| found = true);
    found
}

/// The hosts in a rule, wherever they are and negated ones too, as Traefik takes them for options.
fn hosts<'t>(tree: &'t Tree<HttpMatcher>, add: &mut impl FnMut(&'t HostPattern)) {
    match tree {
        Tree::Is(HttpMatcher::Host(host)) | Tree::Not(HttpMatcher::Host(host)) => add(host),
        Tree::Is(_) | Tree::Not(_) => {}
        Tree::All(parts) | Tree::Any(parts) => parts.iter().for_each(|part| hosts(part, add)),
    }
}
