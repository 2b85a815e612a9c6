//! Limits that no key sets, and times: what is within them goes on, what is beyond does not.

use std::time::{Duration, Instant};

use http::Request;
use nix::sys::signal::Signal;
use weir::limits::{
    CLIENT_FIRST_BYTES, HTTP2_STREAMS, INTERIM_RESPONSES_MAX, LAST_REQUEST, UPSTREAM_HTTP2_STREAMS,
    UPSTREAM_IDLE_UNREPEATABLE,
};

use super::{answer, proxy, served};
use crate::http1::origin::{Origin, Reply};
use crate::http2::client::{begin, connect, finish, run, send};
use crate::http2::frames::{END_HEADERS, HEADERS, REFUSED_STREAM, RST_STREAM, Raw, frame, request};
use crate::http2::peer::Peer;
use crate::support::client::Connection;
use crate::support::eventually;

#[test]
fn interim_responses() {
    for (count, status) in [
        (INTERIM_RESPONSES_MAX, 200),
        (INTERIM_RESPONSES_MAX + 1, 502),
    ] {
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(count);
        let origin = Origin::new(move |_| {
            Reply::new(format!(
                "{interim}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            ))
        });
        let (_weir, address) = crate::http1::before(&origin);
        let response = Connection::open(address).get("a", "/");
        assert_eq!(response.status, status, "{count}");
    }
}

#[test]
fn streams_of_a_client() {
    let origin = Origin::new(|_| Reply::ok("hello"));
    let (_weir, address) = crate::http2::before(&format!("http://{}", origin.address()), "");
    let mut raw = Raw::open(address);
    raw.greet();
    let open = |index: u32| frame(HEADERS, END_HEADERS, 2 * index + 1, &request("POST", &[]));
    for index in 0..=HTTP2_STREAMS {
        assert!(raw.send(open(index)), "{index}");
    }
    let first = raw.read_until(|frame| frame.kind == RST_STREAM);
    let first = first.expect("the last one is refused");
    assert_eq!(
        (first.stream, first.code()),
        (2 * HTTP2_STREAMS + 1, REFUSED_STREAM)
    );
    // There is room again once one has ended.
    assert!(raw.send(frame(crate::http2::frames::DATA, 1, 1, b"")));
    let answered = raw.read_until(|frame| frame.kind == HEADERS && frame.stream == 1);
    assert!(answered.is_some());
    let next = 2 * HTTP2_STREAMS + 3;
    assert!(raw.send(frame(HEADERS, END_HEADERS | 1, next, &request("GET", &[]))));
    assert!(
        raw.read_until(|frame| frame.kind == HEADERS && frame.stream == next)
            .is_some()
    );
}

#[test]
fn streams_to_a_server() {
    streams("", UPSTREAM_HTTP2_STREAMS);
    streams("serversTransport: {maxStreamsPerConnection: 3}\n", 3);
}

fn streams(settings: &str, most: usize) {
    let peer = Peer::start(10_000);
    let (_weir, address) = crate::http2::before(&peer.url(), settings);
    run(async {
        let clients = [connect(address).await, connect(address).await];
        let echo = || {
            Request::post("http://a.example/echo")
                .body(())
                .expect("a request")
        };
        let (response, _) = begin(&clients[0], echo(), true).await;
        finish(response).await.expect("a response");
        let mut open = Vec::new();
        for index in 0..=most {
            let (response, stream) = begin(&clients[index % 2], echo(), false).await;
            open.push((response.await.expect("a head"), stream));
            let connections = if index == most { 2 } else { 1 };
            assert_eq!(peer.connections(), connections, "{index}");
        }
        for (_, stream) in &mut open {
            send(stream, bytes::Bytes::from_static(b"x"), true).await;
        }
    });
}

#[test]
fn a_head_that_comes_in_time() {
    let (_weir, address, _server) = proxy("    limits:\n      headerTimeout: 4s\n");
    let mut connection = Connection::open(address);
    for piece in ["GET / HT", "TP/1.1\r\n", "Host:", " a\r\n", "\r\n"] {
        connection.send(piece);
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(connection.response().status, 200);
}

#[test]
fn the_time_to_the_next_request() {
    let (_weir, address, _server) =
        proxy("    transport:\n      respondingTimeouts:\n        idleTimeout: 2s\n");
    let mut connection = Connection::open(address);
    for _ in 0..4 {
        assert!(served(&mut connection));
        std::thread::sleep(Duration::from_millis(700));
    }
    assert_eq!(connection.rest(), b"", "closed, and nothing is said");
    assert_eq!(answer(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").0, 200);
}

#[test]
fn the_age_of_a_connection_for_what_cannot_be_repeated() {
    let origin = Origin::new(|_| Reply::ok("hello"));
    let (_weir, address) = crate::http1::before(&origin);
    let mut connection = Connection::open(address);
    let mut post = || {
        connection.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(connection.response().status, 200);
        origin.connections()
    };
    let first = eventually("two on one connection", || {
        let before = post();
        (post() == before).then_some(before)
    });
    std::thread::sleep(UPSTREAM_IDLE_UNREPEATABLE + Duration::from_millis(100));
    assert_eq!(post(), first + 1);
}

#[test]
fn the_first_bytes_of_a_connection() {
    let (_weir, address, _server) = proxy("");
    let (mut late, mut in_time) = (Connection::open(address), Connection::open(address));
    let begin = Instant::now();
    let silent = std::thread::spawn(move || (late.rest(), begin.elapsed()));
    std::thread::sleep(CLIENT_FIRST_BYTES - Duration::from_secs(2));
    assert!(served(&mut in_time));
    let (said, time) = silent.join().expect("no panic");
    assert_eq!(said, b"", "closed, and nothing is said");
    // It is counted from when the connection was accepted.
    let most = CLIENT_FIRST_BYTES + Duration::from_secs(5);
    assert!((CLIENT_FIRST_BYTES..most).contains(&time), "{time:?}");
}

#[test]
fn the_last_request_of_a_connection() {
    let (weir, address, _server) = proxy("");
    let mut connections = [Connection::open(address), Connection::open(address)];
    assert!(connections.iter_mut().all(served));
    let [mut late, mut in_time] = connections;
    let begin = Instant::now();
    weir.signal(Signal::SIGTERM);
    let silent = std::thread::spawn(move || (late.rest(), begin.elapsed()));
    std::thread::sleep(LAST_REQUEST / 4);
    let response = in_time.get("a", "/");
    assert_eq!(
        (response.status, response.field("connection")),
        (200, Some("close"))
    );
    let (said, time) = silent.join().expect("no panic");
    assert_eq!(said, b"", "closed, and nothing is said");
    assert!((LAST_REQUEST..4 * LAST_REQUEST).contains(&time), "{time:?}");
}
