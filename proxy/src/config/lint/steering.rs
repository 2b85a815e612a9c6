//! Steered rules that take more than they seem to: the NIC asks them before anything else is asked.

use ipnet::IpNet;

use super::Lint;
use super::view::{self, Seen};
use crate::config::document::Document;
use crate::config::{Problem, StaticConfig};
use crate::rule::{HttpMatcher, TcpMatcher, Tree};

pub(super) fn all(
    config: &StaticConfig,
    documents: &[Document],
    seen: &[Seen<'_>],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for named in documents.iter().flat_map(|document| &document.tcp.routers) {
        let Some((draft, origin)) = named
            .usable()
            .and_then(|draft| Some((draft, draft.steer.as_ref()?)))
        else {
            continue;
        };
        let mut networks = Vec::new();
        let everyone = collect(draft.rule.tree(), &mut networks)
            || networks.iter().any(|net| net.prefix_len() == 0);
        let warning = |found: String| {
            let path = format!("tcp.routers.{}", named.name);
            Problem::warning(origin.clone(), found)
                .at(path)
                .lint(Lint::SteeredShadows)
        };
        if everyone {
            problems.push(warning("a steered rule that holds for everyone".to_owned()).remedy(
                "no other rule on its entry points sees a connection, and ACME's challenges go to the steered servers \
                 too: name the networks that are meant",
            ));
            continue;
        }
        let here = view::entry_points(config, draft);
        let shadowed = seen.iter().find(|router| {
            router.entry_points.iter().any(|index| here.contains(index))
                && inside(router, &networks)
        });
        if let Some(router) = shadowed {
            problems.push(
                warning(format!(
                    "a steered rule over clients that router {} names",
                    router.name
                ))
                .remedy("that router never sees them: steered connections are not looked into"),
            );
        }
    }
    problems
}

/// The networks of a rule; whether some way through it asks for none.
fn collect(tree: &Tree<TcpMatcher>, networks: &mut Vec<IpNet>) -> bool {
    match tree {
        Tree::Is(TcpMatcher::ClientIp(net)) => {
            networks.push(*net);
            false
        }
        Tree::Is(_) => true,
        Tree::Not(_) => false,
        // Every part is looked at: each may have networks.
        Tree::All(parts) => {
            let open: Vec<bool> = parts.iter().map(|part| collect(part, networks)).collect();
            open.iter().all(|open| *open)
        }
        Tree::Any(parts) => {
            let open: Vec<bool> = parts.iter().map(|part| collect(part, networks)).collect();
            open.contains(&true)
        }
    }
}

fn inside(router: &Seen<'_>, networks: &[IpNet]) -> bool {
    router.matchers().iter().any(|matcher| match matcher {
        HttpMatcher::ClientIp(client) => networks.iter().any(|net| net.contains(client)),
        _ => false,
    })
}
