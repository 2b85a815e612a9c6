//! Precedence: priority first, then the name.

use std::net::Ipv4Addr;

use super::*;
use crate::service::{LoadBalancer, Protocol, Registry, ServiceKind};

fn router(name: &str, priority: i64, rule: &str) -> Arc<Router> {
    let service: Arc<str> = "s".into();
    let kind = ServiceKind::LoadBalancer(LoadBalancer {
        servers: Vec::new(),
        pass_host_header: true,
        on_failure: crate::service::OnFailure::default(),
    });
    let id = Registry::default()
        .service(Protocol::Http, &service)
        .unwrap();
    Arc::new(Router {
        name: name.into(),
        priority,
        rule: HttpRule::parse(rule).unwrap(),
        middlewares: Box::default(),
        service: Some(Arc::new(Service::new(id, service, kind))),
    })
}

#[test]
fn the_highest_priority_that_matches_answers_and_ties_go_by_name() {
    let table = RouterTable::new(vec![
        router("b", 5, "PathPrefix(`/a`)"),
        router("a", 5, "PathPrefix(`/a`)"),
        router("low", -1, "PathPrefix(`/`)"),
        router("high", 100, "Host(`x.example`) && PathPrefix(`/a`)"),
    ]);
    let found = |host, path| {
        let request = RequestView::new(host, path, Ipv4Addr::LOCALHOST.into());
        table.find(&request).map(|router| router.name.to_string())
    };
    assert_eq!(found("x.example", "/a").as_deref(), Some("high"));
    assert_eq!(found("y.example", "/a").as_deref(), Some("a"));
    assert_eq!(found("x.example", "/b").as_deref(), Some("low"));
    assert_eq!(found("x.example", "*"), None);
    assert!(RouterTable::default().is_empty() && !table.is_empty());
}

/// The rules of usegalaxy.eu as their YAML reads, with the priorities that their lengths give.
#[test]
fn the_rules_of_a_real_site_mean_what_they_mean_in_traefik() {
    let main = r"Host(`usegalaxy.eu`) || HostRegexp(`^.+\.usegalaxy\.eu`)";
    let gdpr = r"(Host(`usegalaxy.eu`) || HostRegexp(`^.+\.usegalaxy\.eu`)) && (PathPrefix(`/gdpr`) || PathPrefix(`/terms`))";
    let events = r"Host(`*.usegalaxy.eu`) && PathPrefix(`/api/events/stream`)";
    // A plain scalar keeps its backslashes, and a raw string too: it asks for a backslash, which no host has.
    let subdomain = r"HostRegexp(`^.+\\.biodiversity-genomics\\.usegalaxy.eu`)";
    let rules = [
        ("main", main, 56),
        ("gdpr", gdpr, 107),
        ("events", events, 58),
        ("prox", subdomain, 56),
    ];
    let routers = rules.map(|(name, rule, length)| {
        assert_eq!(rule.len(), length, "{name}");
        router(name, length as i64, rule)
    });
    let table = RouterTable::new(routers.to_vec());
    for (host, path, expected) in [
        ("usegalaxy.eu", "/", Some("main")),
        ("climate.usegalaxy.eu", "/x", Some("main")),
        (
            "k.ep.interactivetool.climate.usegalaxy.eu",
            "/",
            Some("main"),
        ),
        ("x.biodiversity-genomics.usegalaxy.eu", "/", Some("main")),
        ("live.usegalaxy.eu", "/terms/x", Some("gdpr")),
        ("usegalaxy.eu", "/gdprfoo", Some("gdpr")),
        ("climate.usegalaxy.eu", "/api/events/stream", Some("events")),
        ("usegalaxy.eu", "/api/events/stream", Some("main")),
        ("a.climate.usegalaxy.eu", "/api/events/stream", Some("main")),
        ("a.usegalaxy.eu.evil.com", "/", Some("main")),
        ("galaxy.eu", "/", None),
    ] {
        let request = RequestView::new(host, path, Ipv4Addr::LOCALHOST.into());
        let found = table.find(&request).map(|router| &*router.name);
        assert_eq!(found, expected, "{host}{path}");
    }
}
