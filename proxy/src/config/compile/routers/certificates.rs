//! The certificates that routers want from resolvers.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::{Context, Merged};
use super::{entry_points, full_name};
use crate::config::document::{Named, RouterDraft, WantedCertificate};
use crate::config::static_file::{Issuer, Resolver, StaticConfig};
use crate::config::walker::Spanned;
use crate::config::{Problem, Wanted};
use crate::rule::host::HostPattern;
use crate::rule::{HttpMatcher, TcpMatcher, Tree};

/// The name that a matcher asks for, if it does.
type Names<M> = fn(&M) -> Option<&HostPattern>;

/// That of an HTTP router.
pub(super) fn host(matcher: &HttpMatcher) -> Option<&HostPattern> {
    match matcher {
        HttpMatcher::Host(pattern) => Some(pattern),
        _ => None,
    }
}

/// That of a TCP router.
pub(super) fn server_name(matcher: &TcpMatcher) -> Option<&HostPattern> {
    match matcher {
        TcpMatcher::HostSni(pattern) => Some(pattern),
        _ => None,
    }
}

/// Collects them. A router that cannot have one serves all the same, as in Traefik, and is warned about.
pub(super) fn wanted<M>(
    context: &mut Context<'_>,
    protocol: &str,
    drafts: &Merged<RouterDraft<M>>,
    host: Names<M>,
) {
    // A resolver that is not there is told once, whoever names it.
    let mut unknown = BTreeSet::new();
    let config = context.config;
    let asked = drafts.values().flat_map(|named| {
        let draft = named.usable().into_iter();
        draft.flat_map(move |draft| {
            let each = asked(config, protocol, named, draft).into_iter();
            each.map(move |asked| (named, draft, asked))
        })
    });
    for (named, draft, asked) in asked {
        let name = asked.resolver.as_ref().map(|reference| &*reference.value);
        let is_known =
            name.is_none_or(|name| config.resolvers.iter().any(|one| *one.name == *name));
        if !is_known && !unknown.insert(name) {
            continue;
        }
        match of_router(&config.resolvers, named, draft, asked, host) {
            Ok(wanted) => context.wanted.push(wanted),
            Err(problem) => {
                let path = format!("{protocol}.routers.{}.tls", named.name);
                context.problems.push(problem.at(path));
            }
        }
    }
}

/// What a router asks for itself; one of HTTP without `tls` has that of its entry points, as in Traefik.
fn asked<'d, M>(
    config: &'d StaticConfig,
    protocol: &str,
    named: &Named<RouterDraft<M>>,
    draft: &'d RouterDraft<M>,
) -> Vec<&'d WantedCertificate> {
    if draft.tls || protocol != "http" {
        return draft.wanted.iter().collect();
    }
    let (indices, _) = entry_points(config, named, draft);
    let each = indices.iter().map(|index| &config.entry_points[*index]);
    let mut asked = Vec::new();
    for wanted in each.filter_map(|entry_point| entry_point.http.tls.as_ref()?.wanted.as_ref()) {
        if !asked.contains(&wanted) {
            asked.push(wanted);
        }
    }
    asked
}

const OTHERWISE: &str =
    "until then clients get a certificate from tls.certificates, or the default one";

fn of_router<M>(
    resolvers: &[Resolver],
    named: &Arc<Named<RouterDraft<M>>>,
    draft: &RouterDraft<M>,
    asked: &WantedCertificate,
    host: Names<M>,
) -> Result<Wanted, Problem> {
    let warning = |found: &str| Problem::warning(named.origin.clone(), found);
    let Some(reference) = &asked.resolver else {
        return Err(warning("tls.domains without certResolver")
            .remedy(format!("add certResolver, or remove domains; {OTHERWISE}")));
    };
    let mut names: Vec<Box<str>> = asked
        .domains
        .iter()
        .flatten()
        .map(|name| name.to_ascii_lowercase().into())
        .collect();
    if names.is_empty() {
        hosts(draft.rule.tree(), host, &mut names);
    }
    // A resolver that is not there is the first thing to say.
    if names.is_empty() && resolver(resolvers, reference).is_ok() {
        return Err(
            warning("a certResolver, and no name to obtain a certificate for").remedy(format!(
                "write Host(`a.example`) in the rule, or tls.domains; {OTHERWISE}"
            )),
        );
    }
    of_names(resolvers, reference, names, full_name(named)).map_err(|problem| {
        // What is wrong with the names concerns the router as a whole.
        match problem.allowed.is_empty() {
            true => Problem {
                origin: named.origin.clone(),
                ..problem
            },
            false => problem,
        }
    })
}

/// What `router` wants of the resolver that is referred to.
///
/// # Errors
/// A warning: there is no such resolver, or it cannot prove these names.
pub(in super::super) fn of_names(
    resolvers: &[Resolver],
    reference: &Spanned<String>,
    names: Vec<Box<str>>,
    router: Arc<str>,
) -> Result<Wanted, Problem> {
    let resolver = resolver(resolvers, reference)?;
    if let Some(name) = names.iter().find(|name| !resolver.can_prove(name)) {
        let found = format!("{name}, which {} cannot prove", resolver.name);
        let remedy = match resolver.issuer {
            Issuer::Acme(_) => "use a resolver with dnsChallenge, or name hosts",
            Issuer::Tailscale(_) => {
                "name this machine as its tailnet does (a.b.ts.net), or use a resolver with acme"
            }
        };
        let problem = Problem::warning(reference.origin.clone(), found);
        return Err(problem.remedy(format!("{remedy}; {OTHERWISE}")));
    }
    Ok(Wanted {
        resolver: Arc::clone(&resolver.name),
        names,
        alone: matches!(resolver.issuer, Issuer::Tailscale(_)),
        router,
    })
}

fn resolver<'r>(
    resolvers: &'r [Resolver],
    reference: &Spanned<String>,
) -> Result<&'r Resolver, Problem> {
    let mut known = resolvers.iter();
    if let Some(resolver) = known.find(|resolver| *resolver.name == *reference.value) {
        return Ok(resolver);
    }
    let known: Vec<&str> = resolvers.iter().map(|resolver| &*resolver.name).collect();
    let found = format!(
        "the certificate resolver {:?}, which obtains none",
        reference.value
    );
    Err(Problem::warning(reference.origin.clone(), found)
        .allowed(known.join(", "))
        .remedy(format!(
            "correct it, or certificatesResolvers of the static configuration; {OTHERWISE}"
        )))
}

/// The names in `Host` and `HostSNI` matchers, as Traefik takes them: wherever they are, but not negated, and never an
/// address.
fn hosts<M>(tree: &Tree<M>, host: Names<M>, names: &mut Vec<Box<str>>) {
    match tree {
        Tree::Is(matcher) => match host(matcher) {
            Some(HostPattern::Exact(name)) if name.parse::<std::net::IpAddr>().is_err() => {
                names.push(name.clone());
            }
            Some(HostPattern::Wildcard(parent)) => names.push(format!("*.{parent}").into()),
            Some(HostPattern::Exact(_) | HostPattern::Any) | None => {}
        },
        Tree::Not(_) => {}
        Tree::All(parts) | Tree::Any(parts) => {
            parts.iter().for_each(|part| hosts(part, host, names));
        }
    }
}
