//! Servers that have as many requests as they may, and the lines before them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

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

/// So many clients at the same moment; the answers' status and reason, and how long each took.
fn crowd(address: SocketAddr, clients: usize, path: &'static str) -> Vec<(u16, String, Duration)> {
    let gate = Arc::new(Barrier::new(clients));
    let client = |_| {
        let gate = Arc::clone(&gate);
        thread::spawn(move || {
            let mut connection = Connection::open(address);
            gate.wait();
            let begun = Instant::now();
            let answer = connection.get("a.example", path);
            let reason = answer.field("x-weir-reason").unwrap_or_default().to_owned();
            (answer.status, reason, begun.elapsed())
        })
    };
    let clients: Vec<_> = (0..clients).map(client).collect();
    let answers = clients
        .into_iter()
        .map(|client| client.join().expect("an answer"));
    answers.collect()
}

#[test]
fn no_server_gets_more_than_it_may_and_nobody_is_lost() {
    let (a, b) = (backend("a"), backend("b"));
    let rules = rules(&[(a.address(), 2), (b.address(), 3)], "{timeout: 60s}");
    let (weir, address) = weir(&rules);
    let most = Arc::new(AtomicUsize::new(0));
    let watch = {
        let (most, a, setup) = (Arc::clone(&most), a.address().to_string(), weir.setup());
        let listed = command(setup, &["server", "list", "app"]).1;
        assert!(listed.contains(&a), "{listed}");
        most
    };
    let answers = thread::scope(|scope| {
        let load = scope.spawn(|| crowd(address, 60, "/slow/50"));
        while !load.is_finished() {
            watch.fetch_max(a.connections(), Ordering::Relaxed);
            watch.fetch_max(b.connections(), Ordering::Relaxed);
            thread::yield_now();
        }
        load.join().expect("all answered")
    });
    assert!(
        answers.iter().all(|(status, ..)| *status == 200),
        "{answers:?}"
    );
    assert!(most.load(Ordering::Relaxed) <= 3, "{most:?} at a time");
    let said = command(weir.setup(), &["server", "list", "app"]).1;
    assert!(said.contains(": 0 in flight"), "{said}");
}

#[test]
fn who_finds_the_line_full_or_waits_too_long_is_told_so() {
    let a = backend("a");
    let (_weir, address) = weir(&rules(&[(a.address(), 1)], "{length: 2, timeout: 100ms}"));
    let mut reasons: Vec<(u16, String)> = crowd(address, 6, "/slow/2000")
        .into_iter()
        .map(|(status, reason, _)| (status, reason))
        .collect();
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
fn a_tcp_connection_waits_for_its_place_too() {
    let (one, _one) = banner("one", "one");
    let (weir, address) = weir(&format!(
        "tcp:\n  routers:\n    t: {{rule: \"HostSNI(`*`)\", service: t}}\n  services:\n    t:\n      \
         loadBalancer: {{servers: [{{address: '{one}', maxConnections: 1}}], queue: {{length: 1}}}}\n"
    ));
    // The server answers one connection after the other; the first says nothing yet.
    let first = std::net::TcpStream::connect(address).expect("weir");
    eventually("it is in flight", || {
        let said = command(weir.setup(), &["server", "list", "t"]).1;
        said.contains(": 1 in flight").then_some(())
    });
    let second = thread::spawn(move || super::who(address));
    drop(first);
    assert_eq!(second.join().expect("an answer"), "one");
}
