//! HTTP/1.1 through the real binary, between clients that send what they like and an origin that records every byte:
//! what is ambiguous is refused and never reaches the origin, what is good arrives as it should, both ways.

mod clauses;
mod interim;
pub mod origin;

use std::net::{Shutdown, SocketAddr};

use crate::support::client::Connection;
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, free_port};
use origin::{Origin, Recorded, Reply};

/// weir with one plain entry point, all of it routed to `origin`.
pub fn before(origin: &Origin) -> (Weir, SocketAddr) {
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n\
         runtimeDir: \"{{dir}}/run\"\nworkers: 1\nlog:\n  level: DEBUG\n"
    ));
    let rules = format!(
        "http:\n  routers:\n    all:\n      rule: \"PathPrefix(`/`) || HostRegexp(`.`)\"\n      service: origin\n  \
         services:\n    origin:\n      loadBalancer:\n        servers:\n          - url: \"http://{}\"\n",
        origin.address()
    );
    (
        setup.rules("rules.yml", &rules).start().listening(address),
        address,
    )
}

/// The only request that the origin has got; it may answer before it has written down what it got.
fn only(origin: &Origin) -> Recorded {
    let requests = eventually("a request at the origin", || {
        Some(origin.requests()).filter(|requests| !requests.is_empty())
    });
    assert_eq!(requests.len(), 1, "{requests:?}");
    requests.into_iter().next().expect("one")
}

#[test]
fn what_is_ambiguous_is_refused_and_never_reaches_the_origin() {
    let origin = Origin::new(|_| Reply::ok("reached"));
    let (_weir, address) = before(&origin);
    let post =
        |fields: &str| format!("POST / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n0\r\n\r\n");
    let get = |line: &str| format!("{line}\r\nHost: a.example\r\n\r\n");
    for (request, status) in [
        (
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            400,
        ),
        (post("Content-Length: 5\r\nContent-Length: 5\r\n"), 400),
        (post("Content-Length: 5, 5\r\n"), 400),
        (post("Content-Length: +5\r\n"), 400),
        (post("Content-Length: 99999999999999999999\r\n"), 400),
        (post("Transfer-Encoding: xchunked\r\n"), 400),
        (post("Transfer-Encoding: chunked, identity\r\n"), 400),
        (post("Transfer-Encoding: gzip, chunked\r\n"), 501),
        (post("Transfer-Encoding : chunked\r\n"), 400),
        (post("Transfer-Encoding:\x0bchunked\r\n"), 400),
        (post("X: 1\r\n Transfer-Encoding: chunked\r\n"), 400),
        (post("X: 1\rTransfer-Encoding: chunked\r\n"), 400),
        (post("X: 1\nTransfer-Encoding: chunked\r\n"), 400),
        (post("X: a\0b\r\n"), 400),
        (post("X y: 1\r\n"), 400),
        (post("no colon\r\n"), 400),
        (post("Host: b.example\r\n"), 400),
        (post("Expect: a miracle\r\n"), 417),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\nHost: a\n\n".into(), 400),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            400,
        ),
        (get("GET / HTTP/1.1 "), 400),
        (get("GET /a b HTTP/1.1"), 400),
        (get("GET /\u{e9} HTTP/1.1"), 400),
        (get("GET /a#b HTTP/1.1"), 400),
        (get("GET /%zz HTTP/1.1"), 400),
        (get("GET http://user@a.example/ HTTP/1.1"), 400),
        (get("G@T / HTTP/1.1"), 400),
        (get("GET /"), 400),
        (get("CONNECT a.example:443 HTTP/1.1"), 501),
        (get("GET / HTTP/2.0"), 505),
        ("SSH-2.0-OpenSSH_9.2\r\n".into(), 400),
    ] {
        let mut connection = Connection::open(address);
        connection.send(&request);
        let response = connection.response();
        assert_eq!(response.status, status, "{request:?}");
        assert_eq!(response.field("connection"), Some("close"), "{request:?}");
        assert_eq!(connection.rest(), b"", "{request:?}");
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_head_at_its_limits_passes_and_one_over_them_does_not() {
    const LINE: usize = 16 << 10;
    const HEAD: usize = 64 << 10;
    const FIELDS: usize = 128;
    let origin = Origin::new(|_| Reply::ok("reached"));
    let (_weir, address) = before(&origin);
    let line = |bytes: usize| {
        format!(
            "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
            "a".repeat(bytes - 14)
        )
    };
    let head = |bytes: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
    };
    let fields = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: 1\r\n".repeat(count - 1)
        )
    };
    for (request, status) in [
        (line(LINE), 200),
        (line(LINE + 1), 414),
        (head(HEAD), 200),
        (head(HEAD + 1), 431),
        (fields(FIELDS), 200),
        (fields(FIELDS + 1), 431),
    ] {
        let mut connection = Connection::open(address);
        connection.send(&request);
        assert_eq!(
            connection.response().status,
            status,
            "{} bytes",
            request.len()
        );
    }
    assert_eq!(origin.requests().len(), 3);
}

#[test]
fn a_truncated_request_gets_no_answer_from_the_origin() {
    let origin = Origin::new(|_| Reply::ok("reached"));
    let (_weir, address) = before(&origin);
    let whole = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    for length in 1..whole.len() {
        let mut connection = Connection::open(address);
        connection.send(&whole[..length]);
        connection
            .socket()
            .shutdown(Shutdown::Write)
            .expect("half-close");
        let answer = connection.rest();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "),
            "{length}: {}",
            answer.escape_ascii()
        );
    }
    assert_eq!(origin.connections(), 0);
    let mut connection = Connection::open(address);
    connection.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    connection
        .socket()
        .shutdown(Shutdown::Write)
        .expect("half-close");
    assert_eq!(connection.response().status, 400);
    assert!(origin.requests().is_empty(), "no whole request has arrived");
}

#[test]
fn a_malformed_body_ends_the_request() {
    let origin = Origin::new(|_| Reply::ok("reached"));
    let (_weir, address) = before(&origin);
    for body in [
        "g\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\nhello\r\n",
        "1;a\nb\r\nx\r\n",
        "-1\r\n",
        "0\r\nX : 1\r\n\r\n",
    ] {
        let mut connection = Connection::open(address);
        connection.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ));
        assert_eq!(connection.response().status, 400, "{body:?}");
        assert_eq!(connection.rest(), b"");
    }
    assert!(origin.requests().is_empty(), "no whole request has arrived");
}

#[test]
fn a_head_that_never_ends_is_cut_and_answered_408() {
    let origin = Origin::new(|_| Reply::ok("reached"));
    let (_weir, address) = before(&origin);
    let mut stalled: Vec<Connection> = (0..50).map(|_| Connection::open(address)).collect();
    for connection in &mut stalled {
        connection.send("GET / HTTP/1.1\r\nHost: a.exa");
    }
    for connection in &mut stalled {
        assert_eq!(connection.response().status, 408);
        assert_eq!(connection.rest(), b"");
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn one_connection_carries_many_requests_on_both_sides() {
    let origin = Origin::new(|_| Reply::ok("answer"));
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    for _ in 0..100 {
        let response = connection.get("a.example", "/");
        assert_eq!((response.status, response.text().as_str()), (200, "answer"));
        assert_eq!(response.field("connection"), None);
    }
    assert_eq!((origin.requests().len(), origin.connections()), (100, 1));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::new(|head| Reply::ok(head.split(' ').nth(1).unwrap_or_default()));
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    let kinds = [
        ("GET", "\r\n"),
        ("POST", "Content-Length: 5\r\n\r\nhello"),
        (
            "POST",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
    ];
    let request = |index: usize| {
        let (method, rest) = kinds[index % kinds.len()];
        format!("{method} /{index} HTTP/1.1\r\nHost: a\r\n{rest}")
    };
    let requests: String = (0..50).map(request).collect();
    connection.send(&requests);
    for index in 0..50 {
        assert_eq!(connection.response().text(), format!("/{index}"));
    }
    let bodies: Vec<Vec<u8>> = origin
        .requests()
        .into_iter()
        .map(|request| request.body)
        .collect();
    assert!(bodies.chunks(3).all(|three| three[0].is_empty()));
    assert!(bodies[1..].chunks(3).all(|three| three[0] == b"hello"));
}

#[test]
fn a_request_is_written_anew() {
    let origin = Origin::new(|_| Reply::ok(""));
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    connection.send(
        "\r\nPOST http://A.example:81/a%20b?c=d HTTP/1.1\r\nHost: other.example\r\nX-Keep:   kept \t\r\n\
         Connection: X-Drop, keep-alive, X-Forwarded-For\r\nX-Drop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authorization: secret\r\nUpgrade: h2c\r\n\
         X-Forwarded-For: 6.6.6.6\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=\"x\"\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    assert_eq!(connection.response().status, 200);
    let request = only(&origin);
    assert_eq!(request.line(), "POST /a%20b?c=d HTTP/1.1");
    assert_eq!(request.fields("host"), ["A.example:81"]);
    assert_eq!(request.fields("x-keep"), ["kept"]);
    assert_eq!(request.fields("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.fields("transfer-encoding"), ["chunked"]);
    assert_eq!(request.body, b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n");
    for gone in [
        "connection",
        "x-drop",
        "keep-alive",
        "te",
        "proxy-connection",
        "proxy-authorization",
        "upgrade",
    ] {
        assert!(request.fields(gone).is_empty(), "{gone}: {}", request.head);
    }
}

#[test]
fn the_origin_gets_a_clean_path() {
    let origin = Origin::new(|_| Reply::ok(""));
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    connection.send("GET //x/%2e%2E/./%61dmin%2f/?y=/../z HTTP/1.1\r\nHost: b.example\r\n\r\n");
    assert_eq!(connection.response().status, 200);
    assert_eq!(only(&origin).line(), "GET /admin%2F/?y=/../z HTTP/1.1");
}

#[test]
fn a_response_is_written_anew() {
    let origin = Origin::new(|_| {
        Reply::new(
            "HTTP/1.1 200 Whatever\r\nX-Keep:kept\r\nConnection: X-Drop\r\nX-Drop: 1\r\nKeep-Alive: timeout=5\r\n\
             Transfer-Encoding: chunked\r\n\r\n5;ext\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
        )
    });
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    connection.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let text = String::from_utf8(connection.rest()).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert_eq!(body, "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n");
    let added = ["Date: ", "X-Request-Id: "];
    let is_added = |line: &&str| added.iter().any(|name| line.starts_with(name));
    let (added, mut lines): (Vec<&str>, Vec<&str>) = head.lines().partition(is_added);
    assert_eq!(added.len(), 2, "added where the origin sends none");
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "Connection: close",
            "HTTP/1.1 200 OK",
            "Transfer-Encoding: chunked",
            "X-Keep: kept"
        ]
    );
}

#[test]
fn responses_to_head_have_no_body() {
    let origin = Origin::new(|head| match head.starts_with("HEAD /chunked") {
        true => Reply::new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        false if head.starts_with("HEAD") => {
            Reply::new("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        }
        false if head.contains("/304") => {
            Reply::new("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n")
        }
        false => Reply::new("HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n"),
    });
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    let mut ask = |line: &str| {
        connection.send(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let (status, fields) = connection.head();
        let length = fields
            .into_iter()
            .find(|(name, _)| name == "content-length");
        (status, length.map(|(_, value)| value))
    };
    assert_eq!(ask("HEAD /"), (200, Some("1000000".into())));
    assert_eq!(ask("HEAD /chunked"), (200, None));
    assert_eq!(ask("GET /304"), (304, Some("7".into())));
    assert_eq!(ask("GET /204"), (204, None));
    assert_eq!(ask("HEAD /"), (200, Some("1000000".into())));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn clients_of_http_1_0() {
    let origin = Origin::new(|head| match head.contains("/chunked") {
        true => Reply::new(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        false => Reply::ok("hello"),
    });
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    for _ in 0..2 {
        connection.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = connection.response();
        assert_eq!(
            (response.text().as_str(), response.field("connection")),
            ("hello", Some("keep-alive"))
        );
    }
    connection.send("GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = connection.response();
    assert_eq!(
        (response.text().as_str(), response.field("connection")),
        ("hello", Some("close"))
    );
    assert_eq!(
        (
            response.field("transfer-encoding"),
            response.field("content-length")
        ),
        (None, None)
    );
    let mut connection = Connection::open(address);
    connection.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(connection.response().field("connection"), Some("close"));
    assert_eq!(connection.rest(), b"");
}

#[test]
fn a_response_without_length_ends_with_the_origins_connection() {
    let origin = Origin::new(|_| Reply::new("HTTP/1.0 200 OK\r\n\r\nuntil the end").close());
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    for _ in 0..3 {
        let response = connection.get("a", "/");
        assert_eq!(
            (
                response.text().as_str(),
                response.field("transfer-encoding")
            ),
            ("until the end", Some("chunked"))
        );
    }
}

#[test]
fn an_origin_that_answers_badly_is_a_bad_gateway() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\nX: 1\n\n",
        "HTTP/1.1 200 OK\r\nX y: 1\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 999 Odd\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "",
    ];
    let origin = Origin::new(move |head| {
        let index = head
            .split(' ')
            .nth(1)
            .and_then(|path| path[1..].parse::<usize>().ok())
            .expect("an index");
        Reply::new(answers[index]).close()
    });
    let (_weir, address) = before(&origin);
    for (index, answer) in answers.iter().enumerate() {
        let mut connection = Connection::open(address);
        let response = connection.get("a", &format!("/{index}"));
        assert_eq!(
            (response.status, response.text().as_str()),
            (502, "Bad Gateway"),
            "{answer:?}"
        );
    }
}

/// A response cut short must not look whole: its length is not reached, or its last chunk does not come.
#[test]
fn a_truncated_response_does_not_look_whole() {
    let origin = Origin::new(|head| match head.contains("/chunked") {
        true => Reply::new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .close(),
        false => Reply::new("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").close(),
    });
    let (_weir, address) = before(&origin);
    for path in ["/", "/chunked"] {
        let mut connection = Connection::open(address);
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(connection.head().0, 200);
        let rest = connection.rest();
        assert!(
            rest.ends_with(b"hello") || rest.ends_with(b"hello\r\n"),
            "{}",
            rest.escape_ascii()
        );
    }
}

/// A pooled connection that the origin has closed in the meantime costs the client nothing.
#[test]
fn a_connection_closed_by_the_origin_is_not_used_again() {
    let origin = Origin::new(|_| Reply::ok("answer").close());
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    for _ in 0..50 {
        assert_eq!(connection.get("a", "/").status, 200);
    }
    assert_eq!(origin.requests().len(), 50);
}

#[test]
fn a_real_client_uploads_and_downloads() {
    let body = "x".repeat(3_000_000);
    let answer = body.clone();
    let origin = Origin::new(move |_| Reply::ok(&answer));
    let (weir, address) = before(&origin);
    let file = weir.setup().path("upload");
    std::fs::write(&file, &body).expect("written");
    let output = std::process::Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--http1.1",
            "--fail",
            "--upload-file",
        ])
        .arg(&file)
        .arg(format!("http://{address}/"))
        .output()
        .expect("curl is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.stdout == body.as_bytes());
    let uploaded = eventually("the upload", || origin.requests().pop());
    assert!(uploaded.body == body.as_bytes());
}

/// As h2spec asks of a wrong preface: the peer would take the bytes of an answer for frames.
#[test]
fn what_is_no_http_at_all_is_closed_without_an_answer() {
    let origin = Origin::new(|_| Reply::ok("hello"));
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    connection.send("INVALID CONNECTION PREFACE\r\n\r\n");
    assert_eq!(connection.rest(), b"");
    for line in ["GET / FOO", "GET a b HTTP/1.1", "GARBAGE"] {
        let mut connection = Connection::open(address);
        connection.send(format!("{line}\r\n\r\n"));
        assert_eq!(connection.response().status, 400, "{line}");
    }
}
