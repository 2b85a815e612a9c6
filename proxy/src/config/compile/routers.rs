//! Routers onto their entry points.

use std::sync::Arc;

use super::services::Services;
use super::{Context, Merged, steered};
use crate::config::document::{Named, RouterDraft};
use crate::config::{EntryPointTable, Lint, Problem, StaticConfig};
use crate::router::{HttpsNames, Router, RouterTable, TcpRouter, TcpTable, TcpTls};
use crate::rule::{HttpMatcher, TcpMatcher};

mod certificates;
mod http;

pub(super) use self::http::Parts;

/// The routers of one entry point, not yet in order.
#[derive(Default)]
struct Routers {
    steered: Vec<steered::Steered>,
    tcp: Vec<Arc<TcpRouter>>,
    tcp_tls: Vec<Arc<TcpRouter>>,
    http: Vec<Arc<Router>>,
    https: Vec<Arc<Router>>,
}

impl Routers {
    fn add(&mut self, tls: bool, router: Arc<Router>) {
        if tls {
            self.https.push(router);
        } else {
            self.http.push(router);
        }
    }
}

/// Compiles all routers to one table for each entry point.
pub(super) fn compile(
    context: &mut Context<'_>,
    http_routers: &Merged<RouterDraft<HttpMatcher>>,
    http: &Parts,
    tcp_routers: &Merged<RouterDraft<TcpMatcher>>,
    tcp_services: &Services,
) -> Vec<EntryPointTable> {
    let config = context.config;
    let mut routers: Vec<Routers> = config
        .entry_points
        .iter()
        .map(|_| Routers::default())
        .collect();
    each(context, "http", http_routers, |context, named, draft| {
        http::router(context, &mut routers, http, named, draft)
    });
    http::redirections(context, &mut routers, http);
    certificates::wanted(context, http_routers);
    let mut shared = steered::Shared::default();
    each(context, "tcp", tcp_routers, |context, named, draft| {
        if named.refused {
            return Ok(());
        }
        let (indices, service) = (
            entry_points(config, named, draft)?,
            tcp_services.find(&draft.service)?,
        );
        if let Some(origin) = &draft.steer {
            steered::refuse_protected(config, origin, &indices)?;
            let steered = shared.router(context, origin, named, draft, service)?;
            shared.take_room(&steered, indices.len())?;
            indices
                .iter()
                .for_each(|index| routers[*index].steered.push(steered.clone()));
            return Ok(());
        }
        let tls = draft.tls.then_some(match draft.passthrough {
            true => TcpTls::Passthrough,
            false => TcpTls::Terminate,
        });
        if tls.is_none() && draft.rule.names_servers() {
            return Err(needs_tls(named, draft));
        }
        let router = Arc::new(TcpRouter {
            name: full_name(named),
            priority: draft.priority.unwrap_or_else(|| tcp_priority(draft)),
            rule: draft.rule.clone(),
            service: service.clone(),
            tls,
        });
        for index in indices {
            let routers = &mut routers[index];
            match tls {
                Some(_) => routers.tcp_tls.push(router.clone()),
                None => routers.tcp.push(router.clone()),
            }
        }
        Ok(())
    });
    let tables = config.entry_points.iter().zip(routers);
    tables
        .map(|(entry_point, routers)| table(context, &entry_point.name, routers))
        .collect()
}

/// Compiles each router; an error costs that router.
fn each<'n, M>(
    context: &mut Context<'_>,
    protocol: &str,
    routers: &'n Merged<RouterDraft<M>>,
    mut compile: impl FnMut(
        &mut Context<'_>,
        &'n Named<RouterDraft<M>>,
        &'n RouterDraft<M>,
    ) -> Result<(), Problem>,
) {
    for named in routers.values() {
        let Some(draft) = &named.draft else { continue };
        if let Err(problem) = compile(context, named, draft) {
            lose(context, protocol, &named.name, problem);
        }
    }
}

fn lose(context: &mut Context<'_>, protocol: &str, name: &str, problem: Problem) {
    let path = format!("{protocol}.routers.{name}");
    let problem = problem.at(path).lost(format!("router {name}"));
    context.problems.push(problem);
}

fn table(context: &mut Context<'_>, entry_point: &str, routers: Routers) -> EntryPointTable {
    EntryPointTable {
        steered: steered::table(context, entry_point, routers.steered),
        tcp: TcpTable::new(routers.tcp),
        tcp_tls: TcpTable::new(routers.tcp_tls),
        https_names: HttpsNames::new(&routers.https),
        http: Arc::new(RouterTable::new(routers.http)),
        https: Arc::new(RouterTable::new(routers.https)),
    }
}

/// The entry points of a router, by index: those it names, else those that are default, else all.
fn entry_points<M>(
    config: &StaticConfig,
    named: &Named<RouterDraft<M>>,
    draft: &RouterDraft<M>,
) -> Result<Vec<usize>, Problem> {
    let all = || config.entry_points.iter().enumerate();
    let Some(names) = &draft.entry_points else {
        let default: Vec<usize> = all()
            .filter(|(_, e)| e.as_default)
            .map(|(index, _)| index)
            .collect();
        return Ok(if default.is_empty() {
            all().map(|(index, _)| index).collect()
        } else {
            default
        });
    };
    let mut indices = Vec::with_capacity(names.len());
    for name in names {
        let Some((index, _)) = all().find(|(_, entry_point)| entry_point.name == name.value) else {
            let known = all()
                .map(|(_, entry_point)| entry_point.name.as_str())
                .collect::<Vec<_>>()
                .join(", ");
            return Err(Problem::error(
                name.origin.clone(),
                format!("entry point {:?}", name.value),
            )
            .lint(Lint::DanglingReference)
            .allowed(known)
            .remedy(format!(
                "correct {} or add the entry point to the static file",
                named.name
            )));
        };
        if !indices.contains(&index) {
            indices.push(index);
        }
    }
    Ok(indices)
}

/// Nothing but a ClientHello names a server.
fn needs_tls<M>(named: &Named<RouterDraft<M>>, draft: &RouterDraft<M>) -> Problem {
    let found = format!("HostSNI in {:?} without tls", draft.rule.text());
    Problem::error(named.origin.clone(), found)
        .allowed("HostSNI(`*`) without tls")
        .remedy("add tls: {} where TLS ends here, tls: {passthrough: true} where it goes on to the server")
}

pub(super) fn full_name<T>(named: &Named<T>) -> Arc<str> {
    format!("{}@file", named.name).into()
}

/// Traefik's priority of a router without one: the length of its rule in bytes.
fn length<M>(draft: &RouterDraft<M>) -> i64 {
    i64::try_from(draft.rule.text().len()).unwrap_or(i64::MAX)
}

/// As for HTTP, but a lone catch-all comes last.
pub(super) fn tcp_priority(draft: &RouterDraft<TcpMatcher>) -> i64 {
    if draft.rule.is_catch_all() {
        -1
    } else {
        length(draft)
    }
}
