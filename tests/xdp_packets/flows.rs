//! The life of a flow: state on both sides, retransmissions, the same ports again.

use weir_common::Counter;
use weir_common::flow::{STATE_CLIENT_FIN, STATE_ESTABLISHED, STATE_RESET, STATE_SERVER_FIN};
use weir_common::verdict::SILENT;

use super::packet::{ACK, FIN, RST, SYN, Segment};
use super::plane::{Plane, ticks};
use super::{EDGE, POOL, SERVER_A, SERVER_B, at, forwarded, passed, steering};

const CLIENT: &str = "192.0.2.5:40000";

fn client(flags: u8) -> Segment {
    Segment::new(at(CLIENT), at(EDGE), flags)
}

fn states(plane: &mut Plane, opened: &Segment) -> (u8, u8) {
    let forward = plane
        .flow(at(CLIENT), at(EDGE))
        .expect("the client's flow")
        .state;
    let back = plane
        .flow(opened.destination, opened.source)
        .expect("the return flow")
        .state;
    (forward, back)
}

#[test]
fn both_entries_know_how_far_the_connection_is() {
    let Some(mut plane) = steering() else { return };
    let opened = forwarded(&plane, &client(SYN));
    let server = |flags| Segment::new(opened.destination, opened.source, flags);
    let mut expected = 0;
    for (segment, news) in [
        (client(SYN), 0),
        (server(SYN | ACK), 0),
        (client(ACK), STATE_ESTABLISHED),
        (server(ACK), 0),
        (client(ACK | FIN), STATE_CLIENT_FIN),
        (server(ACK | FIN), STATE_SERVER_FIN),
        (server(RST), STATE_RESET),
    ] {
        forwarded(&plane, &segment);
        expected |= news;
        assert_eq!(
            states(&mut plane, &opened),
            (expected, expected),
            "after {segment:?}"
        );
    }
}

#[test]
fn a_retransmitted_syn_stays_where_the_first_went() {
    let Some(mut plane) = steering() else { return };
    plane.pool(POOL, &[(1, at(SERVER_A))]);
    let first = forwarded(&plane, &client(SYN));
    plane.pool(POOL, &[(2, at(SERVER_B))]);
    let again = forwarded(&plane, &client(SYN));
    assert_eq!(
        (again.source, again.destination),
        (first.source, first.destination)
    );
    forwarded(&plane, &client(ACK));
    let stray = forwarded(&plane, &client(SYN));
    assert_eq!(
        (stray.source, stray.destination),
        (first.source, first.destination)
    );
    assert_eq!(plane.counter(Counter::FlowNew), 1);
}

#[test]
fn a_retransmitted_syn_heals_a_lost_return_entry() {
    let Some(mut plane) = steering() else { return };
    let first = forwarded(&plane, &client(SYN));
    plane.remove_flow(first.destination, first.source);
    let again = forwarded(&plane, &client(SYN));
    assert_eq!(again.source, first.source);
    let answer = Segment::new(again.destination, again.source, SYN | ACK);
    assert_eq!(forwarded(&plane, &answer).destination, at(CLIENT));
}

#[test]
fn a_syn_after_the_end_chooses_anew() {
    for end in [client(ACK | FIN), client(RST)] {
        let Some(mut plane) = steering() else { return };
        plane.pool(POOL, &[(1, at(SERVER_A))]);
        forwarded(&plane, &client(SYN));
        forwarded(&plane, &client(ACK));
        forwarded(&plane, &end);
        plane.pool(POOL, &[(2, at(SERVER_B))]);
        assert_eq!(forwarded(&plane, &client(ACK)).destination, at(SERVER_A));
        assert_eq!(forwarded(&plane, &client(SYN)).destination, at(SERVER_B));
        assert_eq!(forwarded(&plane, &client(ACK)).destination, at(SERVER_B));
    }
}

#[test]
fn a_syn_after_long_silence_chooses_anew() {
    let Some(mut plane) = steering() else { return };
    plane.pool(POOL, &[(1, at(SERVER_A))]);
    forwarded(&plane, &client(SYN));
    forwarded(&plane, &client(ACK));
    plane.pool(POOL, &[(2, at(SERVER_B))]);
    plane.change_flow(at(CLIENT), at(EDGE), |flow| {
        flow.last = flow.last.wrapping_sub(ticks(SILENT) + 1)
    });
    assert_eq!(forwarded(&plane, &client(SYN)).destination, at(SERVER_B));
}

#[test]
fn once_a_syn_is_passed_no_old_flow_catches_what_follows() {
    let Some(mut plane) = steering() else { return };
    forwarded(&plane, &client(SYN));
    forwarded(&plane, &client(ACK | FIN));
    plane.rule("192.0.2.0/24", None);
    passed(&plane, &client(SYN).frame(), Counter::PassNoRule);
    passed(&plane, &client(ACK).frame(), Counter::PassNoFlow);
}
