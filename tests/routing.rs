//! Requests reach the server that the rules say, in the proportion that the weights say, and come back whole.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use nix::sys::signal::Signal;
use xtask::backend::{Answer, Backend, pattern_sha256, sha256};

use crate::support::client::Connection;
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, free_port};

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn backend(name: &str) -> Backend {
    Backend::plain(name, loopback(0)).expect("a backend")
}

/// One plain entry point on a free port, its rules in one file.
fn proxy(rules: &str) -> (Weir, SocketAddr) {
    let address = loopback(free_port());
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n\
         runtimeDir: \"{{dir}}/run\"\nworkers: 2\nlog:\n  level: DEBUG\n"
    ));
    (
        setup.rules("rules.yml", rules).start().listening(address),
        address,
    )
}

fn service(name: &str, servers: &[(&Backend, u32)]) -> String {
    let servers: String = servers
        .iter()
        .map(|(backend, weight)| {
            format!(
                "          - url: \"http://{}\"\n            weight: {weight}\n",
                backend.address()
            )
        })
        .collect();
    format!("    {name}:\n      loadBalancer:\n        servers:\n{servers}")
}

fn router(name: &str, rule: &str, service: &str) -> String {
    format!(
        "    {name}:\n      rule: \"{rule}\"\n      service: {service}\n      entryPoints: [web]\n"
    )
}

fn http(routers: &[String], services: &[String]) -> String {
    format!(
        "http:\n  routers:\n{}  services:\n{}",
        routers.concat(),
        services.concat()
    )
}

/// A proxy with one router, which sends everything to `server`.
fn before(server: &Backend) -> (Weir, SocketAddr) {
    proxy(&http(
        &[router("all", "PathPrefix(`/`)", "a")],
        &[service("a", &[(server, 1)])],
    ))
}

#[test]
fn weights_of_three_to_one_are_kept_over_all_workers() {
    let (a, b) = (backend("a"), backend("b"));
    let rules = http(
        &[router("all", "PathPrefix(`/`)", "pool")],
        &[service("pool", &[(&a, 3), (&b, 1)])],
    );
    let (_weir, address) = proxy(&rules);
    let mut landed = BTreeMap::<String, usize>::new();
    for _ in 0..20 {
        let mut connection = Connection::open(address);
        for _ in 0..20 {
            let response = connection.get("example.org", "/");
            let answer = Answer::parse(&response.body).expect("an answer");
            assert_eq!(answer.forwarded_for.as_deref(), Some("127.0.0.1"));
            *landed.entry(answer.node).or_default() += 1;
        }
    }
    // Each of the two workers keeps the ratio exactly over its own cycle of four.
    let a = landed["a"];
    assert!((298..=302).contains(&a), "{landed:?}");
}

#[test]
fn the_longest_rule_wins_and_what_no_rule_takes_is_not_found() {
    let (a, b) = (backend("a"), backend("b"));
    let rules = http(
        &[
            router("host", "Host(`a.example`)", "a"),
            router("path", "Host(`a.example`) && PathPrefix(`/b`)", "b"),
        ],
        &[service("a", &[(&a, 1)]), service("b", &[(&b, 1)])],
    );
    let (_weir, address) = proxy(&rules);
    let mut connection = Connection::open(address);
    let node = |response: &crate::support::client::Response| {
        Answer::parse(&response.body).map(|answer| answer.node)
    };
    assert_eq!(
        node(&connection.get("A.example:80", "/")).as_deref(),
        Some("a")
    );
    assert_eq!(
        node(&connection.get("a.example", "/b/c")).as_deref(),
        Some("b")
    );
    let missing = connection.get("b.example", "/");
    assert_eq!(
        (missing.status, missing.text().as_str()),
        (404, "404 page not found\n")
    );
}

#[test]
fn no_spelling_of_a_path_passes_its_rule() {
    let (site, admin) = (backend("site"), backend("admin"));
    let rules = http(
        &[
            router("site", "PathPrefix(`/`)", "site"),
            router("admin", "PathPrefix(`/admin`)", "admin"),
        ],
        &[
            service("site", &[(&site, 1)]),
            service("admin", &[(&admin, 1)]),
        ],
    );
    let (_weir, address) = proxy(&rules);
    let mut connection = Connection::open(address);
    for (path, node) in [
        ("/x/../admin", "admin"),
        ("//admin", "admin"),
        ("/x/%2e%2e/admin", "admin"),
        ("/./%61dmin", "admin"),
        ("/admin/..", "site"),
        ("/x/..%2fadmin", "site"),
    ] {
        let answer = Answer::parse(&connection.get("a.example", path).body);
        assert_eq!(
            answer.map(|answer| answer.node).as_deref(),
            Some(node),
            "{path}"
        );
    }
}

#[test]
fn a_server_that_refuses_is_a_bad_gateway_and_the_client_may_go_on() {
    let b = backend("b");
    let nobody = loopback(free_port());
    let dead = format!(
        "    dead:\n      loadBalancer:\n        servers:\n          - url: \"http://{nobody}\"\n"
    );
    let rules = http(
        &[
            router("dead", "Host(`dead.example`)", "dead"),
            router("b", "Host(`b.example`)", "b"),
        ],
        &[dead, service("b", &[(&b, 1)])],
    );
    let (_weir, address) = proxy(&rules);
    assert_eq!(
        Connection::open(address).get("dead.example", "/").status,
        502
    );
    assert_eq!(Connection::open(address).get("b.example", "/").status, 200);
}

#[test]
fn twenty_megabytes_arrive_whole_in_both_directions() {
    const LENGTH: usize = 20_000_000;
    let a = backend("a");
    let (_weir, address) = before(&a);
    let mut connection = Connection::open(address);
    for path in ["/bytes", "/chunked"] {
        let response = connection.get("example.org", &format!("{path}/{LENGTH}"));
        assert_eq!(
            sha256(&response.body),
            pattern_sha256(LENGTH as u64),
            "{path}"
        );
    }
    let mut body = vec![0; LENGTH];
    xtask::backend::pattern(0, &mut body);
    connection.send(format!(
        "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n"
    ));
    connection.send(&body);
    let response = connection.response();
    assert!(
        response.text().contains(&sha256(&body)),
        "{}",
        response.text()
    );
}

#[test]
fn a_rule_change_leaves_a_running_download_alone_and_counts_for_the_next_request() {
    let (a, b) = (backend("a"), backend("b"));
    let rules = |service_name: &str| {
        http(
            &[router("all", "PathPrefix(`/`)", service_name)],
            &[service("a", &[(&a, 1)]), service("b", &[(&b, 1)])],
        )
    };
    let (weir, address) = proxy(&rules("a"));
    let mut download = Connection::open(address);
    download.send("GET /bytes/50000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let (status, _) = download.head();
    assert_eq!(status, 200);
    weir.setup().write("rules/rules.yml", &rules("b"));
    eventually("the new rule", || {
        let response = Connection::open(address).get("a", "/");
        Answer::parse(&response.body).filter(|answer| answer.node == "b")
    });
    let mut body = vec![0; 50_000_000];
    std::io::Read::read_exact(&mut download.reader(), &mut body).expect("the download goes on");
    assert_eq!(sha256(&body), pattern_sha256(50_000_000));
}

#[test]
fn a_broken_rule_file_costs_only_itself_and_is_named() {
    let a = backend("a");
    let (weir, address) = before(&a);
    weir.setup().write(
        "rules/broken.yml",
        "http:\n  routers:\n    x:\n      middleware: [y]\n",
    );
    weir.logged("broken.yml:4:");
    assert_eq!(Connection::open(address).get("a", "/").status, 200);
    // The status file is written after the log's line.
    eventually("the status names it", || {
        let status = weir
            .setup()
            .run(&["status", "--configFile", &weir.setup().config_file()]);
        let shown = String::from_utf8_lossy(&status.stdout).into_owned();
        (shown.contains("broken.yml:4:") && status.status.code() == Some(1)).then_some(())
    });
}

#[test]
fn a_stop_finishes_what_is_under_way() {
    let a = backend("a");
    let (weir, address) = before(&a);
    let mut slow = Connection::open(address);
    slow.send("GET /slow/500 HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the request has reached the server", || {
        (a.requests() > 0).then_some(())
    });
    weir.signal(Signal::SIGTERM);
    let response = slow.response();
    assert_eq!(
        (response.status, response.field("connection")),
        (200, Some("close"))
    );
    let (status, _) = weir.wait();
    assert!(status.success());
}

#[test]
fn bytes_of_a_tcp_router_pass_untouched_and_a_half_close_is_kept() {
    let a = backend("a");
    let rules = format!(
        "tcp:\n  routers:\n    all:\n      rule: \"HostSNI(`*`)\"\n      service: a\n      entryPoints: [web]\n  \
         services:\n    a:\n      loadBalancer:\n        servers:\n          - address: \"{}\"\n",
        a.address()
    );
    let (_weir, address) = proxy(&rules);
    let mut connection = Connection::open(address);
    connection.send("GET /head HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    connection
        .socket()
        .shutdown(std::net::Shutdown::Write)
        .expect("half-close");
    let response = connection.response();
    assert!(
        !response.text().to_ascii_lowercase().contains("x-forwarded"),
        "{}",
        response.text()
    );
    assert_eq!(connection.rest(), b"");
}

#[test]
fn a_stop_answers_what_was_accepted_last_and_refuses_what_comes_after() {
    let a = backend("a");
    let (weir, address) = before(&a);
    let mut slow = Connection::open(address);
    slow.send("GET /slow/1500 HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the request has reached the server", || {
        (a.requests() > 0).then_some(())
    });
    let mut last: Vec<_> = (0..100).map(|_| Connection::open(address)).collect();
    last.iter_mut()
        .for_each(|connection| connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    weir.signal(Signal::SIGTERM);
    for connection in &mut last {
        assert_eq!(connection.response().status, 200);
    }
    eventually("new connections are refused at once", || {
        std::net::TcpStream::connect(address).err()
    });
    assert_eq!(slow.response().status, 200);
    assert!(weir.wait().0.success());
}

#[test]
fn a_client_that_leaves_takes_its_connection_to_a_silent_server_with_it() {
    let a = backend("a");
    let (_weir, address) = before(&a);
    let mut leaving = Connection::open(address);
    leaving.send("GET /slow/60000 HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the request has reached the server", || {
        (a.requests() > 0).then_some(())
    });
    // An abort, as when a browser's tab is closed while data is under way.
    socket2::SockRef::from(leaving.socket())
        .set_linger(Some(std::time::Duration::ZERO))
        .expect("linger");
    drop(leaving);
    eventually("the server's connection is closed", || {
        (closing(a.address()) > 0).then_some(())
    });
}

/// Connections to this port whose peer has closed and that the server still holds (CLOSE_WAIT, state 08).
fn closing(server: SocketAddr) -> usize {
    let port = format!(":{:04X} ", server.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    table
        .lines()
        .filter_map(|line| line.split_once(&port))
        .filter(|(_, rest)| rest.split(' ').nth(1) == Some("08"))
        .count()
}
