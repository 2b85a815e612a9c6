//! TCP routers, passed through or steered.

use super::*;
use crate::config::Taker;
use crate::router::TcpTls;
use crate::rule::ConnectionView;

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
            .find(&ConnectionView::plain(client(address)))
            .map(|router| router.name.to_string())
    };
    assert_eq!(found("10.2.0.1").as_deref(), Some("some@file"));
    assert_eq!(found("10.1.0.1").as_deref(), Some("all@file"));
    assert_eq!(ssh.tcp.routers()[1].priority, -1);
    assert!(matches!(ssh.at_once(client("192.0.2.9")), Taker::Tcp(_)));
    let amqps = entry_point(&snapshot, "amqps");
    assert!(matches!(
        amqps.at_once(client("192.0.2.9")),
        Taker::Undecided
    ));
    let view = ConnectionView::plain(client("192.0.2.9"));
    let mq = amqps.tcp_tls.find(&view).unwrap();
    assert_eq!(mq.tls, Some(TcpTls::Passthrough));
    assert_eq!(
        servers(mq.service.as_ref().unwrap()),
        [
            ("192.0.2.2:5671".to_owned(), 2),
            ("[2001:db8::1]:5671".to_owned(), 1)
        ]
    );
}

/// Who takes a connection to `websecure` with these rules: a router's name, or HTTP.
struct Order(Snapshot);

impl Order {
    fn new(routers: &str) -> Self {
        let text = format!(
            "{routers}  services: {{s: {{loadBalancer: {{servers: [{{address: '192.0.2.2:5671'}}]}}}}}}\n"
        );
        let mut rules = Rules::new(&[("order.yml", &text)]);
        let snapshot = rules.loader.load();
        assert_eq!(rules.messages(&snapshot), Vec::<String>::new());
        Self(snapshot)
    }

    fn table(&self) -> &EntryPointTable {
        entry_point(&self.0, "websecure")
    }

    fn tls(&self, name: &str, protocol: &str) -> String {
        let protocols = vec![protocol.as_bytes()];
        let view = ConnectionView::tls(client("192.0.2.9"), name, protocols);
        Self::taker(&self.table().of_tls(&view))
    }

    fn taker(taker: &Taker<'_>) -> String {
        match taker {
            Taker::Tcp(router) => router.name.replace("@file", ""),
            other => format!("{other:?}"),
        }
    }
}

const HTTPS: &str = "
http:
  routers:
    shop: {rule: 'Host(`shop.example`) && PathPrefix(`/x`)', service: w, tls: {}, entryPoints: [websecure]}
  services: {w: {loadBalancer: {servers: [{url: 'http://192.0.2.3'}]}}}
tcp:
  routers:
";
const CATCH_ALL: &str = "    all: {rule: HostSNI(`*`), service: s, tls: {passthrough: true}, entryPoints: [websecure]}\n";
const MQ: &str = "    mq: {rule: 'HostSNI(`*.mq.example`) || ALPN(`mqtt`)', service: s, tls: {}, entryPoints: [websecure]}\n";
const SAME: &str = "    same: {rule: HostSNI(`shop.example`), service: s, tls: {passthrough: true}, entryPoints: [websecure], priority: 9999}\n";

#[test]
fn https_that_names_the_server_comes_before_tcp_and_a_lone_catch_all_last() {
    let order = Order::new(&[HTTPS, CATCH_ALL, MQ, SAME].concat());
    for (name, protocol, expected) in [
        ("shop.example", "h2", "Http"),
        ("shop.example", "mqtt", "Http"),
        ("a.mq.example", "h2", "mq"),
        ("mq.example", "h2", "all"),
        ("other.example", "mqtt", "mq"),
        ("", "h2", "all"),
    ] {
        assert_eq!(order.tls(name, protocol), expected, "{name} {protocol}");
    }
    assert!(order.table().reads_hello());
}

#[test]
fn https_that_names_no_server_comes_between_tcp_routers_and_their_catch_all() {
    let any = HTTPS.replace("Host(`shop.example`) && ", "");
    let order = Order::new(&[&any, CATCH_ALL, MQ, SAME].concat());
    for (name, expected) in [
        ("shop.example", "same"),
        ("a.mq.example", "mq"),
        ("other.example", "Http"),
        ("", "Http"),
    ] {
        assert_eq!(order.tls(name, "h2"), expected, "{name}");
    }
}

#[test]
fn what_is_not_tls_goes_to_plain_tcp_routers_then_to_http() {
    let plain = "    plain: {rule: ClientIP(`10.0.0.0/8`), service: s, entryPoints: [websecure]}\n";
    let order = Order::new(&["tcp:\n  routers:\n", plain, CATCH_ALL].concat());
    let table = order.table();
    let of = |address| Order::taker(&table.of_plain(client(address)));
    assert_eq!(
        (of("10.0.0.1"), of("192.0.2.1")),
        ("plain".into(), "Http".into())
    );
    assert!(matches!(
        table.at_once(client("10.0.0.1")),
        Taker::Undecided
    ));
    let order = Order::new(&["tcp:\n  routers:\n", plain].concat());
    let at_once = |address| Order::taker(&order.table().at_once(client(address)));
    assert_eq!(at_once("10.0.0.1"), "plain");
    assert_eq!(at_once("192.0.2.1"), "Nobody");
}

#[test]
fn server_names_need_tls() {
    let text = "
tcp:
  routers: {x: {rule: 'HostSNI(`*`) || !HostSNI(`a.example`)', service: s}}
  services: {s: {loadBalancer: {servers: [{address: '192.0.2.2:5671'}]}}}
";
    assert_eq!(
        messages(&[("a.yml", text)]),
        [
            "a.yml:3:13: tcp.routers.x: found HostSNI in \"HostSNI(`*`) || !HostSNI(`a.example`)\" without tls; allowed HostSNI(`*`) without tls; add tls: {} where TLS ends here, tls: {passthrough: true} where it goes on to the server (router x left out)"
        ]
    );
}

#[test]
fn the_syntax_of_rules_is_that_of_v3() {
    let with = |syntax: &str| {
        let text = format!(
            "tcp:\n  routers: {{x: {{rule: HostSNI(`*`), service: s, ruleSyntax: {syntax}}}}}\n  services: {{s: {{loadBalancer: {{servers: [{{address: '192.0.2.1:443'}}]}}}}}}\n"
        );
        messages(&[("a.yml", &text)])
    };
    assert_eq!(with("v3"), Vec::<String>::new());
    let found = with("v2");
    assert!(
        found[0].contains("found ruleSyntax \"v2\"; allowed v3"),
        "{found:?}"
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
            "rule: HostSNI(`a.example`), entryPoints: [web]",
            "a.yml:2:84: tcp.routers.x: found steer: true beside a rule that looks at more than the address; allowed ClientIP, HostSNI(`*`); a steered router sees nothing but the packet's source address (router x left out)",
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

#[test]
fn a_router_with_an_error_closes_what_it_matches_and_gives_it_to_no_other() {
    let routers = "
tcp:
  routers:
    gone: {rule: HostSNI(`a.example`), service: nowhere, tls: {}, entryPoints: [websecure]}
    mistaken: {rule: HostSNI(`b.example`), service: s, tls: {options: strict}, entryPoints: [websecure]}
    elsewhere: {rule: HostSNI(`c.example`), service: s, tls: {}, entryPoints: [websecure, missing]}
    plain: {rule: ClientIP(`10.0.0.0/8`), service: s, middlewares: [m], entryPoints: [websecure]}
    all: {rule: HostSNI(`*`), service: s, tls: {passthrough: true}, entryPoints: [websecure]}
    others: {rule: HostSNI(`*`), service: s, entryPoints: [websecure]}
  services: {s: {loadBalancer: {servers: [{address: '192.0.2.2:5671'}]}}}
";
    let mut rules = Rules::new(&[("a.yml", routers)]);
    let snapshot = rules.loader.load();
    let found = rules.messages(&snapshot);
    assert_eq!(snapshot.errors(), 4, "{found:#?}");
    let table = entry_point(&snapshot, "websecure");
    let taker = |taker: Taker<'_>| match taker {
        Taker::Tcp(router) => (router.name.to_string(), router.service.is_some()),
        other => (format!("{other:?}"), false),
    };
    let tls = |name: &str| {
        taker(table.of_tls(&ConnectionView::tls(client("192.0.2.9"), name, Vec::new())))
    };
    assert_eq!(tls("a.example"), ("gone@file".into(), false));
    assert_eq!(tls("b.example"), ("mistaken@file".into(), false));
    assert_eq!(tls("c.example"), ("elsewhere@file".into(), false));
    assert_eq!(tls("d.example"), ("all@file".into(), true));
    let plain = |address: &str| taker(table.of_plain(client(address)));
    assert_eq!(plain("10.1.1.1"), ("plain@file".into(), false));
    assert_eq!(plain("192.0.2.1"), ("others@file".into(), true));
    assert_eq!((table.tcp.serving(), table.tcp_tls.serving()), (1, 1));
}

#[test]
fn a_steered_router_with_an_error_has_no_server_for_what_it_catches() {
    let routers = "
tcp:
  routers:
    gone: {rule: ClientIP(`10.1.0.0/16`), service: nowhere, steer: true, entryPoints: [websecure]}
    mistaken: {rule: ClientIP(`10.2.0.0/16`), service: s, middlewares: [m], steer: true, entryPoints: [websecure]}
    far: {rule: 'ClientIP(`10.3.0.0/16`) && ALPN(`h2`)', service: s, tls: {passthrough: true}, steer: true, entryPoints: [websecure]}
    ssh: {rule: ClientIP(`10.4.0.0/16`), service: s, steer: true, entryPoints: [websecure, ssh]}
    rest: {rule: HostSNI(`*`), service: s, steer: true, entryPoints: [websecure]}
  services: {s: {loadBalancer: {servers: [{address: '192.0.2.2:5671'}]}}}
";
    let mut rules = Rules::new(&[("a.yml", routers)]);
    let snapshot = rules.loader.load();
    let found = rules.messages(&snapshot);
    assert_eq!(snapshot.errors(), 4, "{found:#?}");
    let table = entry_point(&snapshot, "websecure");
    let caught = |address: &str| {
        let rule = table.steered.lookup(client(address)).unwrap();
        (
            rule.router.to_string(),
            rule.pool.pick(client(address)).is_some(),
        )
    };
    assert_eq!(caught("10.1.1.1"), ("gone@file".into(), false));
    assert_eq!(caught("10.2.1.1"), ("mistaken@file".into(), false));
    assert_eq!(caught("10.4.1.1"), ("ssh@file".into(), false));
    assert_eq!(caught("10.5.1.1"), ("rest@file".into(), true));
    assert!(
        entry_point(&snapshot, "ssh").steered.is_empty(),
        "nobody is locked out"
    );
    assert_eq!(table.tcp_tls.routers().len(), 1, "it looks further");
}
