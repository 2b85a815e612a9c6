//! Copies of flows: used for the segments that change nothing, for no longer than a tick, and never once the flow is
//! gone.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use weir_common::Counter;
use weir_common::flow::{STATE_CLIENT_FIN, STATE_SERVER_FIN};

use super::packet::{ACK, FIN, SYN, Segment};
use super::plane::Plane;
use super::{EDGE, EDGE_V6, POOL, SERVER_A, SERVER_B, at, forwarded, passed, steering};

const CLIENT: &str = "192.0.2.5:40000";
/// How long to wait until a copy is used, or no longer.
pub const PATIENCE: Duration = Duration::from_secs(10);

fn client(flags: u8) -> Segment {
    Segment::new(at(CLIENT), at(EDGE), flags)
}

/// Makes a flow look as if its last packet came a tick ago, and sends one more of it: that one leaves a copy.
fn copy(plane: &mut Plane, segment: &Segment) {
    plane.change_flow(segment.source, segment.destination, |flow| {
        flow.last = flow.last.wrapping_sub(1)
    });
    forwarded(plane, segment);
}

/// Changes the server that a flow counts for, behind the back of whoever has a copy.
fn count_for(plane: &mut Plane, (source, destination): (SocketAddr, SocketAddr), server: u16) {
    plane.change_flow_unseen(source, destination, |flow| flow.server = server);
}

/// Whether one more segment is counted for this server.
fn counts_for(plane: &Plane, segment: &Segment, server: u16) -> bool {
    let before = plane.server_stats(server).packets;
    forwarded(plane, segment);
    plane.server_stats(server).packets > before
}

/// Sends a segment and changes its flow afterwards until that goes unnoticed: by then a copy is in use. The tick may
/// end in between, and the test move to another CPU.
fn copy_in_use(plane: &mut Plane, segment: &Segment) {
    let ends = (segment.source, segment.destination);
    let deadline = Instant::now() + PATIENCE;
    loop {
        count_for(plane, ends, 1);
        copy(plane, segment);
        count_for(plane, ends, 2);
        if counts_for(plane, segment, 1) {
            return;
        }
        assert!(Instant::now() < deadline, "no copy of {segment:?} is used");
    }
}

/// A connection to server 1 that both sides have used.
fn connected() -> Option<(Plane, Segment)> {
    let mut plane = steering()?;
    plane.pool(POOL, &[(1, at(SERVER_A))]);
    let opened = forwarded(&plane, &client(SYN));
    let answer = Segment::new(opened.destination, opened.source, SYN | ACK);
    forwarded(&plane, &answer);
    forwarded(&plane, &client(ACK));
    Some((plane, Segment::new(opened.destination, opened.source, ACK)))
}

#[test]
fn a_copy_serves_until_the_tick_ends() {
    let Some((mut plane, server)) = connected() else {
        return;
    };
    for segment in [client(ACK), server] {
        copy_in_use(&mut plane, &segment);
        let deadline = Instant::now() + PATIENCE;
        while !counts_for(&plane, &segment, 2) {
            assert!(Instant::now() < deadline, "the copy outlives its tick");
        }
    }
}

#[test]
fn a_copy_ends_with_its_epoch() {
    let Some((mut plane, server)) = connected() else {
        return;
    };
    for segment in [client(ACK), server] {
        copy_in_use(&mut plane, &segment);
        plane.end_epoch();
        assert!(counts_for(&plane, &segment, 2), "{segment:?}");
    }
}

#[test]
fn no_copy_outlives_a_flow_that_user_space_removes() {
    for answers in [false, true] {
        let Some((mut plane, server)) = connected() else {
            return;
        };
        let segment = if answers { server } else { client(ACK) };
        let mut maps = plane.opened();
        copy_in_use(&mut plane, &segment);
        let removed = maps.remove_flows(&BTreeSet::from([1, 2]));
        removed.expect("flows removed");
        passed(&plane, &segment.frame(), Counter::PassNoFlow);
    }
}

#[test]
fn an_end_is_noted_beside_a_copy() {
    let Some((mut plane, server)) = connected() else {
        return;
    };
    copy(&mut plane, &client(ACK));
    copy(&mut plane, &server);
    forwarded(&plane, &client(ACK | FIN));
    forwarded(&plane, &client(ACK));
    let end = Segment::new(server.source, server.destination, ACK | FIN);
    forwarded(&plane, &end);
    forwarded(&plane, &server);
    let both = STATE_CLIENT_FIN | STATE_SERVER_FIN;
    for (source, destination) in [(at(CLIENT), at(EDGE)), (server.source, server.destination)] {
        let flow = plane.flow(source, destination).expect("the flow");
        assert_eq!(flow.state & both, both, "{source} to {destination}");
    }
}

#[test]
fn no_copy_outlives_a_syn_that_chooses_anew() {
    let Some((mut plane, _)) = connected() else {
        return;
    };
    copy(&mut plane, &client(ACK));
    forwarded(&plane, &client(ACK | FIN));
    plane.pool(POOL, &[(2, at(SERVER_B))]);
    assert_eq!(forwarded(&plane, &client(ACK)).destination, at(SERVER_A));
    assert_eq!(forwarded(&plane, &client(SYN)).destination, at(SERVER_B));
    assert_eq!(forwarded(&plane, &client(ACK)).destination, at(SERVER_B));
}

#[test]
fn no_copy_outlives_a_syn_that_is_passed() {
    let Some((mut plane, _)) = connected() else {
        return;
    };
    copy(&mut plane, &client(ACK));
    forwarded(&plane, &client(ACK | FIN));
    plane.rule("192.0.2.0/24", None);
    passed(&plane, &client(SYN).frame(), Counter::PassNoRule);
    passed(&plane, &client(ACK).frame(), Counter::PassNoFlow);
}

#[test]
fn copies_of_ipv6_flows_translate_alike() {
    let Some(plane) = steering() else { return };
    let client = |flags| Segment::new(at("[2001:db8:1::7]:40000"), at(EDGE_V6), flags);
    let first = forwarded(&plane, &client(SYN));
    let deadline = Instant::now() + PATIENCE;
    while !plane.has_copies_v6() {
        assert!(Instant::now() < deadline, "no copy is made");
        forwarded(&plane, &client(ACK));
    }
    for _ in 0..100 {
        let next = forwarded(&plane, &client(ACK).payload(b"odd"));
        assert_eq!(
            (next.source, next.destination),
            (first.source, first.destination)
        );
    }
}
