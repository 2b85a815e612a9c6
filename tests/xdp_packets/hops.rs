//! Next hops: the kernel's FIB where user space knows none, and a client's router that changes.

use weir_common::Counter;
use weir_common::map::{Config, FLAG_NO_MTU, FLAG_STEER_NEW, Hop};
use xtask::netns::{Namespace, join};

use super::packet::{ACK, EDGE_MAC, SYN, Segment};
use super::plane::{Plane, SERVER_MAC, XDP_DROP, XDP_REDIRECT, sensible, ticks};
use super::{EDGE, EDGE_V6, POOL, SERVER_A, SERVER_V6, at, forwarded, passed, steering};

/// A program that knows no next hop of its servers, and a network in which the kernel does.
fn routed() -> Option<(Plane, Namespace, Namespace)> {
    let mut plane = steering()?;
    plane.pool(POOL, &[(1, at(SERVER_A))]);
    plane.server_by(1, at(SERVER_A), Hop::default());
    plane.server_by(3, at(SERVER_V6), Hop::default());
    let edge = Namespace::create("edge").expect("a namespace");
    let server = Namespace::create("server").expect("a namespace");
    join((&edge, "servers"), (&server, "edge")).expect("a veth pair");
    for arguments in [
        "link set servers mtu 1280",
        "address add 10.0.0.1/24 dev servers",
        "address add fd00::1/64 dev servers nodad",
        "neighbour add 10.0.0.11 lladdr 02:00:00:00:00:09 nud permanent dev servers",
        "neighbour add fd00::11 lladdr 02:00:00:00:00:09 nud permanent dev servers",
    ] {
        edge.ip(&arguments.split(' ').collect::<Vec<_>>())
            .expect("configured");
    }
    for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
        edge.sysctl(key, "1").expect("forwarding");
    }
    Some((plane, edge, server))
}

#[test]
fn the_kernel_is_asked_for_a_hop_that_user_space_does_not_know() {
    let Some((plane, edge, _server)) = routed() else {
        return;
    };
    for (client, edge_address, server) in [
        ("192.0.2.5:40000", EDGE, SERVER_A),
        ("[2001:db8:1::7]:40000", EDGE_V6, SERVER_V6),
    ] {
        let syn = Segment::new(at(client), at(edge_address), SYN).frame();
        let (action, frame) = edge.within(|| plane.run(&syn));
        assert_eq!(action, XDP_REDIRECT, "{:?}", plane.counters());
        assert_eq!(frame[..6], SERVER_MAC);
        assert_eq!(Segment::read(&frame, 0).destination, at(server));
    }
}

#[test]
fn a_neighbour_that_goes_away_stops_its_flows_only() {
    let Some((plane, edge, _server)) = routed() else {
        return;
    };
    let syn = Segment::new(at("192.0.2.5:40000"), at(EDGE), SYN);
    assert_eq!(edge.within(|| plane.run(&syn.frame())).0, XDP_REDIRECT);
    edge.ip(&["neighbour", "del", "10.0.0.11", "dev", "servers"])
        .expect("removed");
    let data = Segment {
        flags: ACK,
        ..syn.clone()
    }
    .frame();
    assert_eq!(edge.within(|| plane.run(&data)), (XDP_DROP, data));
    let next = Segment {
        source: at("192.0.2.5:40001"),
        ..syn
    };
    edge.within(|| passed(&plane, &next.frame(), Counter::PassNoHop));
    assert_eq!(plane.counter(Counter::DropNoHop), 1);
}

#[test]
fn what_is_larger_than_the_mtu_is_dropped_unless_frames_are_merged() {
    let Some((mut plane, edge, _server)) = routed() else {
        return;
    };
    let syn = Segment::new(at("192.0.2.5:40000"), at(EDGE), SYN);
    assert_eq!(edge.within(|| plane.run(&syn.frame())).0, XDP_REDIRECT);
    let large = Segment { flags: ACK, ..syn }.payload(&[0; 1300]).frame();
    assert_eq!(edge.within(|| plane.run(&large)).0, XDP_DROP);
    assert_eq!(plane.counter(Counter::DropTooBig), 1);
    plane.configure(Config {
        flags: FLAG_STEER_NEW | FLAG_NO_MTU,
        ..sensible()
    });
    assert_eq!(edge.within(|| plane.run(&large)).0, XDP_REDIRECT);
}

#[test]
fn answers_follow_the_client_to_another_router() {
    const OTHER_ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 0x77];
    let Some(mut plane) = steering() else { return };
    let (client, edge) = (at("192.0.2.5:40000"), at(EDGE));
    let syn = forwarded(&plane, &Segment::new(client, edge, SYN));
    forwarded(&plane, &Segment::new(client, edge, ACK));
    let mut data = Segment::new(client, edge, ACK)
        .payload(b"by another way")
        .frame();
    data[6..12].copy_from_slice(&OTHER_ROUTER);
    plane.change_flow(client, edge, |flow| {
        flow.last = flow.last.wrapping_sub(ticks(1))
    });
    plane.run(&data);
    let (_, answer) = plane.run(&Segment::new(syn.destination, syn.source, ACK).frame());
    assert_eq!(answer[..12], [OTHER_ROUTER, EDGE_MAC].concat());
    assert_eq!(Segment::read(&answer, 0).destination, client);
}
