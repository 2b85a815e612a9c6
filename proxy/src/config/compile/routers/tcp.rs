//! TCP routers, steered or not. One with an error stays in its place without a service: what it matches is closed,
//! because the router that is next in precedence may give away what this one protects.

use std::sync::Arc;

use super::super::Context;
use super::super::services::Services;
use super::super::terms::TermsByName;
use super::{Routers, entry_points, full_name, steered, tcp_priority};
use crate::config::document::{Named, RouterDraft};
use crate::config::{Origin, Problem};
use crate::router::{TcpRouter, TcpTls};
use crate::rule::TcpMatcher;
use crate::service::Service;
use crate::service::pool::Pool;

/// What routers refer to, and what those that are steered share.
pub(super) struct Parts<'a> {
    pub(super) services: &'a Services,
    pub(super) terms: &'a TermsByName,
    pub(super) steered: steered::Shared,
}

/// Puts a router onto its entry points.
pub(super) fn router(
    context: &mut Context<'_>,
    routers: &mut [Routers],
    parts: &mut Parts<'_>,
    named: &Named<RouterDraft<TcpMatcher>>,
    draft: &RouterDraft<TcpMatcher>,
) -> Result<(), Problem> {
    let (indices, problem) = entry_points(context.config, named, draft);
    let found = match problem {
        Some(problem) => Err(problem),
        None if named.refused => Ok(None),
        None => parts.services.find(&draft.service).cloned().map(Some),
    };
    let Some(origin) = &draft.steer else {
        let (terms, found) = match parts.terms.find(draft.tls_options.as_ref()) {
            _ if !draft.tls || draft.passthrough => (None, found),
            Ok(terms) => (Some(terms), found),
            Err(Some(problem)) => (None, found.and(Err(problem))),
            Err(None) => (None, found.map(|_| None)),
        };
        for index in terms.iter().flat_map(|_| &indices) {
            let name = full_name(named);
            let terms = terms.cloned();
            routers[*index]
                .tcp_terms
                .extend(terms.map(|terms| (name, terms)));
        }
        return unsteered(routers, &indices, named, draft, found);
    };
    let Some(expr) = steered::source(draft.rule.tree()) else {
        let problem = found.and(Err(steered::looks_further(origin)));
        return unsteered(routers, &indices, named, draft, problem);
    };
    let (indices, protected) = steered::unprotected(context.config, origin, indices);
    let pool = found.and_then(|service| match (protected, service) {
        (_, None) => Ok(None),
        (Some(problem), Some(_)) => Err(problem),
        (None, Some(service)) => used(context, parts, origin, named, &service),
    });
    let (pool, problem) = split(pool);
    let rule = steered::rule(named, draft, origin, expr, pool);
    parts.steered.take_room(&rule, indices.len())?;
    for index in indices {
        routers[index].steered.push(rule.clone());
    }
    problem.map_or(Ok(()), Err)
}

/// The pool of a steered router that has no error.
fn used(
    context: &mut Context<'_>,
    parts: &mut Parts<'_>,
    origin: &Origin,
    named: &Named<RouterDraft<TcpMatcher>>,
    service: &Service,
) -> Result<Option<Arc<Pool>>, Problem> {
    let pool = parts
        .steered
        .pool(context.registry.readiness(), origin, service)?;
    parts.steered.warn(context, origin, &named.name);
    Ok(Some(pool))
}

fn unsteered(
    routers: &mut [Routers],
    indices: &[usize],
    named: &Named<RouterDraft<TcpMatcher>>,
    draft: &RouterDraft<TcpMatcher>,
    service: Result<Option<Arc<Service>>, Problem>,
) -> Result<(), Problem> {
    let tls = draft.tls.then_some(match draft.passthrough {
        true => TcpTls::Passthrough,
        false => TcpTls::Terminate,
    });
    let service = service.and_then(|service| match service {
        Some(_) if tls.is_none() && draft.rule.names_servers() => Err(needs_tls(named, draft)),
        service => Ok(service),
    });
    let (service, problem) = split(service);
    let router = Arc::new(TcpRouter {
        name: full_name(named),
        priority: draft.priority.unwrap_or_else(|| tcp_priority(draft)),
        rule: draft.rule.clone(),
        service,
        tls,
    });
    for index in indices {
        let routers = &mut routers[*index];
        match tls {
            Some(_) => routers.tcp_tls.push(router.clone()),
            None => routers.tcp.push(router.clone()),
        }
    }
    problem.map_or(Ok(()), Err)
}

fn split<T>(found: Result<Option<T>, Problem>) -> (Option<T>, Option<Problem>) {
    match found {
        Ok(found) => (found, None),
        Err(problem) => (None, Some(problem)),
    }
}

/// Nothing but a ClientHello names a server.
fn needs_tls<M>(named: &Named<RouterDraft<M>>, draft: &RouterDraft<M>) -> Problem {
    let found = format!("HostSNI in {:?} without tls", draft.rule.text());
    Problem::error(named.origin.clone(), found)
        .allowed("HostSNI(`*`) without tls")
        .remedy("add tls: {} where TLS ends here, tls: {passthrough: true} where it goes on to the server")
}
