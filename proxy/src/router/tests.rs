//! Precedence: priority first, then the name.

use std::net::Ipv4Addr;

use super::*;
use crate::service::{LoadBalancer, Protocol, Registry, ServiceKind};

fn router(name: &str, priority: i64, rule: &str) -> Arc<Router> {
    let service: Arc<str> = "s".into();
    let kind = ServiceKind::LoadBalancer(LoadBalancer {
        servers: Vec::new(),
        pass_host_header: true,
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
