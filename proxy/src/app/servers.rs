//! All servers and how they are, for `weir server list` and the status. The control thread says how checks stand, the
//! rest is found out on the blocking pool.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::status::ServerStatus;
use super::worker::ServerCounts;
use crate::admin::{Answer, Health, ServerState, Suspected};
use crate::clock;
use crate::config::Snapshot;
use crate::health::State;
use crate::service::{Cap, LoadBalancer, Protocol, Server, ServerId, Service, ServiceKind, short};

/// Each server of the load balancers with this name, of all without one.
pub fn list(
    rules: &Snapshot,
    checked: &HashMap<ServerId, State>,
    counts: &ServerCounts,
    service: Option<&str>,
) -> Vec<Answer> {
    let wanted = |name: &str| service.is_none_or(|wanted| short(wanted) == short(name));
    let keeping = keeping(rules);
    let mut answers = Vec::new();
    for (protocol, service) in &rules.services {
        let ServiceKind::LoadBalancer(balancer) = &service.kind else {
            continue;
        };
        if wanted(&service.name) {
            let counts = (counts, &keeping);
            let state = |server| state(rules, checked, counts, (*protocol, service, server));
            let servers = balancer.servers.iter();
            answers.extend(servers.map(|server| Answer::Server(Box::new(state(&**server)))));
        }
    }
    if answers.is_empty() && service.is_some() {
        let service = service.unwrap_or_default();
        return vec![Answer::Refused(super::standings::unknown(rules, service))];
    }
    answers.extend(super::standings::done(rules));
    answers
}

fn state(
    rules: &Snapshot,
    checked: &HashMap<ServerId, State>,
    (counts, keeping): (&ServerCounts, &HashSet<ServerId>),
    (protocol, service, server): (Protocol, &Service, &Server),
) -> ServerState {
    let name = (protocol, short(&service.name).into(), server.name.clone());
    let said = rules.standings.get(&name).cloned();
    ServerState {
        protocol,
        service: service.name.to_string(),
        server: server.name.to_string(),
        weight: server.weight,
        said,
        health: checked.get(&server.id).map(|state| Health {
            up: state.is_up(),
            reason: state.reason().to_owned(),
            since: state.since(),
        }),
        suspicion: counts.suspicion(server.id).map(|suspicion| Suspected {
            reason: suspicion.cause.as_str().to_owned(),
            left: suspicion.left.as_millis() as u64,
        }),
        users: keeping
            .contains(&server.id)
            .then(|| server.users.lately(clock::unix_seconds()).unwrap_or(0)),
        users_known_in: counts.users_known_in().as_secs(),
        addresses: server.addresses.to_vec(),
        in_flight: counts.in_flight(server.id),
        waiting: server.cap.as_ref().map(Cap::waiting),
    }
}

/// The servers that a sticky cookie keeps clients at: that of their load balancer, or of a service above it.
fn keeping(rules: &Snapshot) -> HashSet<ServerId> {
    let mut servers = HashSet::new();
    let services = rules.services.iter().map(|(_, service)| service);
    for service in services.filter(|service| service.sticky.is_some()) {
        service.each_server(&mut |server| {
            servers.insert(server.id);
        });
    }
    servers
}

/// The services none of whose servers takes requests.
pub fn unserved(rules: &Snapshot, counts: &ServerCounts) -> Vec<Box<str>> {
    let idle = |server: &Arc<Server>| !counts.takes_requests(server);
    let unserved = balancers(rules).filter(|(_, balancer)| balancer.servers.iter().all(idle));
    unserved
        .map(|(service, _)| Box::from(&*service.name))
        .collect()
}

fn balancers(rules: &Snapshot) -> impl Iterator<Item = (&Arc<Service>, &LoadBalancer)> {
    rules
        .services
        .iter()
        .filter_map(|(_, service)| match &service.kind {
            ServiceKind::LoadBalancer(balancer) => Some((service, balancer)),
            ServiceKind::Weighted(_) | ServiceKind::Failover(_) => None,
        })
}

/// The servers that get nothing for a while because requests have failed there.
pub fn suspected(rules: &Snapshot, counts: &ServerCounts) -> Vec<ServerStatus> {
    let servers = balancers(rules)
        .flat_map(|(service, balancer)| balancer.servers.iter().map(move |one| (service, one)));
    let suspected = servers.filter_map(|(service, server)| {
        let suspicion = counts.suspicion(server.id)?;
        Some(ServerStatus {
            service: service.name.to_string(),
            server: server.name.to_string(),
            state: "out".to_owned(),
            reason: suspicion.cause.as_str().to_owned(),
            since: clock::unix_seconds().saturating_sub(suspicion.since.as_secs()),
        })
    });
    suspected.collect()
}
