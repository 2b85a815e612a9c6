//! Servers that have as many requests as they may, and the lines before them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use super::{backend, banner, command, get, node, weir};
use crate::support::client::Connection;
use crate::support::eventually;
use crate::support::weir::Setup;

fn rules(servers: &[(SocketAddr, usize)], queue: &str) -> String {
    let servers = servers
        .iter()
        .map(|(server, most)| format!("{{url: 'http://{server}', maxConnections: {most}}}"));
    let servers = servers.collect::<Vec<_>>().join(", ");
    format!(
        "http:\n  routers:\n    app: {{rule: PathPrefix(`/`), service: app}}\n  services:\n    app:\n      \
         loadBalancer: {{servers: [{servers}], queue: {queue}}}\n"
    )
}

/// So many clients at the same moment; the answers' status and reason.
fn crowd(address: SocketAddr, clients: usize, path: &'static str) -> Vec<(u16, String)> {
    let gate = Arc::new(Barrier::new(clients));
    let client = |_| {
        let gate = Arc::clone(&gate);
        thread::spawn(move || {
            let mut connection = Connection::open(address);
            gate.wait();
            let answer = connection.get("a.example", path);
            let reason = answer.field("x-weir-reason").unwrap_or_default().to_owned();
            (answer.status, reason)
        })
    };
    let clients: Vec<_> = (0..clients).map(client).collect();
    let answers = clients
        .into_iter()
        .map(|client| client.join().expect("an answer"));
    answers.collect()
}

/// How many wait at all servers together, as an administrator sees it.
fn waiting(setup: &Setup) -> u32 {
    let said = command(setup, &["server", "list", "app"]).1;
    let lines = said
        .split(", ")
        .filter_map(|part| part.strip_suffix(" waiting"));
    lines
        .map(|number| number.parse::<u32>().expect("a number"))
        .sum()
}

/// A server that takes 20 ms for each request, and the most that it has had at one time.
fn counting() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&most);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            thread::spawn(move || {
                let mut stream = stream.expect("a connection");
                let mut head = [0; 4096];
                while stream.read(&mut head).is_ok_and(|read| read > 0) {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(20));
                    now.fetch_sub(1, Ordering::SeqCst);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                }
            });
        }
    });
    (address, counted)
}

#[test]
fn no_server_gets_more_than_it_may_and_nobody_is_lost() {
    let ((a, most_a), (b, most_b)) = (counting(), counting());
    let (weir, address) = weir(&rules(&[(a, 2), (b, 3)], "{timeout: 60s}"));
    let answers = crowd(address, 80, "/");
    assert!(
        answers.iter().all(|(status, ..)| *status == 200),
        "{answers:?}"
    );
    let most = [most_a, most_b].map(|most| most.load(Ordering::SeqCst));
    assert_eq!(most, [2, 3]);
    let said = command(weir.setup(), &["server", "list", "app"]).1;
    assert!(said.contains(": 0 in flight"), "{said}");
}

#[test]
fn who_finds_the_line_full_or_waits_too_long_is_told_so() {
    let a = backend("a");
    let (_weir, address) = weir(&rules(&[(a.address(), 1)], "{length: 2, timeout: 100ms}"));
    let mut reasons = crowd(address, 6, "/slow/2000");
    reasons.sort();
    let expected = [
        (200, ""),
        (503, "queue_full"),
        (503, "queue_full"),
        (503, "queue_full"),
        (503, "queue_timeout"),
        (503, "queue_timeout"),
    ];
    let expected = expected.map(|(status, reason)| (status, reason.to_owned()));
    assert_eq!(reasons, expected);
    // Those that gave up hold no place.
    eventually("the next one is served", || {
        (get(address).status == 200).then_some(())
    });
    (0..5).for_each(|_| assert_eq!(node(&get(address)), "a"));
}

#[test]
fn who_waits_for_a_server_that_goes_into_maintenance_goes_to_another() {
    let (a, b) = (backend("a"), backend("b"));
    let servers = [(a.address(), 1), (b.address(), 1)];
    let (weir, address) = weir(&rules(&servers, "{timeout: 60s}"));
    // One at each, and behind them some at each.
    let slow = thread::spawn(move || crowd(address, 2, "/slow/4000"));
    eventually("both are full", || {
        (a.requests() == 1 && b.requests() == 1).then_some(())
    });
    let later = thread::spawn(move || crowd(address, 8, "/"));
    eventually("all have come", || {
        (waiting(weir.setup()) == 8).then_some(())
    });
    let url = format!("http://{}", a.address());
    let (code, text) = command(weir.setup(), &["server", "maint", "app", &url]);
    assert_eq!(code, Some(0), "{text}");
    for answers in [slow, later] {
        let answers = answers.join().expect("answers");
        assert!(
            answers.iter().all(|(status, _)| *status == 200),
            "{answers:?}"
        );
    }
    assert_eq!(a.requests(), 1, "one in maintenance gets nothing");
}

#[test]
fn a_tcp_connection_waits_for_its_place_too() {
    let (one, _one) = banner("one", "one");
    let (weir, address) = weir(&format!(
        "tcp:\n  routers:\n    t: {{rule: \"HostSNI(`*`)\", service: t}}\n  services:\n    t:\n      \
         loadBalancer: {{servers: [{{address: '{one}', maxConnections: 1}}], queue: {{length: 2}}}}\n"
    ));
    // The server answers one connection after the other; the first says nothing yet. Before it there may still be the
    // one that saw weir listen.
    let first = std::net::TcpStream::connect(address).expect("weir");
    eventually("it is in flight", || {
        let said = command(weir.setup(), &["server", "list", "t"]).1;
        said.contains(": 1 in flight").then_some(())
    });
    let second = thread::spawn(move || super::who(address));
    drop(first);
    assert_eq!(second.join().expect("an answer"), "one");
}

/// A server that answers nothing until it is told to go on, and how many requests it has got.
struct Gated {
    address: SocketAddr,
    got: Arc<AtomicUsize>,
    open: Arc<AtomicBool>,
}

impl Gated {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (got, open) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (counted, opened) = (Arc::clone(&got), Arc::clone(&open));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (got, open) = (Arc::clone(&counted), Arc::clone(&opened));
                thread::spawn(move || {
                    let mut stream = stream.expect("a connection");
                    let mut head = [0; 4096];
                    while stream.read(&mut head).is_ok_and(|read| read > 0) {
                        got.fetch_add(1, Ordering::SeqCst);
                        while !open.load(Ordering::SeqCst) {
                            thread::sleep(Duration::from_millis(5));
                        }
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                    }
                });
            }
        });
        Self { address, got, open }
    }

    fn has(&self, requests: usize) {
        eventually("the server has them", || {
            (self.got.load(Ordering::SeqCst) == requests).then_some(())
        });
    }

    fn go_on(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

/// Asks, and says whether the answer is `None` as yet: the request waits in a line.
fn asks(address: SocketAddr, request: &str) -> (Connection, Option<u16>) {
    let mut connection = Connection::open(address);
    connection.send(request);
    let socket = connection.socket();
    let wait = |time| socket.set_read_timeout(Some(time)).expect("a timeout");
    wait(Duration::from_millis(700));
    let answered = socket.peek(&mut [0]).is_ok();
    wait(crate::support::DEADLINE);
    let status = answered.then(|| connection.response().status);
    (connection, status)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn who_gives_up_makes_room_in_the_line_while_the_server_is_busy() {
    let server = Gated::start();
    let (_weir, address) = weir(&rules(&[(server.address, 1)], "{length: 2, timeout: 60s}"));
    let (mut busy, _) = asks(address, GET);
    server.has(1);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    let waiting = [asks(address, GET), asks(address, post)];
    assert!(waiting.iter().all(|(_, status)| status.is_none()));
    assert_eq!(get(address).status, 503, "the line is full");
    drop(waiting);
    let mut live: Vec<Connection> = Vec::new();
    eventually("there is room for two", || {
        let (connection, status) = asks(address, GET);
        match status {
            None => live.push(connection),
            Some(status) => assert_eq!(status, 503),
        }
        (live.len() == 2).then_some(())
    });
    assert_eq!(
        server.got.load(Ordering::SeqCst),
        1,
        "it has answered nothing yet"
    );
    server.go_on();
    assert_eq!(busy.response().status, 200);
    live.iter_mut()
        .for_each(|one| assert_eq!(one.response().status, 200));
    assert_eq!(
        server.got.load(Ordering::SeqCst),
        3,
        "nobody's who has gone"
    );
}

#[test]
fn a_full_line_is_passed_over_while_another_server_has_room() {
    let (a, b) = (Gated::start(), Gated::start());
    let servers = [(a.address, 1), (b.address, 4)];
    let (weir, address) = weir(&rules(&servers, "{length: 1, timeout: 60s}"));
    // As many as both may have, and one in each line.
    let clients: Vec<_> = (0..7)
        .map(|_| thread::spawn(move || get(address).status))
        .collect();
    a.has(1);
    b.has(4);
    eventually("all have come", || {
        (waiting(weir.setup()) == 2).then_some(())
    });
    a.go_on();
    b.go_on();
    let statuses = clients
        .into_iter()
        .map(|client| client.join().expect("an answer"));
    assert_eq!(statuses.collect::<Vec<_>>(), [200; 7]);
}

#[test]
fn a_user_whose_server_has_a_full_line_is_served_by_another() {
    let (a, b) = (Gated::start(), backend("b"));
    let sticky = rules(&[(a.address, 1), (b.address(), 100)], "{length: 0}")
        .replace("queue:", "sticky: {cookie: {name: s}}, queue:");
    let (_weir, address) = weir(&sticky);
    a.go_on();
    let cookie = eventually("a user of a", || {
        let answer = get(address);
        let cookie = answer.field("set-cookie").expect("a cookie").to_owned();
        answer
            .body
            .is_empty()
            .then(|| cookie.split(';').next().unwrap_or_default().to_owned())
    });
    a.open.store(false, Ordering::SeqCst);
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n");
    let before = a.got.load(Ordering::SeqCst);
    // The place of the one before is free when weir has seen that all of its answer is sent: the client may be faster.
    let mut first = eventually("a has it", || {
        let (connection, status) = asks(address, &request);
        status.is_none().then_some(connection)
    });
    a.has(before + 1);
    let mut second = Connection::open(address);
    second.send(&request);
    assert_eq!(node(&second.response()), "b");
    a.go_on();
    assert_eq!(first.response().status, 200);
}

#[test]
fn who_waits_for_a_server_that_is_drained_goes_to_another_at_once() {
    let (a, b) = (Gated::start(), Gated::start());
    let servers = [(a.address, 1), (b.address, 1)];
    let (weir, address) = weir(&rules(&servers, "{timeout: 60s}"));
    let clients: Vec<_> = (0..8)
        .map(|_| thread::spawn(move || get(address).status))
        .collect();
    a.has(1);
    b.has(1);
    let url = format!("http://{}", a.address);
    let (code, text) = command(weir.setup(), &["server", "drain", "app", &url]);
    assert_eq!(code, Some(0), "{text}");
    b.go_on();
    // The one that a has is still there.
    b.has(7);
    assert_eq!(a.got.load(Ordering::SeqCst), 1);
    a.go_on();
    let statuses = clients
        .into_iter()
        .map(|client| client.join().expect("an answer"));
    assert_eq!(statuses.collect::<Vec<_>>(), [200; 8]);
}

/// Takes 300 ms for each connection, and says `name`.
fn slow_banner(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(300));
                let _ = stream.expect("a connection").write_all(name.as_bytes());
            });
        }
    });
    address
}

#[test]
fn a_tcp_connection_passes_a_full_line_over_too() {
    let (one, two) = (slow_banner("one"), slow_banner("two"));
    let (weir, address) = weir(&format!(
        "tcp:\n  routers:\n    t: {{rule: \"HostSNI(`*`)\", service: t}}\n  services:\n    t:\n      loadBalancer:\n        \
         queue: {{length: 1, timeout: 60s}}\n        \
         servers: [{{address: '{one}', maxConnections: 1}}, {{address: '{two}', maxConnections: 5}}]\n"
    ));
    for _ in 0..3 {
        eventually("nobody is there", || {
            let said = command(weir.setup(), &["server", "list", "t"]).1;
            (said.matches(": 0 in flight").count() == 2).then_some(())
        });
        let clients: Vec<_> = (0..8)
            .map(|_| thread::spawn(move || super::who(address)))
            .collect();
        let names = clients
            .into_iter()
            .map(|client| client.join().expect("an answer"));
        let names: Vec<String> = names.collect();
        assert!(names.iter().all(|name| !name.is_empty()), "{names:?}");
    }
}
