//! The source port of a forwarded connection: distinct, repeatable, and never one that a server may remember.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};

use weir_common::Counter;
use weir_common::flow::{STATE_CLIENT_FIN, STATE_ESTABLISHED, STATE_RESET, STATE_SERVER_FIN};
use weir_common::map::Config;
use weir_common::snat::{HALF_OPEN, SILENT, TIME_WAIT};

use super::packet::{ACK, SYN, Segment};
use super::plane::{Plane, sensible, ticks};
use super::{EDGE, EDGE_V6, POOL, SERVER_A, at, forwarded, passed, steering};

const FINS: u8 = STATE_ESTABLISHED | STATE_CLIENT_FIN | STATE_SERVER_FIN;

/// A program with one server and one single source port: every second connection meets the first.
fn one_port() -> Option<Plane> {
    let mut plane = steering()?;
    plane.pool(POOL, &[(1, at(SERVER_A))]);
    plane.configure(Config {
        snat_v4: 1,
        port_mask: 0,
        ..sensible()
    });
    Some(plane)
}

fn syn(source: &str) -> Segment {
    Segment::new(at(source), at(EDGE), SYN)
}

const FIRST: &str = "192.0.2.5:40000";
const SECOND: &str = "192.0.2.6:40000";

#[test]
fn two_bursts_of_five_thousand_connections_all_get_ports_of_their_own() {
    let Some(mut plane) = steering() else { return };
    plane.pool(POOL, &[(1, at(SERVER_A))]);
    for client in ["192.0.2.9", "192.0.2.10", "192.0.2.11"] {
        let mut seen = HashSet::new();
        for n in 0..10_000u32 {
            // As Linux does: even ports from anywhere in its range, then the odd ones.
            let port = (32768 + (n * 2 + n / 14_116) % 28_232) as u16;
            let source = SocketAddr::from((client.parse::<Ipv4Addr>().unwrap(), port));
            let result = forwarded(&plane, &Segment::new(source, at(EDGE), SYN));
            assert!(seen.insert(result.source), "{} twice", result.source);
        }
        plane.configure(Config {
            snat_v4: 1,
            port_base: plane_base(client),
            ..sensible()
        });
    }
    assert_eq!(plane.counter(Counter::PassNoPort), 0);
}

/// Each client of the burst test gets ports of its own.
fn plane_base(client: &str) -> u16 {
    if client.ends_with(".9") { 32768 } else { 49152 }
}

#[test]
fn ports_of_ipv6_connections_differ_too() {
    let Some(plane) = steering() else { return };
    let mut seen = HashSet::new();
    for port in 1024..5024u16 {
        let source = SocketAddr::from((at("[2001:db8:1::7]:0").ip(), port));
        assert!(seen.insert(forwarded(&plane, &Segment::new(source, at(EDGE_V6), SYN)).source));
    }
}

#[test]
fn the_same_client_port_gets_the_same_source_port_again() {
    let Some(mut plane) = steering() else { return };
    for port in 2000..2100u16 {
        let syn = Segment::new(
            SocketAddr::from((Ipv4Addr::new(192, 0, 2, 5), port)),
            at(EDGE),
            SYN,
        );
        let first = forwarded(&plane, &syn);
        let close = |flow: &mut weir_common::flow::Flow<u32>| flow.state = FINS;
        plane.change_flow(syn.source, at(EDGE), close);
        plane.change_flow(first.destination, first.source, close);
        assert_eq!(forwarded(&plane, &syn).source, first.source);
        assert_eq!(
            plane.flow(syn.source, at(EDGE)).unwrap().state,
            0,
            "a new connection"
        );
    }
    assert_eq!(plane.counter(Counter::PortTaken), 0);
    assert_eq!(plane.counter(Counter::FlowNew), 200);
}

#[test]
fn a_port_in_use_or_remembered_is_not_given_away() {
    let Some(mut plane) = one_port() else { return };
    let first = forwarded(&plane, &syn(FIRST));
    let kept = [
        (0, HALF_OPEN),
        (STATE_ESTABLISHED, SILENT),
        (STATE_ESTABLISHED | STATE_CLIENT_FIN, SILENT),
        (FINS, TIME_WAIT),
        (STATE_RESET, TIME_WAIT),
    ];
    let fresh = plane.flow(first.destination, first.source).unwrap().last;
    for (state, age) in kept {
        plane.change_flow(first.destination, first.source, |flow| {
            flow.state = state;
            // Half way there, so that no slow machine makes it too late.
            flow.last = fresh.wrapping_sub(ticks(age) / 2);
        });
        passed(&plane, &syn(SECOND).frame(), Counter::PassNoPort);
    }
}

#[test]
fn a_port_nobody_remembers_is_given_to_the_next() {
    let free = [
        (FINS, TIME_WAIT, false),
        (STATE_RESET, TIME_WAIT, false),
        (0, HALF_OPEN, true),
    ];
    for (state, age, taken) in free.into_iter().chain([(STATE_ESTABLISHED, SILENT, true)]) {
        let Some(mut plane) = one_port() else { return };
        let first = forwarded(&plane, &syn(FIRST));
        plane.change_flow(first.destination, first.source, |flow| {
            flow.state = state;
            flow.last = flow.last.wrapping_sub(ticks(age) + 1);
        });
        let second = forwarded(&plane, &syn(SECOND));
        assert_eq!(second.source, first.source);
        assert_eq!(plane.counter(Counter::PortTaken), u64::from(taken));
        let answer = Segment::new(second.destination, second.source, SYN | ACK);
        assert_eq!(forwarded(&plane, &answer).destination, at(SECOND));
        // The former owner has lost its flow: its packets must not reach the server on the port of another.
        assert!(plane.flow(at(FIRST), at(EDGE)).is_none());
        let late = Segment {
            flags: ACK,
            ..syn(FIRST)
        };
        passed(&plane, &late.frame(), Counter::PassNoFlow);
    }
}

#[test]
fn a_connection_without_a_port_leaves_no_flow_behind() {
    let Some(mut plane) = one_port() else { return };
    forwarded(&plane, &syn(FIRST));
    passed(&plane, &syn(SECOND).frame(), Counter::PassNoPort);
    assert!(plane.flow(at(SECOND), at(EDGE)).is_none());
    passed(
        &plane,
        &Segment {
            flags: ACK,
            ..syn(SECOND)
        }
        .frame(),
        Counter::PassNoFlow,
    );
}
