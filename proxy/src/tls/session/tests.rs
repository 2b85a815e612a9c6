//! Sessions against the client side of rustls, without a socket.

use std::io::Read;

use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::*;
use crate::tls::{Fault, Options, Store, Terms, TicketKeys, default_certificate};

fn session() -> Session {
    Session::server(terms(Options::default()).http()).expect("a session")
}

fn terms(options: Options) -> Terms {
    let store = Arc::new(Store::new([], default_certificate().expect("made"), 0));
    let keys = Arc::new(TicketKeys::default());
    Terms::new(&Arc::new(options), &store, &keys).expect("settings")
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

/// A handshake under terms that share keys; whether it resumed what the client remembers.
fn resumes(terms: &Terms, config: &Arc<ClientConfig>) -> bool {
    let name = ServerName::try_from("weir.default").expect("a name");
    let mut client = ClientConnection::new(Arc::clone(config), name).expect("a client");
    let mut session = Session::server(terms.http()).expect("a session");
    handshake(&mut session, &mut client, 4096).expect("a handshake");
    let mut out = Vec::new();
    session
        .seal(&[IoSlice::new(b"tickets come with it")], &mut out)
        .expect("sealed");
    deliver(&mut client, &out).expect("records");
    assert_eq!(session.server_name(), Some("weir.default"));
    session.is_resumed()
}

#[test]
fn sessions_go_on_with_other_certificates_and_under_no_other_options() {
    for version in [&TLS12, &TLS13] {
        let keys = Arc::new(TicketKeys::default());
        let under = |options: &Arc<Options>| {
            let store = Arc::new(Store::new([], default_certificate().expect("made"), 0));
            Terms::new(options, &store, &keys).expect("settings")
        };
        let (plain, strict) = (
            Arc::new(Options::default()),
            Arc::new(Options {
                sni_strict: true,
                ..Options::default()
            }),
        );
        let mut roots = RootCertStore::empty();
        let certificate = default_certificate().expect("made").certified().cert[0].clone();
        roots.add(certificate).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("versions");
        let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        assert!(!resumes(&under(&plain), &config));
        assert!(resumes(&under(&plain), &config), "another store");
        assert!(!resumes(&under(&strict), &config));
        assert!(resumes(&under(&strict), &config));
        let none = Arc::new(Options {
            tickets: false,
            ..Options::default()
        });
        assert!(!resumes(&under(&none), &config));
        assert!(!resumes(&under(&none), &config));
    }
}

/// Go's five modes, for no certificate, one of the authority's, one of somebody else's, and one that stands in
/// `caFiles` itself.
#[test]
fn clients_are_asked_as_go_asks_them() {
    use crate::tls::options::ClientAuth;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    type Shown = Option<(rustls::pki_types::CertificateDer<'static>, Vec<u8>)>;
    let authority = |name: &str| {
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("a key");
        rcgen::CertifiedIssuer::self_signed(params, key).expect("signed")
    };
    let client_of = |authority: &rcgen::CertifiedIssuer<'static, rcgen::KeyPair>| -> Shown {
        let mut params = rcgen::CertificateParams::new(["client".to_owned()]).expect("a name");
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, authority).expect("signed");
        Some((certificate.der().clone(), key.serialize_der()))
    };
    let own = authority("own");
    let itself = {
        let params = rcgen::CertificateParams::new(["itself".to_owned()]).expect("a name");
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        (certificate.der().clone(), key.serialize_der())
    };
    let authorities = vec![own.der().clone(), itself.0.clone()];
    let shown: [Shown; 4] = [
        None,
        client_of(&own),
        client_of(&authority("other")),
        Some(itself),
    ];
    for (mode, accepted) in [
        (ClientAuth::NoClientCert, [true, true, true, true]),
        (ClientAuth::RequestClientCert, [true, true, true, true]),
        (ClientAuth::RequireAnyClientCert, [false, true, true, true]),
        (
            ClientAuth::VerifyClientCertIfGiven,
            [true, true, false, true],
        ),
        (
            ClientAuth::RequireAndVerifyClientCert,
            [false, true, false, true],
        ),
    ] {
        let terms = terms(Options {
            client_auth: mode,
            authorities: authorities.clone(),
            ..Options::default()
        });
        for (shown, accepted) in shown.iter().zip(accepted) {
            for version in [&TLS12, &TLS13] {
                let mut roots = RootCertStore::empty();
                let certificate = default_certificate().expect("made").certified().cert[0].clone();
                roots.add(certificate).expect("a certificate");
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let builder = ClientConfig::builder_with_provider(provider)
                    .with_protocol_versions(&[version])
                    .expect("versions")
                    .with_root_certificates(roots);
                let config = match shown.clone() {
                    Some((certificate, key)) => {
                        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
                        builder
                            .with_client_auth_cert(vec![certificate], key)
                            .expect("a pair")
                    }
                    None => builder.with_no_client_auth(),
                };
                let name = ServerName::try_from("weir.default").expect("a name");
                let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
                let mut session = Session::server(terms.http()).expect("a session");
                let outcome = handshake(&mut session, &mut client, 4096);
                assert_eq!(outcome.is_ok(), accepted, "{mode:?}: {outcome:?}");
                if outcome.is_ok() && mode.verifies() && shown.is_some() {
                    let chain = session.peer_certificates();
                    let verify = |seconds| {
                        let at = rustls::pki_types::UnixTime::since_unix_epoch(
                            std::time::Duration::from_secs(seconds),
                        );
                        terms.verify_resumed(chain, at).is_ok()
                    };
                    assert!(verify(1_800_000_000), "in 2027");
                    assert!(!verify(100_000_000_000), "expired");
                }
            }
        }
    }
}

#[test]
fn the_post_quantum_exchange_is_agreed_on_where_the_client_wants_it() {
    use rustls::crypto::aws_lc_rs::kx_group::{X25519, X25519MLKEM768};

    let mut roots = RootCertStore::empty();
    let certificate = default_certificate().expect("made").certified().cert[0].clone();
    roots.add(certificate).expect("a certificate");
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![X25519MLKEM768, X25519];
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("weir.default").expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut session = session();
    handshake(&mut session, &mut client, 4096).expect("a handshake");
    let group = client.negotiated_key_exchange_group().expect("agreed");
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
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

#[test]
fn a_handshake_has_as_many_bytes_as_it_may_and_no_more() {
    let mut session = session();
    assert!(
        session
            .count_handshake(limits::TLS_HANDSHAKE_BYTES_MAX)
            .is_ok()
    );
    assert!(session.count_handshake(1).is_err());
}
