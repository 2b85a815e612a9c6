//! The server against a plain client, and against curl over TLS.

use std::process::Command;

use super::*;

fn exchange(backend: &Backend, request: &str) -> String {
    let mut stream = TcpStream::connect(backend.address()).expect("connect");
    stream.write_all(request.as_bytes()).expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("receive");
    answer
}

#[test]
fn says_who_it_is_and_whom_it_saw() {
    let backend = Backend::plain("staging", ([127, 0, 0, 1], 0)).expect("bind");
    let answer = exchange(
        &backend,
        "GET / HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n",
    );
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    let answer = Answer::parse(body.as_bytes()).expect("the usual answer");
    assert_eq!(answer.node, "staging");
    assert!(answer.peer.ip().is_loopback());
    assert_eq!(answer.forwarded_for.as_deref(), Some("192.0.2.1"));
    assert_eq!(backend.requests(), 1);
}

#[test]
fn keeps_the_connection_for_the_next_request() {
    let backend = Backend::plain("a", ([127, 0, 0, 1], 0)).expect("bind");
    let answers = exchange(
        &backend,
        "GET / HTTP/1.1\r\n\r\nGET /head HTTP/1.0\r\nX: y\r\n\r\n",
    );
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
    assert!(answers.ends_with("GET /head HTTP/1.0\r\nX: y\r\n\r\n"));
}

#[test]
fn hashes_uploads_of_both_framings() {
    let backend = Backend::plain("a", ([127, 0, 0, 1], 0)).expect("bind");
    let chunked = "POST /upload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwei\r\n1\r\nr\r\n0\r\n\r\n";
    let counted = "POST /upload HTTP/1.0\r\nContent-Length: 4\r\n\r\nweir";
    let answers = exchange(&backend, &format!("{chunked}{counted}"));
    let expected = format!("{{\"length\":4,\"sha256\":\"{}\"}}", sha256(b"weir"));
    assert_eq!(answers.matches(&expected).count(), 2, "{answers}");
}

#[test]
fn sends_the_pattern_over_tls() {
    let backend = Backend::tls("a", ([127, 0, 0, 1], 0)).expect("bind");
    for path in ["bytes", "chunked"] {
        let url = format!("https://{}/{path}/200000", backend.address());
        let curl = Command::new("curl")
            .args(["-sSk", &url])
            .output()
            .expect("curl runs");
        assert_eq!(
            curl.stdout.len(),
            200_000,
            "{}",
            String::from_utf8_lossy(&curl.stderr)
        );
        assert_eq!(sha256(&curl.stdout), pattern_sha256(200_000));
    }
}

#[test]
fn closes_its_connections_when_dropped() {
    let backend = Backend::plain("a", ([127, 0, 0, 1], 0)).expect("bind");
    let mut stream = TcpStream::connect(backend.address()).expect("connect");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("send");
    stream.read_exact(&mut [0; 15]).expect("an answer");
    drop(backend);
    stream
        .read_to_end(&mut Vec::new())
        .expect("the rest and the end");
}
