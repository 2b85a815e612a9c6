//! Clients that stop: in a head, in a TLS handshake, in the middle of reading a response. They cost themselves.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use xtask::backend::Backend;
use xtask::process;

use crate::support::client::{Connection, percentiles};
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, eventually_within, free_port};

/// Connections of each kind of stalled client.
const STALLED: usize = 1000;
/// Clients that ask for much and read nothing.
const UNREAD: usize = 256;
/// What each of them asks for.
const UNREAD_BYTES: u64 = 64 << 20;
/// Requests measured beside them.
const REQUESTS: usize = 2000;

fn proxy(backend: &Backend) -> (Weir, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n\
         runtimeDir: \"{{dir}}/run\"\nworkers: 1\nlog:\n  level: WARN\n"
    ));
    let rules = format!(
        "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: a\n  services:\n    a:\n      \
         loadBalancer:\n        servers:\n          - url: http://{}\n",
        backend.address()
    );
    (
        setup.rules("rules.yml", &rules).start().listening(address),
        address,
    )
}

fn backend() -> Backend {
    Backend::plain("a", SocketAddr::from(([127, 0, 0, 1], 0))).expect("a backend")
}

#[test]
fn clients_that_stall_in_a_head_or_a_handshake_are_closed_and_their_descriptors_return() {
    let server = backend();
    let (weir, address) = proxy(&server);
    assert_eq!(Connection::open(address).get("a", "/").status, 200);
    let before = weir.descriptors();
    let begun = |bytes: &'static [u8]| {
        let mut stream = TcpStream::connect(address).expect("connect");
        stream.write_all(bytes).expect("send");
        stream
    };
    // A ClientHello record of 512 bytes of which five have come.
    let kinds: [&[u8]; 3] = [
        b"",
        b"GET / HTTP/1.1\r\nHo",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03",
    ];
    let stalled: Vec<_> = (0..STALLED)
        .map(|at| begun(kinds[at % kinds.len()]))
        .collect();
    eventually("all are accepted", || {
        (weir.descriptors() >= STALLED).then_some(())
    });
    assert_eq!(
        Connection::open(address).get("a", "/").status,
        200,
        "others are served meanwhile"
    );
    let limit = Duration::from_secs(30);
    eventually_within(limit, "their descriptors return", || {
        (weir.descriptors() <= before + 2).then_some(())
    });
    drop(stalled);
}

#[test]
fn readers_that_never_read_do_not_slow_down_others() {
    let server = backend();
    let (weir, address) = proxy(&server);
    let alone = percentiles(address, REQUESTS);
    let unread: Vec<_> = (0..UNREAD)
        .map(|_| {
            let mut reader = Connection::open(address);
            reader.send(format!(
                "GET /bytes/{UNREAD_BYTES} HTTP/1.1\r\nHost: a\r\n\r\n"
            ));
            reader
        })
        .collect();
    eventually("every request has reached the server", || {
        (server.requests() >= (REQUESTS + UNREAD) as u64).then_some(())
    });
    let filling = percentiles(address, REQUESTS);
    settle(&weir);
    let beside = percentiles(address, REQUESTS);
    println!(
        "cost: median and p99 of 1 KiB requests, alone: {alone:?}; beside {UNREAD} readers that never read: {beside:?}, \
         while the kernel's buffers for them filled: {filling:?}"
    );
    drop(unread);
    assert_eq!(Connection::open(address).get("a", "/").status, 200);
    drop(weir);
}

#[test]
fn a_body_that_takes_longer_than_a_head_may_is_no_stall() {
    let server = backend();
    let (_weir, address) = proxy(&server);
    let mut slow = Connection::open(address);
    slow.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\n");
    // Longer than the ten seconds a head may take.
    for piece in "hello, weirs!".as_bytes().chunks(1) {
        slow.send(piece);
        std::thread::sleep(Duration::from_secs(1));
    }
    let response = slow.response();
    assert_eq!(response.status, 200);
    assert!(
        response.text().contains("\"length\":13"),
        "{}",
        response.text()
    );
}

/// Waits until the kernel holds all it takes for the readers: the proxy has nothing to do.
fn settle(weir: &Weir) {
    let used = || process::processor_time(weir.pid()).expect("it runs");
    let mut last = used();
    eventually("the proxy has nothing to do", || {
        std::thread::sleep(Duration::from_millis(500));
        let before = std::mem::replace(&mut last, used());
        (last - before <= Duration::from_millis(20)).then_some(())
    });
}
