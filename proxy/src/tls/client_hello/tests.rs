//! Hand-made messages, those of a real client, and every way to cut them.

use std::sync::Arc;

use proptest::prelude::*;
use rustls::pki_types::ServerName;

use super::*;

/// An extension: type and data.
type Extension = (u16, Vec<u8>);

fn vector16(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}

/// The body of a ClientHello with these extensions.
fn body(extensions: &[Extension]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend(vector16(&[0x0a, 0x0a, 0x13, 0x01]));
    body.extend([1, 0]);
    let list: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, data)| [kind.to_be_bytes().to_vec(), vector16(data)].concat())
        .collect();
    body.extend(vector16(&list));
    body
}

fn message(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1], &length[1..], body].concat()
}

/// The message in records of at most `size` bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[0x16, 3, 1][..], &vector16(part)].concat();
    message.chunks(size).flat_map(record).collect()
}

fn sni(name: &[u8]) -> Extension {
    (0, vector16(&[&[0][..], &vector16(name)].concat()))
}

fn alpn(protocols: &[&[u8]]) -> Extension {
    let list: Vec<u8> = protocols
        .iter()
        .flat_map(|protocol| [&[protocol.len() as u8], *protocol].concat())
        .collect();
    (16, vector16(&list))
}

fn read(wire: &[u8]) -> Result<Option<ClientHello>, HelloError> {
    HelloReader::default().feed(wire)
}

fn asked(extensions: &[Extension]) -> Result<Option<(String, Vec<String>)>, HelloError> {
    let hello = read(&records(&message(&body(extensions)), 16_384))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(hello.map(|hello| {
        (
            hello.server_name().to_owned(),
            hello.protocols().map(text).collect(),
        )
    }))
}

/// What a rustls client sends for this name.
fn of_rustls(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut wire = Vec::new();
    client.write_tls(&mut wire).unwrap();
    wire
}

#[test]
fn names_and_protocols() {
    // GREASE (RFC 8701), a post-quantum key share that fills a segment, an ECH extension.
    let noise = || {
        vec![
            (0x0a0a, vec![]),
            (51, vec![0; 1_400]),
            (0xfe0d, vec![1; 300]),
        ]
    };
    for (name, expected) in [
        ("a.example", "a.example"),
        ("A.Example.", "a.example"),
        ("x_y-1.xn--bcher-kva.example", "x_y-1.xn--bcher-kva.example"),
        ("192.0.2.1", ""),
        ("2001:db8::1", ""),
    ] {
        let mut extensions = noise();
        extensions.push(sni(name.as_bytes()));
        extensions.push(alpn(&[b"h2", b"\x0a\x0a", b"http/1.1"]));
        let protocols = ["h2", "\n\n", "http/1.1"].map(str::to_owned).to_vec();
        assert_eq!(
            asked(&extensions),
            Ok(Some((expected.to_owned(), protocols)))
        );
    }
    assert_eq!(asked(&noise()), Ok(Some((String::new(), Vec::new()))));
}

#[test]
fn a_hello_without_extensions_is_one() {
    let mut body = body(&[]);
    body.truncate(body.len() - 2);
    assert_eq!(
        read(&records(&message(&body), 16_384)),
        Ok(Some(ClientHello::default()))
    );
}

#[test]
fn what_breaks_the_protocol_is_refused() {
    let long = vec![b'a'; 254];
    let empty_list = (0, vector16(&[]));
    let twice = (
        0,
        vector16(&[&[0][..], &vector16(b"a"), &[0], &vector16(b"b")].concat()),
    );
    for extensions in [
        vec![sni(b"")],
        vec![sni(b".")],
        vec![sni(b"a..b")],
        vec![sni(b"a b")],
        vec![sni(b"a\0")],
        vec![sni("bücher".as_bytes())],
        vec![sni(&long)],
        vec![sni(b"a"), sni(b"a")],
        vec![empty_list],
        vec![twice],
        vec![(
            0,
            [vector16(&[&[0][..], &vector16(b"a")].concat()), vec![0]].concat(),
        )],
        vec![alpn(&[])],
        vec![alpn(&[b""])],
        vec![alpn(&[b"h2"]), alpn(&[b"h2"])],
        vec![(16, vec![0, 3, 5, b'h', b'2'])],
    ] {
        assert_eq!(
            asked(&extensions),
            Err(HelloError::Malformed),
            "{extensions:?}"
        );
    }
    let whole = message(&body(&[sni(b"a")]));
    let shorter = message(&body(&[sni(b"a")])[..50]);
    assert_eq!(read(&records(&shorter, 16_384)), Err(HelloError::Malformed));
    for (at, value, expected) in [
        (0, 0x17, HelloError::Unexpected),
        (0, 0x80, HelloError::Unexpected),
        (1, 2, HelloError::Malformed),
        (5, 2, HelloError::Unexpected),
        (6, 1, HelloError::TooLong),
        (43, 33, HelloError::Malformed),
    ] {
        let mut wire = records(&whole, 16_384);
        wire[at] = value;
        assert_eq!(read(&wire), Err(expected), "{at}");
    }
    assert_eq!(read(&[0x16, 3, 1, 0, 0]), Err(HelloError::Malformed));
    assert_eq!(read(&[0x16, 3, 1, 0x40, 1]), Err(HelloError::Malformed));
}

#[test]
fn the_longest_message_is_read_and_one_byte_more_is_not() {
    let of_length = |length: usize| {
        let rest = length - body(&[(1, vec![])]).len();
        message(&body(&[(1, vec![0; rest])]))
    };
    let longest = of_length(limits::CLIENT_HELLO_BYTES_MAX);
    assert!(read(&records(&longest, 16_384)).unwrap().is_some());
    let longer = of_length(limits::CLIENT_HELLO_BYTES_MAX + 1);
    assert_eq!(read(&records(&longer, 16_384)), Err(HelloError::TooLong));
    // A byte for each record is six times as long.
    assert_eq!(read(&records(&longest, 1)), Err(HelloError::TooLong));
}

/// What rustls reads out of the same bytes, if it takes them.
fn by_rustls(mut wire: &[u8]) -> Option<(String, Vec<Vec<u8>>)> {
    let mut acceptor = rustls::server::Acceptor::default();
    while !wire.is_empty() {
        acceptor.read_tls(&mut wire).ok()?;
        let Some(accepted) = acceptor.accept().ok()? else {
            continue;
        };
        let hello = accepted.client_hello();
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        let protocols = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec);
        let name = name.strip_suffix('.').unwrap_or(&name).to_owned();
        return Some((name, protocols.collect()));
    }
    None
}

#[test]
fn what_a_real_client_sends_may_be_cut_anywhere() {
    let wire = of_rustls("a.example");
    let expected = read(&wire).unwrap().unwrap();
    assert_eq!(expected.server_name(), "a.example");
    let protocols: Vec<_> = expected.protocols().collect();
    assert_eq!(protocols, [&b"h2"[..], b"http/1.1"]);
    for cut in 0..wire.len() {
        let mut reader = HelloReader::default();
        assert_eq!(reader.feed(&wire[..cut]), Ok(None), "{cut}");
        assert_eq!(reader.feed(&wire[cut..]), Ok(Some(expected.clone())));
        assert_eq!(reader.into_received(), wire);
    }
    assert_eq!(
        read(&of_rustls("192.0.2.1"))
            .unwrap()
            .unwrap()
            .server_name(),
        ""
    );
}

/// What clients have sent (openssl 3.0, curl 7.88, Python 3), and a hand-made one with GREASE, a post-quantum share and
/// Encrypted Client Hello in two records.
#[test]
fn the_corpus_is_read() {
    let seed = |name: &str| {
        let path = format!(
            "{}/fuzz/seeds/client_hello/{name}",
            env!("CARGO_MANIFEST_DIR")
        );
        std::fs::read(path).unwrap()
    };
    for (name, server, protocols) in [
        ("openssl-tls13", "a.example", &["h2", "http/1.1"][..]),
        ("openssl-tls12", "a.example", &[]),
        ("openssl-many-groups", "a.example", &[]),
        ("openssl-no-name", "", &[]),
        ("curl", "a.example", &["h2", "http/1.1"]),
        ("curl-address", "", &["h2", "http/1.1"]),
        ("python", "a.example", &["mqtt"]),
        ("post-quantum-two-records", "a.example", &["h2", "http/1.1"]),
    ] {
        let hello = read(&seed(name)).unwrap().unwrap();
        assert_eq!(hello.server_name(), server, "{name}");
        let offered = protocols.iter().map(|protocol| protocol.as_bytes());
        assert!(hello.protocols().eq(offered), "{name}");
    }
    assert_eq!(read(&seed("ssl2")), Err(HelloError::Unexpected));
}

proptest! {
    #[test]
    fn neither_records_nor_segments_change_what_is_read(
        size in 1..200_usize,
        steps in proptest::collection::vec(1..50_usize, 1..20),
        filler in 0..2_000_usize,
    ) {
        let whole = message(&body(&[(21, vec![0; filler]), sni(b"a.example"), alpn(&[b"h2"])]));
        let expected = read(&records(&whole, 16_384)).unwrap();
        let wire = records(&whole, size);
        let (mut reader, mut at, mut found) = (HelloReader::default(), 0, None);
        for step in steps.iter().cycle() {
            let end = wire.len().min(at + step);
            found = reader.feed(&wire[at..end]).unwrap();
            at = end;
            if at == wire.len() || found.is_some() {
                break;
            }
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(&reader.into_received()[..], &wire[..at]);
    }

    /// Routing must not go by another name than the one that is served.
    #[test]
    fn what_rustls_takes_reads_the_same(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..6)) {
        let mut wire = records(&message(&body(&[sni(b"a.Example"), alpn(&[b"h2", b"mqtt"])])), 16_384);
        for (place, byte) in changes {
            let length = wire.len();
            wire[usize::from(place) % length] = byte;
        }
        if let Some((name, protocols)) = by_rustls(&wire) {
            let hello = read(&wire).unwrap().unwrap();
            prop_assert_eq!(hello.server_name(), name);
            prop_assert!(hello.protocols().eq(protocols.iter().map(Vec::as_slice)));
        }
    }

    #[test]
    fn bytes_without_sense_neither_panic_nor_grow(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut wire = records(&message(&body(&[sni(b"a.example"), alpn(&[b"h2"])])), 16_384);
        for (place, byte) in bytes.chunks_exact(2).map(|pair| (usize::from(pair[0]), pair[1])) {
            let length = wire.len();
            wire[place % length] = byte;
        }
        let _ = read(&wire);
        let _ = read(&bytes);
    }
}

#[test]
fn a_name_of_another_type_ends_the_list_as_it_does_for_rustls() {
    let wire = include_bytes!("../../../fuzz/seeds/client_hello/other-name-type");
    let (name, _) = by_rustls(wire).expect("rustls takes it");
    let hello = read(wire).unwrap().unwrap();
    assert_eq!((hello.server_name(), &*name), ("ea.xampl", "ea.xampl"));
}
