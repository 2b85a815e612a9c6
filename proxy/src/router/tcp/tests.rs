//! Which names are HTTPS's, and what TCP rules match.

use super::*;
use crate::rule::HttpRule;
use crate::service::{LoadBalancer, Protocol, Registry, ServiceKind};

fn https(rules: &[&str]) -> HttpsNames {
    let router = |rule: &&str| {
        Arc::new(Router {
            name: "r".into(),
            priority: 0,
            rule: HttpRule::parse(rule).unwrap(),
            service: None,
            middlewares: Box::default(),
        })
    };
    let routers: Vec<_> = rules.iter().map(router).collect();
    HttpsNames::new(&routers)
}

#[test]
fn hosts_anywhere_in_a_rule_are_names_of_https() {
    let names = https(&[
        "Host(`a.example`) && PathPrefix(`/x`)",
        "PathPrefix(`/y`) && (Host(`*.b.example`) || !Host(`C.example`))",
    ]);
    for (name, expected) in [
        ("a.example", Certainty::Named),
        ("x.b.example", Certainty::Named),
        ("c.example", Certainty::Named),
        ("b.example", Certainty::No),
        ("x.y.b.example", Certainty::No),
        ("", Certainty::No),
    ] {
        assert_eq!(names.find(name), expected, "{name}");
    }
}

#[test]
fn a_router_without_host_may_take_any_name() {
    for rules in [
        &["PathPrefix(`/`)", "Host(`a.example`)"][..],
        &["Host(`*`)", "Host(`a.example`)"],
        &["HostRegexp(`^b`)", "Host(`a.example`)"],
    ] {
        let names = https(rules);
        assert_eq!(names.find("a.example"), Certainty::Named);
        assert_eq!(names.find("b.example"), Certainty::Possible);
        assert_eq!(names.find(""), Certainty::Possible);
    }
    assert_eq!(https(&[]).find("a.example"), Certainty::No);
}

fn router(name: &str, rule: &str, priority: i64) -> Arc<TcpRouter> {
    let service: Arc<str> = "s".into();
    let kind = ServiceKind::LoadBalancer(LoadBalancer {
        servers: Vec::new(),
        pass_host_header: true,
        on_failure: crate::service::OnFailure::default(),
    });
    let id = Registry::default()
        .service(Protocol::Tcp, &service)
        .unwrap();
    Arc::new(TcpRouter {
        name: name.into(),
        priority,
        rule: TcpRule::parse(rule).unwrap(),
        service: Some(Arc::new(Service::new(id, service, kind))),
        tls: Some(TcpTls::Passthrough),
    })
}

#[test]
fn the_highest_priority_that_matches_takes_the_connection() {
    let table = TcpTable::new(vec![
        router("all", "HostSNI(`*`)", -1),
        router("a", "HostSNI(`a.example`)", 20),
        router("mqtt", "HostSNI(`a.example`) && ALPN(`mqtt`)", 36),
        router("inside", "ClientIP(`10.0.0.0/8`)", 100),
    ]);
    let found = |client: &str, name, protocols: &[&'static [u8]]| {
        let view = ConnectionView::tls(client.parse().unwrap(), name, protocols.to_vec());
        table.find(&view).map(|router| router.name.to_string())
    };
    for (client, name, protocols, expected) in [
        ("192.0.2.1", "a.example", &[][..], "a"),
        ("192.0.2.1", "a.example", &[&b"h2"[..], b"mqtt"][..], "mqtt"),
        ("192.0.2.1", "", &[], "all"),
        ("::ffff:10.0.0.1", "a.example", &[], "inside"),
    ] {
        assert_eq!(found(client, name, protocols).as_deref(), Some(expected));
    }
}
