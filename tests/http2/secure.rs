//! Servers over TLS that may choose HTTP/2: which version they are spoken to in, and what that changes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::task::JoinSet;
use xtask::backend::{pattern, pattern_sha256, sha256};

use super::client::{
    Answer, ask, begin, connect, connect_tls, finish, get, read, run, run_within, send,
};
use super::peer::Peer;
use crate::support::client::Connection;
use crate::support::weir::{Setup, Weir};
use crate::support::{DEADLINE, eventually, free_port};
use crate::upstream::nginx::{self, Nginx};
use crate::upstream::pki::Pki;

const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];

/// weir with an entry point in the clear and one with TLS.
pub struct Edge {
    pub weir: Weir,
    pub plain: SocketAddr,
    pub tls: SocketAddr,
}

/// weir before a server with any certificate; `transport` is the rest of its transport.
pub fn edge(url: &str, transport: &str) -> Edge {
    let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (plain, tls) = (address(), address());
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{plain}\"\n  secure:\n    address: \"{tls}\"\nproviders:\n  file:\n    \
         directory: \"{{dir}}/rules\"\nruntimeDir: \"{{dir}}/run\"\nworkers: 1\nlog:\n  level: DEBUG\n"
    ));
    let rules = format!(
        "http:\n  routers:\n    all: {{rule: \"PathPrefix(`/`)\", entryPoints: [web], service: origin}}\n    secure: {{rule: \
         \"PathPrefix(`/`)\", entryPoints: [secure], service: origin, tls: {{}}}}\n  services:\n    origin:\n      \
         loadBalancer:\n        serversTransport: own\n        servers:\n          - url: \"{url}\"\n  \
         serversTransports:\n    own: {{insecureSkipVerify: true{transport}}}\n"
    );
    let weir = setup.rules("rules.yml", &rules).start();
    Edge {
        weir: weir.listening(plain).listening(tls),
        plain,
        tls,
    }
}

fn post(uri: &str) -> Request<()> {
    Request::post(uri).body(()).expect("a request")
}

/// Asks all of these at once.
async fn together(
    requests: impl IntoIterator<Item = impl Future<Output = Answer> + 'static>,
) -> Vec<Answer> {
    let mut tasks = JoinSet::new();
    for request in requests {
        tasks.spawn_local(request);
    }
    tasks.join_all().await
}

#[test]
fn a_server_that_chooses_http2_gets_many_requests_on_one_connection() {
    let peer = Peer::start_tls(100, BOTH);
    let edge = edge(&peer.url(), "");
    run(async {
        let client = connect(edge.plain).await;
        // Nothing is known of the server yet: all wait for the first connection.
        let asks = (0..64).map(|_| {
            let client = client.clone();
            async move { ask(&client, get("http://a.example/")).await }
        });
        for answer in together(asks).await {
            assert_eq!(
                (answer.status, answer.field("x-authority")),
                (200, Some("a.example"))
            );
        }
        assert_eq!((peer.connections(), peer.requests()), (1, 64));
    });
    let mut client = Connection::open(edge.plain);
    assert_eq!(client.get("a.example", "/").status, 200);
    assert_eq!(peer.connections(), 1);
}

#[test]
fn a_cold_burst_keeps_to_what_the_server_allows() {
    let peer = Peer::start_tls(10, BOTH);
    let edge = edge(&peer.url(), "");
    run(async {
        let client = connect(edge.plain).await;
        // Requests that could not be sent again if they were refused.
        let asks = (0..40).map(|_| {
            let client = client.clone();
            async move {
                let (response, mut stream) = begin(&client, post("http://a.example/"), false).await;
                send(&mut stream, Bytes::from_static(b"hello"), true).await;
                finish(response).await.expect("a response")
            }
        });
        for answer in together(asks).await {
            assert_eq!((answer.status, answer.text()), (200, "hello".into()));
        }
    });
    assert_eq!(peer.requests(), 40);
    assert!(
        peer.connections() <= 4,
        "{} connections",
        peer.connections()
    );
}

#[test]
fn a_server_that_only_knows_http1_gets_a_connection_for_each_request_at_a_time() {
    for protocols in [&[b"http/1.1" as &[u8]] as &[&[u8]], &[]] {
        let peer = Peer::start_tls(100, protocols);
        let edge = edge(&peer.url(), "");
        run(async {
            let client = connect(edge.plain).await;
            for _ in 0..3 {
                assert_eq!(
                    ask(&client, get("http://a.example/")).await.text(),
                    "http/1.1"
                );
            }
            assert_eq!(peer.connections(), 1, "it is kept");
            let asks = (0..20).map(|_| {
                let client = client.clone();
                async move { ask(&client, get("http://a.example/")).await }
            });
            for answer in together(asks).await {
                assert_eq!(answer.text(), "http/1.1");
            }
        });
        assert_eq!(peer.requests(), 23);
    }
}

#[test]
fn disable_http2_offers_http1_only() {
    let peer = Peer::start_tls(100, BOTH);
    let edge = edge(&peer.url(), ", disableHTTP2: true");
    let mut client = Connection::open(edge.plain);
    assert_eq!(client.get("a.example", "/").text(), "http/1.1");
}

#[test]
fn a_websocket_gets_http1_from_a_server_that_offers_http2() {
    let peer = Peer::start_tls(100, BOTH);
    let edge = edge(&peer.url(), "");
    let mut client = Connection::open(edge.plain);
    assert_eq!(client.get("a.example", "/").text(), "", "an echo in HTTP/2");
    client.send(
        "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(client.head().0, 101);
    assert_eq!(peer.connections(), 2);
    run(async {
        let client = connect_tls(edge.tls).await;
        while !client.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let request = Request::connect("http://a.example/chat")
            .extension(h2::ext::Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13");
        let request = request.body(()).expect("a request");
        let (response, _stream) = begin(&client, request, false).await;
        let mut response = response.await.expect("a response");
        assert_eq!(response.status().as_u16(), 200);
        let data = response.body_mut().data().await.expect("data");
        assert_eq!(data.expect("data"), "from the server");
    });
}

#[test]
fn trailers_pass_with_tls_on_both_sides() {
    let peer = Peer::start_tls(100, BOTH);
    let edge = edge(&peer.url(), "");
    run(async {
        let client = connect_tls(edge.tls).await;
        let request = Request::post("https://a.example/echo")
            .header("content-type", "application/grpc+proto")
            .header("te", "trailers");
        let request = request.body(()).expect("a request");
        let (response, mut stream) = begin(&client, request, false).await;
        let mut response = response.await.expect("a head");
        assert_eq!(response.headers()["x-te"], "trailers");
        send(&mut stream, Bytes::from_static(b"first"), false).await;
        let echo = response.body_mut().data().await.expect("data");
        assert_eq!(echo.expect("data"), "first");
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sent", "7".parse().expect("a value"));
        stream.send_trailers(trailers).expect("sent");
        let trailers = read(response).await.expect("the rest").trailers;
        let trailers = trailers.expect("trailers");
        assert_eq!(
            (&trailers["grpc-status"], &trailers["x-sent"]),
            (
                &"0".parse().expect("a value"),
                &"7".parse().expect("a value")
            )
        );
    });
}

#[test]
fn what_a_server_over_tls_has_not_acted_on_is_sent_again() {
    let peer = Peer::start_tls(100, BOTH);
    let edge = edge(&peer.url(), "");
    run(async {
        let client = connect(edge.plain).await;
        let answer = ask(&client, post("http://a.example/refuse-once")).await;
        assert_eq!((answer.status, peer.requests()), (200, 2));
        for _ in 0..5 {
            let answer = ask(&client, get("http://a.example/goaway")).await;
            assert_eq!(answer.status, 200);
        }
    });
}

#[test]
fn sixty_four_large_bodies_at_once_pass_whole_both_ways() {
    const BODY: usize = 512 << 10;
    let peer = Peer::start_tls(100, BOTH);
    let edge = edge(&peer.url(), "");
    let mut body = vec![0; BODY];
    pattern(0, &mut body);
    let (body, hash) = (Bytes::from(body), pattern_sha256(BODY as u64));
    run_within(DEADLINE * 6, async {
        let client = connect_tls(edge.tls).await;
        ask(&client, get("https://a.example/")).await;
        let before = edge.weir.most_resident();
        let asks = (0..64).map(|_| {
            let (client, body) = (client.clone(), body.clone());
            async move {
                let (response, mut stream) =
                    begin(&client, post("https://a.example/"), false).await;
                let sent = send(&mut stream, body, true);
                tokio::join!(sent, finish(response)).1.expect("a response")
            }
        });
        for answer in together(asks).await {
            assert_eq!(
                (answer.body.len(), sha256(&answer.body)),
                (BODY, hash.clone())
            );
        }
        let grown = edge.weir.most_resident() - before;
        assert!(grown < 60 << 20, "{grown} bytes more than before");
    });
    assert_eq!(peer.connections(), 1);
}

#[test]
fn streams_that_are_not_read_hold_up_no_other_of_the_same_server() {
    let peer = Peer::start_tls(100, BOTH);
    let edge = edge(&peer.url(), "");
    let body = Bytes::from(vec![7; 4 << 20]);
    run(async {
        let slow = connect(edge.plain).await;
        let mut unread = Vec::new();
        for _ in 0..20 {
            let (response, mut stream) = begin(&slow, post("http://a.example/"), false).await;
            let body = body.clone();
            let sending = tokio::task::spawn_local(async move {
                send(&mut stream, body, true).await;
            });
            unread.push((response.await.expect("a head"), sending));
        }
        let client = connect(edge.plain).await;
        for _ in 0..20 {
            assert_eq!(ask(&client, get("http://a.example/")).await.status, 200);
        }
        unread.iter().for_each(|(_, sending)| sending.abort());
    });
    assert_eq!(peer.connections(), 1);
}

#[test]
fn a_server_that_leaves_a_ping_unanswered_is_left() {
    let peer = Peer::start_tls(100, BOTH);
    let transport = ", forwardingTimeouts: {readIdleTimeout: 100ms, pingTimeout: 4s}";
    let edge = edge(&peer.url(), transport);
    let mut client = Connection::open(edge.plain);
    assert_eq!(client.get("a.example", "/").status, 200);
    // One that answers is kept, however long it is silent otherwise.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(client.get("a.example", "/").status, 200);
    assert_eq!(peer.connections(), 1);
    let frozen = peer.freeze();
    eventually("the connection is given up", || {
        edge.weir
            .log()
            .contains("a PING was not answered")
            .then_some(())
    });
    drop(frozen);
    assert_eq!(client.get("a.example", "/").status, 200);
    assert_eq!(peer.connections(), 2);
}

#[test]
fn nginx_over_http2() {
    if !nginx::require() {
        return;
    }
    let pair = Pki::new("the authority").server(&["127.0.0.1"]);
    let mut nginx = Nginx::default();
    let big = nginx.write("big", &"weir ".repeat(200_000));
    let more = format!(
        "keepalive_requests 50; location = /version {{ return 200 $server_protocol; }} location = /big {{ alias {big}; }}"
    );
    let old = nginx.tls(&pair, &more);
    let new = nginx.tls_http2(&pair, &more);
    let _nginx = nginx.start();
    for (port, version) in [(new, "HTTP/2.0"), (old, "HTTP/1.1")] {
        let edge = edge(&format!("https://127.0.0.1:{port}"), "");
        run(async {
            let client = connect_tls(edge.tls).await;
            // nginx says GOAWAY several times meanwhile.
            for _ in 0..5 {
                let asks = (0..40).map(|_| {
                    let client = client.clone();
                    async move { ask(&client, get("https://a.example/version")).await }
                });
                for answer in together(asks).await {
                    assert_eq!((answer.status, answer.text()), (200, version.into()));
                }
            }
            let answer = ask(&client, get("https://a.example/big")).await;
            assert_eq!((answer.status, answer.body.len()), (200, 1_000_000));
        });
    }
}
