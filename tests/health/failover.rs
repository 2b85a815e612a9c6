//! Backups and fallbacks: who serves when those that should cannot.

use std::net::SocketAddr;

use super::{QUICK, backend, banner, command, get, node, weir, who};
use crate::support::eventually;
use xtask::backend::Backend;

/// Rules whose router `app` leads to this service, and more services.
fn rules(service: &str, more: &str) -> String {
    format!(
        "http:\n  routers:\n    app: {{rule: PathPrefix(`/`), service: app}}\n  services:\n    app: {service}\n{more}"
    )
}

fn balancer(name: &str, server: SocketAddr) -> String {
    format!(
        "    {name}: {{loadBalancer: {{servers: [{{url: 'http://{server}'}}], \
         healthCheck: {{path: /health, {QUICK}}}}}}}\n"
    )
}

#[test]
fn a_backup_serves_while_the_server_is_gone() {
    let (a, b) = (backend("a"), backend("b"));
    let address_a = a.address();
    let service = format!(
        "{{loadBalancer: {{servers: [{{url: 'http://{}', backup: true}}, {{url: 'http://{address_a}'}}]}}}}",
        b.address()
    );
    let (weir, address) = weir(&rules(&service, ""));
    (0..10).for_each(|_| assert_eq!(node(&get(address)), "a"));
    drop(a);
    (0..10).for_each(|_| assert_eq!(node(&get(address)), "b", "nothing is lost"));
    let _a = Backend::plain("a", address_a).expect("the same address");
    eventually("it serves again", || {
        (0..5).all(|_| node(&get(address)) == "a").then_some(())
    });
    let url = format!("http://{address_a}");
    let said = command(weir.setup(), &["server", "drain", "app", &url]);
    assert_eq!(said.0, Some(0), "{}", said.1);
    (0..10).for_each(|_| assert_eq!(node(&get(address)), "b"));
}

#[test]
fn a_fallback_serves_while_the_service_is_down_also_inside_a_weighted_one() {
    let (a, b, c) = (backend("a"), backend("b"), backend("c"));
    let address_a = a.address();
    let more = [
        "    both: {failover: {service: main, fallback: other, healthCheck: {}}}\n".to_owned(),
        balancer("main", address_a),
        balancer("other", b.address()),
        balancer("third", c.address()),
    ];
    let service = "{weighted: {services: [{name: both}, {name: third}]}}";
    let (weir, address) = weir(&rules(service, &more.concat()));
    let nodes = || {
        let mut nodes: Vec<String> = (0..8).map(|_| node(&get(address))).collect();
        nodes.sort();
        nodes.concat()
    };
    assert_eq!(nodes(), "aaaacccc");
    drop(a);
    weir.logged("the server is down");
    assert_eq!(nodes(), "bbbbcccc");
    let _a = Backend::plain("a", address_a).expect("the same address");
    weir.logged("the server is up again");
    assert_eq!(nodes(), "aaaacccc");
}

#[test]
fn steered_connections_go_to_the_fallback_too() {
    for (steer, rule) in [
        ("true", "ClientIP(`127.0.0.0/8`)"),
        ("false", "HostSNI(`*`)"),
    ] {
        let (good, _good) = banner("good", "PONG");
        let (bad, _bad) = banner("bad", "PANG");
        let (backup, _backup) = banner("backup", "PONG");
        let (weir, address) = weir(&format!(
            "tcp:\n  routers:\n    t: {{rule: \"{rule}\", service: t, steer: {steer}}}\n  services:\n    \
             t: {{failover: {{service: main, fallback: other}}}}\n    main:\n      loadBalancer:\n        \
             servers: [{{address: '{bad}'}}]\n        healthCheck: {{send: PING, expect: PONG, {QUICK}}}\n    \
             other:\n      loadBalancer: {{servers: [{{address: '{good}'}}, {{address: '{backup}', backup: true}}]}}\n"
        ));
        weir.logged("it answered \"PANG\" instead of \"PONG\"");
        eventually("only the fallback", || {
            (0..20).all(|_| who(address) == "good").then_some(())
        });
        let said = command(
            weir.setup(),
            &["server", "maint", "other", &good.to_string()],
        );
        assert_eq!(said.0, Some(0), "{}", said.1);
        eventually("only its backup", || {
            (0..20).all(|_| who(address) == "backup").then_some(())
        });
    }
}
