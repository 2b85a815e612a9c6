//! Servers that fail, all of them or again and again: what is tried, held and answered then.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;
use xtask::backend::Backend;

use super::{QUICK, app, backend, get, node, says, setup, weir};
use crate::support::client::Connection;
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, free_port};

fn dead() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

#[test]
fn a_server_that_starts_again_is_a_delay_and_not_an_error() {
    let (a, b) = (dead(), dead());
    let (_weir, address) = weir(&app(&[a, b], ", holdTime: 60s"));
    let clients: Vec<_> = (0..40)
        .map(|_| thread::spawn(move || node(&get(address))))
        .collect();
    eventually("they are held", || {
        clients
            .iter()
            .all(|client| !client.is_finished())
            .then_some(())
    });
    let mut post = Connection::open(address);
    post.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    let _b = Backend::plain("b", b).expect("the address");
    for client in clients {
        assert_eq!(client.join().expect("an answer"), "b");
    }
    assert_eq!(
        node(&post.response()),
        "b",
        "nothing of it has gone anywhere"
    );
}

#[test]
fn who_is_held_too_long_gets_the_operators_page() {
    let page = "{dir}/unavailable.html";
    let more = format!(", holdTime: 300ms, unavailablePage: '{page}'");
    let (setup, address) = setup("");
    setup.write("unavailable.html", "<h1>We are back soon</h1>");
    setup.write("rules/app.yml", &app(&[dead()], &more));
    let weir = setup.start().listening(address);
    let answer = get(address);
    let field = |name| answer.field(name);
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (503, "<h1>We are back soon</h1>")
    );
    assert_eq!(field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(field("x-weir-reason"), Some("no_server"));
    let (code, said) = super::command(weir.setup(), &["server", "list"]);
    assert!(
        code == Some(0) && said.contains("it cannot be connected to"),
        "{said}"
    );
}

#[test]
fn with_all_servers_down_the_answer_is_503_or_the_operators_page_without_any_hold_time() {
    let quick = format!(", healthCheck: {{path: /, {QUICK}}}");
    let (weir, address) = weir(&app(&[dead(), dead()], &quick));
    says(weir.setup(), &["server", "list"], ", down ");
    let answer = eventually("both are known to be down", || {
        Some(get(address)).filter(|answer| answer.status == 503)
    });
    assert_eq!(answer.field("x-weir-reason"), Some("no_server"));
    // Without a check the first that cannot connect gets the page, and whoever posts, too.
    let (setup, address) = setup("");
    setup.write("unavailable.html", "back soon");
    let page = ", unavailablePage: '{dir}/unavailable.html'";
    setup.write("rules/app.yml", &app(&[dead(), dead()], page));
    let _weir = setup.start().listening(address);
    let answer = get(address);
    assert_eq!((answer.status, &*answer.text()), (503, "back soon"));
    let mut post = Connection::open(address);
    post.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(post.response().status, 503);
    // One server that cannot be reached and nobody checks is a bad gateway, as ever.
    let (_weir, address) = super::weir(&app(&[dead()], ""));
    assert_eq!(get(address).field("x-weir-reason"), Some("connect_refused"));
}

#[test]
fn a_page_that_is_missing_is_told_and_does_not_cost_its_service() {
    let a = backend("a");
    let more = ", unavailablePage: /nonexistent.html";
    let (setup, address) = setup(&app(&[a.address()], more));
    let weir = setup.start().listening(address);
    weir.logged("unavailablePage /nonexistent.html: No such file");
    weir.logged("unavailablePage of service app");
    assert_eq!(node(&get(address)), "a");
}

/// A server that answers each request like this.
fn answering(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let counted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&counted);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let count = Arc::clone(&count);
            let serve = move |mut stream: TcpStream| {
                let mut head = [0; 4096];
                while stream.read(&mut head).is_ok_and(|read| read > 0) {
                    count.fetch_add(1, Ordering::SeqCst);
                    if answer.is_empty() || stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            };
            let stream = stream.expect("a connection");
            thread::spawn(move || serve(stream));
        }
    });
    (address, counted)
}

#[test]
fn who_has_been_sent_to_a_server_is_not_held_and_sent_again() {
    let (one, asked) = answering("");
    let (_weir, address) = weir(&app(&[one], ", holdTime: 60s"));
    assert_eq!(get(address).field("x-weir-reason"), Some("server_closed"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // One that is down beside it does not make it an outage either.
    let (other, asked) = answering("");
    let (_weir, address) = super::weir(&app(&[other, dead()], ", holdTime: 60s"));
    (0..20).for_each(|_| assert_eq!(get(address).status, 502));
    let asked = asked.load(Ordering::SeqCst);
    assert!((1..=40).contains(&asked), "{asked} for 20 requests");
}

#[test]
fn failures_in_a_row_take_a_server_out_for_all_workers_and_status_says_so() {
    let a = backend("a");
    let (sick, asked) = answering("HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n");
    let more = ", passiveHealthCheck: {maxFailedAttempts: 3, failureWindow: 60s}";
    let (weir, address) = weir(&app(&[sick, a.address()], more));
    let mut connection = Connection::open(address);
    let statuses = (0..40).map(|_| connection.get("a.example", "/").status);
    assert_eq!(statuses.filter(|status| *status == 500).count(), 3);
    // The other worker has heard of it.
    (0..40).for_each(|_| assert_eq!(node(&get(address)), "a"));
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    says(
        weir.setup(),
        &["status"],
        &format!("out   http://{sick} of app@file"),
    );
    says(
        weir.setup(),
        &["server", "list"],
        "too many requests in a row failed there",
    );
}

#[test]
fn servers_that_reset_everything_are_not_asked_three_times_for_each_request() {
    let ((a, asked_a), (b, asked_b)) = (answering(""), answering(""));
    let (weir, address) = weir(&app(&[a, b], ""));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                (0..1_500).for_each(|_| assert_eq!(get(address).status, 502));
            })
        })
        .collect();
    clients
        .into_iter()
        .for_each(|client| client.join().expect("answers"));
    let asked = asked_a.load(Ordering::SeqCst) + asked_b.load(Ordering::SeqCst);
    // A fifth of them, what two workers had kept, and ten a second.
    assert!(
        (6_000..12_000).contains(&asked),
        "{asked} for 6000 requests"
    );
    says(weir.setup(), &["status"], "retry_budget");
}

#[test]
fn of_many_that_are_down_the_one_that_serves_is_found() {
    let a = backend("a");
    let mut servers: Vec<SocketAddr> = (0..7).map(|_| dead()).collect();
    servers.insert(3, a.address());
    // The check is wrong: it holds all to be down, also the one that is not.
    let check = format!(", healthCheck: {{path: /, status: 418, {}}}", super::QUICK);
    let (weir, address) = weir(&app(&servers, &check));
    weir.logged("it answered with status 200 instead of 418");
    eventually("all are down", || {
        (weir.log().matches("the server is down").count() == 8).then_some(())
    });
    let begun = Instant::now();
    let failed = (0..40).filter(|_| get(address).status != 200).count();
    // Each that fails has met three more, of which nothing is tried again for 2 s.
    let times = 1 + begun.elapsed().as_secs() as usize / 2;
    assert!(failed <= 3 * times, "{failed} in {times} times 2 s");
}

/// With so long a grace time.
fn stopping(rules: &str, grace: &str) -> (Weir, SocketAddr) {
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let settings = super::static_file(address).replacen(
        "\nproviders",
        &format!("\n    transport: {{lifeCycle: {{graceTimeOut: {grace}}}}}\nproviders"),
        1,
    );
    let setup = Setup::new(&settings).rules("app.yml", rules);
    (setup.start().listening(address), address)
}

#[test]
fn who_is_held_when_weir_stops_is_served_if_a_server_comes() {
    let a = dead();
    let (weir, address) = stopping(&app(&[a], ", holdTime: 60s"), "60s");
    let mut held = Connection::open(address);
    held.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    says(
        weir.setup(),
        &["server", "list"],
        "it cannot be connected to",
    );
    weir.signal(Signal::SIGTERM);
    weir.logged("weir stops");
    let _a = Backend::plain("a", a).expect("the address");
    assert_eq!(node(&held.response()), "a");
    let (status, _) = weir.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn who_still_waits_when_the_grace_time_is_over_is_told_so() {
    let busy = answering_late();
    let rules = app(&[dead()], ", holdTime: 60s").replace(
        "  services:",
        &format!(
            "    full: {{rule: PathPrefix(`/full`), service: full}}\n  services:\n    full:\n      loadBalancer:\n        \
             servers: [{{url: 'http://{busy}', maxConnections: 1}}]\n        queue: {{timeout: 60s}}"
        ),
    );
    let (weir, address) = stopping(&rules, "1s");
    let ask = |path: &str| {
        let mut connection = Connection::open(address);
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        connection
    };
    let (mut held, _busy) = (ask("/"), ask("/full"));
    says(weir.setup(), &["server", "list", "full"], "1 in flight");
    says(
        weir.setup(),
        &["server", "list", "app"],
        "it cannot be connected to",
    );
    let before = weir.descriptors();
    let mut queued = ask("/full");
    eventually("it has come", || {
        (weir.descriptors() > before).then_some(())
    });
    weir.signal(Signal::SIGTERM);
    for (connection, reason) in [(&mut held, "no_server"), (&mut queued, "queue_timeout")] {
        let answer = connection.response();
        assert_eq!(
            (answer.status, answer.field("x-weir-reason")),
            (503, Some(reason))
        );
    }
    let (status, _) = weir.wait();
    assert!(status.success(), "{status}");
}

/// A server that reads and never answers.
fn answering_late() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let held: Vec<_> = listener.incoming().collect();
        drop(held);
    });
    address
}
