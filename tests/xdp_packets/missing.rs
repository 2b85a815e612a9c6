//! Copies that say that there is no flow: used for segments that are no SYN, for no longer than a tick, and never, on
//! any CPU, for a connection whose SYN has been steered since.

use std::net::SocketAddr;
use std::time::Instant;

use weir_common::Counter;

use super::packet::{ACK, RST, SYN, Segment};
use super::plane::{Plane, XDP_PASS};
use super::recent::PATIENCE;
use super::{EDGE, EDGE_V6, POOL, SERVER_A, at, cpus, forwarded, passed, run_on, steering};

const CLIENT: &str = "192.0.2.5:40000";

fn client(flags: u8) -> Segment {
    Segment::new(at(CLIENT), at(EDGE), flags)
}

/// Both directions' segments of the connection that the client's SYN opens.
fn directions(plane: &Plane) -> [Segment; 2] {
    let opened = forwarded(plane, &client(SYN));
    [
        client(ACK),
        Segment::new(opened.destination, opened.source, ACK),
    ]
}

fn single() -> Option<Plane> {
    let mut plane = steering()?;
    plane.pool(POOL, &[(1, at(SERVER_A))]);
    Some(plane)
}

fn remove(plane: &mut Plane, segments: &[Segment]) {
    for segment in segments {
        plane.remove_flow(segment.source, segment.destination);
    }
}

fn is_passed(plane: &Plane, segment: &Segment) -> bool {
    plane.run(&segment.frame()).0 == XDP_PASS
}

/// Takes away the flow of a segment, sends the segment, and puts the flow back behind the program's back, until the
/// next segment passes all the same: by then a copy is in use. Returns with the flow in place. A copy of the flow would
/// stand in the way for the rest of its tick, and ticks are long.
fn copy_in_use(plane: &mut Plane, segment: &Segment) {
    let ends: (SocketAddr, SocketAddr) = (segment.source, segment.destination);
    let flow = plane.flow(ends.0, ends.1).expect("a flow");
    let deadline = Instant::now() + PATIENCE;
    loop {
        plane.remove_flow(ends.0, ends.1);
        plane.take_copies(ends.0, ends.1);
        passed(plane, &segment.frame(), Counter::PassNoFlow);
        plane.put_flow(ends.0, ends.1, flow);
        if is_passed(plane, segment) {
            return;
        }
        assert!(Instant::now() < deadline, "no copy for {segment:?} is used");
    }
}

#[test]
fn that_there_is_no_flow_is_remembered_until_the_tick_ends() {
    let Some(mut plane) = single() else { return };
    for segment in directions(&plane) {
        copy_in_use(&mut plane, &segment);
        let deadline = Instant::now() + PATIENCE;
        while is_passed(&plane, &segment) {
            assert!(Instant::now() < deadline, "a copy never ends");
        }
    }
}

#[test]
fn no_syn_goes_by_what_is_remembered() {
    let Some(mut plane) = single() else { return };
    let [segment, server] = directions(&plane);
    copy_in_use(&mut plane, &segment);
    forwarded(&plane, &client(SYN));
    copy_in_use(&mut plane, &server);
    forwarded(
        &plane,
        &Segment::new(server.source, server.destination, SYN | ACK),
    );
}

#[test]
fn what_is_remembered_ends_with_a_syn_that_is_steered() {
    let Some(mut plane) = single() else { return };
    for flags in [ACK, RST | ACK] {
        // Often enough that the tick does not end in between every time.
        for _ in 0..5 {
            let both = directions(&plane);
            for segment in &both {
                copy_in_use(&mut plane, segment);
            }
            remove(&mut plane, &both);
            let anew = directions(&plane);
            assert_eq!(anew[1].destination, both[1].destination, "the same port");
            for Segment {
                source,
                destination,
                ..
            } in anew.iter().rev()
            {
                forwarded(&plane, &Segment::new(*source, *destination, flags));
            }
            remove(&mut plane, &both);
        }
    }
}

#[test]
fn what_other_cpus_remember_ends_as_well() {
    let Some(mut plane) = single() else { return };
    let [one, other, ..] = cpus()[..] else {
        println!("skipped: needs two CPUs");
        return;
    };
    for _ in 0..5 {
        run_on(one);
        let both = directions(&plane);
        for segment in &both {
            copy_in_use(&mut plane, segment);
        }
        remove(&mut plane, &both);
        run_on(other);
        directions(&plane);
        run_on(one);
        for segment in &both {
            forwarded(&plane, segment);
        }
        remove(&mut plane, &both);
    }
}

#[test]
fn what_is_remembered_of_ipv6_ends_with_a_syn() {
    let Some(plane) = steering() else { return };
    let client = |flags| Segment::new(at("[2001:db8:1::7]:40000"), at(EDGE_V6), flags);
    for _ in 0..100 {
        passed(&plane, &client(ACK).frame(), Counter::PassNoFlow);
    }
    let opened = forwarded(&plane, &client(SYN));
    forwarded(
        &plane,
        &Segment::new(opened.destination, opened.source, RST | ACK),
    );
    forwarded(&plane, &client(ACK));
}
