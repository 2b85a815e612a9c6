//! Requests of HTTP/2 clients to an HTTP/1.1 origin, and their responses.

use std::future::poll_fn;

use bytes::Bytes;
use http::Request;
use nix::sys::signal::Signal;
use xtask::backend::Backend;

use super::before;
use super::client::{ask, begin, connect, connect_with, finish, get, read, run, send};
use super::frames::{END_HEADERS, GOAWAY, HEADERS, RST_STREAM, Raw, block, frame};
use crate::http1::origin::{Origin, Reply};
use crate::support::eventually;

#[test]
fn a_request_arrives_as_the_same_request_in_http1() {
    let origin = Origin::new(|_| Reply::ok("hello"));
    let (_weir, address) = before(&format!("http://{}", origin.address()), "");
    let answer = run(async {
        let client = connect(address).await;
        let request = Request::get("http://a.example/x/../a%2fb?c=d")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x-forwarded-for", "192.0.2.1")
            .header("te", "trailers")
            .body(())
            .expect("a request");
        ask(&client, request).await
    });
    assert_eq!((answer.status, answer.text()), (200, "hello".into()));
    assert!(answer.field("date").is_some());
    let head = origin.requests().remove(0).head;
    assert!(
        head.starts_with("GET /a%2Fb?c=d HTTP/1.1\r\nHost: a.example\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\nCookie: a=1; b=2\r\n"), "{head}");
    for field in [
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: a.example",
    ] {
        assert!(
            head.contains(&format!("\r\n{field}\r\n")),
            "{field} in {head}"
        );
    }
    assert!(!head.to_ascii_lowercase().contains("\r\nte:"), "{head}");
}

#[test]
fn bodies_and_trailers_go_both_ways() {
    let origin = Origin::new(|_| {
        Reply::new(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n",
        )
    });
    let (_weir, address) = before(&format!("http://{}", origin.address()), "");
    let answer = run(async {
        let client = connect(address).await;
        let post = Request::post("http://a.example/")
            .body(())
            .expect("a request");
        let (response, mut stream) = begin(&client, post, false).await;
        send(&mut stream, Bytes::from_static(b"payload"), false).await;
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sent", "7".parse().expect("a value"));
        trailers.insert("content-length", "9".parse().expect("a value"));
        stream.send_trailers(trailers).expect("sent");
        finish(response).await.expect("a response")
    });
    assert_eq!(answer.text(), "abcde");
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(
        trailers.get("x-sum").map(|value| value.as_bytes()),
        Some(&b"5"[..])
    );
    let request = eventually("the request", || origin.requests().pop());
    assert!(
        request.head.contains("\r\nTransfer-Encoding: chunked\r\n"),
        "{}",
        request.head
    );
    let body = String::from_utf8_lossy(&request.body);
    assert_eq!(body, "7\r\npayload\r\n0\r\nx-sent: 7\r\n\r\n");
}

#[test]
fn interim_responses_and_those_without_a_body() {
    let origin = Origin::new(|head| {
        if head.starts_with("HEAD") {
            Reply::new("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
        } else if head.contains("/304") {
            Reply::new("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n")
        } else {
            Reply::new(
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\nX: 1\r\n\r\n",
            )
        }
    });
    let (_weir, address) = before(&format!("http://{}", origin.address()), "");
    run(async {
        let client = connect(address).await;
        let head = Request::head("http://a.example/")
            .body(())
            .expect("a request");
        let answer = ask(&client, head).await;
        assert_eq!(
            (answer.status, answer.field("content-length")),
            (200, Some("99"))
        );
        let answer = ask(&client, get("http://a.example/304")).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0));
        let (mut response, _) = begin(&client, get("http://a.example/"), true).await;
        let hints = poll_fn(|cx| response.poll_informational(cx)).await;
        let hints = hints.expect("interim").expect("well-formed");
        assert_eq!(hints.status().as_u16(), 103);
        assert_eq!(hints.headers()["link"], "</a>");
        let answer = finish(response).await.expect("a response");
        assert_eq!((answer.status, answer.body.len()), (204, 0));
    });
}

#[test]
fn errors_are_those_of_http1() {
    let origin = Origin::new(|_| Reply::new("").close());
    let (_weir, address) = before(&format!("http://{}", origin.address()), "");
    run(async {
        let client = connect(address).await;
        let post = |uri: &str| Request::post(uri).body(()).expect("a request");
        let answer = ask(&client, post("http://a.example/")).await;
        assert_eq!((answer.status, answer.text()), (502, "Bad Gateway".into()));
        let answer = ask(&client, get("http://a.example/%zz")).await;
        assert_eq!(answer.status, 400);
        let connect = Request::connect("a.example:443")
            .body(())
            .expect("a request");
        assert_eq!(ask(&client, connect).await.status, 501);
        let long = format!("http://a.example/{}", "a".repeat(17 << 10));
        assert_eq!(ask(&client, get(&long)).await.status, 414);
        let differs = Request::get("http://a.example/")
            .header("host", "b.example")
            .body(())
            .expect("a request");
        let (response, _) = begin(&client, differs, true).await;
        let error = finish(response).await.expect_err("malformed");
        assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR));
    });
}

#[test]
fn a_response_that_breaks_off_never_looks_whole() {
    let origin =
        Origin::new(|_| Reply::new("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").close());
    let (_weir, address) = before(&format!("http://{}", origin.address()), "");
    run(async {
        let client = connect(address).await;
        let (response, _) = begin(&client, get("http://a.example/"), true).await;
        let response = response.await.expect("a head");
        let error = read(response).await.expect_err("broken off");
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    });
}

#[test]
fn large_bodies_pass_and_take_no_memory() {
    const BODY: usize = 64 << 20;
    let origin = Backend::plain("origin", ([127, 0, 0, 1], 0)).expect("an origin");
    let (weir, address) = before(&format!("http://{}", origin.address()), "");
    run(async {
        let client = connect(address).await;
        let small = ask(&client, get("http://a.example/bytes/1000")).await;
        assert_eq!(small.body.len(), 1000);
        let before = weir.most_resident();
        let large = ask(&client, get(&format!("http://a.example/bytes/{BODY}"))).await;
        assert_eq!((large.status, large.body.len()), (200, BODY));
        let upload = Request::post("http://a.example/upload")
            .body(())
            .expect("a request");
        let (response, mut stream) = begin(&client, upload, false).await;
        send(&mut stream, Bytes::from(large.body), true).await;
        let answer = finish(response).await.expect("a response");
        assert!(
            answer.text().contains(&format!("{BODY}")),
            "{}",
            answer.text()
        );
        let grown = weir.most_resident() - before;
        assert!(grown < 40 << 20, "{grown} bytes more than before");
    });
}

#[test]
fn a_stream_that_is_not_read_holds_up_no_other() {
    const BODY: usize = 64 << 20;
    let origin = Backend::plain("origin", ([127, 0, 0, 1], 0)).expect("an origin");
    let (weir, address) = before(&format!("http://{}", origin.address()), "");
    run(async {
        let client = connect_with(
            address,
            h2::client::Builder::new().initial_connection_window_size(8 << 20),
        )
        .await;
        let before = weir.most_resident();
        let mut unread = Vec::new();
        for _ in 0..20 {
            let request = get(&format!("http://a.example/bytes/{BODY}"));
            let (response, _) = begin(&client, request, true).await;
            unread.push(response.await.expect("a head"));
        }
        for _ in 0..50 {
            let answer = ask(&client, get("http://a.example/bytes/1000")).await;
            assert_eq!(answer.body.len(), 1000);
        }
        let grown = weir.most_resident() - before;
        assert!(grown < 40 << 20, "{grown} bytes more than before");
    });
}

#[test]
fn the_entry_point_says_how_many_streams() {
    let origin = Origin::new(|_| Reply::ok("hello"));
    let more = "    http2:\n      maxConcurrentStreams: 7\n";
    let (_weir, address) = before(&format!("http://{}", origin.address()), more);
    run(async {
        let client = connect(address).await;
        ask(&client, get("http://a.example/")).await;
        assert_eq!(client.current_max_send_streams(), 7);
    });
}

#[test]
fn a_stop_says_goodbye_and_lets_streams_finish() {
    let origin = Backend::plain("origin", ([127, 0, 0, 1], 0)).expect("an origin");
    let (weir, address) = before(&format!("http://{}", origin.address()), "");
    run(async {
        let client = connect(address).await;
        let (response, _) = begin(&client, get("http://a.example/slow/1500"), true).await;
        while origin.requests() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        weir.signal(Signal::SIGTERM);
        assert_eq!(finish(response).await.expect("a response").status, 200);
        let refused = async {
            loop {
                let Ok(mut ready) = client.clone().ready().await else {
                    return;
                };
                let Ok((response, _)) = ready.send_request(get("http://a.example/"), true) else {
                    return;
                };
                if finish(response).await.is_err() {
                    return;
                }
            }
        };
        refused.await;
    });
    assert!(weir.wait().0.success());
}

#[test]
fn a_websocket_over_http2_is_an_upgrade_towards_the_server() {
    let origin = Origin::new(|head| {
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let accept = weir::http1::websocket::accept(key.unwrap_or_default().as_bytes());
        let accept = String::from_utf8_lossy(&accept).into_owned();
        Reply::new(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\nfrom the server"
        ))
        .close()
    });
    let (_weir, address) = before(&format!("http://{}", origin.address()), "");
    run(async {
        let client = connect(address).await;
        while !client.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let request = Request::connect("http://a.example/chat")
            .extension(h2::ext::Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .body(())
            .expect("a request");
        let (response, _stream) = begin(&client, request, false).await;
        let mut response = response.await.expect("a response");
        assert_eq!(response.status().as_u16(), 200);
        assert!(!response.headers().contains_key("sec-websocket-accept"));
        let data = response.body_mut().data().await.expect("data");
        assert_eq!(data.expect("data"), "from the server");
    });
    let head = origin.requests().remove(0).head;
    assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nUpgrade: websocket\r\n"), "{head}");
}

/// The `h2` crate lets line ends into `:protocol`, which becomes `Upgrade` towards the server.
#[test]
fn a_protocol_over_http2_cannot_smuggle_fields_or_http() {
    let origin = Origin::new(|_| Reply::ok("hello"));
    let (_weir, address) = before(&format!("http://{}", origin.address()), "");
    for (protocol, status) in [
        ("websocket\r\nX-Evil: 1\r\n\r\nGET /evil HTTP/1.1", None),
        ("a, b", None),
        ("", None),
        ("h2c", Some(501)),
        ("TLS/1.2", Some(501)),
    ] {
        let mut raw = Raw::open(address);
        raw.greet();
        let fields = [
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a.example"),
        ];
        raw.send(frame(HEADERS, END_HEADERS, 1, &block(&fields)));
        let answer = raw.read_until(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY));
        let answer = answer.expect("an answer");
        let expected = if status.is_some() {
            HEADERS
        } else {
            RST_STREAM
        };
        assert_eq!(answer.kind, expected, "{protocol:?}");
    }
    assert_eq!(origin.connections(), 0);
}
