//! TCP routers, passed through or steered.

use super::*;

#[test]
fn tcp_routers_stand_on_their_entry_points() {
    let mut rules = Rules::new(&[(
        "tcp.yml",
        "
tcp:
  routers:
    all: {rule: HostSNI(`*`), service: ftp, entryPoints: [ssh]}
    some: {rule: 'ClientIP(`10.0.0.0/8`) && !ClientIP(`10.1.0.0/16`)', service: mq, entryPoints: [ssh]}
    mq: {rule: HostSNI(`*`), service: mq, entryPoints: [amqps], tls: {passthrough: true}}
  services:
    ftp: {loadBalancer: {servers: [{address: '192.0.2.1:21'}]}}
    mq: {loadBalancer: {servers: [{address: '192.0.2.2:5671', weight: 2}, {address: '[2001:db8::1]:5671'}]}}
",
    )]);
    let snapshot = rules.loader.load();
    assert_eq!(rules.messages(&snapshot), Vec::<String>::new());
    let ssh = entry_point(&snapshot, "ssh");
    let found = |address: &str| {
        ssh.tcp
            .find(client(address))
            .map(|router| router.name.to_string())
    };
    assert_eq!(found("10.2.0.1").as_deref(), Some("some@file"));
    assert_eq!(found("10.1.0.1").as_deref(), Some("all@file"));
    assert_eq!(ssh.tcp.routers()[1].priority, -1);
    assert!(!ssh.sniffs());
    let amqps = entry_point(&snapshot, "amqps");
    assert!(amqps.sniffs() && amqps.tcp.is_empty());
    let mq = amqps.passthrough.find(client("192.0.2.9")).unwrap();
    assert_eq!(
        servers(&mq.service),
        [
            ("192.0.2.2:5671".to_owned(), 2),
            ("[2001:db8::1]:5671".to_owned(), 1)
        ]
    );
}

#[test]
fn passthrough_and_https_do_not_share_an_entry_point() {
    let found = messages(&[
        APP,
        (
            "mq.yml",
            "
tcp:
  routers: {mq: {rule: HostSNI(`*`), service: mq, entryPoints: [websecure], tls: {passthrough: true}}}
  services: {mq: {loadBalancer: {servers: [{address: '192.0.2.2:5671'}]}}}
",
        ),
    ]);
    assert_eq!(
        found,
        [
            "mq.yml:3:13: tcp.routers.mq: found tls.passthrough on entry point websecure, which has http routers with tls; use an entry point of its own, or steer: true; weir tells them not yet apart by server name (router mq left out)"
        ]
    );
}

#[test]
fn steered_routers_go_by_priority() {
    let mut rules = Rules::new(&[(
        "steer.yml",
        "
tcp:
  routers:
    testers: {rule: 'ClientIP(`10.1.2.3`)', service: staging, steer: true, priority: 10, entryPoints: [websecure]}
    site: {rule: 'ClientIP(`10.0.0.0/8`) || ClientIP(`2001:db8::/32`)', service: both, steer: true, entryPoints: [websecure], tls: {passthrough: true}}
    rest: {rule: HostSNI(`*`), service: staging, steer: true, priority: 1, entryPoints: [amqps]}
  services:
    staging: {loadBalancer: {servers: [{address: '192.0.2.1:443'}]}}
    a: {loadBalancer: {servers: [{address: '192.0.2.2:443'}]}}
    b: {loadBalancer: {servers: [{address: '192.0.2.3:443', weight: 2}, {address: '192.0.2.4:443'}]}}
    both: {weighted: {services: [{name: a, weight: 3}, {name: b}]}}
",
    )]);
    let snapshot = rules.loader.load();
    assert_eq!(
        rules.messages(&snapshot),
        [
            "steer.yml:6:57: tcp.routers.rest.steer: found steer: true; know that NAT hides the client's address: the servers see one of steering.snat.addresses"
        ]
    );
    assert_eq!(snapshot.errors(), 0);
    let steered = &entry_point(&snapshot, "websecure").steered;
    let found = |address: &str| {
        steered
            .lookup(client(address))
            .map(|rule| rule.router.to_string())
    };
    assert_eq!(
        found("10.1.2.3").as_deref(),
        Some("site@file"),
        "priority, not prefix length"
    );
    assert_eq!(found("2001:db8::9").as_deref(), Some("site@file"));
    assert_eq!(found("192.0.2.9"), None);
    let pool = &steered.lookup(client("10.9.9.9")).unwrap().pool;
    let shares: Vec<(String, u32)> = pool
        .servers()
        .iter()
        .map(|s| (s.addr.to_string(), s.share))
        .collect();
    assert_eq!(
        shares,
        [
            ("192.0.2.2:443".into(), 9),
            ("192.0.2.3:443".into(), 2),
            ("192.0.2.4:443".into(), 1)
        ]
    );
    assert!(
        entry_point(&snapshot, "amqps")
            .steered
            .lookup(client("192.0.2.9"))
            .is_some()
    );
}

#[test]
fn what_a_steered_router_may_not_have() {
    let cases = [
        (
            "rule: HostSNI(`a.example`)",
            "a.yml:2:31: tcp.routers.x.rule: found \"a.example\"; allowed ClientIP, HostSNI(`*`); a steered router sees nothing but the packet's source address (the file left out)",
        ),
        (
            "rule: PathPrefix(`/a`)",
            "a.yml:2:23: tcp.routers.x.rule: found matcher PathPrefix; allowed ClientIP, HostSNI(`*`); a steered router sees nothing but the packet's source address (the file left out)",
        ),
        (
            "rule: HostSNI(`*`), tls: {}",
            "a.yml:2:37: tcp.routers.x.tls: found tls without passthrough; allowed tls.passthrough: true; a steered connection goes to its server with its TLS untouched (router x left out)",
        ),
        (
            "rule: HostSNI(`*`), tls: {passthrough: true, certResolver: r}",
            "a.yml:2:62: tcp.routers.x.tls.certResolver: found the key \"certResolver\"; Traefik has it, weir not yet (router x left out)",
        ),
        (
            "rule: HostSNI(`*`), middlewares: [m]",
            "a.yml:2:37: tcp.routers.x.middlewares: found middlewares on a tcp router; a steered router sees nothing but the packet's source address: remove middlewares or steer (router x left out)",
        ),
        (
            "rule: HostSNI(`*`), proxyProtocol: {version: 2}",
            "a.yml:2:37: tcp.routers.x.proxyProtocol: found proxyProtocol on a tcp router; a steered router sees nothing but the packet's source address: remove proxyProtocol or steer (router x left out)",
        ),
        (
            "rule: HostSNI(`*`), entryPoints: [ssh]",
            "a.yml:2:76: tcp.routers.x: found steer on entry point ssh, whose port 22 is protected; name other entryPoints (router x left out)",
        ),
        (
            "rule: HostSNI(`*`)",
            "a.yml:2:56: tcp.routers.x: found steer on entry point ssh, whose port 22 is protected; name other entryPoints (router x left out)",
        ),
    ];
    for (router, expected) in cases {
        let text = format!(
            "tcp:\n  routers: {{x: {{{router}, service: s, steer: true}}}}\n  services: {{s: {{loadBalancer: {{servers: [{{address: '192.0.2.1:443'}}]}}}}}}\n"
        );
        assert_eq!(messages(&[("a.yml", &text)]), [expected], "{router}");
    }
}

#[test]
fn services_that_share_children_do_not_unfold_without_bound() {
    let children = |level: usize| vec![format!("{{name: s{level}}}"); 20].join(", ");
    let levels = |levels: usize| {
        (1..=levels).fold(String::new(), |text, level| {
            text + &format!(
                "    s{level}: {{weighted: {{services: [{}]}}}}\n",
                children(level - 1)
            )
        })
    };
    for protocol in ["tcp", "http"] {
        let (rule, server) = if protocol == "tcp" {
            (
                "ClientIP(`10.0.0.0/8`)', steer: true, entryPoints: [web]",
                "address: '192.0.2.1:1'",
            )
        } else {
            ("PathPrefix(`/`)'", "url: 'http://192.0.2.1'")
        };
        let text = format!(
            "{protocol}:\n  routers: {{x: {{rule: '{rule}, service: s7}}}}\n  services:\n    \
             s0: {{loadBalancer: {{servers: [{{{server}}}]}}}}\n{}",
            levels(7)
        );
        let found = messages(&[("a.yml", &text)]);
        let expected = format!(
            "a.yml:8:5: {protocol}.services.s4.weighted: found 328420 services and servers below it, each as often as it is reached; allowed at most 65535 (service s4 left out)"
        );
        assert!(found.contains(&expected), "{found:#?}");
        assert!(
            found
                .iter()
                .any(|line| line.contains("(router x left out)")),
            "{found:#?}"
        );
    }
}

#[test]
fn the_router_that_overfills_the_shared_tables_is_left_out() {
    let rule = |router: usize| {
        let clients = (0..2500).map(|n| format!("ClientIP(`10.{router}.{}.{}`)", n / 250, n % 250));
        clients.collect::<Vec<_>>().join("||")
    };
    let mut text = "tcp:\n  services: {s: {loadBalancer: {servers: [{address: '192.0.2.1:1'}]}}}\n  routers:\n".to_owned();
    for router in 10..63 {
        let entry_point = ["web", "websecure", "amqps"][router % 3];
        text += &format!(
            "    r{router}: {{rule: '{}', service: s, steer: true, entryPoints: [{entry_point}]}}\n",
            rule(router)
        );
    }
    let found = messages(&[("a.yml", &text)]);
    let lost: Vec<_> = found
        .iter()
        .filter(|line| line.contains("after 130000"))
        .collect();
    assert_eq!(lost.len(), 1, "{found:#?}");
    assert!(
        lost[0].contains("tcp.routers.r62") && lost[0].ends_with("(router r62 left out)"),
        "{lost:?}"
    );
}

#[test]
fn a_load_balancer_has_a_bounded_number_of_servers() {
    let found = |count: usize| {
        let servers = (0..count).map(|n| format!("{{address: '10.0.{}.{}:1'}}", n / 250, n % 250));
        let servers = servers.collect::<Vec<_>>().join(", ");
        let text = format!("tcp:\n  services: {{s: {{loadBalancer: {{servers: [{servers}]}}}}}}\n");
        messages(&[("a.yml", &text)])
    };
    assert_eq!(found(4096), Vec::<String>::new());
    assert_eq!(
        found(4097),
        [
            "a.yml:2:33: tcp.services.s.loadBalancer.servers: found 4097 servers; allowed at most 4096 (service s left out)"
        ]
    );
}
