//! Whom a connection is tried with, and how long each part of it may take.

use std::io::{Read, Write};
use std::net::TcpListener;

use rustls::client::ClientSessionStore;
use rustls::sign::SingleCertAndKey;
use rustls::{NamedGroup, ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::service::ServiceKind;
use crate::test_rules::loaded;
use crate::uring::Config;

const SECOND: Duration = Duration::from_secs(1);

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts
        .iter()
        .map(|text| text.parse().expect("an address"))
        .collect()
}

#[test]
fn families_take_turns_from_the_first_on() {
    let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1", "10.0.0.2:1"]);
    let turns = addresses(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"]);
    assert_eq!(taking_turns(&given), turns);
    let given = addresses(&["10.0.0.2:1", "10.0.0.1:1"]);
    assert_eq!(taking_turns(&given), given);
    assert_eq!(taking_turns(&[]), []);
}

#[test]
fn the_first_address_that_answers_is_taken() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let answers = listener.local_addr().expect("an address");
    let refuses = {
        let listener = std::net::TcpListener::bind("127.0.0.2:0").expect("bound");
        listener.local_addr().expect("an address")
    };
    uring::run(&uring::Config::default(), || async {
        for order in [[refuses, answers], [answers, refuses]] {
            let stream = connect_to(&order, None).await.expect("connected");
            assert_eq!(stream.peer_addr(), answers);
        }
        let error = connect_to(&[refuses, refuses], None).await.err();
        let kind = error.map(|error| error.kind());
        assert_eq!(kind, Some(io::ErrorKind::ConnectionRefused));
        assert!(connect_to(&[], None).await.is_err());
    })
    .expect("a worker");
}

/// An address whose kernel answers no more connections, for as long as the rest is held.
fn silent() -> (SocketAddr, impl Sized) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let connect = || {
        let wait = Duration::from_millis(200);
        std::net::TcpStream::connect_timeout(&address, wait).ok()
    };
    let filling: Vec<_> = std::iter::from_fn(connect).collect();
    (address, (socket, filling))
}

#[test]
fn a_connection_comes_in_time_or_not_at_all() {
    let (address, _held) = silent();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let answers = listener.local_addr().expect("an address");
    uring::run(&Config::default(), || async {
        for addresses in [vec![address], vec![address; 2]] {
            let begin = Instant::now();
            let error = connect_to(&addresses, Some(SECOND)).await.err();
            let kind = error.map(|error| error.kind());
            assert_eq!(kind, Some(io::ErrorKind::TimedOut));
            let waited = begin.elapsed();
            assert!((SECOND..5 * SECOND).contains(&waited), "{waited:?}");
        }
        assert!(connect_to(&[answers], Some(SECOND)).await.is_ok());
    })
    .expect("a worker");
}

/// A server that answers a handshake after this time, and says hello.
fn slow(after: Duration) -> SocketAddr {
    let certificate = crate::tls::default_certificate().expect("made");
    let certified = SingleCertAndKey::from(Arc::clone(certificate.certified()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certified));
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().expect("accepted");
        std::thread::sleep(after);
        let session = ServerConnection::new(Arc::new(config)).expect("a session");
        let mut stream = StreamOwned::new(session, socket);
        // The client has gone where it was too late.
        let _ = stream
            .write_all(b"hello")
            .and_then(|()| stream.read(&mut [0]));
    });
    address
}

#[test]
fn a_handshake_comes_in_time_or_not_at_all() {
    handshakes("", limits::UPSTREAM_TLS_HANDSHAKE);
    handshakes(
        ", forwardingTimeouts: {tlsHandshakeTimeout: 3s}",
        3 * SECOND,
    );
}

fn handshakes(settings: &str, most: Duration) {
    let addresses = [slow(most - SECOND), slow(most + 2 * SECOND)];
    let [one, other] = addresses.map(|address| format!("{{url: 'https://{address}'}}"));
    let rules = loaded(&format!(
        "http: {{serversTransports: {{t: {{insecureSkipVerify: true{settings}}}}}, services: {{s: {{loadBalancer: \
         {{serversTransport: t, servers: [{one}, {other}]}}}}}}}}"
    ));
    let ServiceKind::LoadBalancer(balancer) = &rules.services[0].1.kind else {
        panic!("a load balancer");
    };
    uring::run(&Config::default(), || async {
        let (memory, begin) = (Memory::default(), Instant::now());
        let handshake = async |server: &Server| {
            let transport = memory.connect(server, None, None, Offer::Http1).await;
            (
                transport.map(drop).map_err(|error| error.kind()),
                begin.elapsed(),
            )
        };
        let [one, other] = [&balancer.servers[0], &balancer.servers[1]];
        let (in_time, late) = tokio::join!(handshake(one), handshake(other));
        assert_eq!(in_time.0, Ok(()));
        assert_eq!(late.0, Err(io::ErrorKind::TimedOut));
        assert!((most..most + 2 * SECOND).contains(&late.1), "{late:?}");
    })
    .expect("a worker");
}

#[test]
fn sessions_of_so_many_servers_are_remembered_and_no_more() {
    const PER_SERVER: usize = 8;
    let servers = limits::UPSTREAM_TLS_SESSIONS / PER_SERVER;
    let sessions = sessions();
    let name = |number: usize| format!("s{number}.example").try_into().expect("a name");
    for number in 0..servers {
        sessions.set_kx_hint(name(number), NamedGroup::X25519);
    }
    let known = |number: usize| sessions.kx_hint(&name(number)).is_some();
    assert!((0..servers).all(known));
    sessions.set_kx_hint(name(servers), NamedGroup::X25519);
    assert!(!known(0) && (1..=servers).all(known));
}
