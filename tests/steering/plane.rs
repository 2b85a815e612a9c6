//! The control half without the proxy around it: attach, fill, follow, take over, detach. Each test has an edge node
//! of its own on a switch, and its own place for pins.

mod edge;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use weir::config::static_file::SteeringMode;
use weir::router::steered::SourceExpr;
use weir::steering::status::NextHop;
use weir::steering::{self, Plane};
use weir_common::Counter;

use crate::support::DEADLINE;

use self::edge::{Edge, pool, rule, table};

const SERVERS: [&str; 3] = ["10.0.0.11:443", "10.0.0.12:443", "[fd00::13]:443"];

fn prefix(text: &str) -> SourceExpr {
    SourceExpr::Prefix(text.parse().unwrap())
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn listens(edge: &Edge) -> Vec<SocketAddr> {
    edge.status()
        .listeners
        .iter()
        .map(|listener| listener.address)
        .collect()
}

fn prefixes(edge: &Edge) -> Vec<String> {
    edge.status()
        .rules
        .iter()
        .map(|rule| rule.prefix.to_string())
        .collect()
}

#[test]
fn the_program_picks_the_server_user_space_picks() {
    let Some(edge) = Edge::new("") else { return };
    let _servers = edge.servers(&SERVERS);
    let (v4, v6) = (
        pool("v4", &[(SERVERS[0], 3), (SERVERS[1], 1)]),
        pool("v6", &[(SERVERS[2], 1)]),
    );
    let rules = vec![
        rule("four", prefix("192.0.2.0/24"), &v4),
        rule("six", prefix("2001:db8::/32"), &v6),
    ];
    let table = table(rules);
    edge.run(async |edge| {
        let mut plane = edge.start().await;
        edge.steer(&mut plane, vec![table.clone()]).await;
        let program = edge.program();
        let mut picked: BTreeMap<SocketAddr, u32> = BTreeMap::new();
        for n in 0..400u16 {
            let [high, low] = n.to_be_bytes();
            let (client, entry) = match n % 2 {
                0 => (IpAddr::from([192, 0, 2, low]), at("10.0.0.100:443")),
                _ => (
                    IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]),
                    at("[fd00::100]:443"),
                ),
            };
            let wanted = table
                .lookup(client)
                .and_then(|rule| rule.pool.pick(client))
                .expect("steered")
                .addr;
            let client = SocketAddr::new(client, 40_000 + u16::from(high));
            assert_eq!(program.server_of(client, entry), Some(wanted), "{client}");
            *picked.entry(wanted).or_default() += 1;
        }
        assert_eq!(picked.len(), 3, "every server has clients: {picked:?}");
        assert_eq!(
            program.server_of(at("198.51.100.1:4000"), at("10.0.0.100:443")),
            None
        );
        let status = edge.status();
        assert_eq!(status.counters[Counter::PassNoRule.name()], 1);
        let opened = status
            .pools
            .iter()
            .flat_map(|pool| &pool.servers)
            .map(|server| server.opened);
        assert_eq!(opened.sum::<u64>(), 400);
    });
}

#[test]
fn status_names_rules_pools_and_servers() {
    let Some(edge) = Edge::new("") else { return };
    let _servers = edge.servers(&SERVERS[..2]);
    let pool = pool("office@file", &[(SERVERS[0], 3), (SERVERS[1], 1)]);
    let office = SourceExpr::And(vec![
        prefix("192.0.2.0/24"),
        SourceExpr::Not(Box::new(prefix("192.0.2.7/32"))),
    ]);
    edge.run(async |edge| {
        let mut plane = edge.start().await;
        edge.steer(&mut plane, vec![table(vec![rule("office", office, &pool)])])
            .await;
        let status = edge.status();
        assert!(status.enabled);
        assert_eq!(
            (&*status.interfaces[0].name, status.interfaces[0].mode),
            (edge.device(), "native")
        );
        assert_eq!(listens(edge), [at("10.0.0.100:443"), at("[fd00::100]:443")]);
        let rules = status.rules.iter().map(|rule| {
            (
                rule.prefix.to_string(),
                rule.router.as_deref(),
                rule.pool.as_deref(),
            )
        });
        let office = (
            "192.0.2.0/24".to_owned(),
            Some("office"),
            Some("office@file"),
        );
        assert_eq!(
            rules.collect::<Vec<_>>(),
            [office, ("192.0.2.7/32".to_owned(), None, None)]
        );
        let shares = status.pools[0]
            .servers
            .iter()
            .map(|server| (server.address, (server.share * 100.0).round()));
        assert_eq!(
            shares.collect::<Vec<_>>(),
            [(at(SERVERS[0]), 75.0), (at(SERVERS[1]), 25.0)]
        );
        assert_eq!(status.pools[0].name, "office@file");
    });
}

#[test]
fn changed_rules_leave_nothing_behind() {
    let Some(edge) = Edge::new("") else { return };
    let _servers = edge.servers(&SERVERS[..2]);
    let (first, second) = (
        pool("first", &[(SERVERS[0], 1)]),
        pool("second", &[(SERVERS[1], 1)]),
    );
    edge.run(async |edge| {
        let mut plane = edge.start().await;
        let client = at("192.0.2.1:4000");
        edge.steer(
            &mut plane,
            vec![table(vec![rule("r", prefix("192.0.2.0/24"), &first)])],
        )
        .await;
        assert_eq!(
            edge.program().server_of(client, at("10.0.0.100:443")),
            Some(at(SERVERS[0]))
        );
        edge.steer(
            &mut plane,
            vec![table(vec![rule("r", prefix("192.0.2.0/25"), &second)])],
        )
        .await;
        assert_eq!(prefixes(edge), ["192.0.2.0/25"]);
        let status = edge.status();
        assert_eq!(
            status
                .pools
                .iter()
                .map(|pool| &*pool.name)
                .collect::<Vec<_>>(),
            ["second"]
        );
        assert_eq!(
            status.retired[0].address,
            at(SERVERS[0]),
            "a connection to it goes on"
        );
        assert_eq!(status.retired[0].connections, 1);
        assert_eq!(
            edge.program()
                .server_of(at("192.0.2.1:4001"), at("10.0.0.100:443")),
            Some(at(SERVERS[1]))
        );
        edge.steer(&mut plane, vec![table(vec![])]).await;
        assert_eq!((prefixes(edge), listens(edge)), (vec![], vec![]));
    });
}

#[test]
fn the_next_process_takes_over_and_flows_stay() {
    let Some(edge) = Edge::new("") else { return };
    let _servers = edge.servers(&SERVERS[..2]);
    let (pool, other) = (pool("p", &[(SERVERS[0], 1)]), pool("q", &[(SERVERS[1], 1)]));
    edge.run(async |edge| {
        let mut plane = edge.start().await;
        edge.steer(
            &mut plane,
            vec![table(vec![rule("r", prefix("192.0.2.0/24"), &pool)])],
        )
        .await;
        let client = at("192.0.2.1:4000");
        assert_eq!(
            edge.program().server_of(client, at("10.0.0.100:443")),
            Some(at(SERVERS[0]))
        );
        steering::set_enabled(edge.pins(), false).unwrap();
        // As kill -9 does: nothing is undone.
        drop(plane);
        assert!(edge.has_xdp(), "a pinned link holds the program");
        let mut plane = edge.start().await;
        assert_eq!(
            prefixes(edge),
            ["192.0.2.0/24"],
            "the last rules hold until the new ones come"
        );
        edge.steer(
            &mut plane,
            vec![table(vec![rule("r", prefix("192.0.2.0/24"), &other)])],
        )
        .await;
        let status = edge.status();
        assert_eq!(prefixes(edge), ["192.0.2.0/24"]);
        assert!(!status.enabled, "off stays off");
        assert_eq!(status.pools[0].servers[0].address, at(SERVERS[1]));
        assert_eq!(
            (status.retired[0].address, status.retired[0].connections),
            (at(SERVERS[0]), 1)
        );
        assert_eq!(
            edge.program().packet_of(client, at("10.0.0.100:443")),
            Some(at(SERVERS[0])),
            "the flow goes on"
        );
    });
}

#[test]
fn detach_by_hand_works_beside_the_running_process() {
    let Some(edge) = Edge::new("") else { return };
    let _servers = edge.servers(&SERVERS[..1]);
    let pool = pool("p", &[(SERVERS[0], 1)]);
    edge.run(async |edge| {
        let mut plane = edge.start().await;
        edge.steer(
            &mut plane,
            vec![table(vec![rule("r", prefix("192.0.2.0/24"), &pool)])],
        )
        .await;
        assert_eq!(
            edge.program()
                .server_of(at("192.0.2.1:4000"), at("10.0.0.100:443")),
            Some(at(SERVERS[0]))
        );
        let detached = steering::detach(edge.pins()).unwrap();
        assert_eq!(
            (detached.interfaces, detached.connections),
            (vec![edge.device().to_owned()], 1)
        );
        assert!(edge.loses_xdp(), "the process holds no link");
        assert!(!edge.pins().exists());
        assert_eq!(edge.status(), steering::status::Status::default());
        assert!(steering::detach(edge.pins()).is_err());
        let told = tokio::time::timeout(DEADLINE, plane.follow()).await;
        assert!(told.is_ok() && !plane.is_active(), "the process notices");
    });
}

#[test]
fn a_clean_stop_does_what_on_stop_says() {
    for (on_stop, stays) in [("keep", true), ("detach", false)] {
        let Some(edge) = Edge::new(&format!("onStop: {on_stop}")) else {
            return;
        };
        edge.run(async |edge| {
            edge.start().await.stop();
            let as_told = if stays {
                edge.has_xdp()
            } else {
                edge.loses_xdp()
            };
            assert!(as_told, "onStop: {on_stop}");
        });
    }
}

#[test]
fn a_wildcard_follows_the_addresses_of_its_interfaces() {
    let Some(edge) = Edge::new("") else { return };
    let _servers = edge.servers(&SERVERS[..1]);
    let pool = pool("p", &[(SERVERS[0], 1)]);
    edge.run(async |edge| {
        let mut plane = edge.start().await;
        edge.steer(
            &mut plane,
            vec![table(vec![rule("r", SourceExpr::Any, &pool)])],
        )
        .await;
        let before = listens(edge);
        edge.ip(&["address", "add", "10.0.0.101/24", "dev", edge.device()]);
        edge.follow(&mut plane, "the new address", || {
            listens(edge).contains(&at("10.0.0.101:443"))
        })
        .await;
        edge.ip(&["address", "del", "10.0.0.101/24", "dev", edge.device()]);
        edge.follow(&mut plane, "the old addresses", || listens(edge) == before)
            .await;
    });
}

#[test]
fn an_interface_made_again_is_attached_again() {
    let Some(edge) = Edge::new("") else { return };
    edge.run(async |edge| {
        let mut plane = edge.start().await;
        edge.ip(&["link", "del", edge.device()]);
        edge.follow(&mut plane, "no interface", || !edge.has_xdp())
            .await;
        edge.ip(&["link", "add", edge.device(), "type", "bridge"]);
        edge.follow(&mut plane, "the program again", || edge.has_xdp())
            .await;
        assert_eq!(
            edge.status().interfaces[0].mode,
            "generic",
            "a bridge has no native mode"
        );
    });
}

#[test]
fn an_interface_that_refuses_the_program_when_made_again_is_tried_again() {
    let Some(edge) = Edge::new("") else { return };
    edge.run(async |edge| {
        let mut config = edge.config();
        config.entry_points[0].steering.as_mut().unwrap().mode = SteeringMode::Native;
        let mut plane = Plane::start(&config).await.unwrap();
        edge.ip(&["link", "del", edge.device()]);
        edge.ip(&["link", "add", edge.device(), "type", "bridge"]);
        edge.follow(&mut plane, "the link of the old interface goes", || {
            edge.status().interfaces.is_empty()
        })
        .await;
        assert!(plane.is_active(), "nobody detached it by hand");
        edge.ip(&["link", "del", edge.device()]);
        edge.ip(&[
            "link",
            "add",
            edge.device(),
            "type",
            "veth",
            "peer",
            "name",
            "far",
        ]);
        edge.follow(&mut plane, "the program again", || edge.has_xdp())
            .await;
        assert_eq!(edge.status().interfaces[0].mode, "native");
    });
}

#[test]
fn an_interface_whose_link_is_removed_no_longer_counts() {
    let Some(edge) = Edge::new("snat: {addresses: [10.0.0.100]}") else {
        return;
    };
    let pool = pool("p", &[("10.9.0.1:443", 1)]);
    edge.ip(&["link", "add", "aside", "type", "bridge"]);
    edge.ip(&["address", "add", "10.9.0.2/24", "dev", "aside"]);
    edge.ip(&["link", "set", "aside", "up"]);
    edge.run(async |edge| {
        let mut config = edge.config();
        let steering = config.entry_points[0].steering.as_mut().unwrap();
        steering.interfaces.push("aside".into());
        let mut plane = Plane::start(&config).await.unwrap();
        let next_hop = || edge.status().pools[0].servers[0].next_hop;
        plane
            .steer(vec![table(vec![rule("r", SourceExpr::Any, &pool)])])
            .await;
        assert_eq!(next_hop(), NextHop::Unresolved, "nobody answers there");
        std::fs::remove_file(edge.pins().join("links/generic/aside")).unwrap();
        edge.follow(&mut plane, "left to user space", || {
            next_hop() == NextHop::UserSpace
        })
        .await;
        assert!(plane.is_active(), "it runs on the other interface");
    });
}

#[test]
fn a_server_behind_another_interface_is_left_to_user_space() {
    let Some(edge) = Edge::new("") else { return };
    let pool = pool("p", &[("10.9.0.1:443", 1)]);
    edge.ip(&["link", "add", "aside", "type", "bridge"]);
    edge.ip(&["address", "add", "10.9.0.2/24", "dev", "aside"]);
    edge.ip(&["link", "set", "aside", "up"]);
    edge.run(async |edge| {
        let mut plane = edge.start().await;
        plane
            .steer(vec![table(vec![rule("r", SourceExpr::Any, &pool)])])
            .await;
        assert_eq!(
            edge.program()
                .server_of(at("192.0.2.1:4000"), at("10.0.0.100:443")),
            None
        );
        assert_eq!(edge.status().counters[Counter::PassOtherFamily.name()], 1);
    });
}

#[test]
fn a_start_without_the_nic_leaves_new_connections_to_user_space() {
    let Some(edge) = Edge::new("") else { return };
    let _servers = edge.servers(&SERVERS[..1]);
    let pool = pool("p", &[(SERVERS[0], 1)]);
    edge.run(async |edge| {
        let (client, entry) = (at("192.0.2.1:4000"), at("10.0.0.100:443"));
        let mut plane = edge.start().await;
        edge.steer(
            &mut plane,
            vec![table(vec![rule("r", SourceExpr::Any, &pool)])],
        )
        .await;
        assert_eq!(
            edge.program().server_of(client, entry),
            Some(at(SERVERS[0]))
        );
        drop(plane);
        let mut config = edge.config();
        config.entry_points[0].steering.as_mut().unwrap().mode = SteeringMode::Off;
        let mut plane = Plane::start(&config).await.unwrap();
        assert!(!plane.is_active());
        assert_eq!(
            edge.program().server_of(at("192.0.2.1:4002"), entry),
            Some(at(SERVERS[0])),
            "steered until user space serves"
        );
        plane.steer(vec![table(vec![])]).await;
        assert_eq!((listens(edge), prefixes(edge)), (vec![], vec![]));
        assert_eq!(
            edge.program().packet_of(client, entry),
            Some(at(SERVERS[0])),
            "the flow goes on"
        );
        assert_eq!(edge.program().server_of(at("192.0.2.1:4001"), entry), None);
        assert_eq!(edge.status().retired[0].next_hop, NextHop::Known);
    });
}

#[test]
fn an_interface_no_longer_named_is_detached() {
    let Some(edge) = Edge::new("") else { return };
    edge.ip(&["link", "add", "bridge0", "type", "bridge"]);
    edge.run(async |edge| {
        drop(edge.start().await);
        let mut config = edge.config();
        config.entry_points[0].steering.as_mut().unwrap().interfaces = vec!["bridge0".into()];
        assert!(Plane::start(&config).await.unwrap().is_active());
        assert!(edge.loses_xdp());
        let attached = edge.status().interfaces;
        assert_eq!(
            attached
                .iter()
                .map(|interface| &*interface.name)
                .collect::<Vec<_>>(),
            ["bridge0"]
        );
    });
}

#[test]
fn native_falls_back_to_generic_where_the_driver_cannot() {
    for (mode, attached) in [
        (SteeringMode::Auto, Some("generic")),
        (SteeringMode::Generic, Some("generic")),
        (SteeringMode::Native, None),
    ] {
        let Some(edge) = Edge::new("") else { return };
        edge.ip(&["link", "add", "bridge0", "type", "bridge"]);
        edge.run(async |edge| {
            let mut config = edge.config();
            let steering = config.entry_points[0].steering.as_mut().unwrap();
            (steering.interfaces, steering.mode) = (vec!["bridge0".into()], mode);
            let plane = Plane::start(&config)
                .await
                .expect("no fault of the configuration");
            assert_eq!(plane.is_active(), attached.is_some());
            assert_eq!(
                edge.pins().exists(),
                attached.is_some(),
                "a refusal leaves nothing behind"
            );
            assert_eq!(
                edge.status()
                    .interfaces
                    .first()
                    .map(|interface| interface.mode),
                attached
            );
        });
    }
}

#[test]
fn a_configuration_that_contradicts_the_host_is_refused_in_one_line() {
    let Some(edge) = Edge::new("snat: {ports: 32768-40959}\n  onStop: detach") else {
        return;
    };
    let refused = |change: fn(&mut weir::config::StaticConfig)| {
        edge.run(async |edge| {
            let mut config = edge.config();
            change(&mut config);
            let problems = Plane::start(&config).await.err().expect("refused");
            assert!(edge.loses_xdp());
            problems[0].to_string()
        })
    };
    let ephemeral = refused(|_| {});
    assert!(
        ephemeral.contains("sysctl -w net.ipv4.ip_local_reserved_ports=32768-40959"),
        "{ephemeral}"
    );
    let missing = refused(|config| {
        config.entry_points[0].steering.as_mut().unwrap().interfaces = vec!["eth9".into()]
    });
    assert!(
        missing.contains("found eth9, which this host does not have; allowed"),
        "{missing}"
    );
    let loopback = refused(|config| {
        config.entry_points[0].steering.as_mut().unwrap().interfaces = vec!["lo".into()]
    });
    assert!(loopback.contains("found lo; allowed"), "{loopback}");
    edge.within(|| {
        std::fs::write("/proc/sys/net/ipv4/ip_local_reserved_ports", "32768-40959").unwrap()
    });
    edge.run(async |edge| edge.start().await.stop());
    let _listener = edge.within(|| std::net::TcpListener::bind("0.0.0.0:33000").unwrap());
    let listener = refused(|_| {});
    assert!(
        listener.contains("in which something listens on 0.0.0.0:33000"),
        "{listener}"
    );
}
