//! Steered routers: what only the static file and the other files can refuse, and their pools.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::Context;
use super::routers::{full_name, tcp_priority};
use crate::config::document::{Named, RouterDraft};
use crate::config::{Origin, Problem, StaticConfig};
use crate::limits::STEERED_PREFIXES_TOTAL_MAX;
use crate::router::steered::{SourceExpr, SteeredRule, SteeredTable};
use crate::rule::{TcpMatcher, Tree};
use crate::service::pool::{Pool, PoolTree};
use crate::service::{
    LoadBalancer, Rank, Readiness, Server, Service, ServiceId, ServiceKind, WeightedService,
};

/// A steered rule and where its router is.
#[derive(Clone)]
pub(super) struct Steered {
    rule: SteeredRule,
    origin: Origin,
}

/// What steered routers share: one pool for each service, and the room in the XDP program's tables.
#[derive(Default)]
pub(super) struct Shared {
    pools: HashMap<ServiceId, Arc<Pool>>,
    /// Over all entry points.
    prefixes: usize,
    warned: bool,
}

impl Shared {
    /// The pool of a service, which has one for all routers.
    pub(super) fn pool(
        &mut self,
        readiness: &Readiness,
        origin: &Origin,
        service: &Service,
    ) -> Result<Arc<Pool>, Problem> {
        if let Some(server) = beyond_nic(service) {
            let found = format!(
                "steer with the server {server}, which has TLS, the PROXY protocol or maxConnections"
            );
            return Err(Problem::error(origin.clone(), found)
                .remedy("name a service whose servers take bare connections"));
        }
        if let Some(pool) = self.pools.get(&service.id) {
            return Ok(pool.clone());
        }
        let pool =
            Pool::new(service.name.clone(), &pool_tree(service, readiness)).map_err(|error| {
                Problem::error(origin.clone(), error.to_string()).remedy("use fewer servers")
            })?;
        let pool = Arc::new(pool.of(service));
        self.pools.insert(service.id, pool.clone());
        Ok(pool)
    }

    /// Says once what steering takes from servers.
    pub(super) fn warn(&mut self, context: &mut Context<'_>, origin: &Origin, router: &str) {
        if !std::mem::replace(&mut self.warned, true) {
            let path = format!("tcp.routers.{router}.steer");
            context.problems.push(hides_clients(origin).at(path));
        }
    }

    /// Takes the room of a rule on so many entry points.
    pub(super) fn take_room(
        &mut self,
        steered: &Steered,
        entry_points: usize,
    ) -> Result<(), Problem> {
        let more = steered.rule.expr.prefixes() * entry_points;
        if self.prefixes + more <= STEERED_PREFIXES_TOTAL_MAX {
            self.prefixes += more;
            return Ok(());
        }
        let found = format!(
            "{more} more prefixes in steered rules, counted for each entry point, after {}",
            self.prefixes
        );
        Err(Problem::error(steered.origin.clone(), found)
            .allowed(format!("at most {STEERED_PREFIXES_TOTAL_MAX} in all"))
            .remedy("write wider prefixes, or name fewer entryPoints"))
    }
}

/// The rule of a router with `steer: true` (written at `origin`). Without a pool it refuses what it catches: the XDP
/// program passes that up, and no worker has a server for it.
pub(super) fn rule(
    named: &Named<RouterDraft<TcpMatcher>>,
    draft: &RouterDraft<TcpMatcher>,
    origin: &Origin,
    expr: SourceExpr,
    pool: Option<Arc<Pool>>,
) -> Steered {
    let nobody = || {
        let pool = Pool::new("nobody".into(), &PoolTree::Servers(Vec::new()));
        Arc::new(pool.expect("a pool without servers is not too large"))
    };
    let rule = SteeredRule {
        router: full_name(named),
        priority: draft.priority.unwrap_or_else(|| tcp_priority(draft)),
        expr,
        pool: pool.unwrap_or_else(nobody),
    };
    Steered {
        rule,
        origin: origin.clone(),
    }
}

/// The table of one entry point.
pub(super) fn table(
    context: &mut Context<'_>,
    entry_point: &str,
    mut steered: Vec<Steered>,
) -> Arc<SteeredTable> {
    steered
        .sort_by_cached_key(|Steered { rule, .. }| (Reverse(rule.priority), rule.router.clone()));
    let Some(first) = steered.first().map(|first| first.origin.clone()) else {
        return Arc::default();
    };
    let table = SteeredTable::compile(steered.into_iter().map(|steered| steered.rule).collect());
    table.map(Arc::new).unwrap_or_else(|error| {
        let problem = Problem::error(first, error.to_string()).remedy("write wider prefixes");
        context
            .problems
            .push(problem.lost(format!("steered routers of entry point {entry_point}")));
        Arc::default()
    })
}

/// The entry points that may be steered, and an error where there are others: a steered rule must not be able to lock
/// the administrator out, not even by refusing.
pub(super) fn unprotected(
    config: &StaticConfig,
    origin: &Origin,
    indices: Vec<usize>,
) -> (Vec<usize>, Option<Problem>) {
    let protected = |index: &usize| {
        let port = config.entry_points[*index].address.port();
        config.steering.protected_ports.contains(&port)
    };
    let (protected, free): (Vec<_>, Vec<_>) = indices.into_iter().partition(protected);
    let problem = protected.first().map(|index| {
        let entry_point = &config.entry_points[*index];
        let found = format!(
            "steer on entry point {}, whose port {} is protected",
            entry_point.name,
            entry_point.address.port()
        );
        Problem::error(origin.clone(), found).remedy("name other entryPoints")
    });
    (free, problem)
}

fn hides_clients(origin: &Origin) -> Problem {
    Problem::warning(origin.clone(), "steer: true").remedy(
        "know that NAT hides the client's address: the servers see one of steering.snat.addresses",
    )
}

pub(super) fn looks_further(origin: &Origin) -> Problem {
    Problem::error(
        origin.clone(),
        "steer: true beside a rule that looks at more than the address",
    )
    .allowed("ClientIP, HostSNI(`*`)")
    .remedy("a steered router sees nothing but the packet's source address")
}

/// The rule as the packet's source address sees it; `None` where it looks at anything else.
pub(super) fn source(tree: &Tree<TcpMatcher>) -> Option<SourceExpr> {
    let leaf = |matcher: &TcpMatcher| match matcher {
        TcpMatcher::AnyHost => Some(SourceExpr::Any),
        TcpMatcher::ClientIp(net) => Some(SourceExpr::Prefix(*net)),
        TcpMatcher::HostSni(_) | TcpMatcher::HostSniRegexp(_) | TcpMatcher::Alpn(_) => None,
    };
    Some(match tree {
        Tree::Is(matcher) => leaf(matcher)?,
        Tree::Not(matcher) => SourceExpr::Not(Box::new(leaf(matcher)?)),
        Tree::All(parts) => SourceExpr::And(parts.iter().map(source).collect::<Option<_>>()?),
        Tree::Any(parts) => SourceExpr::Or(parts.iter().map(source).collect::<Option<_>>()?),
    })
}

/// A server of which the NIC could not do what is asked: both planes must be able to do the same.
fn beyond_nic(service: &Service) -> Option<&str> {
    match &service.kind {
        ServiceKind::LoadBalancer(balancer) => {
            let beyond = |server: &&Arc<Server>| {
                server.tls.is_some()
                    || server.cap.is_some()
                    || server.transport.tcp.proxy_protocol.is_some()
            };
            balancer
                .servers
                .iter()
                .find(beyond)
                .map(|server| &*server.name)
        }
        ServiceKind::Weighted(services) => {
            services.iter().find_map(|entry| beyond_nic(&entry.service))
        }
        ServiceKind::Failover(services) => services.iter().find_map(|service| beyond_nic(service)),
    }
}

/// Servers that are down, drained or out have no part while another one is better, as when workers pick.
fn pool_tree(service: &Service, readiness: &Readiness) -> PoolTree {
    let best = readiness.best(service);
    let takes = |rank: Rank| !service.is_watched() || (rank == best && rank < Rank::Out);
    // Backups serve where nothing else does.
    let best_server = |balancer: &LoadBalancer| {
        let ranks = balancer.servers.iter().map(|server| readiness.rank(server));
        ranks.min().unwrap_or(Rank::Out)
    };
    match &service.kind {
        ServiceKind::LoadBalancer(balancer) => {
            let best = best_server(balancer);
            let takes = |rank: Rank| !service.is_watched() || (rank == best && rank < Rank::Out);
            let servers = balancer.servers.iter();
            let servers = servers.filter(|server| takes(readiness.rank(server)));
            let server = |server: &Arc<Server>| Some((server.steered_address()?, server.weight));
            PoolTree::Servers(servers.filter_map(server).collect())
        }
        ServiceKind::Weighted(services) => {
            let services = services.iter();
            let services = services.filter(|entry| takes(readiness.best(&entry.service)));
            let entry =
                |entry: &WeightedService| (pool_tree(&entry.service, readiness), entry.weight);
            PoolTree::Weighted(services.map(entry).collect())
        }
        ServiceKind::Failover(services) => {
            let first = services
                .iter()
                .find(|service| takes(readiness.best(service)));
            first.map_or(PoolTree::Servers(Vec::new()), |service| {
                pool_tree(service, readiness)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn so_many_prefixes_are_steered_in_all_and_no_more() {
        let steered = Steered {
            rule: SteeredRule {
                router: "r".into(),
                priority: 0,
                expr: SourceExpr::Prefix("192.0.2.0/24".parse().unwrap()),
                pool: Arc::new(Pool::new("p".into(), &PoolTree::Servers(Vec::new())).unwrap()),
            },
            origin: Origin::file(Path::new("a.yml")),
        };
        let mut shared = Shared::default();
        let more = STEERED_PREFIXES_TOTAL_MAX + 1;
        assert!(shared.take_room(&steered, more).is_err(), "and takes none");
        for number in 0..=STEERED_PREFIXES_TOTAL_MAX {
            let taken = shared.take_room(&steered, 1).is_ok();
            assert_eq!(taken, number < STEERED_PREFIXES_TOTAL_MAX, "{number}");
        }
    }
}
