//! Routers onto their entry points.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::services::Services;
use super::{Context, Merged, steered};
use crate::config::document::{Named, RouterDraft};
use crate::config::walker::Spanned;
use crate::config::{EntryPointTable, Lint, Problem, StaticConfig};
use crate::router::{Conflict, HttpsNames, Router, RouterTable, TcpRouter, TcpTable, TermsTable};
use crate::rule::{HttpMatcher, TcpMatcher};
use crate::tls::Terms;

pub(super) mod certificates;
mod http;
mod tcp;

pub(super) use self::http::Parts;

/// The routers of one entry point, not yet in order.
#[derive(Default)]
struct Routers {
    steered: Vec<steered::Steered>,
    tcp: Vec<Arc<TcpRouter>>,
    tcp_tls: Vec<Arc<TcpRouter>>,
    http: Vec<Arc<Router>>,
    https: Vec<Arc<Router>>,
    /// What those in `https` want to agree on with clients; `None` where it has an error.
    terms: Vec<(Arc<Router>, Option<Arc<Terms>>)>,
    /// The same for TCP routers that end TLS, by name.
    tcp_terms: HashMap<Arc<str>, Arc<Terms>>,
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
    let terms = &http.terms;
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
    certificates::wanted(context, "http", http_routers, certificates::host);
    certificates::wanted(context, "tcp", tcp_routers, certificates::server_name);
    let mut tcp = tcp::Parts {
        services: tcp_services,
        terms,
        steered: steered::Shared::default(),
    };
    each(context, "tcp", tcp_routers, |context, named, draft| {
        tcp::router(context, &mut routers, &mut tcp, named, draft)
    });
    let mut conflicts = HashSet::new();
    let tables = config.entry_points.iter().zip(routers);
    let tables = tables.map(|(entry_point, routers)| {
        let (terms, found) = TermsTable::new(
            routers
                .terms
                .iter()
                .map(|(router, terms)| (router, terms.as_ref())),
            terms.default(),
        );
        for conflict in found {
            if conflicts.insert(conflict.host.clone()) {
                let problem = different_options(http_routers, &conflict);
                context.problems.extend(problem);
            }
        }
        table(context, &entry_point.name, routers, terms)
    });
    tables.collect()
}

/// As in Traefik, none of the different ones counts.
fn different_options(
    routers: &Merged<RouterDraft<HttpMatcher>>,
    conflict: &Conflict,
) -> Option<Problem> {
    let names: Vec<&str> = conflict.routers.iter().map(|name| &**name).collect();
    let local = names.first()?.trim_end_matches("@file");
    let named = routers.get(local)?;
    let host = &conflict.host;
    let found = format!("different TLS options for {host}, of {}", names.join(", "));
    Some(
        Problem::warning(named.origin.clone(), found)
            .at(format!("http.routers.{local}.tls.options"))
            .remedy(format!(
                "give all routers of {host} the same: until then its clients get the default ones"
            )),
    )
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

fn table(
    context: &mut Context<'_>,
    entry_point: &str,
    routers: Routers,
    terms: TermsTable,
) -> EntryPointTable {
    EntryPointTable {
        steered: steered::table(context, entry_point, routers.steered),
        tcp: TcpTable::new(routers.tcp),
        tcp_tls: TcpTable::new(routers.tcp_tls),
        https_names: HttpsNames::new(&routers.https),
        terms,
        tcp_terms: routers.tcp_terms,
        http: Arc::new(RouterTable::new(routers.http)),
        https: Arc::new(RouterTable::new(routers.https)),
    }
}

/// The entry points of a router, by index: those it names, else those that are default, else all. An error where it
/// names one that there is not: it must not serve on the others either, but keeps its place there.
fn entry_points<M>(
    config: &StaticConfig,
    named: &Named<RouterDraft<M>>,
    draft: &RouterDraft<M>,
) -> (Vec<usize>, Option<Problem>) {
    let all = || config.entry_points.iter().enumerate();
    let Some(names) = &draft.entry_points else {
        let default: Vec<usize> = all()
            .filter(|(_, e)| e.as_default)
            .map(|(index, _)| index)
            .collect();
        let indices = match default.is_empty() {
            true => all().map(|(index, _)| index).collect(),
            false => default,
        };
        return (indices, None);
    };
    let (mut indices, mut problem) = (Vec::with_capacity(names.len()), None);
    for name in names {
        match all().find(|(_, entry_point)| entry_point.name == name.value) {
            Some((index, _)) if !indices.contains(&index) => indices.push(index),
            Some(_) => {}
            None => problem = problem.or_else(|| Some(no_entry_point(config, named, name))),
        }
    }
    (indices, problem)
}

fn no_entry_point<M>(
    config: &StaticConfig,
    named: &Named<RouterDraft<M>>,
    name: &Spanned<String>,
) -> Problem {
    let all = config.entry_points.iter();
    let known: Vec<&str> = all.map(|entry_point| &*entry_point.name).collect();
    let found = format!("entry point {:?}", name.value);
    Problem::error(name.origin.clone(), found)
        .lint(Lint::DanglingReference)
        .allowed(known.join(", "))
        .remedy(format!(
            "correct {} or add the entry point to the static file",
            named.name
        ))
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
