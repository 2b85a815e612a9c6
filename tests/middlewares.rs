//! Middlewares at the real binary: what servers get, what clients get, and that nothing is held back on the way.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread;

use xtask::backend::{Answer, Backend, pattern_sha256, sha256};

use crate::support::client::{Connection, Response};
use crate::support::free_port;
use crate::support::weir::{Setup, Weir};

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn backend(name: &str) -> Backend {
    Backend::plain(name, loopback(0)).expect("a backend")
}

/// One entry point `web`; `more` is what else it says. `{server}` in the rules is a server's URL.
fn proxy(more: &str, rules: &str, server: &Backend) -> (Weir, SocketAddr) {
    let address = loopback(free_port());
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\n{more}providers:\n  file:\n    directory: \"{{dir}}/rules\"\n\
         runtimeDir: \"{{dir}}/run\"\nworkers: 1\nlog:\n  level: DEBUG\n"
    ));
    let rules = rules.replace("{server}", &format!("http://{}", server.address()));
    let weir = setup.rules("rules.yml", &rules).start();
    (weir.listening(address), address)
}

/// A router for each middleware, by the host of its name, all to one server.
fn each(middlewares: &[(&str, &str)]) -> String {
    let router = |(name, _): &(&str, &str)| {
        format!("    {name}: {{rule: \"Host(`{name}`)\", service: app, middlewares: [{name}]}}\n")
    };
    let routers: String = middlewares.iter().map(router).collect();
    let definition = |(name, text): &(&str, &str)| format!("    {name}: {{{text}}}\n");
    let middlewares: String = middlewares.iter().map(definition).collect();
    format!(
        "http:\n  routers:\n{routers}  middlewares:\n{middlewares}  services:\n    \
         app: {{loadBalancer: {{servers: [{{url: \"{{server}}\"}}]}}}}\n"
    )
}

fn exchange(address: SocketAddr, request: &str) -> Response {
    let mut connection = Connection::open(address);
    connection.send(request);
    connection.response()
}

#[test]
fn paths_are_rewritten_before_the_server() {
    let server = backend("a");
    let rules = each(&[
        ("strip", "stripPrefix: {prefixes: [/api, /app]}"),
        ("strip-regex", "stripPrefixRegex: {regex: [\"/v[0-9]+\"]}"),
        ("replace", "replacePath: {path: /head}"),
        (
            "regex",
            "replacePathRegex: {regex: \"^/old/(.*)$\", replacement: \"/$1\"}",
        ),
        ("add", "addPrefix: {prefix: /bytes}"),
    ]);
    let (_weir, address) = proxy("", &rules, &server);
    let mut connection = Connection::open(address);
    for (host, path, first, field) in [
        (
            "strip",
            "/app/head",
            "GET /head ",
            "X-Forwarded-Prefix: /app\r\n",
        ),
        (
            "strip-regex",
            "/v12/head",
            "GET /head ",
            "X-Forwarded-Prefix: /v12\r\n",
        ),
        (
            "replace",
            "/terms/x",
            "GET /head ",
            "X-Replaced-Path: /terms/x\r\n",
        ),
        (
            "regex",
            "/old/head",
            "GET /head ",
            "X-Replaced-Path: /old/head\r\n",
        ),
    ] {
        let head = connection.get(host, path).text();
        assert!(
            head.starts_with(first) && head.contains(field),
            "{host}: {head}"
        );
    }
    assert_eq!(connection.get("add", "/5").body.len(), 5);
    assert_eq!(connection.get("strip", "/api../x").status, 400);
    // The client's own claims do not reach the server.
    connection.send("GET /api/head HTTP/1.1\r\nHost: strip\r\nX-Forwarded-Prefix: /evil\r\n\r\n");
    assert!(!connection.response().text().contains("evil"));
}

#[test]
fn redirections_keep_path_query_and_method() {
    let server = backend("a");
    let rules = each(&[
        (
            "scheme",
            "redirectScheme: {scheme: https, port: \"8443\", permanent: true}",
        ),
        (
            "regex",
            "redirectRegex: {regex: \"^http://regex/(.*)\", replacement: \"https://b.example/${1}\"}",
        ),
    ]);
    let (_weir, address) = proxy("", &rules, &server);
    let mut connection = Connection::open(address);
    let answer = connection.get("scheme", "/a?b");
    assert_eq!(
        (answer.status, answer.field("location")),
        (301, Some("https://scheme:8443/a?b"))
    );
    let answer = connection.get("regex", "/a?b");
    assert_eq!(
        (answer.status, answer.field("location")),
        (302, Some("https://b.example/a?b"))
    );
    let post = exchange(
        address,
        "POST /a HTTP/1.1\r\nHost: scheme\r\nContent-Length: 1\r\n\r\nx",
    );
    assert_eq!(post.status, 308);
    assert_eq!(server.requests(), 0);
}

#[test]
fn an_entry_point_redirects_and_gives_its_middlewares() {
    let server = backend("a");
    let other = free_port();
    let http = format!(
        "    http:\n      redirections: {{entryPoint: {{to: websecure, scheme: https}}}}\n  \
         websecure:\n    address: \"127.0.0.1:{other}\"\n    http:\n      middlewares: [stamp@file]\n"
    );
    let rules = "
http:
  routers:
    all: {rule: \"PathPrefix(`/`)\", service: app, middlewares: [own]}
  middlewares:
    stamp: {headers: {customResponseHeaders: {X-Stamp: entry-point, X-Both: entry-point}}}
    own: {headers: {customResponseHeaders: {X-Own: router, X-Both: router}}}
  services:
    app: {loadBalancer: {servers: [{url: \"{server}\"}]}}
";
    let (weir, address) = proxy(&http, rules, &server);
    let weir = weir.listening(loopback(other));
    let mut connection = Connection::open(address);
    let answer = connection.get("usegalaxy.eu", "/a?b");
    let location = format!("https://usegalaxy.eu:{other}/a?b");
    assert_eq!(
        (answer.status, answer.field("location")),
        (301, Some(location.as_str()))
    );
    let post = exchange(
        address,
        "POST / HTTP/1.1\r\nHost: usegalaxy.eu\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(post.status, 308);
    let through = Connection::open(loopback(other)).get("usegalaxy.eu", "/");
    assert_eq!(
        (
            through.field("x-stamp"),
            through.field("x-own"),
            through.field("x-both")
        ),
        // Responses pass the entry point's last.
        (Some("entry-point"), Some("router"), Some("entry-point"))
    );
    drop(weir);
}

#[test]
fn fields_are_set_on_whatever_is_answered() {
    let server = backend("a");
    let closed = free_port();
    let mut rules = each(&[(
        "fields",
        "headers: {customRequestHeaders: {X-Asked: \"1\", Accept: \"\"}, customResponseHeaders: {X-Node: \"\", X-Told: \"2\"}, \
         frameDeny: true, accessControlAllowOriginList: [\"https://a.example\"], accessControlAllowMethods: [PUT]}",
    )]);
    rules.push_str(&format!(
        "    dead: {{loadBalancer: {{servers: [{{url: \"http://127.0.0.1:{closed}\"}}]}}}}\n"
    ));
    let rules = rules.replace(
        "  middlewares:\n",
        "    dead: {rule: \"Host(`dead`)\", service: dead, middlewares: [fields]}\n  middlewares:\n",
    );
    let (_weir, address) = proxy("", &rules, &server);
    let mut connection = Connection::open(address);
    connection.send(
        "GET /head HTTP/1.1\r\nHost: fields\r\nAccept: */*\r\nOrigin: https://a.example\r\n\r\n",
    );
    let answer = connection.response();
    let head = answer.text();
    assert!(
        head.contains("X-Asked: 1\r\n") && !head.contains("Accept:"),
        "{head}"
    );
    for (name, value) in [
        ("x-told", Some("2")),
        ("x-node", None),
        ("x-frame-options", Some("DENY")),
        ("access-control-allow-origin", Some("https://a.example")),
    ] {
        assert_eq!(answer.field(name), value, "{name}");
    }
    let dead = connection.get("dead", "/");
    assert_eq!(
        (
            dead.status,
            dead.field("x-told"),
            dead.field("x-frame-options")
        ),
        (502, Some("2"), Some("DENY"))
    );
    let mut connection = Connection::open(address);
    connection.send(
        "OPTIONS / HTTP/1.1\r\nHost: fields\r\nOrigin: https://a.example\r\nAccess-Control-Request-Method: PUT\r\n\r\n",
    );
    let preflight = connection.response();
    assert_eq!((preflight.status, preflight.body.len()), (200, 0));
    assert_eq!(preflight.field("access-control-allow-methods"), Some("PUT"));
}

#[test]
fn only_listed_clients_pass_and_nobody_lies_about_who_they_are() {
    let server = backend("a");
    let rules = each(&[
        ("here", "ipAllowList: {sourceRange: [127.0.0.0/8]}"),
        ("elsewhere", "ipAllowList: {sourceRange: [192.0.2.0/24]}"),
        (
            "teapot",
            "ipAllowList: {sourceRange: [192.0.2.0/24], rejectStatusCode: 404}",
        ),
        (
            "depth",
            "ipAllowList: {sourceRange: [192.0.2.0/24], ipStrategy: {depth: 1}}",
        ),
    ]);
    let (_weir, address) = proxy("", &rules, &server);
    let mut connection = Connection::open(address);
    for (host, status) in [
        ("here", 200),
        ("elsewhere", 403),
        ("teapot", 404),
        ("depth", 403),
    ] {
        connection.send(format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
        ));
        assert_eq!(connection.response().status, status, "{host}");
    }
    assert_eq!(server.requests(), 1);
}

#[test]
fn a_peer_that_is_trusted_says_who_the_client_is() {
    let server = backend("a");
    let rules = each(&[(
        "depth",
        "ipAllowList: {sourceRange: [192.0.2.0/24], ipStrategy: {depth: 1}}",
    )]);
    let trust = "    forwardedHeaders: {trustedIPs: [127.0.0.1]}\n";
    let (_weir, address) = proxy(trust, &rules, &server);
    let status = |forwarded| {
        let request =
            format!("GET /head HTTP/1.1\r\nHost: depth\r\nX-Forwarded-For: {forwarded}\r\n\r\n");
        exchange(address, &request)
    };
    let passed = status("10.0.0.1, 192.0.2.1");
    assert_eq!(passed.status, 200);
    let expected = "X-Forwarded-For: 10.0.0.1, 192.0.2.1, 127.0.0.1\r\n";
    assert!(passed.text().contains(expected), "{}", passed.text());
    assert_eq!(status("192.0.2.1, 10.0.0.1").status, 403);
}

fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut plain),
        "br" => brotli::Decompressor::new(body, 4_096).read_to_end(&mut plain),
        _ => zstd::stream::read::Decoder::new(body)
            .expect("a decoder")
            .read_to_end(&mut plain),
    }
    .expect("a whole body");
    plain
}

#[test]
fn bodies_arrive_whole_in_every_coding() {
    let server = backend("a");
    let (_weir, address) = proxy("", &each(&[("small", "compress: {}")]), &server);
    let mut connection = Connection::open(address);
    for coding in ["gzip", "br", "zstd"] {
        for path in [
            "/bytes/1024",
            "/bytes/3000000",
            "/chunked/3000000",
            "/chunked/10",
        ] {
            connection.send(format!(
                "GET {path} HTTP/1.1\r\nHost: small\r\nAccept-Encoding: {coding}\r\n\r\n"
            ));
            let response = connection.response();
            assert_eq!(response.field("content-encoding"), Some(coding), "{path}");
            assert_eq!(response.field("content-length"), None, "{path}");
            assert_eq!(response.field("vary"), Some("Accept-Encoding"));
            let length = path.rsplit('/').next().unwrap().parse().unwrap();
            assert_eq!(
                sha256(&decoded(coding, &response.body)),
                pattern_sha256(length),
                "{coding} {path}"
            );
        }
    }
    connection.send("GET /bytes/1023 HTTP/1.1\r\nHost: small\r\nAccept-Encoding: gzip\r\n\r\n");
    let short = connection.response();
    assert_eq!(
        (short.field("content-encoding"), short.body.len()),
        (None, 1_023)
    );
    connection.send("HEAD /bytes/9999 HTTP/1.1\r\nHost: small\r\nAccept-Encoding: gzip\r\n\r\n");
    let (_, fields) = connection.head();
    assert!(
        fields.contains(&("content-length".to_owned(), "9999".to_owned())),
        "{fields:?}"
    );
    // An HTTP/1.0 client knows no chunks: the body ends with the connection.
    let mut old = Connection::open(address);
    old.send("GET /bytes/5000 HTTP/1.0\r\nHost: small\r\nAccept-Encoding: gzip\r\n\r\n");
    let (_, fields) = old.head();
    assert!(
        !fields.iter().any(|(name, _)| name == "transfer-encoding"),
        "{fields:?}"
    );
    assert_eq!(sha256(&decoded("gzip", &old.rest())), pattern_sha256(5_000));
}

/// A server of one event stream: it sends the next event when it is told to.
fn events() -> (SocketAddr, mpsc::Sender<&'static str>) {
    let listener = TcpListener::bind(loopback(0)).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let (sender, receiver) = mpsc::channel::<&'static str>();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("weir connects");
        let mut lines = BufReader::new(stream.try_clone().expect("a clone")).lines();
        while lines
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("weir reads");
        for event in receiver {
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            stream.write_all(chunk.as_bytes()).expect("weir reads");
        }
        let _ = stream.write_all(b"0\r\n\r\n");
    });
    (address, sender)
}

/// Chunks of a response, decoded as far as they have come.
struct Chunks<R>(BufReader<R>);

impl<R: Read> Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        // A byte at a time keeps this simple; events are short.
        let mut line = String::new();
        if self.0.fill_buf()?.is_empty() {
            return Ok(0);
        }
        self.0.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(std::io::Error::other)?;
        let mut chunk = vec![0; size + 2];
        self.0.read_exact(&mut chunk)?;
        assert!(size <= buffer.len(), "a short event");
        buffer[..size].copy_from_slice(&chunk[..size]);
        Ok(size)
    }
}

#[test]
fn an_event_stream_is_compressed_event_by_event() {
    let (origin, tell) = events();
    let unused = backend("unused");
    let rules = each(&[("small", "compress: {}")]).replace("{server}", &format!("http://{origin}"));
    let (_weir, address) = proxy("", &rules, &unused);
    let mut connection = Connection::open(address);
    connection.send("GET / HTTP/1.1\r\nHost: small\r\nAccept-Encoding: gzip\r\n\r\n");
    let (status, fields) = connection.head();
    assert_eq!(status, 200);
    assert!(
        fields.contains(&("content-encoding".to_owned(), "gzip".to_owned())),
        "{fields:?}"
    );
    let mut plain = BufReader::new(flate2::read::GzDecoder::new(BufReader::with_capacity(
        64,
        Chunks(BufReader::new(connection.reader())),
    )));
    for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
        tell.send(event).expect("the origin is there");
        // Comes only if it was not held back for the next.
        let mut line = String::new();
        plain.read_line(&mut line).expect("the event");
        assert_eq!(line, event[..event.len() - 1]);
        plain.read_line(&mut line).expect("its end");
    }
}

#[test]
fn a_router_never_serves_without_its_middleware() {
    let server = backend("a");
    let rules = "
http:
  routers:
    guarded: {rule: \"Host(`a`) && PathPrefix(`/admin`)\", service: app, middlewares: [limit]}
    missing: {rule: \"Host(`a`) && PathPrefix(`/other`)\", service: app, middlewares: [nobody]}
    all: {rule: \"Host(`a`)\", service: app}
  middlewares:
    limit: {rateLimit: {average: 1}}
  services:
    app: {loadBalancer: {servers: [{url: \"{server}\"}]}}
";
    let (weir, address) = proxy("", rules, &server);
    let mut connection = Connection::open(address);
    for (path, status) in [("/admin", 404), ("/other", 404), ("/", 200)] {
        assert_eq!(connection.get("a", path).status, status, "{path}");
    }
    weir.logged("Traefik has it, weir not yet");
}

#[test]
fn requests_are_told_apart_by_all_that_rules_can_see() {
    let (server, other) = (backend("a"), backend("b"));
    let rules = format!(
        "
http:
  routers:
    all: {{rule: \"Host(`*`)\", service: other, priority: -1}}
    post: {{rule: \"Method(`post`)\", service: app}}
    field: {{rule: \"Header(`X-Tenant`, `blue`) || HeaderRegexp(`User-Agent`, `(?i)bot`)\", service: app}}
    query: {{rule: \"Query(`beta`) || QueryRegexp(`page`, `^[0-9]+$`)\", service: app}}
    path: {{rule: \"PathRegexp(`\\\\.(png|jpg)$`) || Path(`/exact`)\", service: app}}
    galaxy: {{rule: \"HostRegexp(`^.+\\\\.usegalaxy\\\\.eu`)\", service: app}}
    upgrade: {{rule: \"HeaderRegexp(`Upgrade`, `(?i)^websocket$`)\", service: app}}
    terms: {{rule: \"PathPrefix(`/gdpr`)\", service: app}}
  services:
    app: {{loadBalancer: {{servers: [{{url: \"{{server}}\"}}]}}}}
    other: {{loadBalancer: {{servers: [{{url: \"http://{}\"}}]}}}}
",
        other.address()
    );
    let (_weir, address) = proxy("", &rules, &server);
    let node = |request: &str| {
        let response = exchange(address, request);
        Answer::parse(&response.body).map(|answer| answer.node)
    };
    for (head, expected) in [
        ("GET / HTTP/1.1\r\nHost: x", "b"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0", "a"),
        ("GET / HTTP/1.1\r\nHost: x\r\nx-tenant: blue", "a"),
        ("GET / HTTP/1.1\r\nHost: x\r\nX-Tenant: bluer", "b"),
        ("GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: GoogleBot/2", "a"),
        ("GET /?beta HTTP/1.1\r\nHost: x", "a"),
        ("GET /?page=12 HTTP/1.1\r\nHost: x", "a"),
        ("GET /?page=x HTTP/1.1\r\nHost: x", "b"),
        ("GET /a/b.png HTTP/1.1\r\nHost: x", "a"),
        ("GET /a/b.png.exe HTTP/1.1\r\nHost: x", "b"),
        ("GET /exact HTTP/1.1\r\nHost: x", "a"),
        ("GET /exact/ HTTP/1.1\r\nHost: x", "b"),
        ("GET / HTTP/1.1\r\nHost: A.USEGALAXY.EU:8443", "a"),
        // Unanchored at its end, as in Traefik.
        ("GET / HTTP/1.1\r\nHost: a.usegalaxy.eu.evil.com", "a"),
        ("GET / HTTP/1.1\r\nHost: usegalaxy.eu", "b"),
        // A plain prefix, as in Traefik.
        ("GET /gdprfoo HTTP/1.1\r\nHost: x", "a"),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket",
            "a",
        ),
    ] {
        assert_eq!(
            node(&format!("{head}\r\n\r\n")).as_deref(),
            Some(expected),
            "{head}"
        );
    }
}

#[test]
fn a_client_with_a_cookie_stays_with_its_server() {
    let servers = ["a", "b", "c"].map(backend);
    let url = |index: usize| format!("{{url: \"http://{}\"}}", servers[index].address());
    let rules = format!(
        "
http:
  routers:
    flat: {{rule: \"Host(`flat`)\", service: usegalaxy-eu}}
    tree: {{rule: \"Host(`tree`)\", service: tree}}
  services:
    usegalaxy-eu: {{loadBalancer: {{sticky: {{cookie: {{}}}}, servers: [{a}, {b}, {c}]}}}}
    tree: {{weighted: {{sticky: {{cookie: {{name: level, httpOnly: true}}}}, services: [{{name: left}}, {{name: right}}]}}}}
    left: {{loadBalancer: {{sticky: {{cookie: {{name: node}}}}, servers: [{a}, {b}]}}}}
    right: {{loadBalancer: {{servers: [{c}]}}}}
",
        a = url(0),
        b = url(1),
        c = url(2)
    );
    let (_weir, address) = proxy("", &rules, &servers[0]);
    let ask = |host: &str, cookies: &str| {
        let response = exchange(
            address,
            &format!("GET / HTTP/1.1\r\nHost: {host}\r\nCookie: x=1; {cookies}\r\n\r\n"),
        );
        let set = response
            .fields
            .iter()
            .filter(|(name, _)| name == "set-cookie");
        let set: Vec<String> = set.map(|(_, value)| value.clone()).collect();
        (Answer::parse(&response.body).expect("an answer").node, set)
    };
    let mut seen = BTreeSet::new();
    for _ in 0..6 {
        let (node, set) = ask("flat", "");
        let [cookie] = &set[..] else {
            panic!("one cookie: {set:?}")
        };
        let pair = cookie
            .strip_suffix("; Path=/")
            .expect("Traefik's attributes");
        assert!(
            pair.starts_with("_f712e=") && pair.len() == 7 + 16,
            "{cookie}"
        );
        for _ in 0..4 {
            assert_eq!(ask("flat", pair), (node.clone(), vec![]));
        }
        seen.insert(node);
    }
    assert_eq!(seen.len(), 3, "clients without a cookie are spread");
    // A cookie of a server that is gone is replaced.
    let (_, set) = ask("flat", "_f712e=0123456789abcdef");
    assert_eq!(set.len(), 1);
    // The URL itself is what old versions wrote.
    let url = format!("http://{}", servers[1].address());
    let (node, set) = ask("flat", &format!("_f712e={url}"));
    assert_eq!((node.as_str(), set.len()), ("b", 1));
    // Two levels, a cookie each.
    let (node, set) = (0..4)
        .map(|_| ask("tree", ""))
        .find(|(_, set)| set.len() == 2)
        .expect("left");
    assert!(
        set.iter()
            .any(|cookie| cookie.starts_with("level=") && cookie.ends_with("; HttpOnly")),
        "{set:?}"
    );
    let pairs: Vec<&str> = set
        .iter()
        .map(|cookie| cookie.split(';').next().unwrap_or_default())
        .collect();
    for _ in 0..6 {
        assert_eq!(ask("tree", &pairs.join("; ")), (node.clone(), vec![]));
    }
}
