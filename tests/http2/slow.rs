//! Streams that wait: for a slow link, which is nobody's fault, and for a window that its client keeps closed.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::abuse::{WHOLE, get, stream};
use super::before;
use super::frames::*;
use crate::http1::origin::{Origin, Reply};

/// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 section 6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;
/// More than a connection is given here before anybody has read it.
const LARGE: usize = 130_000;
/// Soon over, but not while this process waits for a busy machine.
const SHORT: &str = "    limits: {http2: {zeroWindowTimeout: 2s}}\n";

fn large() -> Origin {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    let reply = [head.as_bytes(), &[b'x'; LARGE]].concat();
    Origin::new(move |_| Reply::new(reply.clone()))
}

fn widen(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// Reads half a megabyte a second of what streams get, gives back what it has read, and none of them is reset.
fn reads_slowly(raw: &mut Raw) {
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        let frame = raw.read().expect("the connection goes on");
        assert!(!matches!(frame.kind, RST_STREAM | GOAWAY), "{frame:?}");
        if frame.kind != DATA {
            continue;
        }
        std::thread::sleep(Duration::from_millis(30));
        let more = frame.payload.len() as u32;
        assert!(raw.send(widen(0, more)));
        if frame.flags & END_STREAM == 0 {
            assert!(raw.send(widen(frame.stream, more)));
        }
    }
}

/// A frame of each stream takes longer than a window may stay closed, several times. What is sent `first` widens the
/// window of the connection, or not.
fn many_streams_are_read_slowly(first: &[u8]) {
    const STREAMS: usize = 200;
    let origin = large();
    let (_weir, address) = before(&format!("http://{}", origin.address()), SHORT);
    let mut raw = Raw::open(address);
    raw.receive_little();
    raw.greet();
    assert!(raw.send(first));
    for count in 0..STREAMS {
        assert!(raw.send(get(stream(count), WHOLE)));
    }
    reads_slowly(&mut raw);
}

/// All that a client allows is on its way.
#[test]
fn streams_that_wait_for_a_slow_link_have_not_closed_their_windows() {
    many_streams_are_read_slowly(&widen(0, 0x7fff_0000));
}

/// The client gives the connection no more than one stream takes: they wait in line for that.
#[test]
fn streams_that_wait_for_the_window_of_the_connection_have_not_closed_theirs() {
    many_streams_are_read_slowly(&[]);
}

/// What a client takes of one stream does not keep others whose windows it holds closed.
#[test]
fn a_busy_stream_holds_no_windows_open_that_are_closed() {
    let origin = large();
    let (_weir, address) = before(&format!("http://{}", origin.address()), SHORT);
    let mut raw = Raw::open(address);
    raw.receive_little();
    raw.greet_with(&[(INITIAL_WINDOW_SIZE, 0)]);
    assert!(raw.send(get(1, WHOLE)));
    assert!(raw.send(get(3, WHOLE)));
    raw.patience(Duration::from_millis(50));
    // 20 KB/s of the first.
    let mut taken = 0;
    let reset = loop {
        assert!(raw.send(widen(1, 1_000)));
        let frame = raw.read_until(|frame| frame.stream == 3 && frame.kind == RST_STREAM);
        if frame.is_some() || taken > 120_000 {
            break frame;
        }
        assert!(raw.silent, "the connection goes on");
        taken += 1_000;
    };
    assert_eq!(reset.map(|frame| frame.code()), Some(ENHANCE_YOUR_CALM));
}

/// A server is trusted more than a client: its window may stay closed for longer.
#[test]
fn a_server_may_take_its_time() {
    /// What a server takes without being asked, and more than that.
    const FIRST: usize = 65_535;
    const REST: usize = 5_000;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("h2c://{}", listener.local_addr().expect("bound"));
    let (_weir, address) = before(&url, SHORT);
    let mut client = Raw::open(address);
    client.greet();
    let head = frame(HEADERS, END_HEADERS, 1, &request("POST", &[]));
    assert!(client.send(head));
    for piece in [b'x'; FIRST + REST].chunks(10_000) {
        assert!(client.send(frame(DATA, 0, 1, piece)));
    }
    let mut server = Raw::accept(&listener);
    assert!(server.send(widen(0, 1 << 20)));
    server.patience(Duration::from_secs(4));
    assert_eq!(body_of(&mut server), FIRST);
    assert!(server.send(widen(1, 1 << 20)));
    assert_eq!(body_of(&mut server), REST);
    let head = block(&[(":status", "200")]);
    assert!(server.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)));
    let answer = client.read_until(|frame| frame.kind == HEADERS);
    assert!(answer.is_some(), "the response arrives");
}

/// How many bytes of bodies come until nothing does any more.
fn body_of(raw: &mut Raw) -> usize {
    let mut bytes = 0;
    while let Some(frame) = raw.read() {
        assert!(!matches!(frame.kind, RST_STREAM | GOAWAY), "{frame:?}");
        if frame.kind == DATA {
            bytes += frame.payload.len();
        }
    }
    assert!(raw.silent, "the connection goes on");
    bytes
}
