//! Sessions against the client side of rustls, without a socket.

use std::io::Read;

use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::*;
use crate::tls::{Fault, Store, default_certificate, server_config};

fn session() -> Session {
    let store = Arc::new(Store::new([], default_certificate().expect("made"), 0));
    Session::server(&server_config(&store).expect("settings")).expect("a session")
}

/// A client that trusts the default certificate, or nothing.
fn client(
    trusting: bool,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    if trusting {
        let certificate = default_certificate().expect("made").certified().cert[0].clone();
        roots.add(certificate).expect("a certificate");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn
        .iter()
        .map(|protocol| protocol.as_bytes().to_vec())
        .collect();
    let name = ServerName::try_from("weir.default").expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a client")
}

fn sent(client: &mut ClientConnection) -> Vec<u8> {
    let mut out = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut out).expect("a vector");
    }
    out
}

fn deliver(client: &mut ClientConnection, mut bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut plaintext = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).expect("a slice");
        client.process_new_packets()?;
        let _ = client.reader().read_to_end(&mut plaintext);
    }
    Ok(plaintext)
}

/// Both sides until neither has anything to say; `step` bytes at a time towards the session.
fn handshake(
    session: &mut Session,
    client: &mut ClientConnection,
    step: usize,
) -> Result<(), TlsError> {
    loop {
        let flight = sent(client);
        if flight.is_empty() {
            return Ok(());
        }
        let mut answer = Vec::new();
        for part in flight.chunks(step) {
            session.feed(part, &mut answer)?;
        }
        let _ = deliver(client, &answer);
    }
}

#[test]
fn data_both_ways_in_any_pieces() {
    for version in [&TLS12, &TLS13] {
        for step in [1, 7, 100_000] {
            let (mut session, mut client) = (session(), client(true, &[version], &["http/1.1"]));
            handshake(&mut session, &mut client, step).expect("a handshake");
            assert!(!session.is_handshaking() && !client.is_handshaking());
            assert_eq!(session.alpn(), Some(&b"http/1.1"[..]));

            let request: Vec<u8> = (0..100_000u32).map(|index| index as u8).collect();
            let (mut received, mut out, mut at) = (Vec::new(), Vec::new(), 0);
            while at < request.len() {
                at += client.writer().write(&request[at..]).expect("a client");
                for part in sent(&mut client).chunks(step * 1000) {
                    received.extend_from_slice(
                        &session.feed(part, &mut out).expect("records").plaintext,
                    );
                }
            }
            assert!(received == request && out.is_empty());

            session
                .seal(
                    &[
                        IoSlice::new(b"head"),
                        IoSlice::new(b""),
                        IoSlice::new(&request),
                    ],
                    &mut out,
                )
                .expect("sealed");
            let records = out.len();
            let response = deliver(&mut client, &out).expect("records");
            assert!(response[..4] == *b"head" && response[4..] == request);
            let full = (request.len() + 4).div_ceil(limits::TLS_RECORD_PLAINTEXT);
            assert!(
                records <= request.len() + 4 + full * limits::TLS_RECORD_OVERHEAD,
                "gathered into full records"
            );
        }
    }
}

#[test]
fn data_right_behind_the_handshake_does_not_count_as_one() {
    let (mut session, mut client) = (session(), client(true, &[&TLS13], &[]));
    let mut answer = Vec::new();
    session
        .feed(&sent(&mut client), &mut answer)
        .expect("a ClientHello");
    deliver(&mut client, &answer).expect("the server's flight");
    let upload = vec![7; 2 * limits::TLS_HANDSHAKE_BYTES_MAX];
    let mut flight = sent(&mut client);
    assert!(session.is_handshaking() && !flight.is_empty(), "Finished");
    let mut at = 0;
    while at < upload.len() {
        at += client.writer().write(&upload[at..]).expect("a client");
        flight.extend(sent(&mut client));
    }
    let progress = session.feed(&flight, &mut answer).expect("all at once");
    assert!(progress.plaintext == upload);
}

#[test]
fn a_key_update_is_answered_with_what_is_sent_next() {
    let (mut session, mut client) = (session(), client(true, &[&TLS13], &[]));
    handshake(&mut session, &mut client, 4096).expect("a handshake");
    client.refresh_traffic_keys().expect("TLS 1.3");
    client.writer().write_all(b"question").expect("a client");
    let mut out = Vec::new();
    let progress = session.feed(&sent(&mut client), &mut out).expect("records");
    assert_eq!((&progress.plaintext[..], out.len()), (&b"question"[..], 0));
    session
        .seal(&[IoSlice::new(b"answer")], &mut out)
        .expect("sealed");
    assert_eq!(deliver(&mut client, &out).expect("new keys"), b"answer");
}

#[test]
fn closing() {
    let (mut session, mut client) = (session(), client(true, &[&TLS13], &[]));
    handshake(&mut session, &mut client, 4096).expect("a handshake");
    assert_eq!(session.alpn(), None);
    client.writer().write_all(b"last").expect("a client");
    client.send_close_notify();
    let mut out = Vec::new();
    let progress = session.feed(&sent(&mut client), &mut out).expect("records");
    assert_eq!(
        progress,
        Progress {
            plaintext: Bytes::from_static(b"last"),
            closed: true
        }
    );
    assert!(session.feed(b"more", &mut out).expect("ignored").closed);
    session
        .seal(&[IoSlice::new(b"answer")], &mut out)
        .expect("half-closed");
    session.close_notify(&mut out);
    assert_eq!(deliver(&mut client, &out).expect("records"), b"answer");
}

#[test]
fn failures_say_whose_fault_they_are() {
    let mut out = Vec::new();
    let error = session()
        .feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &mut out)
        .expect_err("not TLS");
    assert_eq!(
        (error.fault, error.reason),
        (Fault::Client, "tls_not_spoken")
    );
    assert!(!out.is_empty(), "an alert is sent");

    let (mut session1, mut client1) = (session(), client(true, &[&TLS13], &["h9"]));
    let error = handshake(&mut session1, &mut client1, 4096).expect_err("no protocol in common");
    assert_eq!((error.fault, error.reason), (Fault::Client, "tls_alpn"));

    let (mut session2, mut client2) = (session(), client(false, &[&TLS13], &[]));
    let error = handshake(&mut session2, &mut client2, 4096).expect_err("an untrusted certificate");
    assert_eq!(
        (error.fault, error.reason),
        (Fault::Operator, "tls_certificate_refused")
    );
}

#[test]
fn a_handshake_without_end_is_cut() {
    // Records of one byte each of a handshake message that claims to be 64 KiB long.
    let mut session = session();
    let mut out = Vec::new();
    let first = session.feed(&[22, 3, 1, 0, 4, 1, 0, 0xff, 0xff], &mut out);
    assert!(first.is_ok());
    let record = [22, 3, 1, 0, 1, 0];
    let fed =
        (0..limits::TLS_HANDSHAKE_BYTES_MAX).find(|_| session.feed(&record, &mut out).is_err());
    assert!(fed.is_some_and(|records| records <= limits::TLS_HANDSHAKE_BYTES_MAX / record.len()));
}
