//! Servers that have as many requests as they may, and the lines before them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use super::{backend, banner, command, get, node, weir};
use crate::support::client::Connection;
use crate::support::eventually;

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
    let slow = thread::spawn(move || crowd(address, 2, "/slow/2000"));
    eventually("both are full", || {
        (a.requests() == 1 && b.requests() == 1).then_some(())
    });
    let before = weir.descriptors();
    let waiting = thread::spawn(move || crowd(address, 8, "/"));
    eventually("all have come", || {
        (weir.descriptors() >= before + 8).then_some(())
    });
    let url = format!("http://{}", a.address());
    let (code, text) = command(weir.setup(), &["server", "maint", "app", &url]);
    assert_eq!(code, Some(0), "{text}");
    for answers in [slow, waiting] {
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
