//! Both versions by table, and every cut of a header.

use proptest::prelude::*;

use super::*;

fn header(length: usize, ends: Option<(&str, &str)>) -> Result<Parsed, HeaderError> {
    let addresses = ends.map(|(source, destination)| Addresses {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    });
    Ok(Parsed::Header { length, addresses })
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, block].concat()
}

const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x9c, 0x40, 1, 0xbb];
const V4_ENDS: Option<(&str, &str)> = Some(("192.0.2.1:40000", "198.51.100.2:443"));

/// A TLV.
fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

#[test]
fn lines() {
    let mapped = "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 40000 443\r\n";
    let v6 = Some(("[2001:db8::1]:1", "[2001:db8::2]:65535"));
    for (text, ends) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n", V4_ENDS),
        (mapped, V4_ENDS),
        ("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", v6),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN anything at all\r\n", None),
    ] {
        let wire = [text.as_bytes(), b"GET /"].concat();
        assert_eq!(parse(&wire), header(text.len(), ends), "{text}");
    }
    for text in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 40000 443 \r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 40000 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 40000\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 40000 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 040 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +40 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.2 40000 443\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 40000 44\u{e9}\r\n",
    ] {
        assert_eq!(
            parse(text.as_bytes()),
            Err(HeaderError::Malformed),
            "{text}"
        );
    }
}

#[test]
fn a_line_ends_within_its_limit() {
    let of_length = |length: usize| {
        let filler = length - "PROXY UNKNOWN \r\n".len();
        format!("PROXY UNKNOWN {}\r\n", "x".repeat(filler))
    };
    assert_eq!(parse(of_length(107).as_bytes()), header(107, None));
    assert_eq!(parse(of_length(108).as_bytes()), Err(HeaderError::TooLong));
}

#[test]
fn binary_headers() {
    let mut v6 = [0; 36];
    (v6[0], v6[15], v6[16], v6[31], v6[33], v6[35]) = (0x20, 1, 0x20, 2, 7, 8);
    let mut mapped = [0; 36];
    (mapped[10], mapped[11], mapped[26], mapped[27]) = (255, 255, 255, 255);
    mapped[12..16].copy_from_slice(&V4[..4]);
    mapped[28..32].copy_from_slice(&V4[4..8]);
    mapped[32..].copy_from_slice(&V4[8..]);
    let tlvs = [&V4[..], &tlv(0x20, &[1; 5]), &tlv(4, &[])].concat();
    for (command, family, block, ends) in [
        (0x21, 0x11, &V4[..], V4_ENDS),
        (0x21, 0x11, &tlvs, V4_ENDS),
        (0x21, 0x21, &v6, Some(("[2000::1]:7", "[2000::2]:8"))),
        (0x21, 0x21, &mapped, V4_ENDS),
        (0x21, 0x31, &[7; 216], None),
        (0x21, 0x12, &V4, None),
        (0x21, 0x00, &[], None),
        (0x20, 0x11, &V4, None),
        (0x20, 0xff, b"whatever", None),
    ] {
        let wire = v2(command, family, block);
        let followed = [&wire[..], b"\x16\x03\x01"].concat();
        assert_eq!(parse(&followed), header(wire.len(), ends), "{wire:x?}");
    }
    for (command, family, block) in [
        (0x11, 0x11, &V4[..]),
        (0x22, 0x11, &V4),
        (0x21, 0x41, &V4),
        (0x21, 0x13, &V4),
        (0x21, 0x11, &V4[..11]),
        (0x21, 0x21, &V4),
        (0x21, 0x31, &V4),
        (0x21, 0x11, &[&V4[..], &[4, 0]].concat()),
        (0x21, 0x11, &[&V4[..], &[4, 0, 1]].concat()),
        (0x21, 0x11, &[&V4[..], &tlv(3, &[0; 3])].concat()),
    ] {
        let wire = v2(command, family, block);
        assert_eq!(parse(&wire), Err(HeaderError::Malformed), "{wire:x?}");
    }
}

#[test]
fn a_checksum_counts_if_there_is_one() {
    let block = [&V4[..], &tlv(4, &[0; 2]), &tlv(3, &[0; 4]), &tlv(4, &[1])].concat();
    let mut wire = v2(0x21, 0x11, &block);
    let sum = crc32c([&wire[..]]).to_be_bytes();
    let at = FIXED_BYTES + 12 + 5 + 3;
    wire[at..at + 4].copy_from_slice(&sum);
    assert_eq!(parse(&wire), header(wire.len(), V4_ENDS));
    for index in [16, at, wire.len() - 1] {
        let mut wrong = wire.clone();
        wrong[index] ^= 1;
        assert_eq!(parse(&wrong), Err(HeaderError::Checksum), "{index}");
    }
}

#[test]
fn the_longest_header_is_read_and_one_byte_more_is_not() {
    let of_length = |length: usize| {
        let filler = length - FIXED_BYTES - V4.len() - 3;
        v2(0x21, 0x11, &[&V4[..], &tlv(4, &vec![0; filler])].concat())
    };
    let longest = of_length(PROXY_HEADER_BYTES_MAX);
    assert_eq!(parse(&longest), header(PROXY_HEADER_BYTES_MAX, V4_ENDS));
    let longer = of_length(PROXY_HEADER_BYTES_MAX + 1);
    assert_eq!(parse(&longer[..FIXED_BYTES]), Err(HeaderError::TooLong));
}

#[test]
fn the_clients_own_bytes_are_no_header() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"PROPFIND / HTTP/1.1\r\n",
        b"PROXYING ",
        b"\x16\x03\x01",
        b"\r\nGET",
        b"\r\n\r\nGET",
        b"SSH-2.0-x\r\n",
    ] {
        assert_eq!(parse(bytes), Ok(Parsed::Absent));
    }
    for bytes in [&b""[..], b"P", b"PROXY", b"\r\n\r\n\0\r\nQUIT"] {
        assert_eq!(parse(bytes), Ok(Parsed::NeedMore { begun: false }));
    }
}

proptest! {
    #[test]
    fn a_part_of_a_header_asks_for_more(cut in 0..43_usize, kind in 0..2_usize) {
        let wires = [b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n".to_vec(), v2(0x21, 0x11, &[&V4[..], &tlv(4, &[0; 13])].concat())];
        let wire = &wires[kind];
        prop_assert!(wire.len() > cut);
        let more = matches!(parse(&wire[..cut]), Ok(Parsed::NeedMore { .. }));
        prop_assert!(more);
    }

    #[test]
    fn bytes_without_sense_do_not_panic(start in 0..3_usize, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let starts = [&b""[..], LINE_START, &SIGNATURE];
        let wire = [starts[start], &bytes].concat();
        if let Ok(Parsed::Header { length, .. }) = parse(&wire) {
            prop_assert!(length <= wire.len() && length <= PROXY_HEADER_BYTES_MAX);
        }
    }
}
