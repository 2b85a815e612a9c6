//! What an entry point's options do to requests, and to a stop.

use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::signal::Signal;
use xtask::backend::Backend;

use crate::support::client::Connection;
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, free_port};

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// An entry point with these options before one server, which shows the head it got under `/head`.
fn proxy(options: &str) -> (Weir, SocketAddr, Backend) {
    let (address, server) = (
        loopback(free_port()),
        Backend::plain("a", loopback(0)).expect("a server"),
    );
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\n{options}providers:\n  file:\n    directory: \
         \"{{dir}}/rules\"\nruntimeDir: \"{{dir}}/run\"\nworkers: 1\nlog:\n  level: DEBUG\n"
    ));
    let rules = format!(
        "http:\n  routers:\n    all: {{rule: PathPrefix(`/`), service: a}}\n  services:\n    a: {{loadBalancer: \
         {{servers: [{{url: 'http://{}'}}]}}}}\n",
        server.address()
    );
    let weir = setup.rules("rules.yml", &rules).start().listening(address);
    (weir, address, server)
}

/// The head that the server got, in lower case, for a request with these fields.
fn head(connection: &mut Connection, target: &str, fields: &str) -> String {
    connection.send(format!(
        "GET {target} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"
    ));
    let response = connection.response();
    assert_eq!(response.status, 200, "{}", response.text());
    response.text().to_ascii_lowercase()
}

const CLAIMS: &str = "X-Forwarded-For: 6.6.6.6\r\nx_forwarded_proto: gopher\r\nX-Real-Ip: 6.6.6.6\r\n\
    Forwarded: for=6.6.6.6\r\nX-Forwarded-Prefix: /p\r\n";

#[test]
fn forwarded_headers_are_those_of_trusted_peers() {
    for (options, trusted) in [
        ("", false),
        (
            "    forwardedHeaders: {trustedIPs: [192.0.2.0/24]}\n",
            false,
        ),
        ("    forwardedHeaders: {trustedIPs: [127.0.0.0/8]}\n", true),
        ("    forwardedHeaders: {insecure: true}\n", true),
    ] {
        let (_weir, address, _server) = proxy(options);
        let got = head(&mut Connection::open(address), "/head", CLAIMS);
        let has = |line: &str| got.contains(&format!("\r\n{line}\r\n"));
        assert!(has("forwarded: for=6.6.6.6"), "{got}");
        assert!(has("x-forwarded-proto: http"), "{got}");
        assert!(has("x-forwarded-port: 80"), "{got}");
        assert!(has("x-forwarded-host: a.example"), "{got}");
        let expected = match trusted {
            true => ["x-forwarded-for: 6.6.6.6, 127.0.0.1", "x-real-ip: 6.6.6.6"],
            false => ["x-forwarded-for: 127.0.0.1", "x-real-ip: 127.0.0.1"],
        };
        assert!(expected.iter().all(|line| has(line)), "{options}: {got}");
        for claim in ["x_forwarded_proto: gopher", "x-forwarded-prefix: /p"] {
            assert_eq!(has(claim), trusted, "{options}: {got}");
        }
    }
}

#[test]
fn options_of_http_are_kept() {
    let (_weir, address, server) = proxy(
        "    http:\n      maxHeaderBytes: 2048\n      sanitizePath: false\n      encodeQuerySemicolons: true\n      \
         underscoreHeadersStrategy: reject\n      encodedCharacters: {allowEncodedSlash: false}\n",
    );
    let mut connection = Connection::open(address);
    let got = head(&mut connection, "/head?a;b", "");
    assert!(got.starts_with("get /head?a%3bb http/1.1"), "{got}");
    let status = |connection: &mut Connection, target: &str, fields: &str| {
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        connection.response().status
    };
    assert_eq!(status(&mut connection, "//x/../y", ""), 200);
    let before = server.requests();
    assert_eq!(status(&mut connection, "/a%2fb", ""), 400);
    assert_eq!(status(&mut connection, "/", "a_b: 1\r\n"), 400);
    let long = format!("X: {}\r\n", "x".repeat(2048));
    assert_eq!(status(&mut connection, "/", &long), 431);
    assert_eq!(server.requests(), before);
}

#[test]
fn fields_with_underscores_are_deleted_and_semicolons_become_ampersands() {
    let (_weir, address, _server) = proxy("    http: {underscoreHeadersStrategy: delete}\n");
    let got = head(
        &mut Connection::open(address),
        "/head?a;b",
        "A_b: 1\r\nA-b: 2\r\n",
    );
    assert!(got.starts_with("get /head?a&b http/1.1"), "{got}");
    assert!(!got.contains("a_b") && got.contains("a-b: 2"), "{got}");
}

#[test]
fn a_connection_ends_after_so_many_requests_or_so_long() {
    let (_weir, address, _server) = proxy("    transport: {keepAliveMaxRequests: 3}\n");
    let mut connection = Connection::open(address);
    for last in [false, false, true] {
        let response = connection.get("a", "/");
        let close = response.field("connection") == Some("close");
        assert_eq!((response.status, close), (200, last));
    }
    assert_eq!(connection.rest(), b"");
    let (_weir, address, _server) = proxy("    transport: {keepAliveMaxTime: 300ms}\n");
    let mut connection = Connection::open(address);
    assert_eq!(connection.get("a", "/").field("connection"), None);
    let closes = || {
        let response = connection.get("a", "/");
        (response.field("connection") == Some("close")).then_some(())
    };
    eventually("the connection is old", closes);
    assert_eq!(connection.rest(), b"");
}

#[test]
fn a_stop_goes_on_accepting_for_a_while_if_told_to() {
    let (weir, address, _server) =
        proxy("    transport: {lifeCycle: {requestAcceptGraceTimeout: 2s, graceTimeOut: 5s}}\n");
    weir.signal(Signal::SIGTERM);
    weir.logged("SIGTERM");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(Connection::open(address).get("a", "/").status, 200);
    eventually("new connections are refused", || {
        std::net::TcpStream::connect(address).err()
    });
    assert!(weir.wait().0.success());
}
