//! What is steered: where to, and that every byte of it is right.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use weir_common::address::{Mac, v4};
use weir_common::map::Hop;
use weir_common::ring::{self, Candidate, RING_SIZE};
use weir_common::{Counter, hash};

use super::packet::{ACK, CLIENT_MAC, EDGE_MAC, FIN, SYN, Segment};
use super::plane::{EDGE_SERVER_SIDE_MAC, IFINDEX, SERVER_MAC, XDP_DROP, XDP_REDIRECT, sensible};
use super::{EDGE, EDGE_V6, POOL, SERVER_A, SERVER_B, SERVER_V6, at, forwarded, passed, steering};

#[test]
fn a_syn_is_forwarded_from_us_to_a_server() {
    let Some(plane) = steering() else { return };
    let syn = Segment::new(at("192.0.2.5:40000"), at(EDGE), SYN);
    let result = forwarded(&plane, &syn);
    assert!([at(SERVER_A), at(SERVER_B)].contains(&result.destination));
    assert!(
        ["10.0.0.2", "10.0.0.3"]
            .map(|own| own.parse().unwrap())
            .contains(&result.source.ip())
    );
    assert!((16384..32768).contains(&result.source.port()));
    let (_, frame) = plane.run(
        &Segment {
            source: at("192.0.2.5:40001"),
            ..syn
        }
        .frame(),
    );
    assert_eq!(frame[..12], [SERVER_MAC, EDGE_SERVER_SIDE_MAC].concat());
    assert_eq!(
        (
            plane.counter(Counter::FlowNew),
            plane.counter(Counter::Forward)
        ),
        (2, 2)
    );
}

#[test]
fn both_directions_of_a_connection_reach_the_other_end() {
    let Some(plane) = steering() else { return };
    for (client, edge, server) in [
        ("192.0.2.5:40000", EDGE, None),
        ("[2001:db8:1::7]:40000", EDGE_V6, Some(SERVER_V6)),
    ] {
        let (client, edge) = (at(client), at(edge));
        let syn = forwarded(&plane, &Segment::new(client, edge, SYN));
        let (us, server) = (syn.source, server.map_or(syn.destination, at));
        assert_eq!(syn.destination, server);
        let exchange = [
            (false, SYN | ACK, &b""[..]),
            (true, ACK, b""),
            (true, ACK, b"request"),
            (false, ACK, b"response, even"),
            (false, ACK | FIN, b"odd"),
            (true, ACK | FIN, b""),
            (false, ACK, b""),
        ];
        for (from_client, flags, payload) in exchange {
            let (source, destination) = if from_client {
                (client, edge)
            } else {
                (server, us)
            };
            let result = forwarded(
                &plane,
                &Segment::new(source, destination, flags).payload(payload),
            );
            let expected = if from_client {
                (us, server)
            } else {
                (edge, client)
            };
            assert_eq!((result.source, result.destination), expected);
        }
    }
    assert_eq!(
        (
            plane.counter(Counter::Forward),
            plane.counter(Counter::Return)
        ),
        (8, 8)
    );
}

#[test]
fn return_packets_go_where_the_syn_came_from() {
    let Some(plane) = steering() else { return };
    let syn = forwarded(&plane, &Segment::new(at("192.0.2.5:40000"), at(EDGE), SYN));
    let (_, frame) = plane.run(&Segment::new(syn.destination, syn.source, SYN | ACK).frame());
    assert_eq!(frame[..12], [CLIENT_MAC, EDGE_MAC].concat());
}

#[test]
fn checksums_are_right_whatever_the_payload() {
    let Some(plane) = steering() else { return };
    for (client, edge) in [
        ("192.0.2.5:40000", EDGE),
        ("[2001:db8:1::7]:40000", EDGE_V6),
    ] {
        let (client, edge) = (at(client), at(edge));
        let syn = forwarded(&plane, &Segment::new(client, edge, SYN));
        for length in (0..64).chain([1399, 1400]) {
            for fill in [0, 0xff, 0x5a] {
                let payload = vec![fill; length];
                forwarded(&plane, &Segment::new(client, edge, ACK).payload(&payload));
                forwarded(
                    &plane,
                    &Segment::new(syn.destination, syn.source, ACK).payload(&payload),
                );
            }
        }
    }
}

#[test]
fn checksums_are_right_for_many_addresses() {
    let Some(mut plane) = steering() else { return };
    plane.rule("0.0.0.0/0", Some(POOL));
    for n in 0..2000u32 {
        let source = SocketAddr::from((Ipv4Addr::from(n.wrapping_mul(0x9e37_79b9)), 1 + n as u16));
        let syn = forwarded(&plane, &Segment::new(source, at(EDGE), SYN));
        let back = forwarded(&plane, &Segment::new(syn.destination, syn.source, ACK));
        assert_eq!((back.source, back.destination), (at(EDGE), source));
    }
}

#[test]
fn vlan_tags_are_kept() {
    let Some(plane) = steering() else { return };
    for vlans in [&[7][..], &[100, 7]] {
        for (client, edge) in [
            ("192.0.2.5:40000", EDGE),
            ("[2001:db8:1::7]:40000", EDGE_V6),
        ] {
            let syn = forwarded(
                &plane,
                &Segment::new(at(client), at(edge), SYN).vlans(vlans),
            );
            let answer = Segment::new(syn.destination, syn.source, ACK)
                .vlans(vlans)
                .payload(b"odd");
            assert_eq!(forwarded(&plane, &answer).destination, at(client));
        }
    }
}

#[test]
fn a_client_stays_on_the_server_the_ring_says() {
    let Some(plane) = steering() else { return };
    let servers = [(1, at(SERVER_A)), (2, at(SERVER_B))];
    let mut ring = [0; RING_SIZE];
    ring::fill(
        &mut ring,
        &mut servers.map(|(index, address)| Candidate::new(address, index, 1)),
    );
    let mut clients = HashMap::new();
    for host in 0..=255u8 {
        let address = Ipv4Addr::new(192, 0, 2, host);
        let index = ring[ring::slot(hash::client(sensible().seed, v4(address)))];
        let expected = servers[usize::from(index) - 1].1;
        for port in [1024, 1025, 40000, 65535] {
            let syn = Segment::new(SocketAddr::from((address, port)), at(EDGE), SYN);
            assert_eq!(
                forwarded(&plane, &syn).destination,
                expected,
                "{address}:{port}"
            );
        }
        *clients.entry(expected).or_insert(0) += 1;
    }
    assert!(clients.values().all(|count| *count > 90), "{clients:?}");
}

#[test]
fn a_client_is_always_forwarded_from_the_same_of_our_addresses() {
    let Some(plane) = steering() else { return };
    let mut clients: HashMap<IpAddr, u32> = HashMap::new();
    for host in 0..=255u8 {
        let from = |port| {
            let source = SocketAddr::from((Ipv4Addr::new(192, 0, 2, host), port));
            forwarded(&plane, &Segment::new(source, at(EDGE), SYN))
                .source
                .ip()
        };
        let first = from(1000);
        assert!((1001..1010).all(|port| from(port) == first));
        *clients.entry(first).or_default() += 1;
    }
    assert!(
        clients.len() == 2 && clients.values().all(|count| *count > 90),
        "{clients:?}"
    );
}

#[test]
fn a_changed_pool_moves_new_connections_only() {
    let Some(mut plane) = steering() else { return };
    plane.pool(POOL, &[(1, at(SERVER_A))]);
    let client = at("192.0.2.5:40000");
    assert_eq!(
        forwarded(&plane, &Segment::new(client, at(EDGE), SYN)).destination,
        at(SERVER_A)
    );
    plane.pool(POOL, &[(2, at(SERVER_B))]);
    assert_eq!(
        forwarded(&plane, &Segment::new(client, at(EDGE), ACK)).destination,
        at(SERVER_A)
    );
    let next = Segment::new(at("192.0.2.5:40001"), at(EDGE), SYN);
    assert_eq!(forwarded(&plane, &next).destination, at(SERVER_B));
    plane.rule("192.0.2.0/24", None);
    assert_eq!(
        forwarded(&plane, &Segment::new(client, at(EDGE), ACK)).destination,
        at(SERVER_A)
    );
}

#[test]
fn a_server_behind_another_device_is_reached_by_redirect() {
    let Some(mut plane) = steering() else { return };
    plane.pool(POOL, &[(1, at(SERVER_A))]);
    let hop = Hop::new(IFINDEX + 1, Mac(SERVER_MAC), Mac(EDGE_MAC));
    plane.server_by(1, at(SERVER_A), hop);
    let (action, frame) = plane.run(&Segment::new(at("192.0.2.5:40000"), at(EDGE), SYN).frame());
    assert_eq!(action, XDP_REDIRECT);
    assert_eq!(Segment::read(&frame, 0).destination, at(SERVER_A));
}

#[test]
fn without_a_next_hop_a_syn_is_passed_and_a_flow_dropped() {
    let Some(mut plane) = steering() else { return };
    plane.pool(POOL, &[(1, at(SERVER_A))]);
    let syn = Segment::new(at("192.0.2.5:40000"), at(EDGE), SYN);
    forwarded(&plane, &syn);
    plane.server_by(1, at(SERVER_A), Hop::default());
    let second = Segment {
        source: at("192.0.2.5:40001"),
        ..syn.clone()
    };
    passed(&plane, &second.frame(), Counter::PassNoHop);
    let data = Segment { flags: ACK, ..syn }.frame();
    assert_eq!(plane.run(&data), (XDP_DROP, data));
    assert_eq!(plane.counter(Counter::DropNoHop), 1);
}

#[test]
fn a_server_is_credited_with_its_packets_both_ways() {
    let Some(mut plane) = steering() else { return };
    plane.pool(POOL, &[(1, at(SERVER_A))]);
    let client = at("192.0.2.5:40000");
    let syn = forwarded(&plane, &Segment::new(client, at(EDGE), SYN));
    forwarded(
        &plane,
        &Segment::new(syn.destination, syn.source, SYN | ACK),
    );
    forwarded(
        &plane,
        &Segment::new(client, at(EDGE), ACK).payload(&[0; 60]),
    );
    let stats = plane.server_stats(1);
    assert_eq!(
        (stats.packets, stats.bytes, stats.flows),
        (3, 40 + 40 + 100, 1)
    );
    assert_eq!(plane.server_stats(2).packets, 0);
}
