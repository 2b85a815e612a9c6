//! Trailers both ways, and the heads of responses: at limits that are set, and one over them.

use std::net::{SocketAddr, TcpListener};

use crate::http1::origin::{Origin, Reply};
use crate::http2::before;
use crate::http2::frames::*;
use crate::support::client::Connection;

/// Trailers of exactly so many bytes, the empty line included.
fn trailer(bytes: usize) -> String {
    format!("X: {}\r\n\r\n", "x".repeat(bytes - "X: \r\n\r\n".len()))
}

/// So many trailers.
fn trailers(count: usize) -> String {
    format!("{}\r\n", "X: 1\r\n".repeat(count))
}

fn status(address: SocketAddr, request: &str) -> u16 {
    let mut connection = Connection::open(address);
    connection.send(request);
    connection.response().status
}

const TRAILERS: &str = "    limits: {trailerBytes: 300, trailerFields: 3}\n";

#[test]
fn the_trailers_of_a_request() {
    let origin = Origin::new(|_| Reply::ok("hello"));
    let (_weir, address) = before(&format!("http://{}", origin.address()), TRAILERS);
    for (trailers, expected) in [
        (trailer(300), 200),
        (trailer(301), 431),
        (trailers(3), 200),
        (trailers(4), 431),
    ] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let request = format!("{head}2\r\nhi\r\n0\r\n{trailers}");
        assert_eq!(status(address, &request), expected, "{trailers}");
    }
}

#[test]
fn the_trailers_of_a_request_in_http_2() {
    let origin = Origin::new(|_| Reply::ok("hello"));
    let (_weir, address) = before(&format!("http://{}", origin.address()), TRAILERS);
    let answered = |trailers: &[(&str, &str)]| {
        let mut raw = Raw::open(address);
        raw.greet();
        raw.send(frame(HEADERS, END_HEADERS, 1, &request("POST", &[])));
        raw.send(frame(DATA, 0, 1, b"hi"));
        let trailers = block(trailers);
        raw.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers));
        let end = raw.read_until(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY));
        let end = end.expect("an answer");
        // ":status" is 200: an entry of the static table (RFC 7541 appendix A).
        end.kind == HEADERS && end.payload.first() == Some(&0x88)
    };
    let value = |bytes: usize| "x".repeat(bytes - "X: \r\n\r\n".len());
    assert!(answered(&[("x", &value(300))]));
    assert!(!answered(&[("x", &value(301))]));
    assert!(answered(&[("x", "1"); 3]));
    assert!(!answered(&[("x", "1"); 4]));
}

#[test]
fn the_trailers_of_a_response() {
    let origin = Origin::new(|head| {
        let trailers = match head.split(' ').nth(1) {
            Some("/300") => trailer(300),
            Some("/301") => trailer(301),
            Some("/3") => trailers(3),
            _ => trailers(4),
        };
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        Reply::new(format!("{head}2\r\nhi\r\n0\r\n{trailers}"))
    });
    let (_weir, address) = before(&format!("http://{}", origin.address()), TRAILERS);
    for (path, whole) in [("300", true), ("301", false), ("3", true), ("4", false)] {
        let mut connection = Connection::open(address);
        connection.send(format!(
            "GET /{path} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n"
        ));
        let answer = connection.rest();
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(
            answer.ends_with("1\r\n\r\n") || answer.ends_with("x\r\n\r\n"),
            whole,
            "{answer}"
        );
    }
}

const HEADS: &str =
    "serversTransport: {maxResponseHeaderBytes: 2000, maxResponseHeaderFields: 5}\n";

#[test]
fn the_head_of_a_response() {
    let origin = Origin::new(|head| {
        let start = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
        let asked = head.split(' ').nth(1).unwrap_or_default();
        let (what, count) = asked
            .trim_start_matches('/')
            .split_once('/')
            .expect("asked");
        let count: usize = count.parse().expect("a number");
        Reply::new(match what {
            "fields" => format!("{start}{}\r\n", "X: 1\r\n".repeat(count - 1)),
            _ => format!("{start}{}", trailer(count - start.len())),
        })
    });
    let (_weir, address) = before(&format!("http://{}", origin.address()), HEADS);
    for (path, expected) in [
        ("bytes/2000", 200),
        ("bytes/2001", 502),
        ("fields/5", 200),
        ("fields/6", 502),
    ] {
        let request = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(status(address, &request), expected, "{path}");
    }
}

#[test]
fn the_head_of_a_response_in_http_2() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("h2c://{}", listener.local_addr().expect("bound"));
    let (_weir, address) = before(&url, HEADS);
    let mut server = None;
    let mut asked = |fields: &[(&str, &str)]| {
        let mut connection = Connection::open(address);
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let server = server.get_or_insert_with(|| Raw::accept(&listener));
        let stream = server.read_until(|frame| frame.kind == HEADERS);
        let stream = stream.expect("a request").stream;
        let head = [&[(":status", "200")], fields].concat();
        let head = block(&head);
        server.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
        connection.response().status
    };
    // What a list of fields has beside its text (RFC 9113 section 6.5.2): 42 bytes of ":status", 33 of "x".
    let value = "x".repeat(2000 - 42 - 33);
    let larger = format!("{value}x");
    assert_eq!(asked(&[("x", &value)]), 200);
    assert_eq!(asked(&[("x", &larger)]), 502);
    assert_eq!(asked(&[("x", "1"); 4]), 200);
    assert_eq!(asked(&[("x", "1"); 5]), 200);
    assert_eq!(asked(&[("x", "1"); 6]), 502);
    // The server is none the worse for it.
    assert_eq!(asked(&[]), 200);
}
