//! Requests to servers that speak HTTP/2, of clients of either version.

use bytes::Bytes;
use http::{HeaderMap, Request};
use std::future::poll_fn;
use std::net::TcpListener;

use super::before;
use super::client::{ask, begin, connect, finish, get, run, run_within, send};
use super::frames::*;
use super::peer::Peer;
use crate::support::DEADLINE;
use crate::support::client::Connection;

fn grpc(uri: &str) -> Request<()> {
    let request = Request::post(uri).header("content-type", "application/grpc+proto");
    request
        .header("te", "trailers")
        .body(())
        .expect("a request")
}

#[test]
fn grpc_passes_end_to_end_with_trailers_both_ways_and_as_it_comes() {
    let peer = Peer::start(100);
    let (_weir, address) = before(&peer.url(), "");
    run(async {
        let client = connect(address).await;
        let (response, mut stream) = begin(&client, grpc("http://a.example/echo"), false).await;
        let mut response = response.await.expect("a head");
        assert_eq!(response.headers()["x-te"], "trailers");
        assert_eq!(response.headers()["x-authority"], "a.example");
        for message in ["first", "second"] {
            send(&mut stream, Bytes::from(message), false).await;
            let echo = response
                .body_mut()
                .data()
                .await
                .expect("data")
                .expect("data");
            assert_eq!(
                echo, message,
                "each message is answered before the next is sent"
            );
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sent", "7".parse().expect("a value"));
        stream.send_trailers(trailers).expect("sent");
        let answer = super::client::read(response).await.expect("the rest");
        let trailers = answer.trailers.expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["x-sent"], "7");
    });
}

#[test]
fn an_http1_client_gets_the_same_from_an_http2_server() {
    let peer = Peer::start(100);
    let (_weir, address) = before(&peer.url(), "");
    let mut client = Connection::open(address);
    for _ in 0..3 {
        client.send("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, "hello".into()));
    }
    client.send("GET /interim HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(client.head().0, 103);
    assert_eq!(client.response().status, 200);
    assert_eq!(peer.connections(), 1);
}

#[test]
fn requests_share_a_connection_until_the_server_wants_no_more() {
    let peer = Peer::start(10);
    let (_weir, address) = before(&peer.url(), "");
    run(async {
        let client = connect(address).await;
        ask(&client, get("http://a.example/")).await;
        let mut open = Vec::new();
        for _ in 0..25 {
            let (response, stream) = begin(&client, grpc("http://a.example/echo"), false).await;
            open.push((response.await.expect("a head"), stream));
        }
        assert_eq!(peer.connections(), 3);
        for (response, mut stream) in open {
            send(&mut stream, Bytes::from_static(b"x"), true).await;
            let answer = super::client::read(response).await.expect("a response");
            assert_eq!(answer.text(), "x");
        }
        ask(&client, get("http://a.example/")).await;
        assert_eq!(peer.connections(), 3);
    });
}

#[test]
fn what_the_server_has_not_acted_on_is_sent_again() {
    let peer = Peer::start(100);
    let (_weir, address) = before(&peer.url(), "");
    run(async {
        let client = connect(address).await;
        let post = Request::post("http://a.example/refuse-once")
            .body(())
            .expect("a request");
        let answer = ask(&client, post).await;
        assert_eq!((answer.status, peer.requests()), (200, 2));
        for _ in 0..5 {
            assert_eq!(
                ask(&client, get("http://a.example/goaway")).await.status,
                200
            );
        }
    });
}

/// It was taken for a connection that failed: the request went to one server after the other, and took each one out.
#[test]
fn a_response_with_too_large_a_head_is_malformed_and_not_asked_for_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("h2c://{}", listener.local_addr().expect("bound"));
    let (_weir, address) = before(&url, "");
    let ask = || {
        let mut client = Connection::open(address);
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        client
    };
    let mut client = ask();
    let mut server = Raw::accept(&listener);
    let first = server.read_until(|frame| frame.kind == HEADERS);
    let first = first.expect("a request").stream;
    // ":status: 200", a field of 4 KB that goes into the table, and twenty times that field from there (RFC 7541).
    let mut large = vec![0x88, 0x40, 1, b'x', 0x7f, 0xa1, 0x1e];
    large.extend([b'x'; 4_000]);
    large.extend([0xbe; 20]);
    let ends = END_HEADERS | END_STREAM;
    server.send(frame(HEADERS, ends, first, &large));
    let response = client.response();
    assert_eq!(response.status, 502);
    assert_eq!(response.field("x-weir-reason"), Some("response_malformed"));
    let mut client = ask();
    let second = server.read_until(|frame| frame.kind == HEADERS);
    let second = second.expect("a request").stream;
    assert_eq!(second, first + 2, "asked once for each");
    server.send(frame(HEADERS, ends, second, &[0x88]));
    assert_eq!(client.response().status, 200);
}

#[test]
fn interim_responses_come_through() {
    let peer = Peer::start(100);
    let (_weir, address) = before(&peer.url(), "");
    run(async {
        let client = connect(address).await;
        let (mut response, _) = begin(&client, get("http://a.example/interim"), true).await;
        let hints = poll_fn(|cx| response.poll_informational(cx)).await;
        assert_eq!(
            hints
                .expect("interim")
                .expect("well-formed")
                .status()
                .as_u16(),
            103
        );
        assert_eq!(finish(response).await.expect("a response").status, 200);
    });
}

#[test]
fn a_large_echo_passes() {
    const BODY: usize = 32 << 20;
    let peer = Peer::start(100);
    let (_weir, address) = before(&peer.url(), "");
    run_within(DEADLINE * 6, async {
        let client = connect(address).await;
        let (response, mut stream) = begin(&client, grpc("http://a.example/echo"), false).await;
        let body: Vec<u8> = (0..BODY).map(|index| (index / 7) as u8).collect();
        let sent = Bytes::from(body);
        let (_, answer) = tokio::join!(send(&mut stream, sent.clone(), true), finish(response));
        assert!(answer.expect("a response").body == sent);
    });
}
