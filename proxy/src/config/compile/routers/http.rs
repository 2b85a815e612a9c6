//! HTTP routers, with what their entry points give them.

use std::sync::Arc;

use super::super::Context;
use super::super::middlewares::Middlewares;
use super::super::services::Services;
use super::super::terms::TermsByName;
use super::{Routers, entry_points, full_name, length, lose};
use crate::config::Problem;
use crate::config::document::{Named, RouterDraft};
use crate::config::static_file::{EntryPoint, Redirection};
use crate::middleware::{Chain, Middleware, RedirectScheme};
use crate::router::{Router, names_a_host};
use crate::rule::{HttpMatcher, HttpRule};
use crate::service::Service;
use crate::tls::Terms;

/// What routers refer to.
pub(in super::super) struct Parts {
    pub(in super::super) services: Services,
    pub(in super::super) middlewares: Middlewares,
    pub(in super::super) terms: TermsByName,
}

/// A router, and what its clients agree on.
type Made<'t> = (Arc<Router>, Result<Option<&'t Arc<Terms>>, ()>);

/// Traefik's rule of a redirection: every request with a host.
const REDIRECTED: &str = "HostRegexp(`^.+$`)";

/// Puts a router onto its entry points. One with an error stays in its place without a service: what it matches gets
/// 404.
pub(super) fn router(
    context: &mut Context<'_>,
    routers: &mut [Routers],
    parts: &Parts,
    named: &Named<RouterDraft<HttpMatcher>>,
    draft: &RouterDraft<HttpMatcher>,
) -> Result<(), Problem> {
    let config = context.config;
    let (indices, problem) = entry_points(config, named, draft);
    context.problems.extend(options_for_nobody(named, draft));
    let mut last: Option<(&EntryPoint, Made<'_>)> = None;
    for index in indices {
        let entry_point = &config.entry_points[index];
        // Entry points that give their routers nothing share one.
        let same = |other: &EntryPoint| {
            (&other.http.middlewares, &other.http.tls)
                == (&entry_point.http.middlewares, &entry_point.http.tls)
        };
        let (router, terms) = match last.take() {
            Some((other, made)) if same(other) => made,
            _ => {
                let terms = terms(context, parts, entry_point, named, draft);
                let used = match terms {
                    Ok(_) if !named.refused && problem.is_none() => {
                        used(context, parts, entry_point, named, draft)
                    }
                    _ => None,
                };
                let (service, middlewares) = used.unzip();
                let router = Arc::new(Router {
                    name: full_name(named),
                    priority: draft.priority.unwrap_or_else(|| length(draft)),
                    rule: draft.rule.clone(),
                    service,
                    middlewares: middlewares.unwrap_or_default(),
                });
                (router, terms)
            }
        };
        let tls = draft.tls || entry_point.http.tls.is_some();
        if let Some(terms) = terms.transpose() {
            let claim = (router.clone(), terms.ok().cloned());
            routers[index].terms.push(claim);
        }
        routers[index].add(tls, router.clone());
        last = Some((entry_point, (router, terms)));
    }
    problem.map_or(Ok(()), Err)
}

/// Options are chosen by the host that a client names when it connects: on a rule without one they choose nothing,
/// which Traefik tells of as well.
fn options_for_nobody(
    named: &Named<RouterDraft<HttpMatcher>>,
    draft: &RouterDraft<HttpMatcher>,
) -> Option<Problem> {
    let options = draft.tls_options.as_ref()?;
    let is_default = options.value.trim_end_matches("@file") == "default";
    if is_default || names_a_host(draft.rule.tree()) {
        return None;
    }
    let found = format!("the TLS options {:?} on a rule without Host", options.value);
    Some(
        Problem::warning(options.origin.clone(), found)
            .at(format!("http.routers.{}.tls.options", named.name))
            .remedy(
                "add a Host, or set tls.options.default: they choose nothing, and where they ask for client \
                 certificates, connections that were not asked get 421",
            ),
    )
}

/// What clients of the router agree on; `None` for one without TLS. An error where it cannot be had: it must not serve,
/// and its hosts are closed, as nobody knows what it would have asked of their clients.
fn terms<'t>(
    context: &mut Context<'_>,
    parts: &'t Parts,
    entry_point: &EntryPoint,
    named: &Named<RouterDraft<HttpMatcher>>,
    draft: &RouterDraft<HttpMatcher>,
) -> Result<Option<&'t Arc<Terms>>, ()> {
    // Its own `tls` stands for all of the entry point's, as in Traefik.
    let reference = match (draft.tls, &entry_point.http.tls) {
        (true, _) => draft.tls_options.as_ref(),
        (false, Some(tls)) => tls.options.as_ref(),
        (false, None) => return Ok(None),
    };
    parts.terms.find(reference).map(Some).map_err(|problem| {
        if let Some(problem) = problem {
            lose(context, "http", &named.name, problem);
        }
    })
}

/// What the router uses on this entry point; `None` where something of it cannot be had.
fn used(
    context: &mut Context<'_>,
    parts: &Parts,
    entry_point: &EntryPoint,
    named: &Named<RouterDraft<HttpMatcher>>,
    draft: &RouterDraft<HttpMatcher>,
) -> Option<(Arc<Service>, Chain)> {
    let given = entry_point.http.middlewares.iter();
    let references: Vec<_> = given.chain(&draft.middlewares).cloned().collect();
    let service = parts.services.find(&draft.service).cloned();
    let middlewares = parts.middlewares.chain(&references);
    match (service, middlewares) {
        (Ok(service), Ok(middlewares)) => Some((service, middlewares)),
        (service, middlewares) => {
            for problem in service.err().into_iter().chain(middlewares.err()) {
                lose(context, "http", &named.name, problem);
            }
            None
        }
    }
}

/// Adds the routers of `http.redirections`: a middleware and nothing behind it.
pub(super) fn redirections(context: &mut Context<'_>, routers: &mut [Routers], parts: &Parts) {
    let config = context.config;
    for (entry_point, routers) in config.entry_points.iter().zip(routers) {
        let Some(redirection) = &entry_point.http.redirection else {
            continue;
        };
        // The static file was refused if there is no such port.
        let port = redirection.port(&config.entry_points);
        match parts.middlewares.chain(&entry_point.http.middlewares) {
            Ok(given) => {
                let router = redirection_router(entry_point, redirection, port, &given);
                routers.add(entry_point.http.tls.is_some(), router);
            }
            Err(problem) => {
                let name = format!("{}-to-{}@internal", entry_point.name, redirection.to.value);
                lose(context, "http", &name, problem);
            }
        }
    }
}

fn redirection_router(
    entry_point: &EntryPoint,
    redirection: &Redirection,
    port: Option<u16>,
    given: &[Arc<Middleware>],
) -> Arc<Router> {
    let redirect = RedirectScheme::new(&redirection.scheme, port, redirection.permanent);
    let own = Arc::new(Middleware::RedirectScheme(redirect));
    let to = redirection.to.value.trim_start_matches(':');
    let rule = HttpRule::parse(REDIRECTED).expect("a rule of weir's own");
    Arc::new(Router {
        name: format!("{}-to-{to}@internal", entry_point.name).into(),
        priority: redirection.priority,
        rule,
        service: None,
        middlewares: given.iter().cloned().chain([own]).collect(),
    })
}
