//! Services of one protocol, children before parents.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;

use super::transports::Transport;
use super::{Context, Merged, local};
use crate::config::document::{Host, LoadBalancerDraft, Named, ServerDraft, ServiceDraft};
use crate::config::walker::Spanned;
use crate::config::{Cause, Lint, Origin, Problem};
use crate::limits::{
    PAGE_BYTES_MAX, SERVERS_MAX, SERVICE_DEPTH_MAX, SERVICE_TREE_MAX, SERVICES_MAX,
};
use crate::service::standing::Standing;
use crate::service::sticky::Sticky;
use crate::service::{
    Cap, LoadBalancer, OnFailure, Protocol, Resting, Scheme, Server, Service, ServiceKind, Target,
    WeightedService,
};

/// The compiled services of one protocol, and which were refused.
pub(super) struct Services {
    by_name: BTreeMap<Arc<str>, Outcome>,
}

enum Outcome {
    Ready {
        service: Arc<Service>,
        extent: Extent,
    },
    Refused(Origin),
}

/// How far a service reaches, itself included.
#[derive(Clone, Copy)]
struct Extent {
    /// Services inside each other.
    depth: usize,
    /// Services and servers, each as often as it is reached.
    nodes: usize,
}

/// The host names among the servers of a service.
pub(super) fn names(named: &Named<ServiceDraft>) -> impl Iterator<Item = &str> {
    let servers: &[ServerDraft] = match named.usable() {
        Some(ServiceDraft::LoadBalancer(draft)) => &draft.servers,
        Some(ServiceDraft::Weighted(..) | ServiceDraft::Failover(_)) | None => &[],
    };
    servers.iter().filter_map(|server| match &server.host {
        Host::Name(name) => Some(name.as_str()),
        Host::Address(_) => None,
    })
}

/// Compiles all services.
pub(super) fn compile(
    context: &mut Context<'_>,
    protocol: Protocol,
    drafts: &Merged<ServiceDraft>,
) -> Services {
    let mut services = Services {
        by_name: BTreeMap::new(),
    };
    for name in children_first(drafts) {
        let Some(named) = drafts.get(&name) else {
            continue;
        };
        let outcome = match services.service(context, protocol, named) {
            Some((service, extent)) => Outcome::Ready { service, extent },
            None => Outcome::Refused(named.origin.clone()),
        };
        services.by_name.insert(name, outcome);
    }
    for named in drafts
        .values()
        .filter(|named| !services.by_name.contains_key(&named.name))
    {
        let problem = Problem::error(named.origin.clone(), "services in a circle")
            .remedy("let no service lead back to itself");
        context.problems.push(
            problem
                .at(path(protocol, &named.name))
                .lost(format!("service {}", named.name)),
        );
    }
    for named in drafts.values() {
        services
            .by_name
            .entry(named.name.clone())
            .or_insert_with(|| Outcome::Refused(named.origin.clone()));
    }
    services
}

impl Services {
    /// The service that a reference means.
    pub(super) fn find(&self, reference: &Spanned<String>) -> Result<&Arc<Service>, Problem> {
        self.lookup(reference).map(|(service, _)| service)
    }

    /// Those that can be used.
    pub(super) fn all(&self, protocol: Protocol) -> impl Iterator<Item = (Protocol, Arc<Service>)> {
        self.by_name
            .values()
            .filter_map(move |outcome| match outcome {
                Outcome::Ready { service, .. } => Some((protocol, Arc::clone(service))),
                Outcome::Refused(_) => None,
            })
    }

    fn lookup(&self, reference: &Spanned<String>) -> Result<(&Arc<Service>, Extent), Problem> {
        let name = local(reference)?;
        let problem = Problem::error(reference.origin.clone(), format!("service {name:?}"));
        match self.by_name.get(name) {
            Some(Outcome::Ready { service, extent }) => Ok((service, *extent)),
            Some(Outcome::Refused(origin)) => {
                let remedy = format!("correct that service, at {origin}");
                Err(problem.remedy(remedy).because_of(Cause::Service))
            }
            None => Err(problem
                .lint(Lint::DanglingReference)
                .allowed("a service of some rule file")
                .remedy("add it, or correct the name")),
        }
    }

    fn service(
        &self,
        context: &mut Context<'_>,
        protocol: Protocol,
        named: &Named<ServiceDraft>,
    ) -> Option<(Arc<Service>, Extent)> {
        let lost = |problem: Problem| problem.lost(format!("service {}", named.name));
        let full_name: Arc<str> = format!("{}@file", named.name).into();
        let watched;
        let mut resting = Vec::new();
        let (kind, extent, sticky) = match named.usable()? {
            ServiceDraft::LoadBalancer(draft) => {
                let balancer = load_balancer(context, protocol, (named, draft), &mut resting);
                let balancer = balancer.map_err(|problem| {
                    let path = format!("{}.loadBalancer", path(protocol, &named.name));
                    context.problems.push(lost(problem.at(path)));
                });
                let balancer = balancer.ok()?;
                watched = watch(context, protocol, named, draft, &balancer);
                let nodes = 1 + balancer.servers.len();
                let names = balancer.servers.iter().map(|server| &*server.name);
                let sticky = draft.sticky.as_ref();
                let sticky = sticky.map(|cookie| Sticky::new(cookie, &full_name, names));
                (
                    ServiceKind::LoadBalancer(balancer),
                    Extent { depth: 1, nodes },
                    sticky,
                )
            }
            ServiceDraft::Weighted(children, cookie) => {
                match self.weighted(context, protocol, (named, children), &mut resting) {
                    Ok((kind, extent, names)) => {
                        watched = kind.is_watched();
                        let cookie = cookie.as_ref();
                        let names = names.into_iter();
                        let sticky = cookie.map(|cookie| Sticky::new(cookie, &full_name, names));
                        (kind, extent, sticky)
                    }
                    Err(problem) => {
                        let path = format!("{}.weighted", path(protocol, &named.name));
                        context.problems.push(lost(problem.at(path)));
                        return None;
                    }
                }
            }
            ServiceDraft::Failover(children) => match self.failover(named, children) {
                Ok((kind, extent)) => {
                    watched = kind.is_watched();
                    (kind, extent, None)
                }
                Err(problem) => {
                    let path = format!("{}.failover", path(protocol, &named.name));
                    context.problems.push(lost(problem.at(path)));
                    return None;
                }
            },
        };
        let Some(id) = context.registry.service(protocol, &named.name) else {
            let problem = Problem::error(named.origin.clone(), "one more service")
                .allowed(format!("at most {SERVICES_MAX}"));
            context
                .problems
                .push(lost(problem.at(path(protocol, &named.name))));
            return None;
        };
        Some((
            Arc::new(
                Service::new(id, full_name, kind)
                    .sticking(sticky)
                    .beside(resting)
                    .watching(watched),
            ),
            extent,
        ))
    }

    /// A weighted service without the children that have no server left, and the names of the others as written.
    fn weighted<'d>(
        &self,
        context: &mut Context<'_>,
        protocol: Protocol,
        (named, children): (&Named<ServiceDraft>, &'d [(Spanned<String>, u32)]),
        resting: &mut Vec<Resting>,
    ) -> Result<(ServiceKind, Extent, Vec<&'d str>), Problem> {
        let mut names = Vec::with_capacity(children.len());
        let mut extent = Extent { depth: 1, nodes: 1 };
        let mut entries = Vec::with_capacity(children.len());
        for (reference, weight) in children {
            let written: Arc<str> = weight.to_string().into();
            let child = reference.value.split('@').next().unwrap_or_default();
            let child: Arc<str> = child.into();
            let name = (protocol, named.name.clone(), Arc::clone(&child));
            let said = context.said(name, &written).and_then(|said| said.weight);
            let weight = said.unwrap_or(*weight);
            if weight == 0 {
                resting.push(Resting {
                    name: child,
                    written,
                });
                continue;
            }
            let (service, below) = self.lookup(reference)?;
            extent = extent.over(below);
            if service.is_empty() {
                resting.push(Resting {
                    name: child,
                    written,
                });
                continue;
            }
            entries.push(WeightedService {
                service: service.clone(),
                weight,
                written,
            });
            names.push(reference.value.as_str());
        }
        extent.check(named)?;
        Ok((ServiceKind::Weighted(entries), extent, names))
    }

    /// A failover service without the children that have no server left.
    fn failover(
        &self,
        named: &Named<ServiceDraft>,
        children: &[Spanned<String>],
    ) -> Result<(ServiceKind, Extent), Problem> {
        let mut extent = Extent { depth: 1, nodes: 1 };
        let mut services = Vec::with_capacity(children.len());
        for reference in children {
            let (service, below) = self.lookup(reference)?;
            extent = extent.over(below);
            if !service.is_empty() {
                services.push(Arc::clone(service));
            }
        }
        extent.check(named)?;
        Ok((ServiceKind::Failover(services), extent))
    }
}

impl Extent {
    /// With a child.
    fn over(self, below: Self) -> Self {
        Self {
            depth: self.depth.max(below.depth + 1),
            nodes: self.nodes + below.nodes,
        }
    }

    fn check(self, named: &Named<ServiceDraft>) -> Result<(), Problem> {
        let refuse = |found: String, limit: usize| {
            Err(Problem::error(named.origin.clone(), found).allowed(format!("at most {limit}")))
        };
        if self.depth > SERVICE_DEPTH_MAX {
            let found = format!("{} services inside each other", self.depth);
            return refuse(found, SERVICE_DEPTH_MAX);
        }
        if self.nodes > SERVICE_TREE_MAX {
            let found = format!(
                "{} services and servers below it, each as often as it is reached",
                self.nodes - 1
            );
            return refuse(found, SERVICE_TREE_MAX - 1);
        }
        Ok(())
    }
}

/// Servers whose name does not resolve take no part while another one can; alone, they answer for the service.
fn load_balancer(
    context: &mut Context<'_>,
    protocol: Protocol,
    (named, draft): (&Named<ServiceDraft>, &LoadBalancerDraft),
    resting: &mut Vec<Resting>,
) -> Result<LoadBalancer, Problem> {
    let transport = context.transports.find(
        protocol,
        &named.origin,
        draft.transport.as_ref(),
        &draft.older,
    )?;
    let mut servers = Vec::with_capacity(draft.servers.len());
    for one in &draft.servers {
        match weight(context, protocol, named, one) {
            0 => resting.push(Resting {
                name: one.name.clone(),
                written: written(one).into(),
            }),
            weight => servers.extend(server(
                context,
                (protocol, named),
                (draft, one, weight),
                &transport,
            )),
        }
    }
    if servers.iter().any(|server| server.unresolved.is_none()) {
        let unresolved = |server: &mut Arc<Server>| server.unresolved.is_some();
        let left = servers.extract_if(.., unresolved).map(|server| Resting {
            name: server.name.clone(),
            written: server.written.clone(),
        });
        resting.extend(left);
    }
    // A page is for bad times: that it is missing must not make them.
    let page = draft.page.as_ref().and_then(|path| {
        let refuse = |problem: Problem| {
            let path = path_of_page(protocol, &named.name);
            let lost = format!("unavailablePage of service {}", named.name);
            context.problems.push(problem.at(path).lost(lost));
        };
        page(path).map_err(refuse).ok()
    });
    Ok(LoadBalancer {
        servers,
        pass_host_header: draft.pass_host_header,
        on_failure: OnFailure {
            page,
            ..draft.on_failure.clone()
        },
    })
}

fn path_of_page(protocol: Protocol, service: &str) -> String {
    format!("{}.loadBalancer.unavailablePage", path(protocol, service))
}

/// The file of `unavailablePage`, as it is now.
fn page(path: &Spanned<String>) -> Result<Bytes, Problem> {
    let problem = |found: String| Problem::warning(path.origin.clone(), found);
    let mut text = Vec::new();
    let read = File::open(&path.value).and_then(|file| {
        let most = PAGE_BYTES_MAX as u64 + 1;
        file.take(most).read_to_end(&mut text)
    });
    match read {
        Err(error) => Err(problem(format!("unavailablePage {}: {error}", path.value))
            .remedy("name a file that weir can read")),
        Ok(read) if read > PAGE_BYTES_MAX => Err(problem(format!(
            "unavailablePage {}, which is larger",
            path.value
        ))
        .allowed(format!("at most {PAGE_BYTES_MAX} bytes"))),
        Ok(_) => Ok(text.into()),
    }
}

/// Hands the servers over to be checked, and says of each what administrators have said. Whether any of them may be
/// kept from requests.
fn watch(
    context: &mut Context<'_>,
    protocol: Protocol,
    named: &Named<ServiceDraft>,
    draft: &LoadBalancerDraft,
    balancer: &LoadBalancer,
) -> bool {
    let mut watched = draft.health.is_some();
    for server in &balancer.servers {
        watched |= server.backup || server.cap.is_some();
        let name = (protocol, named.name.clone(), server.name.clone());
        let said = context.said(name, &server.written);
        let standing = said.map_or(Standing::Ready, |said| said.standing);
        watched |= standing != Standing::Ready;
        standing.apply(context.registry.readiness(), server.id);
    }
    if protocol == Protocol::Tcp {
        falls(context, draft, balancer);
    }
    let Some(check) = &draft.health else {
        return watched;
    };
    let transport = context.transports.find(
        protocol,
        &named.origin,
        draft.transport.as_ref(),
        &draft.older,
    );
    for server in &balancer.servers {
        let adds = check.scheme() == Some(Scheme::Https) && server.tls.is_none();
        let written = draft.servers.iter().find(|draft| draft.name == server.name);
        let added = written.filter(|_| adds).and_then(|written| {
            let tls = transport.as_ref().ok()?.tls_to(written);
            tls.map_err(|problem| context.problems.push(problem)).ok()
        });
        let own = server
            .tls
            .clone()
            .filter(|_| check.scheme().is_none_or(|scheme| scheme == Scheme::Https));
        context.targets.push(Target {
            service: format!("{}@file", named.name).into(),
            server: Arc::clone(server),
            check: Arc::clone(check),
            tls: added.or(own),
        });
    }
    watched
}

/// What becomes of connections to the servers when they go down.
fn falls(context: &mut Context<'_>, draft: &LoadBalancerDraft, balancer: &LoadBalancer) {
    let resets = draft.health.as_ref().is_some_and(|check| check.resets);
    for server in &balancer.servers {
        match resets {
            true => {
                let fallen = context.registry.readiness().falls(server.id);
                context.falls.reset(&server.addresses, fallen);
            }
            false => context.falls.keep(&server.addresses),
        }
    }
}

/// What an administrator has said, else what the file says.
fn weight(
    context: &mut Context<'_>,
    protocol: Protocol,
    service: &Named<ServiceDraft>,
    draft: &ServerDraft,
) -> u32 {
    let name = (protocol, service.name.clone(), draft.name.clone());
    let said = context.said(name, &written(draft));
    said.and_then(|said| said.weight).unwrap_or(draft.weight)
}

fn server(
    context: &mut Context<'_>,
    (protocol, service): (Protocol, &Named<ServiceDraft>),
    (balancer, draft, weight): (&LoadBalancerDraft, &ServerDraft, u32),
    transport: &Transport,
) -> Option<Arc<Server>> {
    let at =
        |problem: Problem| problem.at(format!("{}.loadBalancer", path(protocol, &service.name)));
    let refuse = |problem: Problem| at(problem).lost(format!("server {}", draft.name));
    let tls = transport
        .tls(draft)
        .map_err(|problem| context.problems.push(refuse(problem)));
    let authorities = context.transports.authorities(transport, draft);
    context.problems.extend(authorities.map(at));
    let Some((id, lease)) = context
        .registry
        .server(protocol, &service.name, &draft.name)
    else {
        let problem = Problem::error(draft.origin.clone(), "one more server")
            .allowed(format!("at most {SERVERS_MAX}"));
        context.problems.push(refuse(problem));
        return None;
    };
    let cap = draft.max_connections.map(|most| Cap {
        most,
        queue: balancer.queue.0,
        patience: balancer.queue.1,
        gate: context.registry.gate(id),
    });
    let (ips, unresolved) = match &draft.host {
        Host::Address(address) => (vec![*address], None),
        Host::Name(name) => {
            let (answer, problem) = context.resolver.addresses(name, &draft.origin);
            context.problems.extend(problem.map(at));
            match answer {
                Ok(addresses) => (addresses, None),
                Err(reason) => (Vec::new(), Some(format!("{name}: {reason}").into())),
            }
        }
    };
    Some(Arc::new(Server {
        id,
        name: draft.name.clone(),
        scheme: draft.scheme,
        tls: tls.ok()?,
        transport: Arc::clone(transport.shared()),
        authority: draft.authority.clone(),
        base_path: draft.base_path.clone(),
        addresses: ips.into_iter().map(|ip| (ip, draft.port).into()).collect(),
        unresolved,
        weight,
        backup: draft.backup,
        cap,
        users: context.registry.users(id),
        written: written(draft).into(),
        lease,
    }))
}

/// What a change of is a change of the server.
fn written(draft: &ServerDraft) -> String {
    let ServerDraft {
        weight,
        backup,
        max_connections,
        base_path,
        tls,
        ..
    } = draft;
    format!("{weight} {backup} {max_connections:?} {base_path:?} {tls}")
}

/// The names of services, each after those it names; without those that lead in a circle (Kahn's algorithm).
fn children_first(drafts: &Merged<ServiceDraft>) -> Vec<Arc<str>> {
    let children = |named: &Named<ServiceDraft>| -> BTreeSet<Arc<str>> {
        let references: Vec<&Spanned<String>> = match named.usable() {
            Some(ServiceDraft::Weighted(children, _)) => {
                children.iter().map(|(reference, _)| reference).collect()
            }
            Some(ServiceDraft::Failover(children)) => children.iter().collect(),
            Some(ServiceDraft::LoadBalancer(_)) | None => Vec::new(),
        };
        let names = references
            .into_iter()
            .filter_map(|reference| local(reference).ok());
        names
            .filter_map(|name| drafts.get_key_value(name))
            .map(|(name, _)| name.clone())
            .collect()
    };
    let mut waiting_for: HashMap<&Arc<str>, usize> = HashMap::new();
    let mut parents: HashMap<Arc<str>, Vec<&Arc<str>>> = HashMap::new();
    let mut order = Vec::with_capacity(drafts.len());
    for (name, named) in drafts {
        let children = children(named);
        if children.is_empty() {
            order.push(name.clone());
        }
        waiting_for.insert(name, children.len());
        children
            .into_iter()
            .for_each(|child| parents.entry(child).or_default().push(name));
    }
    let mut done = 0;
    while let Some(name) = order.get(done).cloned() {
        done += 1;
        for parent in parents.remove(&name).unwrap_or_default() {
            let waiting = waiting_for.entry(parent).or_default();
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                order.push(parent.clone());
            }
        }
    }
    order
}

fn path(protocol: Protocol, name: &str) -> String {
    match protocol {
        Protocol::Http => format!("http.services.{name}"),
        Protocol::Tcp => format!("tcp.services.{name}"),
    }
}
