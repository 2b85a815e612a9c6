//! Under load, counted at the client: servers that are drained, killed, weighed and that flap, and a weir that is
//! started anew beside another one.
//!
//! `WEIR_LOAD_REQUESTS` says how many requests (default 20,000; 200,000 is what is promised), `WEIR_LOAD_SECONDS` how
//! long a server flaps (default 6; 60).

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use xtask::backend::Backend;
use xtask::daemon::within;
use xtask::netns::Namespace;

use super::{QUICK, app, backend, command, get, node, static_file, weir};
use crate::support::client::Connection;
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, free_port, number, require_root};

fn requests() -> u64 {
    number("WEIR_LOAD_REQUESTS", 20_000)
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("skipped: needs {program}");
    }
    found
}

/// A client program under way.
struct Client {
    child: Child,
    of: u64,
}

impl Client {
    /// h2load with these arguments, so many requests.
    fn h2load(address: SocketAddr, of: u64, arguments: &[&str]) -> Self {
        let mut command = Command::new("h2load");
        command.args(arguments).args(["-n", &of.to_string()]);
        command.arg(format!("http://{address}/"));
        Self::start(&mut command, of)
    }

    /// wrk for so many seconds.
    fn wrk(address: SocketAddr, seconds: u64, arguments: &[&str]) -> Self {
        let mut command = Command::new("wrk");
        command.args(["-t1", "--timeout", "30s", &format!("-d{seconds}s")]);
        command.args(arguments).arg(format!("http://{address}/"));
        Self::start(&mut command, 0)
    }

    fn start(command: &mut Command, of: u64) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        Self {
            child: child.expect("the client starts"),
            of,
        }
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_none()
    }

    /// Waits for its end; panics unless every request got a good answer.
    fn end(mut self) -> u64 {
        let (mut said, output) = (String::new(), self.child.stdout.take());
        let read = output.map(|mut output| output.read_to_string(&mut said));
        assert!(matches!(read, Some(Ok(_))), "{read:?}");
        let of = self.of;
        if of > 0 {
            let good = format!("{of} succeeded, 0 failed, 0 errored, 0 timeout");
            let status = format!("status codes: {of} 2xx");
            assert!(said.contains(&good) && said.contains(&status), "{said}");
            return of;
        }
        let failed = said.contains("Socket errors") || said.contains("Non-2xx");
        assert!(!failed, "{said}");
        let done = said
            .lines()
            .find_map(|line| line.trim().split_once(" requests in "))
            .and_then(|(count, _)| count.parse().ok());
        done.unwrap_or_else(|| panic!("{said}"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// HTTP/1.1 and HTTP/2 on connections that are kept, and new connections for each request.
fn load(address: SocketAddr) -> Vec<Client> {
    let half = requests() / 2;
    vec![
        Client::h2load(address, half, &["--h1", "-c16"]),
        Client::h2load(address, half, &["-c4", "-m8"]),
    ]
}

/// Does this again and again for as long as any of these runs; how often, and how many requests there were.
fn meanwhile(mut clients: Vec<Client>, mut each: impl FnMut()) -> (u64, u64) {
    let mut rounds = 0;
    while clients.iter_mut().any(Client::is_running) {
        each();
        rounds += 1;
    }
    let done = clients.into_iter().map(Client::end).sum();
    (rounds, done)
}

fn said(weir: &Weir, arguments: &[&str]) {
    let (code, text) = command(weir.setup(), arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {text}");
}

#[test]
fn a_server_is_drained_stopped_started_and_readied_and_nothing_fails() {
    if !has("h2load") || !has("wrk") {
        return;
    }
    let (a, b) = (backend("a"), backend("b"));
    let address_b = b.address();
    let check = format!(", healthCheck: {{path: /health, {QUICK}}}");
    let (weir, address) = weir(&app(&[a.address(), address_b], &check));
    let url = format!("http://{address_b}");
    let mut b = Some(b);
    let cycle = || {
        said(
            &weir,
            &["server", "drain", "app", &url, "--wait", "--timeout", "60"],
        );
        drop(b.take());
        b = Backend::plain("b", address_b).ok();
        said(&weir, &["server", "ready", "app", &url]);
    };
    let mut clients = load(address);
    clients.push(Client::wrk(address, 5, &["-c4", "-H", "Connection: close"]));
    let (rounds, done) = meanwhile(clients, cycle);
    println!("{done} requests, 0 failed, {rounds} times drained, stopped, started and readied");
    assert!(rounds > 0);
}

/// Not a test of its own: the server that others kill. They start this binary again with its address.
#[test]
#[ignore = "a server for other tests, in a process of its own"]
fn serves() {
    let Ok(address) = std::env::var("WEIR_TEST_SERVER") else {
        return;
    };
    let address: SocketAddr = address.parse().expect("an address");
    let _server = Backend::plain("b", address).expect("a server");
    // Until it is killed, or its parent has gone.
    let _ = std::io::stdin().read(&mut [0]);
}

/// That server, killed when dropped.
struct Killable(Child);

impl Killable {
    fn start(address: SocketAddr) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args([
            "--exact",
            "health::load::serves",
            "--ignored",
            "--nocapture",
        ]);
        command.env("WEIR_TEST_SERVER", address.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let server = Self(command.spawn().expect("the server starts"));
        eventually("it listens", || std::net::TcpStream::connect(address).ok());
        server
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        // SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_is_killed_and_comes_back_and_no_repeatable_request_fails() {
    if !has("h2load") || !has("wrk") {
        return;
    }
    let a = backend("a");
    let address_b = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut b = Some(Killable::start(address_b));
    let check = format!(", healthCheck: {{path: /health, {QUICK}}}");
    let (weir, address) = weir(&app(&[a.address(), address_b], &check));
    let up = |weir: &Weir| {
        let listed = command(weir.setup(), &["server", "list"]).1;
        (listed.matches(", up for").count() == 2).then_some(())
    };
    let mut slowest = Duration::ZERO;
    let kill = || {
        eventually("both are up", || up(&weir));
        let begun = Instant::now();
        drop(b.take());
        // Its check finds out, and the other one has all.
        eventually("it is out", || {
            command(weir.setup(), &["status"])
                .1
                .contains(&format!("down  http://{address_b}"))
                .then_some(())
        });
        // Two probes within 200 ms, then the status file within 500 ms; and what this machine is busy with.
        slowest = slowest.max(begun.elapsed());
        b = Some(Killable::start(address_b));
    };
    let mut clients = load(address);
    clients.push(Client::wrk(address, 5, &["-c4", "-H", "Connection: close"]));
    let (rounds, done) = meanwhile(clients, kill);
    println!("{done} requests, 0 failed, {rounds} times killed, and out within {slowest:?}");
    assert!(rounds > 0);
}

#[test]
fn weights_are_met_within_a_percent_over_all_workers_and_a_change_of_them_at_once() {
    if !has("h2load") {
        return;
    }
    let (a, b) = (backend("a"), backend("b"));
    let rules = app(&[a.address(), b.address()], "").replacen("'}", "', weight: 3}", 1);
    let (weir, address) = weir(&rules);
    let count = requests() / 2;
    let shares = |due: f64| {
        let before = (a.requests(), b.requests());
        let clients = vec![
            Client::h2load(address, count / 2, &["--h1", "-c7"]),
            Client::h2load(address, count / 2, &["-c5", "-m8"]),
        ];
        let (_, done) = meanwhile(clients, thread::yield_now);
        let now = (a.requests() - before.0, b.requests() - before.1);
        assert_eq!(now.0 + now.1, done);
        let share = now.0 as f64 / done as f64;
        println!("{} to {} of {done}: {:.3} %", now.0, now.1, 100.0 * share);
        assert!(
            (share - due).abs() <= 0.01 * due,
            "{share} instead of {due}"
        );
    };
    shares(0.75);
    let url = format!("http://{}", a.address());
    said(&weir, &["service", "weight", "app", &url, "1"]);
    // From the end of the command on.
    shares(0.5);
}

/// The processor time of a process's threads whose names do not begin with this, in clock ticks.
fn ticks_beside(pid: u32, prefix: &str) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let stats = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let ticks = stats.filter_map(|stat| {
        let (name, fields) = stat.rsplit_once(") ")?;
        let name = name.split_once('(')?.1;
        let fields: Vec<&str> = fields.split(' ').collect();
        let time = |index: usize| fields.get(index)?.parse::<u64>().ok();
        (!name.starts_with(prefix)).then_some(time(11)? + time(12)?)
    });
    ticks.sum()
}

/// A server whose health changes every 200 ms: probes every 100 ms see each change, and are what it costs. Whoever asks
/// for anything else gets an answer.
fn flapping() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let begun = Instant::now();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.expect("a connection");
                let mut head = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut head) {
                    let asks_health = head[..read].starts_with(b"GET /health");
                    let sick = begun.elapsed().as_millis() / 200 % 2 == 1;
                    let status = if asks_health && sick {
                        "503 No"
                    } else {
                        "200 OK"
                    };
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_server_that_flaps_costs_no_reloads_and_leaks_nothing() {
    if !has("wrk") {
        return;
    }
    let a = backend("a");
    let check = ", healthCheck: {path: /health, interval: 100ms, timeout: 2s, rise: 1, fall: 1}";
    let (weir, address) = weir(&app(&[a.address(), flapping()], check));
    weir.logged("the server is down");
    let before = (weir.descriptors(), ticks_beside(weir.pid(), "worker-"));
    let seconds = number("WEIR_LOAD_SECONDS", 6);
    let begun = Instant::now();
    let done = Client::wrk(address, seconds, &["-c4"]).end();
    let took = begun.elapsed().as_secs_f64();
    let ticks = ticks_beside(weir.pid(), "worker-") - before.1;
    let share = ticks as f64 / took; // A tick is a hundredth of a second, and so a percent of one.
    let flaps = weir.log().matches("the server is up again").count();
    println!("{done} requests, 0 failed, {flaps} flaps, control plane {share:.2} % of a processor");
    assert!(flaps as u64 >= seconds, "{flaps}");
    assert!(!weir.log().contains("generation=2"), "{}", weir.log());
    eventually("descriptors are given back", || {
        (weir.descriptors() <= before.0 + 8).then_some(())
    });
    if seconds >= 60 {
        assert!(share < 2.0, "{share} %");
    }
}

#[test]
fn steered_servers_that_flap_have_the_rings_built_twice_a_second_at_most() {
    let begun = Instant::now();
    let (weir, _) = weir(&format!(
        "tcp:\n  routers:\n    t: {{rule: \"ClientIP(`127.0.0.0/8`)\", service: t, steer: true}}\n  services:\n    \
         t:\n      loadBalancer:\n        servers: [{{address: '{}'}}, {{address: '{}'}}]\n        \
         healthCheck: {{send: GET /health, expect: HTTP/1.1 200, interval: 50ms, timeout: 2s, rise: 1, fall: 1}}\n",
        flapping(),
        flapping()
    ));
    eventually("they flap", || {
        (weir.log().matches("the server is up again").count() >= 16).then_some(())
    });
    let loads = weir.log().matches("rules in force").count();
    let most = 2 + begun.elapsed().as_millis() as usize / 500;
    assert!((2..=most).contains(&loads), "{loads} of at most {most}");
}

#[test]
fn a_sticky_user_stays_through_reload_drain_and_death_of_the_other_server() {
    let (a, b) = (backend("a"), backend("b"));
    let check =
        format!(", sticky: {{cookie: {{name: s}}}}, healthCheck: {{path: /health, {QUICK}}}");
    let (weir, address) = weir(&app(&[a.address(), b.address()], &check));
    let answer = get(address);
    let home = node(&answer);
    let cookie = answer.field("set-cookie").expect("a cookie");
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let stays = || {
        let mut connection = Connection::open(address);
        for _ in 0..20 {
            connection.send(format!(
                "GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n"
            ));
            let answer = connection.response();
            assert_eq!(node(&answer), home);
            assert_eq!(answer.field("set-cookie"), None, "it has one");
        }
    };
    stays();
    weir.setup().write(
        "rules/more.yml",
        "http: {middlewares: {x: {stripPrefix: {prefixes: [/x]}}}}\n",
    );
    said(&weir, &["reload"]);
    stays();
    let other = if home == "a" {
        b.address()
    } else {
        a.address()
    };
    let url = format!("http://{other}");
    said(&weir, &["server", "drain", "app", &url]);
    stays();
    said(&weir, &["server", "ready", "app", &url]);
    drop(if home == "a" { b } else { a });
    stays();
    weir.logged("the server is down");
    stays();
}

/// Two that share a port, one of which is stopped and started again and again.
#[test]
fn one_of_two_that_share_a_port_is_started_anew_and_nothing_fails() {
    if !require_root("network namespaces") || !has("wrk") {
        return;
    }
    let namespace = Namespace::create("pair").expect("a namespace");
    namespace
        .ip(&["link", "set", "lo", "up"])
        .expect("loopback");
    namespace
        .sysctl("net/ipv4/tcp_migrate_req", "1")
        .expect("the kernel migrates requests");
    let address = SocketAddr::from(([127, 0, 0, 1], 8080));
    let a = within(Some(&namespace), || backend("a"));
    let start = || {
        let rules = app(&[a.address()], "");
        let setup = Setup::new(&static_file(address)).rules("app.yml", &rules);
        setup.within(&namespace).start()
    };
    let first = start().listening(address);
    let mut second = Some(start());
    let serves = |weir: &Weir| weir.logged("weir serves");
    serves(second.as_ref().expect("it runs"));
    let seconds = number("WEIR_LOAD_SECONDS", 6);
    let clients = within(Some(&namespace), || {
        vec![
            Client::wrk(address, seconds, &["-c16"]),
            Client::wrk(address, seconds, &["-c4", "-H", "Connection: close"]),
        ]
    });
    let restart = || {
        let weir = second.take().expect("it runs");
        weir.signal(Signal::SIGTERM);
        let (status, setup) = weir.wait();
        assert!(status.success(), "{status}");
        let again = setup.start();
        serves(&again);
        second = Some(again);
    };
    let (rounds, done) = meanwhile(clients, restart);
    println!("{done} requests, 0 failed, {rounds} restarts");
    drop(first);
}
