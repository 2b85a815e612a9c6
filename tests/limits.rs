//! Limits of one entry point, each at the limit and one over it; times that end what has stalled, and nothing else.

mod fixed;
mod messages;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use xtask::backend::Backend;

use crate::http1::origin::{Origin, Reply};
use crate::http2::frames::*;
use crate::support::client::Connection;
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, free_port};

/// weir whose one entry point has these settings (indented by four), before a backend.
fn proxy(settings: &str) -> (Weir, SocketAddr, Backend) {
    let server = Backend::plain("a", ([127, 0, 0, 1], 0)).expect("a backend");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\n{settings}providers:\n  file:\n    \
         directory: \"{{dir}}/rules\"\nruntimeDir: \"{{dir}}/run\"\nworkers: 2\nlog:\n  level: DEBUG\n"
    ));
    let rules = format!(
        "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: a\n  services:\n    a:\n      \
         loadBalancer:\n        servers:\n          - url: http://{}\n",
        server.address()
    );
    let weir = setup.rules("rules.yml", &rules).start().listening(address);
    (weir, address, server)
}

/// The status and the reason that a request is answered with.
fn answer(address: SocketAddr, request: &str) -> (u16, Option<String>) {
    let mut connection = Connection::open(address);
    connection.send(request);
    let response = connection.response();
    let reason = response.field("x-weir-reason").map(str::to_owned);
    (response.status, reason)
}

#[test]
fn the_head_of_a_request() {
    let (_weir, address, _server) = proxy(
        "    limits:\n      requestLineBytes: 1100\n      headerBytes: 2000\n      headerFields: 5\n",
    );
    let line = |bytes: usize| {
        let path = "a".repeat(bytes - "GET / HTTP/1.1".len());
        format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n")
    };
    let head = |bytes: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
    };
    let fields = |count: usize| {
        let more = "X: 1\r\n".repeat(count - 1);
        format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n")
    };
    let over = |status, reason: &str| (status, Some(reason.to_owned()));
    for (request, expected) in [
        (line(1100), (200, None)),
        (line(1101), over(414, "target_too_long")),
        (head(2000), (200, None)),
        (head(2001), over(431, "head_too_large")),
        (fields(5), (200, None)),
        (fields(6), over(431, "head_too_large")),
    ] {
        assert_eq!(
            answer(address, &request),
            expected,
            "{} bytes",
            request.len()
        );
    }
}

/// A head of more than 64 KiB, or of more pieces than those take, was cut whatever `headerBytes` said.
#[test]
fn the_head_of_a_request_in_http_2() {
    const MOST: usize = 256 << 10;
    let origin = Origin::new(|_| Reply::ok("hello"));
    let (_weir, address) = crate::http2::before(
        &format!("http://{}", origin.address()),
        &format!("    limits: {{headerBytes: {MOST}}}\n"),
    );
    let answered = |bytes: usize| {
        let long = "x".repeat(bytes);
        let block = request("GET", &[("x", &long)]);
        let mut pieces = block.chunks(16 << 10);
        let first = pieces.next().expect("a piece");
        let mut frames = frame(HEADERS, END_STREAM, 1, first);
        for piece in pieces {
            frames.extend(frame(CONTINUATION, 0, 1, piece));
        }
        frames.extend(frame(CONTINUATION, END_HEADERS, 1, b""));
        let mut raw = Raw::open(address);
        raw.greet();
        raw.send(frames);
        let end = raw.read_until(|frame| frame.kind == GOAWAY || frame.kind == DATA);
        end.map(|frame| frame.kind)
    };
    assert_eq!(answered(MOST - 400), Some(DATA));
    let head = origin.requests().remove(0).head;
    assert!(head.len() > MOST - 400, "{}", head.len());
    assert_eq!(answered(MOST), Some(GOAWAY));
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_head_of_http_2_that_stalls() {
    let (weir, address, _server) = proxy("    limits:\n      headerTimeout: 700ms\n");
    let begun = Instant::now();
    let (mut half, mut silent) = (Raw::open(address), Raw::open(address));
    half.greet();
    half.send(frame(HEADERS, END_STREAM, 1, &request("GET", &[])));
    silent.send(&PREFACE[..20]);
    let goodbye = half.read_until(|frame| frame.kind == GOAWAY);
    assert_eq!(goodbye.map(|frame| frame.code()), Some(ENHANCE_YOUR_CALM));
    assert!(begun.elapsed() >= Duration::from_millis(700));
    assert!(silent.read_until(|_| false).is_none() && !silent.silent);
    assert!(begun.elapsed() < weir::limits::CLIENT_HEAD);
    weir.logged("shape=\"unfinished_frame\"");
}

#[test]
fn the_body_of_a_request() {
    let (_weir, address, server) = proxy("    limits:\n      bodyBytes: 100000\n");
    let too_large = (413, Some("body_too_large".to_owned()));
    let post = |fields: &str, body: &str| {
        format!("POST /upload HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
    };
    for (bytes, expected) in [(100_000, (200, None)), (100_001, too_large.clone())] {
        let body = "b".repeat(bytes);
        let with_length = post(&format!("Content-Length: {bytes}\r\n"), &body);
        let before = server.requests();
        assert_eq!(
            answer(address, &with_length),
            expected,
            "{bytes}, told before"
        );
        // One that is told to be too large is not begun.
        let begun = server.requests() - before;
        assert_eq!(begun, u64::from(expected.0 == 200), "{bytes}, told before");
        let (half, other) = body.split_at(bytes / 2);
        let chunks = format!(
            "{:x}\r\n{half}\r\n{:x}\r\n{other}\r\n0\r\n\r\n",
            half.len(),
            other.len()
        );
        let chunked = post("Transfer-Encoding: chunked\r\n", &chunks);
        assert_eq!(answer(address, &chunked), expected, "{bytes}, in chunks");
    }
}

#[test]
fn times_before_a_request_that_are_set() {
    let settings = "    proxyProtocol: {trustedIPs: [127.0.0.1]}\n    limits: {proxyHeaderTimeout: 1s, \
                    firstBytesTimeout: 4s}\n";
    let (_weir, address, _server) = proxy(settings);
    let (mut late, mut in_time) = (Connection::open(address), Connection::open(address));
    let begin = Instant::now();
    let silent = std::thread::spawn(move || (late.rest(), begin.elapsed()));
    // The PROXY header's time is over, that for the first bytes is not.
    std::thread::sleep(Duration::from_secs(2));
    assert!(served(&mut in_time));
    let (said, time) = silent.join().expect("no panic");
    assert_eq!(said, b"", "closed, and nothing is said");
    // Both, and far from what they are by default.
    let range = Duration::from_secs(5)..Duration::from_secs(13);
    assert!(range.contains(&time), "{time:?}");
}

#[test]
fn a_client_that_has_ended_its_side_for_a_time_that_is_set() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a server");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\n    limits: {{halfClosedTimeout: 1s}}\nproviders:\n  \
         file:\n    directory: \"{{dir}}/rules\"\nruntimeDir: \"{{dir}}/run\"\nworkers: 1\n"
    ));
    let rules = format!(
        "http:\n  routers:\n    all: {{rule: PathPrefix(`/`), service: a}}\n  services:\n    a: {{loadBalancer: \
         {{servers: [{{url: 'http://{}'}}]}}}}\n",
        server.local_addr().expect("bound")
    );
    let _weir = setup.rules("rules.yml", &rules).start().listening(address);
    let mut client = TcpStream::connect(address).expect("weir accepts");
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let (mut asked, _) = server.accept().expect("asked");
    let begin = Instant::now();
    client.shutdown(Shutdown::Write).expect("half-close");
    // Given up: the server is told, too.
    asked
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    let ended = asked.read_to_end(&mut Vec::new());
    let time = begin.elapsed();
    let range = Duration::from_secs(1)..Duration::from_secs(15);
    assert!(range.contains(&time), "{time:?}, {ended:?}");
}

#[test]
fn the_connections_of_one_client_over_all_workers() {
    let (weir, address, _server) = proxy("    limits:\n      connectionsPerClient: 10\n");
    // Those that waited for the start may still be there.
    let mut open: Vec<Connection> = eventually("room for all ten", || {
        let mut open: Vec<Connection> = (0..10).map(|_| Connection::open(address)).collect();
        open.iter_mut().all(served).then_some(open)
    });
    for _ in 0..20 {
        assert!(
            !served(&mut Connection::open(address)),
            "one more is closed"
        );
    }
    weir.logged("client_connections");
    let mut oldest = open.remove(0);
    assert!(served(&mut oldest), "those that are in stay in");
    drop(oldest);
    eventually("room again", || {
        served(&mut Connection::open(address)).then_some(())
    });
}

/// Whether a request on the connection is answered rather than closed.
fn served(connection: &mut Connection) -> bool {
    let mut begin = [0; 12];
    let request = b"GET /bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n";
    if connection.socket().write_all(request).is_err()
        || connection.reader().read_exact(&mut begin).is_err()
    {
        return false;
    }
    assert_eq!(&begin, b"HTTP/1.1 200");
    let mut rest = Vec::new();
    while !rest.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.reader().read_exact(&mut byte).expect("a head");
        rest.push(byte[0]);
    }
    let mut body = [0; 5];
    connection.reader().read_exact(&mut body).is_ok()
}

#[test]
fn the_connections_of_all() {
    let (_weir, address, _server) = {
        let server = Backend::plain("a", ([127, 0, 0, 1], 0)).expect("a backend");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let setup = Setup::new(&format!(
            "entryPoints:\n  web:\n    address: \"{address}\"\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n\
             runtimeDir: \"{{dir}}/run\"\nworkers: 1\nlimits:\n  connections: 5\n"
        ));
        let weir = setup.rules("rules.yml", &rules(&server)).start();
        (weir.listening(address), address, server)
    };
    let mut open: Vec<Connection> = (0..5).map(|_| Connection::open(address)).collect();
    assert!(open.iter_mut().all(|one| one.get("a", "/").status == 200));
    let mut waiting = Connection::open(address);
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut early = waiting.socket();
    early
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a timeout");
    assert!(early.read(&mut [0]).is_err(), "it waits in the kernel");
    early
        .set_read_timeout(Some(crate::support::DEADLINE))
        .expect("a timeout");
    drop(open.pop());
    assert_eq!(waiting.response().status, 200);
}

fn rules(server: &Backend) -> String {
    format!(
        "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: a\n  services:\n    a:\n      \
         loadBalancer:\n        servers:\n          - url: http://{}\n",
        server.address()
    )
}

#[test]
fn a_head_and_a_body_that_stall() {
    let (weir, address, _server) =
        proxy("    limits:\n      headerTimeout: 700ms\n      bodyIdleTimeout: 800ms\n");
    let begun = Instant::now();
    let head = answer(address, "GET / HTTP/1.1\r\nHost: a");
    assert_eq!(head, (408, Some("head_timeout".into())));
    assert!(begun.elapsed() >= Duration::from_millis(700));
    let body = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf";
    assert_eq!(answer(address, body), (408, Some("body_timeout".into())));
    // A reader that takes nothing of a body larger than all buffers is cut.
    let mut reader = Connection::open(address);
    reader.send("GET /bytes/100000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    weir.logged("client_stalled");
}

/// A connection of HTTP/2 was let stall for 120 s, whatever was said.
#[test]
fn a_connection_of_http_2_that_stalls() {
    let (weir, address, _server) = proxy("    limits:\n      bodyIdleTimeout: 800ms\n");
    let mut raw = Raw::open(address);
    // The largest windows: what stalls is TCP.
    let most = 0x7fff_ffff_u32;
    raw.greet_with(&[(4, most)]);
    assert!(raw.send(frame(WINDOW_UPDATE, 0, 0, &(most - 65_535).to_be_bytes())));
    let large = block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/bytes/100000000"),
        (":authority", "a.example"),
    ]);
    assert!(raw.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &large)));
    weir.logged("HTTP/2 ends");
}

#[test]
fn what_moves_slowly_has_not_stalled() {
    let (_weir, address, _server) = proxy("    limits:\n      bodyIdleTimeout: 3s\n");
    let mut upload = Connection::open(address);
    upload.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    for _ in 0..10 {
        upload.send("b");
        std::thread::sleep(Duration::from_millis(600));
    }
    assert_eq!(upload.response().status, 200);
    // Far more than the kernel's buffers hold, read at 60 KB/s: room for more is told once a whole buffer of the
    // kernel's, up to 64 KiB on loopback, has been read, so that is what moves at a time.
    let mut download = reader(address);
    let request = b"GET /bytes/25000000 HTTP/1.1\r\nHost: a\r\n\r\n";
    download.write_all(request).expect("sent");
    let mut piece = vec![0; 30_000];
    for _ in 0..24 {
        download.read_exact(&mut piece).expect("not cut");
        std::thread::sleep(Duration::from_millis(500));
    }
    let (mut rest, whole) = (0, 25_000_000 - 24 * piece.len());
    while rest < whole {
        rest += download.read(&mut piece).expect("not cut");
    }
}

/// A connection with small segments and a small window.
fn reader(address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::TcpMaxSeg, &1400)
        .expect("small segments");
    socket
        .set_recv_buffer_size(64 << 10)
        .expect("a small window");
    socket.connect(&address.into()).expect("connect");
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .expect("a timeout");
    socket.into()
}

/// A server that takes its time with a body, or with its answer, does not make the client one that stalls.
#[test]
fn waiting_for_the_server_does_not_count_against_the_client() {
    let (_weir, address, _server) = proxy("    limits:\n      bodyIdleTimeout: 300ms\n");
    let mut connection = Connection::open(address);
    assert_eq!(connection.get("a", "/slow/1500").status, 200);
    connection.send("POST /slow/1500 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(connection.response().status, 200);
}

#[test]
fn total_times_end_what_is_still_moving() {
    let (weir, address, _server) = proxy(
        "    transport:\n      respondingTimeouts:\n        readTimeout: 1s\n        writeTimeout: 2s\n",
    );
    weir.logged("readTimeout: found 1s, which ends each request whose body takes longer");
    weir.logged("writeTimeout: found 2s, which ends each response that takes longer");
    let mut upload = Connection::open(address);
    upload.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    let begun = Instant::now();
    while upload.socket().write_all(b"b").is_ok() && begun.elapsed() < Duration::from_millis(1500) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let response = upload.response();
    assert_eq!(
        (response.status, response.field("x-weir-reason")),
        (408, Some("body_timeout"))
    );
    let mut download = Connection::open(address);
    download.send("GET /bytes/1000000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut piece = [0; 4096];
    while download
        .reader()
        .read(&mut piece)
        .is_ok_and(|read| read > 0)
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    weir.logged("client_stalled");
    assert_eq!(Connection::open(address).get("a", "/slow/100").status, 200);
    download.socket().shutdown(Shutdown::Both).ok();
}
