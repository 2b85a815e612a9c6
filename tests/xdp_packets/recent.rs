//! Copies of flows: used for the segments that change nothing, for no longer than a tick, and never once the flow is
//! gone.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use weir_common::Counter;
use weir_common::flow::{STATE_CLIENT_FIN, STATE_SERVER_FIN};
use weir_common::map::Config;
use weir_common::snat;

use super::packet::{ACK, FIN, SYN, Segment};
use super::plane::{Plane, sensible, ticks};
use super::{
    EDGE, EDGE_V6, POOL, SERVER_A, SERVER_B, at, cpus, forwarded, passed, run_on, steering,
};

const CLIENT: &str = "192.0.2.5:40000";
const OTHER_CLIENT: &str = "192.0.2.6:40000";
/// So often what must happen within a tick: it does not end in between every time.
const TRIES: usize = 5;
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

/// A connection to server 1 that both sides have used, and what the server sends.
fn connected() -> Option<(Plane, Segment)> {
    connected_by(sensible())
}

/// The same, from one source address and port for all clients.
fn connected_by_one_port() -> Option<(Plane, Segment)> {
    connected_by(Config {
        snat_v4: 1,
        port_mask: 0,
        ..sensible()
    })
}

fn connected_by(config: Config) -> Option<(Plane, Segment)> {
    let mut plane = steering()?;
    plane.configure(config);
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
fn an_end_is_noted_beside_a_copy_of_the_connection_before() {
    for _ in 0..TRIES {
        let Some((mut plane, server)) = connected() else {
            return;
        };
        let answer = |flags| Segment::new(server.source, server.destination, flags);
        forwarded(&plane, &client(ACK | FIN));
        forwarded(&plane, &answer(ACK | FIN));
        // The last word was the server's, a tick after the client's.
        plane.change_flow(at(CLIENT), at(EDGE), |flow| {
            flow.last = flow.last.wrapping_sub(1);
        });
        copy_in_use(&mut plane, &server);
        let anew = forwarded(&plane, &client(SYN));
        assert_eq!(anew.source, server.destination, "the same port");
        // No SYN of the server, which would end this CPU's copy: another CPU may have handled it.
        forwarded(&plane, &client(ACK));
        forwarded(&plane, &answer(ACK | FIN));
        for (source, destination) in [(at(CLIENT), at(EDGE)), (server.source, server.destination)] {
            let flow = plane.flow(source, destination).expect("the flow");
            assert!(
                flow.state & STATE_SERVER_FIN != 0,
                "{source} to {destination}"
            );
        }
    }
}

#[test]
fn no_copy_outlives_a_flow_whose_port_another_takes() {
    for _ in 0..TRIES {
        let Some((mut plane, server)) = connected_by_one_port() else {
            return;
        };
        // The server has been silent for an hour, the client is not.
        plane.change_flow(server.source, server.destination, |flow| {
            flow.last = flow.last.wrapping_sub(ticks(snat::SILENT) + 1);
        });
        copy_in_use(&mut plane, &client(ACK));
        let other = Segment::new(at(OTHER_CLIENT), at(EDGE), SYN);
        assert_eq!(forwarded(&plane, &other).source, server.destination);
        passed(&plane, &client(ACK).frame(), Counter::PassNoFlow);
    }
}

#[test]
fn no_copy_outlives_the_syn_of_a_client_whose_flow_is_evicted() {
    run_on(cpus()[0]);
    for _ in 0..TRIES {
        let Some((mut plane, _)) = connected() else {
            return;
        };
        copy_in_use(&mut plane, &client(ACK));
        plane.evict_flow(at(CLIENT), at(EDGE));
        plane.rule("192.0.2.0/24", None);
        passed(&plane, &client(SYN).frame(), Counter::PassNoRule);
        passed(&plane, &client(ACK).frame(), Counter::PassNoFlow);
    }
}

#[test]
fn no_copy_outlives_the_syn_of_a_server_whose_flow_is_evicted() {
    run_on(cpus()[0]);
    for _ in 0..TRIES {
        let Some((mut plane, server)) = connected_by_one_port() else {
            return;
        };
        copy_in_use(&mut plane, &server);
        plane.evict_flow(server.source, server.destination);
        let other = Segment::new(at(OTHER_CLIENT), at(EDGE), SYN);
        assert_eq!(forwarded(&plane, &other).source, server.destination);
        for flags in [SYN | ACK, ACK] {
            let answer = Segment::new(server.source, server.destination, flags);
            assert_eq!(forwarded(&plane, &answer).destination, at(OTHER_CLIENT));
        }
    }
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
