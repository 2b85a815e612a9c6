//! Reasons and request ids: in the answer, in the log, in the counts, at the server.

use std::net::{SocketAddr, TcpListener};

use xtask::backend::Backend;

use crate::support::client::Connection;
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, free_port};

/// weir with routers to a good backend, to nobody listening, to no server, and to a host that never answers.
fn proxy(settings: &str) -> (Weir, SocketAddr, Backend) {
    let server = Backend::plain("a", ([127, 0, 0, 1], 0)).expect("a backend");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\n{settings}providers:\n  file:\n    \
         directory: \"{{dir}}/rules\"\nruntimeDir: \"{{dir}}/run\"\nworkers: 1\nlog:\n  level: DEBUG\n"
    ));
    let service = |name: &str, servers: &str| {
        format!("    {name}:\n      loadBalancer:\n        servers: [{servers}]\n")
    };
    let router = |name: &str| {
        format!("    {name}:\n      rule: PathPrefix(`/{name}`)\n      service: {name}\n")
    };
    let rules = format!(
        "http:\n  routers:\n{}{}{}  services:\n{}{}{}",
        router("good"),
        router("refused"),
        router("empty"),
        service("good", &format!("{{url: \"http://{}\"}}", server.address())),
        service(
            "refused",
            &format!("{{url: \"http://127.0.0.1:{}\"}}", free_port())
        ),
        service("empty", "{url: \"http://127.0.0.1:1\", weight: 0}"),
    );
    let weir = setup.rules("rules.yml", &rules).start().listening(address);
    (weir, address, server)
}

#[test]
fn each_failure_is_told_logged_and_counted() {
    let (weir, address, _server) = proxy("");
    let mut ids = Vec::new();
    for (request, status, reason) in [
        ("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 404, "no_router"),
        (
            "GET /refused HTTP/1.1\r\nHost: a\r\n\r\n",
            502,
            "connect_refused",
        ),
        ("GET /empty HTTP/1.1\r\nHost: a\r\n\r\n", 503, "no_server"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "request_malformed"),
        ("GET / HTTP/2.0\r\n\r\n", 505, "version_unknown"),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
            501,
            "not_implemented",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n",
            417,
            "expectation",
        ),
    ] {
        let mut connection = Connection::open(address);
        connection.send(request);
        let response = connection.response();
        let told = (response.status, response.field("x-weir-reason"));
        assert_eq!(told, (status, Some(reason)), "{request}");
        let id = response.field("x-request-id").expect("an id").to_owned();
        let line = eventually("its line in the log", || {
            let log = weir.log();
            let line = log.lines().find(|line| line.contains(&id))?;
            Some(line.to_owned())
        });
        assert!(line.contains(&format!("reason=\"{reason}\"")), "{line}");
        assert!(!ids.contains(&id), "each has its own");
        ids.push(id);
        eventually("its count in the status", || {
            let status = weir.setup().run(&[
                "status",
                "--json",
                "--configFile",
                &weir.setup().config_file(),
            ]);
            let text = String::from_utf8_lossy(&status.stdout).into_owned();
            text.contains(&format!("\"{reason}\": 1")).then_some(())
        });
    }
}

#[test]
fn the_reason_can_be_kept_back() {
    let (_weir, address, _server) = proxy("    reasonHeader: false\n");
    let response = Connection::open(address).get("a", "/nowhere");
    assert_eq!(
        (response.status, response.field("x-weir-reason")),
        (404, None)
    );
}

#[test]
fn a_request_has_one_id_everywhere() {
    let (_weir, address, _server) = proxy("");
    let mut connection = Connection::open(address);
    let mut told = Vec::new();
    for _ in 0..3 {
        connection.send(
            "GET /good HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\nX_Request_Id: mine too\r\n\r\n",
        );
        let response = connection.response();
        let id = response.field("x-request-id").expect("an id").to_owned();
        assert_eq!(id.len(), 32);
        assert!(!told.contains(&id));
        told.push(id);
    }
}

#[test]
fn a_trusted_peer_s_id_is_kept_up_to_the_server() {
    let settings = "    forwardedHeaders:\n      trustedIPs: [127.0.0.1]\n";
    let (_weir, address, _server) = proxy(settings);
    let mut connection = Connection::open(address);
    connection.send("GET /good HTTP/1.1\r\nHost: a\r\nX-Request-Id: from-before-7\r\n\r\n");
    let response = connection.response();
    assert_eq!(response.field("x-request-id"), Some("from-before-7"));
    connection.send("GET /nowhere HTTP/1.1\r\nHost: a\r\nX-Request-Id: from-before-8\r\n\r\n");
    assert_eq!(
        connection.response().field("x-request-id"),
        Some("from-before-8")
    );
}

/// A server that takes the request and closes, and one whose response is wrong from the first byte of its body on.
#[test]
fn servers_at_fault() {
    for (answer, reason) in [
        ("", "server_closed"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n",
            "response_malformed",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "response_malformed",
        ),
    ] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a socket");
        let server = listener.local_addr().expect("bound");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let setup = Setup::new(&format!(
            "entryPoints: {{web: {{address: \"{address}\"}}}}\nproviders: {{file: {{directory: \"{{dir}}/rules\"}}}}\n\
             runtimeDir: \"{{dir}}/run\"\nworkers: 1\n"
        ));
        let rules = format!(
            "http:\n  routers: {{all: {{rule: PathPrefix(`/`), service: a}}}}\n  services:\n    a:\n      \
             loadBalancer: {{servers: [{{url: \"http://{server}\"}}]}}\n"
        );
        let _weir = setup.rules("rules.yml", &rules).start().listening(address);
        let serving = std::thread::spawn(move || {
            use std::io::{Read, Write};
            // A GET is tried once more on a fresh connection only where it went out on a pooled one.
            let (mut stream, _) = listener.accept().expect("weir connects");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).expect("a request");
            stream.write_all(answer.as_bytes()).expect("answered");
        });
        let response = Connection::open(address).get("a", "/");
        let told = (response.status, response.field("x-weir-reason"));
        assert_eq!(told, (502, Some(reason)), "{answer:?}");
        serving.join().expect("served");
    }
}
