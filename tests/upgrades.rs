//! Upgrades through the real binary: WebSockets byte for byte as without weir, other protocols, refusals, and the end.

pub mod origin;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use weir::limits::LAST_WORDS;
use xtask::backend::{pattern, pattern_sha256, sha256};

use crate::support::client::Connection;
use crate::support::weir::{Setup, Weir};
use crate::support::{DEADLINE, eventually, free_port, number};
use origin::{KEY, Origin, frame, switching};

const MASK: Option<[u8; 4]> = Some([0x12, 0x34, 0x56, 0x78]);

/// weir with a plain entry point and one with TLS (self-signed), all of it routed to `origin`.
struct Edge {
    weir: Weir,
    plain: SocketAddr,
    tls: SocketAddr,
}

impl Edge {
    fn before(origin: &Origin, settings: &str) -> Self {
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (plain, tls) = (address(), address());
        let setup = Setup::new(&format!(
            "entryPoints:\n  web:\n    address: \"{plain}\"\n{settings}  secure:\n    address: \"{tls}\"\n\
             providers:\n  file:\n    directory: \"{{dir}}/rules\"\nruntimeDir: \"{{dir}}/run\"\nworkers: 2\n\
             log:\n  level: DEBUG\n"
        ));
        let rules = format!(
            "http:\n  routers:\n    plain:\n      rule: PathPrefix(`/`)\n      service: origin\n    \
             tls:\n      rule: PathPrefix(`/`)\n      service: origin\n      tls: {{}}\n  services:\n    origin:\n      \
             loadBalancer:\n        servers:\n          - url: \"http://{}\"\n",
            origin.address()
        );
        let weir = setup.rules("rules.yml", &rules).start();
        Self {
            weir: weir.listening(plain).listening(tls),
            plain,
            tls,
        }
    }
}

trait Both: Read + Write + Send {}
impl<T: Read + Write + Send> Both for T {}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
    stream
}

/// A connection through TLS that believes the server whatever it says.
fn connect_tls(address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    let mut config = ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let trusting = Arc::new(Trusting(Arc::clone(config.crypto_provider())));
    config.dangerous().set_certificate_verifier(trusting);
    let name = ServerName::try_from("a.example").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    StreamOwned::new(session, connect(address))
}

#[derive(Debug)]
struct Trusting(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

/// Reads a head, and says what its status is.
fn status(stream: &mut impl Read) -> u16 {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).expect("text");
    text[9..12].parse().expect("a status")
}

/// Everything until the end, however orderly that is.
fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("no end"),
        _ => rest,
    }
}

/// Cases of RFC 6455, good and bad; each ends with a close or is against the rules.
fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let close = frame(0x88, &1000u16.to_be_bytes(), MASK);
    let then_close = |frames: &[Vec<u8>]| [&frames.concat()[..], &close].concat();
    let data = |first, length: usize| frame(first, &vec![b'*'; length], MASK);
    let mut cases = vec![
        ("close", close.clone()),
        ("close without a code", frame(0x88, b"", MASK)),
        ("close with a reason", frame(0x88, b"\x03\xe8bye", MASK)),
        ("ping", then_close(&[data(0x89, 0), data(0x89, 125)])),
        ("unasked pong", then_close(&[data(0x8a, 3)])),
        (
            "fragments",
            then_close(&[data(0x01, 5), data(0x00, 0), data(0x80, 7)]),
        ),
        (
            "ping between fragments",
            then_close(&[data(0x02, 5), data(0x89, 4), data(0x80, 7)]),
        ),
        ("many pings", then_close(&vec![data(0x89, 9); 500])),
        ("reserved bit", data(0xc1, 5)),
        ("reserved opcode", data(0x83, 5)),
        ("reserved control opcode", data(0x8b, 5)),
        ("large ping", data(0x89, 126)),
        ("fragmented ping", data(0x09, 5)),
        ("continuation of nothing", data(0x80, 5)),
        (
            "new message within fragments",
            [data(0x01, 5), data(0x81, 5)].concat(),
        ),
        ("unmasked", frame(0x81, b"hello", None)),
        ("frames after close", [&close[..], &data(0x81, 5)].concat()),
    ];
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 1 << 20] {
        cases.push(("text", then_close(&[data(0x81, length)])));
        cases.push(("binary", then_close(&[data(0x82, length), data(0x82, 1)])));
    }
    cases
}

/// What comes back for a case, in pieces of so many bytes.
fn outcome(mut stream: impl Both, bytes: &[u8], piece: usize) -> Vec<u8> {
    stream.write_all(handshake("/").as_bytes()).expect("sent");
    assert_eq!(status(&mut stream), 101);
    for piece in bytes.chunks(piece) {
        // The origin may have closed already.
        if stream
            .write_all(piece)
            .and_then(|()| stream.flush())
            .is_err()
        {
            break;
        }
    }
    rest(&mut stream)
}

#[test]
fn every_case_of_rfc_6455_ends_as_it_does_without_weir() {
    let origin = Origin::websocket();
    let edge = Edge::before(&origin, "");
    for (name, bytes) in cases() {
        let expected = outcome(connect(origin.address()), &bytes, usize::MAX);
        assert!(!expected.is_empty(), "{name}");
        let pieces = [usize::MAX, if bytes.len() < 2000 { 1 } else { 1500 }];
        for piece in pieces {
            let plain = outcome(connect(edge.plain), &bytes, piece);
            assert!(plain == expected, "{name}: {} bytes", plain.len());
            let tls = outcome(connect_tls(edge.tls), &bytes, piece);
            assert!(tls == expected, "{name} through TLS: {} bytes", tls.len());
        }
    }
}

/// `WEIR_WEBSOCKET_BYTES` in all, 10 MB if it is not set.
#[test]
fn a_hundred_websockets_echo_what_they_are_sent() {
    const SOCKETS: usize = 100;
    let all = number("WEIR_WEBSOCKET_BYTES", 10_000_000);
    let origin = Origin::websocket();
    let edge = Edge::before(&origin, "");
    let open = Barrier::new(SOCKETS);
    std::thread::scope(|scope| {
        for index in 0..SOCKETS {
            let (open, edge) = (&open, &edge);
            scope.spawn(move || {
                let mut stream: Box<dyn Both> = if index % 2 == 0 {
                    Box::new(connect(edge.plain))
                } else {
                    Box::new(connect_tls(edge.tls))
                };
                stream.write_all(handshake("/").as_bytes()).expect("sent");
                assert_eq!(status(&mut stream), 101);
                open.wait();
                converse(&mut *stream, all / SOCKETS as u64);
            });
        }
    });
}

/// Messages of growing size there and back, `bytes` in all.
fn converse(stream: &mut dyn Both, bytes: u64) {
    let (mut sent, mut size) = (0, 1);
    while sent < bytes {
        let payload: Vec<u8> = (0..size).map(|at| (at * 31 + size) as u8).collect();
        stream
            .write_all(&frame(0x82, &payload, MASK))
            .expect("sent");
        stream.flush().expect("sent");
        let mut back = vec![0; frame(0x82, &payload, None).len()];
        stream.read_exact(&mut back).expect("echoed");
        let echoed = &back[back.len() - payload.len()..];
        assert_eq!(sha256(echoed), sha256(&payload));
        sent += size as u64;
        size = (size * 3).min(50_000);
    }
}

#[test]
fn bytes_sent_ahead_are_not_lost() {
    let origin = Origin::new(|_, stream| {
        let greeting = frame(0x81, b"welcome", None);
        let both = [switching().as_bytes(), &greeting].concat();
        stream.get_mut().write_all(&both)?;
        origin::echo(stream)
    });
    let edge = Edge::before(&origin, "");
    let ahead = [frame(0x81, b"hello", MASK), frame(0x88, b"", MASK)].concat();
    let expected = [
        frame(0x81, b"welcome", None),
        frame(0x81, b"hello", None),
        frame(0x88, b"", None),
    ];
    for address in [edge.plain, edge.tls] {
        let mut stream: Box<dyn Both> = if address == edge.tls {
            Box::new(connect_tls(address))
        } else {
            Box::new(connect(address))
        };
        let bytes = [handshake("/").as_bytes(), &ahead].concat();
        stream.write_all(&bytes).expect("sent");
        assert_eq!(status(&mut stream), 101);
        assert_eq!(rest(&mut stream), expected.concat());
    }
}

#[test]
fn another_protocol_is_relayed_and_each_side_ends_by_itself() {
    const BYTES: usize = 5_000_000;
    let origin = Origin::new(|head, stream| {
        assert!(head.contains("Upgrade: echo/1\r\n"), "{head}");
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: Echo/1\r\n\r\n";
        stream.get_mut().write_all(head.as_bytes())?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        // The client has ended its side, and is answered all the same.
        stream.get_mut().write_all(&all)?;
        stream.get_ref().shutdown(Shutdown::Write)
    });
    let edge = Edge::before(&origin, "");
    let mut stream = connect(edge.plain);
    let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo/1, h2c\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    assert_eq!(status(&mut stream), 101);
    let mut body = vec![0; BYTES];
    pattern(0, &mut body);
    stream.write_all(&body).expect("sent");
    stream.shutdown(Shutdown::Write).expect("half-closed");
    let back = rest(&mut stream);
    assert_eq!(
        (back.len(), sha256(&back)),
        (BYTES, pattern_sha256(BYTES as u64))
    );
}

#[test]
fn a_refused_upgrade_is_an_ordinary_response() {
    let origin = Origin::new(|head, stream| {
        assert!(head.contains("Upgrade: websocket\r\n"), "{head}");
        let status = if head.contains("/403") {
            "403 Forbidden"
        } else {
            "200 OK"
        };
        let response =
            format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        stream.get_mut().write_all(response.as_bytes())
    });
    let edge = Edge::before(&origin, "");
    let mut connection = Connection::open(edge.plain);
    for (path, status) in [("/", 200), ("/403", 403), ("/", 200)] {
        connection.send(handshake(path));
        let response = connection.response();
        assert_eq!((response.status, response.text().as_str()), (status, "no"));
    }
}

#[test]
fn a_101_that_does_not_answer_the_request_is_a_bad_gateway() {
    let answers = [
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: other\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        "",
    ];
    let origin = Origin::new(move |head, stream| {
        let index = head
            .split(' ')
            .nth(1)
            .and_then(|path| path[1..].parse::<usize>().ok());
        let fields = answers[index.unwrap_or_default()];
        let head = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
        stream.get_mut().write_all(head.as_bytes())
    });
    let edge = Edge::before(&origin, "");
    for index in 0..answers.len() {
        let mut connection = Connection::open(edge.plain);
        connection.send(handshake(&format!("/{index}")));
        let response = connection.response();
        assert_eq!(response.status, 502, "{index}");
        assert_eq!(response.field("x-weir-reason"), Some("response_malformed"));
    }
}

#[test]
fn websockets_are_told_when_weir_goes_away() {
    let (told, closes) = mpsc::channel();
    let origin = Origin::new(move |head, stream| {
        stream.get_mut().write_all(switching().as_bytes())?;
        if head.contains("/partial") {
            // The beginning of a frame: a Close must not be put into its middle.
            stream.get_mut().write_all(&[0x82, 100, 1, 2, 3])?;
        }
        let mut all = Vec::new();
        let end = stream.read_to_end(&mut all);
        told.send((head.contains("/partial"), all))
            .expect("the test waits");
        end.map(drop)
    });
    let settings = "    transport:\n      lifeCycle:\n        graceTimeOut: 500ms\n";
    let edge = Edge::before(&origin, settings);
    let open = |path: &str| {
        let mut stream = connect(edge.plain);
        stream.write_all(handshake(path).as_bytes()).expect("sent");
        assert_eq!(status(&mut stream), 101);
        stream
    };
    let (mut whole, mut partial) = (open("/"), open("/partial"));
    let mut beginning = [0; 5];
    partial.read_exact(&mut beginning).expect("relayed");
    edge.weir.signal(Signal::SIGTERM);
    assert_eq!(rest(&mut whole), frame(0x88, &1001u16.to_be_bytes(), None));
    assert_eq!(rest(&mut partial), b"");
    for _ in 0..2 {
        let (_, bytes) = closes.recv_timeout(DEADLINE).expect("both connections end");
        assert_eq!(
            (bytes[0], bytes[1], bytes.len()),
            (0x88, 0x82, 8),
            "masked, 1001"
        );
        let code = [bytes[6] ^ bytes[2], bytes[7] ^ bytes[3]];
        assert_eq!(u16::from_be_bytes(code), 1001);
    }
    let (status, _) = edge.weir.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn websockets_that_are_told_have_a_moment_for_their_own_goodbye() {
    let origin = Origin::websocket();
    let settings = "    transport:\n      lifeCycle:\n        graceTimeOut: 500ms\n";
    let edge = Edge::before(&origin, settings);
    let mut stream = connect(edge.plain);
    stream.write_all(handshake("/").as_bytes()).expect("sent");
    assert_eq!(status(&mut stream), 101);
    edge.weir.signal(Signal::SIGTERM);
    let mut goodbye = [0; 4];
    stream.read_exact(&mut goodbye).expect("told");
    let told = Instant::now();
    assert_eq!(goodbye.to_vec(), frame(0x88, &1001u16.to_be_bytes(), None));
    // Its own is still read: a connection that is gone answers with a reset.
    std::thread::sleep(LAST_WORDS / 5);
    stream
        .write_all(&frame(0x88, &1001u16.to_be_bytes(), MASK))
        .expect("taken");
    assert_eq!(rest(&mut stream), b"");
    // It does not close, and is not waited for.
    let (status, _) = edge.weir.wait();
    let time = told.elapsed();
    assert!(status.success(), "{status}");
    // The goodbye was on its way for a moment.
    let least = LAST_WORDS - Duration::from_millis(100);
    let most = LAST_WORDS + Duration::from_secs(5);
    assert!((least..most).contains(&time), "{time:?}");
}

#[test]
fn an_idle_tunnel_ends_when_it_is_told_to_and_a_busy_one_does_not() {
    let origin = Origin::websocket();
    let settings = "    limits:\n      tunnelIdleTimeout: 1s\n";
    let edge = Edge::before(&origin, settings);
    let mut stream = connect(edge.plain);
    stream.write_all(handshake("/").as_bytes()).expect("sent");
    assert_eq!(status(&mut stream), 101);
    for _ in 0..8 {
        stream.write_all(&frame(0x89, b"", MASK)).expect("sent");
        let mut pong = [0; 2];
        stream.read_exact(&mut pong).expect("still there");
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(rest(&mut stream), b"");
}

#[test]
fn events_are_passed_on_at_once() {
    let (go, going) = mpsc::channel::<()>();
    let going = std::sync::Mutex::new(going);
    let origin = Origin::new(move |head, stream| {
        let chunked = head.contains("/chunked");
        let framing = if chunked {
            "Transfer-Encoding: chunked\r\n"
        } else {
            ""
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n");
        stream.get_mut().write_all(head.as_bytes())?;
        for number in 0..5 {
            let event = format!("data: {number}\n\n");
            let event = match chunked {
                true => format!("{:x}\r\n{event}\r\n", event.len()),
                false => event,
            };
            stream.get_mut().write_all(event.as_bytes())?;
            // The next one only once the client has got this one.
            going
                .lock()
                .expect("one at a time")
                .recv()
                .map_err(io::Error::other)?;
        }
        Ok(())
    });
    let edge = Edge::before(&origin, "");
    for (path, address) in [
        ("/", edge.plain),
        ("/chunked", edge.plain),
        ("/chunked", edge.tls),
    ] {
        let mut stream: Box<dyn Both> = match address == edge.tls {
            true => Box::new(connect_tls(address)),
            false => Box::new(connect(address)),
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        assert_eq!(status(&mut stream), 200);
        for number in 0..5 {
            // A chunk of its own: its size, then the event.
            let mut event = [0; 3 + 9 + 2];
            stream.read_exact(&mut event).expect("an event");
            assert_eq!(event[3..12], *format!("data: {number}\n\n").as_bytes());
            go.send(()).expect("the origin waits");
        }
    }
}

#[test]
fn a_client_that_leaves_an_event_stream_is_noticed() {
    let (gone, left) = mpsc::channel();
    let origin = Origin::new(move |_, stream| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
        stream.get_mut().write_all(head.as_bytes())?;
        let mut byte = [0];
        let end = stream.read(&mut byte);
        gone.send(end.is_err() || end.is_ok_and(|read| read == 0))
            .expect("the test waits");
        Ok(())
    });
    let edge = Edge::before(&origin, "");
    let mut stream = connect(edge.plain);
    // With a request sent ahead: its end cannot be received before that request has been.
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    stream.write_all(request.as_bytes()).expect("sent");
    assert_eq!(status(&mut stream), 200);
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .expect("a reset at the close");
    drop(stream);
    assert!(left.recv_timeout(DEADLINE).expect("the origin is let go"));
    eventually("the log says so", || {
        edge.weir.log().contains("client_gone").then_some(())
    });
}
