//! Two servers, one shut down: health checks, drained servers, and what fails on the way, seen by clients.

mod failover;
mod hold;
mod load;
mod queue;
mod weights;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use nix::sys::signal::Signal;
use xtask::backend::{Answer, Backend};

use crate::support::client::{Connection, Response};
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, free_port};

const QUICK: &str = "interval: 100ms, timeout: 2s, rise: 2, fall: 2";

fn static_file(address: SocketAddr) -> String {
    format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n\
         runtimeDir: \"{{dir}}/run\"\nstateDir: \"{{dir}}/state\"\nworkers: 2\n"
    )
}

fn setup(rules: &str) -> (Setup, SocketAddr) {
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    (
        Setup::new(&static_file(address)).rules("app.yml", rules),
        address,
    )
}

fn weir(rules: &str) -> (Weir, SocketAddr) {
    let (setup, address) = setup(rules);
    (setup.start().listening(address), address)
}

fn backend(name: &str) -> Backend {
    Backend::plain(name, ([127, 0, 0, 1], 0)).expect("a server")
}

/// A service `app` over these servers, with more keys of its load balancer.
fn app(servers: &[SocketAddr], more: &str) -> String {
    let servers = servers
        .iter()
        .map(|server| format!("{{url: 'http://{server}'}}"));
    let servers = servers.collect::<Vec<_>>().join(", ");
    format!(
        "http:\n  routers:\n    app: {{rule: PathPrefix(`/`), service: app}}\n  services:\n    app:\n      \
         loadBalancer: {{servers: [{servers}]{more}}}\n"
    )
}

fn get(address: SocketAddr) -> Response {
    Connection::open(address).get("a.example", "/")
}

fn node(response: &Response) -> String {
    assert_eq!(response.status, 200, "{}", response.text());
    Answer::parse(&response.body).expect("an answer").node
}

/// A command of weir's: its exit code and what it says.
fn command(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String) {
    let config = setup.config_file();
    let output = setup.run(&[arguments, &["--configFile", &config]].concat());
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

fn says(setup: &Setup, arguments: &[&str], text: &str) {
    eventually(&format!("{arguments:?} says {text:?}"), || {
        command(setup, arguments).1.contains(text).then_some(())
    });
}

/// Clients that ask until they are told to stop, on kept connections and on new ones; the join gives how many answers
/// each got. Any answer but 200 fails.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<thread::JoinHandle<u64>>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |kept: bool| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let (mut count, mut connection) = (0, Connection::open(address));
                while !stop.load(Ordering::Relaxed) {
                    if !kept {
                        connection = Connection::open(address);
                    }
                    let answer = connection.get("a.example", "/");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    count += 1;
                }
                count
            })
        };
        let clients = [true, true, false].map(client).into();
        Self { stop, clients }
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let counts = self
            .clients
            .into_iter()
            .map(|client| client.join().expect("no failed request"));
        counts.sum()
    }
}

#[test]
fn a_killed_server_is_left_and_comes_back_and_nobody_notices() {
    let (a, b) = (backend("a"), backend("b"));
    let address_b = b.address();
    let check = format!(", healthCheck: {{path: /health, {QUICK}}}");
    let (weir, address) = weir(&app(&[a.address(), address_b], &check));
    let load = Load::start(address);
    eventually("both serve", || {
        (a.requests() > 300 && b.requests() > 300).then_some(())
    });
    drop(b);
    weir.logged("the server is down: no connection to");
    says(
        weir.setup(),
        &["status"],
        &format!("down  http://{address_b} of app@file, for "),
    );
    says(weir.setup(), &["status"], "refused");
    let before = a.requests();
    eventually("the other one serves", || {
        (a.requests() > before + 500).then_some(())
    });

    let b = Backend::plain("b", address_b).expect("the same address");
    weir.logged("the server is up again");
    let before = b.requests();
    eventually("it serves again", || {
        (b.requests() > before + 500).then_some(())
    });
    says(weir.setup(), &["server", "list"], ", up for ");
    let count = load.end();
    assert!(count > 1_500, "{count}");
    let downs = weir.log().matches("the server is down").count();
    assert_eq!(downs, 1, "{}", weir.log());
}

#[test]
fn a_drained_server_keeps_its_users_over_reload_and_restart() {
    let (a, b) = (backend("a"), backend("b"));
    let rules = app(&[a.address(), b.address()], ", sticky: {cookie: {name: s}}");
    let (weir, address) = weir(&rules);
    let cookie = eventually("a user of b", || {
        let answer = get(address);
        let cookie = answer.field("set-cookie").expect("a cookie").to_owned();
        (node(&answer) == "b").then(|| cookie.split(';').next().unwrap_or_default().to_owned())
    });
    let user = |address| {
        let mut connection = Connection::open(address);
        connection.send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n"
        ));
        node(&connection.response())
    };
    let url = format!("http://{}", b.address());
    let load = Load::start(address);
    eventually("both serve", || {
        (a.requests() > 300 && b.requests() > 300).then_some(())
    });
    assert_eq!(user(address), "b", "counted before anybody drains");
    let drain = ["server", "drain", "app", &url, "--wait", "--requests-only"];
    let (code, said) = command(weir.setup(), &drain);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("drain") && said.contains("0 in flight, about 1 users lately, said by"),
        "{said}"
    );
    let (before_a, before_b) = (a.requests(), b.requests());
    eventually("the other one serves", || {
        (a.requests() > before_a + 1_000).then_some(())
    });
    assert_eq!(b.requests(), before_b, "new users");
    assert_eq!(user(address), "b");
    says(weir.setup(), &["server", "list"], "about 1 users lately");
    let drain = ["server", "drain", "app", &url, "--wait", "--timeout", "1"];
    let (code, said) = command(weir.setup(), &drain);
    let left = "0 requests or connections and about 1 users are left";
    assert!(code == Some(1) && said.contains(left), "{said}");

    weir.setup().write(
        "rules/more.yml",
        "http: {middlewares: {x: {stripPrefix: {prefixes: [/x]}}}}\n",
    );
    assert_eq!(command(weir.setup(), &["reload"]).0, Some(0));
    assert_eq!(
        (user(address), b.requests()),
        ("b".to_owned(), before_b + 2)
    );
    assert!(load.end() > 1_000);

    weir.signal(Signal::SIGTERM);
    let (_, setup) = weir.wait();
    let weir = setup.start().listening(address);
    says(
        weir.setup(),
        &["status"],
        &format!("drain {url} of app@file"),
    );
    (0..20).for_each(|_| assert_eq!(node(&get(address)), "a", "a new user"));
    assert_eq!(user(address), "b");
    // In maintenance not even its users get there, and nobody waits for them; ready, everybody does.
    assert_eq!(
        command(
            weir.setup(),
            &["server", "maint", "app@file", &url, "--wait"]
        )
        .0,
        Some(0)
    );
    assert_eq!(user(address), "a");
    assert_eq!(
        command(weir.setup(), &["server", "ready", "app", &url]).0,
        Some(0)
    );
    assert_eq!(user(address), "b");
    eventually("new users of b", || {
        (node(&get(address)) == "b").then_some(())
    });
}

#[test]
fn users_that_a_weighted_services_cookie_keeps_are_waited_for_and_so_is_what_a_new_weir_cannot_know()
 {
    let (a, b) = (backend("a"), backend("b"));
    let url = format!("http://{}", b.address());
    let rules = format!(
        "http:\n  routers:\n    app: {{rule: PathPrefix(`/`), service: app}}\n  services:\n    \
         app: {{weighted: {{sticky: {{cookie: {{name: v}}}}, services: [{{name: a}}, {{name: b}}]}}}}\n    \
         a: {{loadBalancer: {{servers: [{{url: 'http://{}'}}]}}}}\n    \
         b: {{loadBalancer: {{servers: [{{url: '{url}'}}]}}}}\n",
        a.address()
    );
    let (weir, address) = weir(&rules);
    eventually("a user lands there", || {
        (node(&get(address)) == "b").then_some(())
    });
    let drain = ["server", "drain", "b", &url, "--wait", "--timeout", "1"];
    let (code, said) = command(weir.setup(), &drain);
    assert!(
        code == Some(1) && said.contains("about 1 users are left"),
        "{said}"
    );
    weir.signal(Signal::SIGTERM);
    let (_, setup) = weir.wait();
    let weir = setup.start().listening(address);
    let (code, said) = command(weir.setup(), &drain);
    assert!(
        code == Some(1) && said.contains("before weir started"),
        "{said}"
    );
    says(weir.setup(), &["server", "list"], "about 0 users lately");
}

#[test]
fn steered_connections_in_user_space_are_counted_and_waited_for() {
    let server = backend("a");
    let named = server.address().to_string();
    let (weir, address) = weir(&format!(
        "tcp:\n  routers:\n    t: {{rule: \"ClientIP(`127.0.0.0/8`)\", service: t, steer: true}}\n  services:\n    \
         t: {{loadBalancer: {{servers: [{{address: '{named}'}}]}}}}\n"
    ));
    let mut client = Connection::open(address);
    assert_eq!(node(&client.get("a.example", "/")), "a");
    says(weir.setup(), &["server", "list"], "1 in flight");
    let drain = ["server", "drain", "t", &named, "--wait", "--timeout", "1"];
    let (code, said) = command(weir.setup(), &drain);
    let left = "1 requests or connections are left";
    assert!(code == Some(1) && said.contains(left), "{said}");
    drop(client);
    let (code, said) = command(weir.setup(), &drain[..5]);
    assert!(code == Some(0) && said.contains("0 in flight"), "{said}");
}

#[test]
fn who_waits_for_a_server_that_leaves_the_rules_is_told_so() {
    let (a, b) = (backend("a"), backend("b"));
    let more = ", sticky: {cookie: {}}";
    let (weir, address) = weir(&app(&[a.address(), b.address()], more));
    let url = format!("http://{}", b.address());
    eventually("a user lands there", || {
        (node(&get(address)) == "b").then_some(())
    });
    thread::scope(|scope| {
        let drain = ["server", "drain", "app", &url, "--wait"];
        let setup = weir.setup();
        let waits = scope.spawn(move || command(setup, &drain));
        says(setup, &["server", "list"], "drain ");
        setup.write("rules/app.yml", &app(&[a.address()], more));
        let (code, said) = waits.join().expect("an answer");
        assert!(
            code == Some(1) && said.contains("no longer in the rules"),
            "{said}"
        );
    });
}

#[test]
fn a_command_about_a_server_that_is_not_there_says_which_are() {
    let a = backend("a");
    let (weir, _) = weir(&app(&[a.address()], ""));
    let (code, said) = command(weir.setup(), &["server", "drain", "app", "http://nobody"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains(&format!("its servers are http://{}", a.address())),
        "{said}"
    );
    for arguments in [
        &["server", "maint", "ap", "x"][..],
        &["server", "list", "ap"],
    ] {
        let (code, said) = command(weir.setup(), arguments);
        assert!(
            code == Some(1) && said.contains("there is no load balancer ap: did you mean app?"),
            "{said}"
        );
    }
    let almost = format!("http://{}9", a.address());
    let (code, said) = command(weir.setup(), &["server", "drain", "app", &almost]);
    let meant = format!("did you mean http://{}?", a.address());
    assert!(code == Some(1) && said.contains(&meant), "{said}");
}

#[test]
fn with_every_server_down_all_are_tried_and_in_maintenance_none() {
    let a = backend("a");
    let check = format!(", healthCheck: {{path: /, status: 418, {QUICK}}}");
    let (weir, address) = weir(&app(&[a.address()], &check));
    weir.logged("it answered with status 200 instead of 418");
    assert_eq!(node(&get(address)), "a");
    let url = format!("http://{}", a.address());
    assert_eq!(
        command(weir.setup(), &["server", "maint", "app", &url]).0,
        Some(0)
    );
    assert_eq!(get(address).status, 503);
}

#[test]
fn a_server_that_refuses_is_passed_over_without_a_health_check() {
    let a = backend("a");
    let dead = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (_weir, address) = weir(&app(&[dead, a.address()], ""));
    for _ in 0..30 {
        assert_eq!(node(&get(address)), "a");
        let mut connection = Connection::open(address);
        // Nothing of it has gone anywhere: a body is no reason to fail.
        connection.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
        assert_eq!(node(&connection.response()), "a");
    }
}

/// A server that takes each connection and does this with it, as long as the result lives.
fn tcp_server(each: impl Fn(&mut TcpStream) + Send + 'static) -> (SocketAddr, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let (alive, ended) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            if ended.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
                return;
            }
            each(&mut stream.expect("a connection"));
        }
    });
    (address, alive)
}

#[test]
fn a_reset_before_any_answer_sends_only_what_may_be_repeated_elsewhere() {
    let a = backend("a");
    let (resets, _alive) = tcp_server(|stream| {
        let mut head = [0; 1024];
        let _ = stream.read(&mut head);
    });
    let (_weir, address) = weir(&app(&[resets, a.address()], ""));
    (0..10).for_each(|_| assert_eq!(node(&get(address)), "a"));
}

/// Says who it is, and PONG to a PING.
fn banner(name: &'static str, says: &'static str) -> (SocketAddr, mpsc::Sender<()>) {
    tcp_server(move |stream| {
        let mut ping = [0; 4];
        let _ = stream.read_exact(&mut ping);
        let answer = if &ping == b"PING" { says } else { name };
        let _ = stream.write_all(answer.as_bytes());
    })
}

fn who(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).expect("weir");
    stream.write_all(b"who?").expect("sent");
    let mut name = String::new();
    let _ = stream.read_to_string(&mut name);
    name
}

#[test]
fn a_steered_pool_and_a_tcp_service_lose_a_server_that_does_not_answer_as_expected() {
    for (steer, rule) in [
        ("true", "ClientIP(`127.0.0.0/8`)"),
        ("false", "HostSNI(`*`)"),
    ] {
        let (good, _good) = banner("good", "PONG");
        let (bad, _bad) = banner("bad", "PANG");
        let (weir, address) = weir(&format!(
            "tcp:\n  routers:\n    t: {{rule: \"{rule}\", service: t, steer: {steer}}}\n  services:\n    t:\n      \
             loadBalancer:\n        servers: [{{address: '{good}'}}, {{address: '{bad}'}}]\n        \
             healthCheck: {{send: PING, expect: PONG, {QUICK}}}\n"
        ));
        weir.logged("it answered \"PANG\" instead of \"PONG\"");
        eventually("only the good one", || {
            (0..20).all(|_| who(address) == "good").then_some(())
        });
    }
}

#[test]
fn a_check_over_tls_counts_the_certificate() {
    let a = Backend::tls("a", ([127, 0, 0, 1], 0)).expect("a server");
    let rules = |skip: bool| {
        format!(
            "http:\n  routers:\n    app: {{rule: PathPrefix(`/`), service: app}}\n  services:\n    app:\n      \
             loadBalancer:\n        serversTransport: t\n        servers: [{{url: 'https://{}'}}]\n        \
             healthCheck: {{path: /, {QUICK}}}\n  serversTransports:\n    t: {{insecureSkipVerify: {skip}}}\n",
            a.address()
        )
    };
    let (weir, address) = weir(&rules(true));
    says(weir.setup(), &["server", "list"], ", up for ");
    assert_eq!(node(&get(address)), "a");
    weir.setup().write("rules/app.yml", &rules(false));
    weir.logged("the server is down: TLS:");
}
