//! Compiled routers in precedence order, and which of them answers.
//!
//! Owns: the tables a worker asks ([`RouterTable`], [`TcpTable`], [`HttpsNames`], [`TermsTable`]; the steered one is in
//! `steered`).
//! Never: YAML, or a look at anything outside [`RequestView`] and [`crate::rule::ConnectionView`]. Precedence: higher
//! priority first, ties by name.

mod index;
pub mod steered;
mod tcp;
mod terms;

use std::cmp::Reverse;
use std::sync::Arc;

use self::index::HostIndex;
use crate::middleware::Chain;
use crate::rule::{HttpRule, RequestView};
use crate::service::Service;

pub use self::tcp::{Certainty, HttpsNames, TcpRouter, TcpTable, TcpTls};
pub use self::terms::{Agreed, Conflict, TermsTable, names_a_host};

/// An HTTP router.
#[derive(Debug)]
pub struct Router {
    /// `name@file`.
    pub name: Arc<str>,
    /// `priority`, or the length of the rule in bytes.
    pub priority: i64,
    /// What it answers to.
    pub rule: HttpRule,
    /// Where it sends to. `None` where the router has an error: it answers 404 itself, because the router that is next
    /// in precedence may give away what this one protects.
    pub service: Option<Arc<Service>>,
    /// What its requests pass before the service, those of the entry point first. None where it has an error.
    pub middlewares: Chain,
}

/// The HTTP routers of one entry point, for plain or for TLS connections.
#[derive(Debug, Default)]
pub struct RouterTable {
    routers: Vec<Arc<Router>>,
    index: HostIndex,
}

impl RouterTable {
    /// Sorts the routers by precedence.
    pub fn new(mut routers: Vec<Arc<Router>>) -> Self {
        routers.sort_by(|a, b| (Reverse(a.priority), &a.name).cmp(&(Reverse(b.priority), &b.name)));
        let index = HostIndex::new(routers.iter().map(|router| &router.rule));
        Self { routers, index }
    }

    /// The router that answers this request.
    pub fn find(&self, request: &RequestView<'_>) -> Option<&Arc<Router>> {
        let candidates = self.index.candidates(request);
        let mut routers = candidates.filter_map(|rank| self.routers.get(rank as usize));
        routers.find(|router| router.rule.holds(|matcher| matcher.matches(request)))
    }

    /// All routers, in precedence order.
    pub fn routers(&self) -> &[Arc<Router>] {
        &self.routers
    }

    /// How many routers serve.
    pub fn serving(&self) -> usize {
        let serving = |router: &&Arc<Router>| router.service.is_some();
        self.routers.iter().filter(serving).count()
    }

    /// Whether there is no router at all.
    pub fn is_empty(&self) -> bool {
        self.routers.is_empty()
    }
}

#[cfg(test)]
mod tests;
