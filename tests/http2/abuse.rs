//! The eleven shapes of abuse, each by a client of raw frames: it is told ENHANCE_YOUR_CALM and cut, or its streams
//! are; the process keeps its size, and somebody else is served all the while.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use weir::limits::HTTP2_MADE_RESETS_LIFE;

use super::before;
use super::frames::*;
use crate::http1::origin::{Origin, Reply};
use crate::support::client::Connection;
use crate::support::weir::Weir;

/// Frames that one flood sends at most; far above every limit.
const MOST: usize = 100_000;
/// What a flood may cost the process, in KiB.
const GROWTH: u64 = 40 << 20;

struct Stage {
    weir: Weir,
    address: SocketAddr,
    innocent: Connection,
    _origin: Origin,
}

impl Stage {
    fn new() -> Self {
        let origin = Origin::new(|head| match head.contains("/large") {
            true => Reply::new(
                [
                    &b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"[..],
                    &[b'x'; 1_000_000],
                ]
                .concat(),
            ),
            false => Reply::ok("hello"),
        });
        let (weir, address) = before(&format!("http://{}", origin.address()), "");
        let mut innocent = Connection::open(address);
        assert_eq!(innocent.get("a.example", "/").status, 200);
        Self {
            weir,
            address,
            innocent,
            _origin: origin,
        }
    }

    /// Sends what `flood` makes until weir has had enough, and checks that it has, calls it `shape`, and that nobody
    /// else has noticed.
    fn stops(mut self, shape: &str, mut flood: impl FnMut(usize) -> Vec<u8>) {
        let before = self.weir.resident();
        let mut raw = Raw::open(self.address);
        raw.greet();
        for count in 0..MOST {
            if !raw.send(flood(count)) {
                break;
            }
            if count % 1_000 == 0 {
                assert_eq!(self.innocent.get("a.example", "/").status, 200);
            }
        }
        let goodbye = raw.read_until(|frame| frame.kind == GOAWAY);
        assert_eq!(
            goodbye.map(|frame| frame.code()),
            Some(ENHANCE_YOUR_CALM),
            "{shape}"
        );
        self.weir.logged(&format!("shape=\"{shape}\""));
        assert_eq!(self.innocent.get("a.example", "/").status, 200);
        let grown = self.weir.resident().saturating_sub(before);
        assert!(grown < GROWTH, "{shape}: {grown} bytes");
    }
}

pub(super) fn stream(count: usize) -> u32 {
    2 * count as u32 + 1
}

pub(super) fn get(stream: u32, flags: u8) -> Vec<u8> {
    frame(HEADERS, flags, stream, &request("GET", &[]))
}

pub(super) const WHOLE: u8 = END_STREAM | END_HEADERS;

#[test]
fn rapid_reset() {
    Stage::new().stops("rapid_reset", |count| {
        let reset = frame(RST_STREAM, 0, stream(count), &8u32.to_be_bytes());
        [get(stream(count), WHOLE), reset].concat()
    });
}

#[test]
fn what_is_reset_as_soon_as_it_is_asked_for_reaches_no_server() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let origin = Origin::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Reply::ok("hello")
    });
    let (_weir, address) = before(&format!("http://{}", origin.address()), "");
    let mut raw = Raw::open(address);
    raw.greet();
    let resets = (0..100).flat_map(|count| {
        let reset = frame(RST_STREAM, 0, stream(count), &8u32.to_be_bytes());
        [get(stream(count), WHOLE), reset].concat()
    });
    raw.send(resets.collect::<Vec<u8>>());
    raw.send(get(stream(100), WHOLE));
    let answer = raw.read_until(|frame| frame.kind == DATA);
    assert_eq!(answer.map(|frame| frame.stream), Some(stream(100)));
    // The network may have cut the bytes between a request and its reset.
    let asked = asked.load(Ordering::Relaxed);
    assert!((1..5).contains(&asked), "{asked} requests");
}

#[test]
fn made_you_reset() {
    Stage::new().stops("made_you_reset", |count| {
        let most = 0x7fff_ffff_u32.to_be_bytes();
        let widen = frame(WINDOW_UPDATE, 0, stream(count), &most);
        [get(stream(count), END_HEADERS), widen].concat()
    });
}

#[test]
fn continuations_with_content() {
    Stage::new().stops("continuation", |count| match count {
        0 => get(1, END_STREAM),
        _ => frame(CONTINUATION, 0, 1, &block(&[("x", "y")])),
    });
}

#[test]
fn continuations_without() {
    Stage::new().stops("empty_continuation", |count| match count {
        0 => get(1, END_STREAM),
        _ => frame(CONTINUATION, 0, 1, b""),
    });
}

#[test]
fn settings() {
    Stage::new().stops("settings", |_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]));
}

#[test]
fn pings() {
    Stage::new().stops("ping", |_| frame(PING, 0, 0, &[0; 8]));
}

#[test]
fn priorities() {
    Stage::new().stops("priority", |count| {
        frame(PRIORITY, 0, stream(count), &[0, 0, 0, 0, 9])
    });
}

#[test]
fn empty_data() {
    Stage::new().stops("empty_data", |count| match count {
        0 => frame(HEADERS, END_HEADERS, 1, &request("POST", &[])),
        _ => frame(DATA, 0, 1, b""),
    });
}

#[test]
fn header_bombs() {
    let stage = Stage::new();
    let before = stage.weir.resident();
    let mut raw = Raw::open(stage.address);
    raw.greet();
    // One field of 4,000 bytes in the table, then 16,000 references to it: 64 MB.
    let mut bomb = request("GET", &[]);
    bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend([b'y'; 4_000]);
    bomb.extend([0xbe; 12_000]);
    let mut told = None;
    for count in 0..50 {
        if !raw.send(frame(HEADERS, WHOLE, stream(count), &bomb)) {
            break;
        }
    }
    while let Some(frame) = raw.read() {
        if frame.kind == GOAWAY {
            told = Some(frame.code());
        }
    }
    assert_eq!(told, Some(ENHANCE_YOUR_CALM));
    stage.weir.logged("shape=\"header_bomb\"");
    let grown = stage.weir.resident().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes");
}

#[test]
fn half_a_header_block() {
    let mut stage = Stage::new();
    let mut raw = Raw::open(stage.address);
    raw.greet();
    raw.send(get(1, END_STREAM));
    let goodbye = raw.read_until(|frame| frame.kind == GOAWAY);
    assert_eq!(goodbye.map(|frame| frame.code()), Some(ENHANCE_YOUR_CALM));
    stage.weir.logged("shape=\"unfinished_frame\"");
    assert_eq!(stage.innocent.get("a.example", "/").status, 200);
}

#[test]
fn windows_that_stay_closed() {
    const STREAMS: usize = 40;
    let mut stage = Stage::new();
    let before = stage.weir.resident();
    let mut raw = Raw::open(stage.address);
    raw.greet_with(&[(4, 0)]);
    for count in 0..STREAMS {
        let large = block(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/large"),
            (":authority", "a.example"),
        ]);
        raw.send(frame(HEADERS, WHOLE, stream(count), &large));
    }
    raw.patience(Duration::from_secs(90));
    let goodbye = raw.read_until(|frame| frame.kind == GOAWAY);
    assert_eq!(goodbye.map(|frame| frame.code()), Some(ENHANCE_YOUR_CALM));
    stage.weir.logged("shape=\"zero_window\"");
    assert_eq!(stage.innocent.get("a.example", "/").status, 200);
    let grown = stage.weir.resident().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes");
}

/// As many as `limits.http2` says in place of the usual, and one more.
#[test]
fn a_rate_that_is_set() {
    let origin = Origin::new(|_| Reply::ok("hello"));
    let settings = "    limits: {http2: {pings: {burst: 10, perSecond: 1}}}\n";
    let (weir, address) = before(&format!("http://{}", origin.address()), settings);
    let answered = |count: usize| {
        let mut raw = Raw::open(address);
        raw.greet();
        assert!(raw.send(frame(PING, 0, 0, &[0; 8]).repeat(count)));
        raw.send(get(1, WHOLE));
        let end = raw.read_until(|frame| frame.kind == GOAWAY || frame.kind == DATA);
        end.map(|frame| frame.kind)
    };
    assert_eq!(answered(10), Some(DATA));
    assert_eq!(answered(11), Some(GOAWAY));
    weir.logged("shape=\"ping\"");
}

/// What adds up over a connection's life, however slowly.
#[test]
fn resets_of_a_whole_life() {
    const HALF: usize = HTTP2_MADE_RESETS_LIFE / 2;
    let origin = Origin::new(|_| Reply::ok("hello"));
    let settings =
        format!("    limits: {{http2: {{madeResets: {{burst: {HALF}, perSecond: 1000000}}}}}}\n");
    let (_weir, address) = before(&format!("http://{}", origin.address()), &settings);
    let mut raw = Raw::open(address);
    raw.greet();
    let mut made = 0;
    let mut make = |raw: &mut Raw, count: usize| {
        for _ in 0..count {
            let most = 0x7fff_ffff_u32.to_be_bytes();
            raw.send(get(stream(made), END_HEADERS));
            raw.send(frame(WINDOW_UPDATE, 0, stream(made), &most));
            made += 1;
        }
        raw.send(frame(PING, 0, 0, &[0; 8]));
        let end = raw.read_until(|frame| frame.kind == PING || frame.kind == GOAWAY);
        end.map(|frame| frame.kind)
    };
    assert_eq!(make(&mut raw, HALF), Some(PING));
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(make(&mut raw, HALF), Some(PING));
    assert_eq!(make(&mut raw, 1), Some(GOAWAY));
}

#[test]
fn windows_that_stay_closed_for_a_time_that_is_set() {
    let origin = Origin::new(|_| Reply::ok("hello"));
    let settings =
        "    limits: {http2: {zeroWindows: {burst: 3, perSecond: 1}, zeroWindowTimeout: 2s}}\n";
    let (weir, address) = before(&format!("http://{}", origin.address()), settings);
    let asked = |count: usize| {
        let mut raw = Raw::open(address);
        raw.greet_with(&[(4, 0)]);
        let streams: Vec<u8> = (0..count)
            .flat_map(|count| get(stream(count), WHOLE))
            .collect();
        assert!(raw.send(streams));
        raw
    };
    // In time.
    let mut raw = asked(1);
    raw.read_until(|frame| frame.kind == HEADERS)
        .expect("a head");
    std::thread::sleep(Duration::from_millis(500));
    assert!(raw.send(frame(WINDOW_UPDATE, 0, 1, &5u32.to_be_bytes())));
    let data = raw.read_until(|frame| frame.kind == DATA || frame.kind == RST_STREAM);
    assert_eq!(data.map(|frame| frame.payload), Some(b"hello".to_vec()));
    // Too late, and not yet too often.
    let mut raw = asked(3);
    for _ in 0..3 {
        let reset = raw.read_until(|frame| frame.kind == RST_STREAM);
        assert_eq!(reset.map(|frame| frame.code()), Some(ENHANCE_YOUR_CALM));
    }
    assert!(raw.send(frame(PING, 0, 0, &[0; 8])));
    assert!(raw.read_until(|frame| frame.kind == PING).is_some());
    let mut raw = asked(8);
    let goodbye = raw.read_until(|frame| frame.kind == GOAWAY);
    assert_eq!(goodbye.map(|frame| frame.code()), Some(ENHANCE_YOUR_CALM));
    weir.logged("shape=\"zero_window\"");
}

/// The `h2` crate counts small DATA frames until they are read, and all that one receive brings before that.
#[test]
fn small_data_that_comes_at_once_is_no_abuse() {
    let mut stage = Stage::new();
    let idle = |_| {
        let mut raw = Raw::open(stage.address);
        raw.greet();
        raw
    };
    // So many take most of the workers' windows.
    let idle: Vec<Raw> = (0..100).map(idle).collect();
    for (frames, length) in [(200, 50), (3_000, 10)] {
        let mut raw = Raw::open(stage.address);
        raw.greet();
        let piece = vec![b'x'; length];
        let data = |count: usize| frame(DATA, u8::from(count + 1 == frames), 1, &piece);
        let post = frame(HEADERS, END_HEADERS, 1, &request("POST", &[]));
        let all = [post, (0..frames).flat_map(data).collect()].concat();
        assert!(raw.send(all));
        let answer = raw.read_until(|frame| matches!(frame.kind, HEADERS | GOAWAY | RST_STREAM));
        assert_eq!(answer.map(|frame| frame.kind), Some(HEADERS), "{frames}");
    }
    drop(idle);
    assert_eq!(stage.innocent.get("a.example", "/").status, 200);
}
