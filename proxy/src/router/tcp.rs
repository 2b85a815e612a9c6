//! TCP routers, and which TLS connections HTTPS has a claim to.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use super::Router;
use crate::rule::host::HostPattern;
use crate::rule::{ConnectionView, HttpMatcher, TcpRule, Tree};
use crate::service::Service;

/// A TCP router that is not steered.
#[derive(Debug)]
pub struct TcpRouter {
    /// `name@file`.
    pub name: Arc<str>,
    /// `priority`, or the length of the rule in bytes; -1 for a lone ``HostSNI(`*`)``.
    pub priority: i64,
    /// What it answers to.
    pub rule: TcpRule,
    /// Where it sends to. `None` where the router has an error: it closes what it matches, because the router that is
    /// next in precedence may give away what this one protects.
    pub service: Option<Arc<Service>>,
    /// What becomes of TLS; `None` on a router for plain connections.
    pub tls: Option<TcpTls>,
}

/// `tls` of a TCP router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpTls {
    /// It goes to the server untouched.
    Passthrough,
    /// It ends here; the server gets what was inside.
    Terminate,
}

/// Unsteered TCP routers of one entry point, for plain or for TLS connections.
#[derive(Debug, Default)]
pub struct TcpTable {
    routers: Vec<Arc<TcpRouter>>,
}

impl TcpTable {
    /// Sorts the routers by precedence.
    pub fn new(mut routers: Vec<Arc<TcpRouter>>) -> Self {
        routers.sort_by(|a, b| (Reverse(a.priority), &a.name).cmp(&(Reverse(b.priority), &b.name)));
        Self { routers }
    }

    /// The router that takes a connection.
    pub fn find(&self, connection: &ConnectionView<'_>) -> Option<&Arc<TcpRouter>> {
        let takes =
            |router: &&Arc<TcpRouter>| router.rule.holds(|matcher| matcher.matches(connection));
        self.routers.iter().find(takes)
    }

    /// All routers, in precedence order.
    pub fn routers(&self) -> &[Arc<TcpRouter>] {
        &self.routers
    }

    /// How many routers serve.
    pub fn serving(&self) -> usize {
        let serving = |router: &&Arc<TcpRouter>| router.service.is_some();
        self.routers.iter().filter(serving).count()
    }

    /// Whether there is no router at all.
    pub fn is_empty(&self) -> bool {
        self.routers.is_empty()
    }
}

/// The server names under which HTTPS is served on an entry point: those in `Host` matchers of its routers with `tls`,
/// wherever in their rules.
#[derive(Debug, Default)]
pub struct HttpsNames {
    exact: HashSet<Box<str>>,
    /// `*.example.org` as `example.org`.
    wildcard: HashSet<Box<str>>,
    /// A router has no `Host`, or ``Host(`*`)``.
    any: bool,
}

/// How sure it is that a TLS connection is for HTTPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// A router names the server.
    Named,
    /// A router takes any server.
    Possible,
    /// No router would take it.
    No,
}

impl HttpsNames {
    /// The names of these routers.
    pub fn new<'r>(routers: impl IntoIterator<Item = &'r Arc<Router>>) -> Self {
        let mut names = Self::default();
        for router in routers {
            if !names.add(router.rule.tree()) {
                names.any = true;
            }
        }
        names
    }

    /// What is to be expected of a client that asks for `server_name` (lower case; empty if it asks for none).
    pub fn find(&self, server_name: &str) -> Certainty {
        let parent = server_name.split_once('.').map(|(_, parent)| parent);
        let named = self.exact.contains(server_name)
            || parent.is_some_and(|parent| self.wildcard.contains(parent));
        match named {
            true => Certainty::Named,
            false if self.any => Certainty::Possible,
            false => Certainty::No,
        }
    }

    /// Adds the hosts in a rule; whether there are any.
    fn add(&mut self, tree: &Tree<HttpMatcher>) -> bool {
        match tree {
            Tree::Is(HttpMatcher::Host(pattern)) | Tree::Not(HttpMatcher::Host(pattern)) => {
                match pattern {
                    HostPattern::Any => self.any = true,
                    HostPattern::Exact(name) => drop(self.exact.insert(name.clone())),
                    HostPattern::Wildcard(parent) => drop(self.wildcard.insert(parent.clone())),
                }
                true
            }
            Tree::Is(_) | Tree::Not(_) => false,
            Tree::All(parts) | Tree::Any(parts) => {
                parts.iter().fold(false, |any, part| self.add(part) | any)
            }
        }
    }
}

#[cfg(test)]
mod tests;
