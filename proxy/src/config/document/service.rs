//! `http.services` and `tcp.services`.

use std::collections::HashSet;
use std::sync::Arc;

use super::server::{self, ServerDraft};
use super::{LoadBalancerDraft, OlderTcp, ServiceDraft, balancing, health_check, keys};
use crate::config::walker::{Cost, Fields, Keys, Place, Spanned, Walker};
use crate::config::{Problem, servers_transport};
use crate::limits::{LOAD_BALANCER_SERVERS_MAX, SERVER_CONNECTIONS_MAX, SERVICE_WEIGHT_MAX};
use crate::service::HealthCheck;

/// A service of `http.services`.
pub(super) fn http(walker: &mut Walker, place: &Place<'_>) -> Option<ServiceDraft> {
    let fields = walker.fields(place, &keys::HTTP_SERVICE)?;
    service(
        walker,
        &fields,
        (&keys::HTTP_LOAD_BALANCER, health_check::http),
        |walker, place| {
            let fields = walker.fields(place, &keys::HTTP_SERVER)?;
            let url = fields.required(walker, "url");
            let weight = weight(walker, &fields);
            let preserve = fields.get("preservePath");
            let preserve = preserve.and_then(|place| walker.boolean(&place));
            let server = server::http(walker, &url?, weight, preserve.unwrap_or(false));
            with_own(walker, &fields, server?)
        },
    )
}

/// A service of `tcp.services`.
pub(super) fn tcp(walker: &mut Walker, place: &Place<'_>) -> Option<ServiceDraft> {
    let fields = walker.fields(place, &keys::TCP_SERVICE)?;
    let draft = service(
        walker,
        &fields,
        (&keys::TCP_LOAD_BALANCER, health_check::tcp),
        |walker, place| {
            let fields = walker.fields(place, &keys::TCP_SERVER)?;
            let address = fields.required(walker, "address");
            let weight = weight(walker, &fields);
            let tls = fields.get("tls");
            let tls = tls.and_then(|place| walker.boolean(&place));
            let server = server::tcp(walker, &address?, weight, tls.unwrap_or(false));
            with_own(walker, &fields, server?)
        },
    );
    if let Some(ServiceDraft::Weighted(_, Some(_))) = draft {
        let place = fields.place();
        let problem = Problem::error(place.origin().clone(), "sticky on a tcp service")
            .remedy("remove it: connections have no cookies");
        walker.report(Cost::Element, place, problem);
    }
    draft
}

/// What a protocol's load balancers have of their own: keys, and how their `healthCheck` is read.
type Own<'k> = (
    &'k Keys,
    fn(&mut Walker, &Fields<'_>) -> Option<HealthCheck>,
);

fn service(
    walker: &mut Walker,
    fields: &Fields<'_>,
    own: Own<'_>,
    server: fn(&mut Walker, &Place<'_>) -> Option<ServerDraft>,
) -> Option<ServiceDraft> {
    let kinds = ["loadBalancer", "weighted", "failover"];
    match kinds.map(|kind| fields.get(kind)) {
        [Some(place), None, None] => load_balancer(walker, &place, own, server),
        [None, Some(place), None] => weighted(walker, &place),
        [None, None, Some(place)] => failover(walker, &place),
        found => {
            let found: Vec<&str> = kinds
                .into_iter()
                .zip(found)
                .filter_map(|(kind, found)| found.and(Some(kind)))
                .collect();
            let found = match found.is_empty() {
                true => "none of loadBalancer, weighted and failover".to_owned(),
                false => found.join(" and "),
            };
            let place = fields.place();
            // A kind that weir has not yet has been reported already.
            if !fields.refused() {
                let problem = Problem::error(place.origin().clone(), found)
                    .allowed("one of loadBalancer, weighted and failover");
                walker.report(Cost::Source, place, problem);
            }
            None
        }
    }
}

fn load_balancer(
    walker: &mut Walker,
    place: &Place<'_>,
    own: Own<'_>,
    server: fn(&mut Walker, &Place<'_>) -> Option<ServerDraft>,
) -> Option<ServiceDraft> {
    let (keys, health_check) = own;
    let fields = walker.fields(place, keys)?;
    let list = fields.required(walker, "servers")?;
    let items = walker.items(&list);
    if items.is_empty() {
        walker.wrong(&list, "a list of at least one server");
    }
    if items.len() > LOAD_BALANCER_SERVERS_MAX {
        let problem = Problem::error(list.origin().clone(), format!("{} servers", items.len()))
            .allowed(format!("at most {LOAD_BALANCER_SERVERS_MAX}"));
        walker.report(Cost::Element, &list, problem);
        return None;
    }
    let mut servers: Vec<ServerDraft> = Vec::new();
    let mut names = HashSet::with_capacity(items.len());
    for item in &items {
        let Some(draft) = walker.part("the server", |walker| server(walker, item)) else {
            continue;
        };
        if names.contains(&draft.name) {
            let problem = Problem::warning(
                draft.origin.clone(),
                format!("the server {} again", draft.name),
            )
            .remedy("write it once, with the sum of the weights");
            walker.report(Cost::Element, item, problem);
        } else {
            names.insert(draft.name.clone());
            servers.push(draft);
        }
    }
    let pass_host_header = fields
        .get("passHostHeader")
        .and_then(|place| walker.boolean(&place))
        .unwrap_or(true);
    balancing::idle(walker, &fields);
    let transport = fields.get("serversTransport");
    let transport = transport.and_then(|place| Some(place.spanned(walker.string(&place)?)));
    Some(ServiceDraft::LoadBalancer(Box::new(LoadBalancerDraft {
        servers,
        pass_host_header,
        older: older(walker, &fields, transport.is_some())?,
        transport,
        sticky: balancing::sticky(walker, &fields),
        health: health_check(walker, &fields).map(Arc::new),
        queue: balancing::queue(walker, &fields),
        on_failure: balancing::on_failure(walker, &fields),
        page: fields
            .get("unavailablePage")
            .and_then(|place| Some(place.spanned(walker.string(&place)?))),
    })))
}

/// What a `serversTransport` says since there are such for TCP. Beside one Traefik ignores it.
fn older(walker: &mut Walker, fields: &Fields<'_>, transport: bool) -> Option<OlderTcp> {
    let mut older = OlderTcp::default();
    if let Some(place) = fields.get("proxyProtocol") {
        not_beside(walker, &place, transport);
        older.proxy_protocol = Some(servers_transport::proxy_protocol(walker, &place)?);
    }
    if let Some(place) = fields.get("terminationDelay") {
        not_beside(walker, &place, transport);
        older.termination_delay = Some(servers_transport::termination_delay(walker, &place)?);
    }
    Some(older)
}

fn not_beside(walker: &mut Walker, place: &Place<'_>, transport: bool) {
    if transport {
        let problem = Problem::error(place.origin().clone(), "this key beside serversTransport")
            .remedy("write it in that serversTransport");
        walker.report(Cost::Element, place, problem);
    }
}

fn weighted(walker: &mut Walker, place: &Place<'_>) -> Option<ServiceDraft> {
    let fields = walker.fields(place, &keys::WEIGHTED)?;
    let list = fields.required(walker, "services")?;
    let items = walker.items(&list);
    if items.is_empty() {
        walker.wrong(&list, "a list of at least one service");
    }
    let services = items
        .iter()
        .filter_map(|item| weighted_service(walker, item))
        .collect();
    balancing::idle_health(walker, &fields);
    Some(ServiceDraft::Weighted(
        services,
        balancing::sticky(walker, &fields),
    ))
}

fn failover(walker: &mut Walker, place: &Place<'_>) -> Option<ServiceDraft> {
    let fields = walker.fields(place, &keys::FAILOVER)?;
    let service = named(walker, &fields, "service");
    let fallback = named(walker, &fields, "fallback");
    balancing::idle_health(walker, &fields);
    Some(ServiceDraft::Failover([service?, fallback?]))
}

/// The name of a service.
fn named(walker: &mut Walker, fields: &Fields<'_>, key: &'static str) -> Option<Spanned<String>> {
    let place = fields.required(walker, key)?;
    Some(place.spanned(walker.string(&place)?))
}

fn weighted_service(walker: &mut Walker, place: &Place<'_>) -> Option<(Spanned<String>, u32)> {
    let fields = walker.fields(place, &keys::WEIGHTED_SERVICE)?;
    let name = named(walker, &fields, "name")?;
    Some((name, weight(walker, &fields)))
}

/// What weir has of its own in a server.
fn with_own(walker: &mut Walker, fields: &Fields<'_>, server: ServerDraft) -> Option<ServerDraft> {
    let backup = fields.get("backup");
    let backup = backup.and_then(|place| walker.boolean(&place));
    let most = 1..=i64::from(SERVER_CONNECTIONS_MAX);
    let most = fields.integer(walker, "maxConnections", most);
    Some(ServerDraft {
        backup: backup.unwrap_or(false),
        max_connections: most.and_then(|most| u32::try_from(most).ok()),
        ..server
    })
}

/// `weight`, 1 where there is none.
fn weight(walker: &mut Walker, fields: &Fields<'_>) -> u32 {
    let place = fields.get("weight");
    let weight = place.and_then(|place| walker.integer(&place, 0..=i64::from(SERVICE_WEIGHT_MAX)));
    weight
        .and_then(|weight| u32::try_from(weight).ok())
        .unwrap_or(1)
}
