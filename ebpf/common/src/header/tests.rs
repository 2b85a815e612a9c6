use super::*;
use crate::flow::{Connection, FORWARD, FlowKey};
use crate::map::Hop;

fn ipv4() -> Ipv4 {
    Ipv4 {
        version_and_length: 0x45,
        service: 0,
        length: 40u16.to_be(),
        id: 7,
        fragment: 0x4000u16.to_be(),
        ttl: 64,
        protocol: 6,
        checksum: 0,
        source: 1,
        destination: 2,
    }
}

fn ipv6() -> Ipv6 {
    Ipv6 {
        version_class_label: 0x60,
        payload_length: 20u16.to_be(),
        next: 6,
        hop_limit: 64,
        source: [1, 2, 3, 4],
        destination: [5, 6, 7, 8],
    }
}

#[test]
fn an_ipv4_header_is_steerable_or_has_one_reason_not_to_be() {
    let plain = ipv4();
    let cases = [
        (plain, Ok(())),
        (
            Ipv4 {
                protocol: 17,
                ..plain
            },
            Err(Counter::PassNotTcp),
        ),
        (
            Ipv4 {
                version_and_length: 0x46,
                ..plain
            },
            Err(Counter::PassIpOptions),
        ),
        (
            Ipv4 {
                version_and_length: 0x4f,
                ..plain
            },
            Err(Counter::PassIpOptions),
        ),
        (
            Ipv4 {
                version_and_length: 0x44,
                ..plain
            },
            Err(Counter::PassTruncated),
        ),
        (
            Ipv4 {
                version_and_length: 0x65,
                ..plain
            },
            Err(Counter::PassTruncated),
        ),
        (
            Ipv4 {
                fragment: 0x2000u16.to_be(),
                ..plain
            },
            Err(Counter::PassFragment),
        ),
        (
            Ipv4 {
                fragment: 1u16.to_be(),
                ..plain
            },
            Err(Counter::PassFragment),
        ),
        (Ipv4 { ttl: 1, ..plain }, Err(Counter::PassTtl)),
        (Ipv4 { ttl: 0, ..plain }, Err(Counter::PassTtl)),
        (Ipv4 { ttl: 2, ..plain }, Ok(())),
        (
            Ipv4 {
                length: 39u16.to_be(),
                ..plain
            },
            Err(Counter::PassTruncated),
        ),
    ];
    for (number, (header, expected)) in cases.into_iter().enumerate() {
        assert_eq!(header.check(), expected, "case {number}");
    }
}

#[test]
fn an_ipv6_header_is_steerable_or_has_one_reason_not_to_be() {
    let plain = ipv6();
    let cases = [
        (plain, Ok(())),
        (Ipv6 { next: 17, ..plain }, Err(Counter::PassNotTcp)),
        (Ipv6 { next: 58, ..plain }, Err(Counter::PassNotTcp)),
        (Ipv6 { next: 44, ..plain }, Err(Counter::PassFragment)),
        (Ipv6 { next: 0, ..plain }, Err(Counter::PassIpOptions)),
        (Ipv6 { next: 60, ..plain }, Err(Counter::PassIpOptions)),
        (
            Ipv6 {
                hop_limit: 1,
                ..plain
            },
            Err(Counter::PassTtl),
        ),
        (
            Ipv6 {
                payload_length: 19u16.to_be(),
                ..plain
            },
            Err(Counter::PassTruncated),
        ),
    ];
    for (number, (header, expected)) in cases.into_iter().enumerate() {
        assert_eq!(header.check(), expected, "case {number}");
    }
}

#[test]
fn forwarding_keeps_the_ipv4_checksum_right() {
    let connection = Connection {
        server: 0,
        client: Hop::default(),
        now: 0,
    };
    let mut header = ipv4();
    header.checksum = whole(&header);
    assert_eq!(whole(&header), 0);
    for (source, destination) in [
        (9, 10),
        (0, u32::MAX),
        (u32::MAX, 0),
        (0x1234_5678, 0x9abc_def0),
    ] {
        let from = FlowKey {
            source: header.source,
            destination: header.destination,
            ports: 1,
        };
        let to = FlowKey {
            source,
            destination,
            ports: 2,
        };
        let ttl = header.ttl;
        header.forward(&Flow::new(&from, &to, FORWARD, &connection));
        assert_eq!(
            (header.source(), header.destination(), header.ttl),
            (source, destination, ttl - 1)
        );
        assert_eq!(whole(&header), 0);
    }
}

/// The checksum over a whole IPv4 header: 0 for one whose checksum is right.
fn whole(header: &Ipv4) -> u16 {
    let halves = [
        u16::from_ne_bytes([header.version_and_length, header.service]),
        header.length,
        header.id,
        header.fragment,
        u16::from_ne_bytes([header.ttl, header.protocol]),
        header.checksum,
    ];
    let words = u64::from(header.source) + u64::from(header.destination);
    !checksum::fold(halves.into_iter().map(u64::from).sum::<u64>() + words)
}
