//! What is passed, and why.

use weir_common::Counter;
use weir_common::map::{Config, NO_POOL, SCHEMA};

use super::packet::{ACK, FIN, RST, SYN, Segment};
use super::plane::{Plane, sensible};
use super::{
    EDGE, EDGE_V6, POOL, POOL_V6, SERVER_A, SERVER_B, SERVER_V6, at, forwarded, passed, steering,
};

const IP: usize = 14;

fn syn() -> Segment {
    Segment::new(at("192.0.2.5:40000"), at(EDGE), SYN)
}

fn syn_v6() -> Segment {
    Segment::new(at("[2001:db8:1::7]:40000"), at(EDGE_V6), SYN)
}

/// The frame of a segment with one byte of it changed.
fn with(segment: &Segment, offset: usize, byte: u8) -> Vec<u8> {
    let mut frame = segment.frame();
    frame[offset] = byte;
    frame
}

#[test]
fn other_protocols_fragments_options_and_spent_hops_are_passed() {
    let Some(plane) = steering() else { return };
    let cases = [
        (with(&syn(), 13, 6), Counter::PassNotIp),
        (with(&syn(), IP + 9, 17), Counter::PassNotTcp),
        (with(&syn(), IP, 0x46), Counter::PassIpOptions),
        (with(&syn(), IP + 6, 0x20), Counter::PassFragment),
        (with(&syn(), IP + 7, 1), Counter::PassFragment),
        (with(&syn(), IP + 8, 1), Counter::PassTtl),
        (with(&syn(), IP + 8, 0), Counter::PassTtl),
        (with(&syn(), IP, 0x44), Counter::PassTruncated),
        (with(&syn(), IP + 3, 39), Counter::PassTruncated),
        (with(&syn_v6(), IP + 6, 17), Counter::PassNotTcp),
        (with(&syn_v6(), IP + 6, 44), Counter::PassFragment),
        (with(&syn_v6(), IP + 6, 0), Counter::PassIpOptions),
        (with(&syn_v6(), IP + 7, 1), Counter::PassTtl),
        (with(&syn_v6(), IP + 5, 19), Counter::PassTruncated),
    ];
    for (frame, reason) in cases {
        passed(&plane, &frame, reason);
    }
}

#[test]
fn a_frame_cut_at_any_length_is_passed() {
    let Some(plane) = steering() else { return };
    for segment in [syn(), syn_v6(), syn().vlans(&[7]), syn_v6().vlans(&[7, 8])] {
        let frame = segment.frame();
        // The kernel itself refuses test runs of less than an Ethernet header.
        for length in IP..frame.len() {
            let before = plane.counter(Counter::PassTruncated);
            passed(&plane, &frame[..length], Counter::PassTruncated);
            assert_eq!(plane.counter(Counter::PassTruncated), before + 1);
        }
        forwarded(&plane, &segment);
    }
}

#[test]
fn what_is_not_a_syn_opens_nothing() {
    let Some(plane) = steering() else { return };
    for flags in [ACK, SYN | ACK, RST, SYN | RST, SYN | FIN, FIN | ACK, 0] {
        let segment = Segment { flags, ..syn() };
        passed(
            &plane,
            &segment.payload(b"data").frame(),
            Counter::PassNoFlow,
        );
        passed(
            &plane,
            &Segment { flags, ..syn_v6() }.frame(),
            Counter::PassNoFlow,
        );
    }
}

#[test]
fn other_addresses_ports_and_clients_are_passed() {
    let Some(plane) = steering() else { return };
    for destination in ["10.0.0.100:22", "10.0.0.101:443"] {
        let segment = Segment {
            destination: at(destination),
            ..syn()
        };
        passed(&plane, &segment.frame(), Counter::PassNotSteered);
    }
    let other_port = Segment {
        destination: at("[fd00::100]:22"),
        ..syn_v6()
    };
    passed(&plane, &other_port.frame(), Counter::PassNotSteered);
    let stranger = Segment {
        source: at("198.51.100.1:40000"),
        ..syn()
    };
    passed(&plane, &stranger.frame(), Counter::PassNoRule);
    let stranger = Segment {
        source: at("[2001:db8:2::7]:40000"),
        ..syn_v6()
    };
    passed(&plane, &stranger.frame(), Counter::PassNoRule);
}

#[test]
fn the_longest_prefix_holds_the_winner_even_if_the_winner_is_nobody() {
    let Some(mut plane) = steering() else { return };
    plane.pool(POOL, &[(1, at(SERVER_A))]);
    plane.pool(4, &[(2, at(SERVER_B))]);
    plane.rule("192.0.0.0/16", Some(4));
    plane.rule("192.0.2.128/25", Some(NO_POOL));
    plane.rule("192.0.2.130/32", Some(4));
    let to = |plane: &Plane, source: &str| {
        let segment = Segment {
            source: at(source),
            ..syn()
        };
        forwarded(plane, &segment).destination
    };
    assert_eq!(to(&plane, "192.0.2.1:1000"), at(SERVER_A));
    assert_eq!(to(&plane, "192.0.3.1:1000"), at(SERVER_B));
    assert_eq!(to(&plane, "192.0.2.130:1000"), at(SERVER_B));
    let excluded = Segment {
        source: at("192.0.2.129:1000"),
        ..syn()
    };
    passed(&plane, &excluded.frame(), Counter::PassNoRule);
    plane.rule("192.0.2.128/25", None);
    assert_eq!(to(&plane, "192.0.2.129:1000"), at(SERVER_A));
}

#[test]
fn each_listener_asks_its_own_table() {
    let Some(mut plane) = steering() else { return };
    let other = at("10.0.0.100:8443");
    plane.listener_of(9, other);
    plane.rule_of(9, "198.51.100.0/24", Some(POOL));
    passed(
        &plane,
        &Segment {
            destination: other,
            ..syn()
        }
        .frame(),
        Counter::PassNoRule,
    );
    forwarded(
        &plane,
        &Segment {
            destination: other,
            source: at("198.51.100.1:1000"),
            ..syn()
        },
    );
}

#[test]
fn a_pool_that_cannot_serve_is_passed() {
    let Some(mut plane) = steering() else { return };
    plane.pool(POOL, &[]);
    passed(&plane, &syn().frame(), Counter::PassPoolEmpty);
    plane.pool(POOL, &[(3, at(SERVER_V6))]);
    passed(&plane, &syn().frame(), Counter::PassOtherFamily);
    plane.pool(POOL_V6, &[(1, at(SERVER_A))]);
    passed(&plane, &syn_v6().frame(), Counter::PassOtherFamily);
    plane.rule("192.0.2.0/24", Some(63));
    passed(&plane, &syn().frame(), Counter::PassPoolEmpty);
    plane.rule("192.0.2.0/24", Some(64));
    passed(&plane, &syn().frame(), Counter::PassPoolEmpty);
}

#[test]
fn without_source_addresses_a_family_is_passed() {
    let Some(mut plane) = steering() else { return };
    plane.configure(Config {
        snat_v4: 0,
        ..sensible()
    });
    passed(&plane, &syn().frame(), Counter::PassNoSnat);
    forwarded(&plane, &syn_v6());
    plane.configure(Config {
        snat_v6: 0,
        ..sensible()
    });
    forwarded(&plane, &syn());
    passed(
        &plane,
        &Segment {
            source: at("[2001:db8:1::8]:1"),
            ..syn_v6()
        }
        .frame(),
        Counter::PassNoSnat,
    );
}

#[test]
fn nothing_is_steered_before_it_is_configured() {
    let Some(mut plane) = steering() else { return };
    let other = Config {
        schema: SCHEMA + 1,
        ..sensible()
    };
    let no_clock = Config {
        hz: 0,
        ..sensible()
    };
    for config in [Config::default(), other, no_clock] {
        plane.configure(config);
        passed(&plane, &syn().frame(), Counter::PassNotConfigured);
        passed(&plane, &syn_v6().frame(), Counter::PassNotConfigured);
    }
}

#[test]
fn switched_off_only_new_connections_are_passed() {
    let Some(mut plane) = steering() else { return };
    let first = forwarded(&plane, &syn());
    plane.configure(Config {
        flags: 0,
        ..sensible()
    });
    passed(
        &plane,
        &Segment {
            source: at("192.0.2.5:40001"),
            ..syn()
        }
        .frame(),
        Counter::PassOff,
    );
    let data = Segment {
        flags: ACK,
        ..syn()
    }
    .payload(b"goes on");
    assert_eq!(forwarded(&plane, &data).source, first.source);
    let answer = Segment::new(first.destination, first.source, ACK);
    assert_eq!(forwarded(&plane, &answer).destination, syn().source);
}
