//! What RFC 9113 and RFC 7541 demand of a server, case by case, in the order of the public h2spec: in the clear and over
//! TLS. Each case has a connection of its own; after a case that must not end it, it still serves.

use std::net::SocketAddr;

use super::frames::*;
use super::{before, both};
use crate::http1::origin::{Origin, Reply};
use crate::support::weir::Weir;

/// What must come of a case.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The connection goes on, and serves a request on this stream.
    Serves(u32),
    /// The stream is answered, whatever the answer is.
    Answers(u32),
    /// The stream is reset with one of these, or the connection ends with GOAWAY and one of these.
    StreamError(&'static [u32]),
    /// GOAWAY with one of these, then the end.
    ConnectionError(&'static [u32]),
    /// The connection ends, whatever is said.
    Ends,
    /// A ping is answered.
    Pongs,
}

use Then::{Answers, ConnectionError, Ends, Pongs, Serves, StreamError};

struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    then: Then,
}

fn case(name: &'static str, frames: &[Vec<u8>], then: Then) -> Case {
    Case {
        name,
        bytes: frames.concat(),
        then,
    }
}

fn get(stream: u32) -> Vec<u8> {
    frame(
        HEADERS,
        END_STREAM | END_HEADERS,
        stream,
        &request("GET", &[]),
    )
}

fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request("POST", more))
}

fn fields(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(fields))
}

fn settings(id: u16, value: u32) -> Vec<u8> {
    frame(
        SETTINGS,
        0,
        0,
        &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat(),
    )
}

fn widen(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

fn with_priority(stream: u32, on: u32, flags: u8) -> Vec<u8> {
    let mut payload = on.to_be_bytes().to_vec();
    payload.push(200);
    payload.extend(request("GET", &[]));
    frame(HEADERS, END_STREAM | PRIORITISED | flags, stream, &payload)
}

const PROTOCOL: &[u32] = &[PROTOCOL_ERROR];
const SIZE: &[u32] = &[FRAME_SIZE_ERROR];
const FLOW: &[u32] = &[FLOW_CONTROL_ERROR];
const CLOSED: &[u32] = &[STREAM_CLOSED];

fn starting() -> Vec<Case> {
    let ping = frame(PING, 0, 0, b"abcdefgh");
    let block = request("GET", &[]);
    let (first, rest) = block.split_at(5);
    let padded = [&[3][..], &block, &[0; 3]].concat();
    vec![
        case("3.4 a client's connection preface", &[], Serves(1)),
        case(
            "4.1 a frame of an unknown type",
            &[frame(0xff, 0, 0, &[0; 8])],
            Serves(1),
        ),
        case(
            "4.1 undefined flags",
            &[frame(PING, 0xfe, 0, b"abcdefgh")],
            Pongs,
        ),
        case(
            "4.1 the reserved bit",
            &[frame(PING, 0, 1 << 31, b"abcdefgh")],
            Pongs,
        ),
        case(
            "4.2 a DATA frame of 2^14 bytes",
            &[post(1, &[]), frame(DATA, 1, 1, &[0; 1 << 14])],
            Answers(1),
        ),
        case(
            "4.2 a larger DATA frame",
            &[post(1, &[]), frame(DATA, 1, 1, &[0; (1 << 14) + 1])],
            StreamError(SIZE),
        ),
        case(
            "4.2 a larger HEADERS frame",
            &[frame(HEADERS, 5, 1, &[0; (1 << 14) + 1])],
            ConnectionError(SIZE),
        ),
        case(
            "4.3 a block that cannot be decoded",
            &[frame(
                HEADERS,
                5,
                1,
                &[0x82, 0x86, 0x84, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            )],
            ConnectionError(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
        case(
            "4.3 another frame within a block",
            &[
                frame(HEADERS, 1, 1, first),
                frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]),
                frame(CONTINUATION, 4, 1, rest),
            ],
            ConnectionError(PROTOCOL),
        ),
        case(
            "4.3 another stream within a block",
            &[frame(HEADERS, 1, 1, first), get(3)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.2 padding and a priority",
            &[frame(HEADERS, 5 | PADDED, 1, &padded)],
            Answers(1),
        ),
        case(
            "6.10 a block in pieces",
            &[
                frame(HEADERS, 1, 1, first),
                frame(CONTINUATION, 0, 1, b""),
                frame(CONTINUATION, 4, 1, rest),
            ],
            Answers(1),
        ),
        case("a PING", &[ping], Pongs),
        case(
            "a PRIORITY",
            &[frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])],
            Serves(1),
        ),
        case(
            "a GET with a priority",
            &[with_priority(1, 0, END_HEADERS)],
            Answers(1),
        ),
        case(
            "a HEAD",
            &[frame(HEADERS, 5, 1, &request("HEAD", &[]))],
            Answers(1),
        ),
        case(
            "a POST with padding",
            &[post(1, &[]), frame(DATA, 1 | PADDED, 1, b"\x03body\0\0\0")],
            Answers(1),
        ),
        case(
            "a POST with trailers",
            &[
                post(1, &[("trailer", "x-t")]),
                frame(DATA, 0, 1, b"x"),
                fields(1, &[("x-t", "1")]),
            ],
            Answers(1),
        ),
        case(
            "a GOAWAY",
            &[frame(GOAWAY, 0, 0, &[0; 8]), frame(PING, 0, 0, b"abcdefgh")],
            Ends,
        ),
    ]
}

fn states() -> Vec<Case> {
    let ended = post(1, &[]);
    let end = frame(DATA, 1, 1, b"x");
    vec![
        case(
            "5.1 idle: DATA",
            &[frame(DATA, 1, 1, b"x")],
            ConnectionError(PROTOCOL),
        ),
        case(
            "5.1 idle: RST_STREAM",
            &[reset(1)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "5.1 idle: WINDOW_UPDATE",
            &[widen(1, 100)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "5.1 idle: CONTINUATION",
            &[frame(CONTINUATION, 4, 1, &request("GET", &[]))],
            ConnectionError(PROTOCOL),
        ),
        case(
            "5.1 half-closed: DATA",
            &[get(1), frame(DATA, 1, 1, b"x")],
            StreamError(CLOSED),
        ),
        case(
            "5.1 half-closed: HEADERS",
            &[get(1), get(1)],
            StreamError(CLOSED),
        ),
        case(
            "5.1 half-closed: CONTINUATION",
            &[get(1), frame(CONTINUATION, 4, 1, &request("GET", &[]))],
            ConnectionError(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        case(
            "5.1 reset: DATA",
            &[ended.clone(), reset(1), frame(DATA, 1, 1, b"x")],
            StreamError(CLOSED),
        ),
        case(
            "5.1 reset: HEADERS",
            &[ended.clone(), reset(1), fields(1, &[("x", "y")])],
            StreamError(CLOSED),
        ),
        case(
            "5.1 reset: CONTINUATION",
            &[ended.clone(), reset(1), frame(CONTINUATION, 4, 1, b"")],
            ConnectionError(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        case(
            "5.1 closed: DATA",
            &[ended.clone(), end.clone(), frame(DATA, 1, 1, b"x")],
            StreamError(CLOSED),
        ),
        case(
            "5.1 closed: HEADERS",
            &[ended.clone(), end.clone(), fields(1, &[("x", "y")])],
            StreamError(CLOSED),
        ),
        case("5.1.1 an even stream", &[get(2)], ConnectionError(PROTOCOL)),
        case(
            "5.1.1 a smaller stream",
            &[get(5), get(3)],
            ConnectionError(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        case(
            "5.1.2 too many streams",
            &(0..260).map(|n| post(2 * n + 1, &[])).collect::<Vec<_>>(),
            StreamError(&[REFUSED_STREAM, PROTOCOL_ERROR]),
        ),
        case(
            "5.3.1 HEADERS depend on themselves",
            &[with_priority(1, 1, END_HEADERS)],
            StreamError(PROTOCOL),
        ),
        case(
            "5.3.1 PRIORITY depends on itself",
            &[frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 9])],
            StreamError(PROTOCOL),
        ),
        case(
            "5.5 an unknown frame within a block",
            &[
                frame(HEADERS, 1, 1, &request("GET", &[])),
                frame(0xff, 0, 0, &[0; 8]),
                frame(CONTINUATION, 4, 1, b""),
            ],
            ConnectionError(PROTOCOL),
        ),
        case(
            "5.5 an unknown frame elsewhere",
            &[frame(0xff, 9, 7, &[1; 30])],
            Serves(1),
        ),
        case(
            "8.1 a second HEADERS without END_STREAM",
            &[post(1, &[]), frame(HEADERS, 4, 1, &block(&[("x", "y")]))],
            StreamError(PROTOCOL),
        ),
    ]
}

fn frames_and_sizes() -> Vec<Case> {
    let open = post(1, &[]);
    vec![
        case(
            "6.1 DATA on stream 0",
            &[frame(DATA, 1, 0, b"x")],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.1 DATA on no open stream",
            &[get(1), frame(DATA, 1, 3, b"x")],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.1 DATA of padding beyond it",
            &[open.clone(), frame(DATA, 1 | PADDED, 1, b"\x09body")],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.2 HEADERS on stream 0",
            &[get(0)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.2 HEADERS of padding beyond it",
            &[frame(HEADERS, 5 | PADDED, 1, b"\xff\x82\x86\x84")],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.3 PRIORITY on stream 0",
            &[frame(PRIORITY, 0, 0, &[0, 0, 0, 1, 9])],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.3 PRIORITY of another length",
            &[frame(PRIORITY, 0, 1, &[0; 4])],
            StreamError(SIZE),
        ),
        case(
            "6.4 RST_STREAM on stream 0",
            &[reset(0)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.4 RST_STREAM of another length",
            &[open.clone(), frame(RST_STREAM, 0, 1, &[0; 3])],
            ConnectionError(SIZE),
        ),
        case(
            "6.5 SETTINGS ACK with a payload",
            &[frame(SETTINGS, ACK, 0, &[0; 6])],
            ConnectionError(SIZE),
        ),
        case(
            "6.5 SETTINGS on a stream",
            &[frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 9])],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.5 SETTINGS of another length",
            &[frame(SETTINGS, 0, 0, &[0; 3])],
            ConnectionError(SIZE),
        ),
        case(
            "6.5.2 ENABLE_PUSH 2",
            &[settings(2, 2)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.5.2 INITIAL_WINDOW_SIZE too large",
            &[settings(4, 1 << 31)],
            ConnectionError(FLOW),
        ),
        case(
            "6.5.2 MAX_FRAME_SIZE too small",
            &[settings(5, (1 << 14) - 1)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.5.2 MAX_FRAME_SIZE too large",
            &[settings(5, 1 << 24)],
            ConnectionError(PROTOCOL),
        ),
        case("6.5.2 an unknown setting", &[settings(0xff, 1)], Serves(1)),
        case(
            "6.5.3 several values of one setting",
            &[[settings(4, 100), settings(4, 1)].concat()],
            Serves(1),
        ),
        case(
            "6.6 PUSH_PROMISE of a client",
            &[frame(
                PUSH_PROMISE,
                4,
                1,
                &[&[0, 0, 0, 2][..], &request("GET", &[])].concat(),
            )],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.7 PING on a stream",
            &[frame(PING, 0, 1, &[0; 8])],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.7 PING of another length",
            &[frame(PING, 0, 0, &[0; 6])],
            ConnectionError(SIZE),
        ),
        case(
            "6.7 PING ACK is not answered",
            &[
                frame(PING, ACK, 0, b"unasked!"),
                frame(PING, 0, 0, b"abcdefgh"),
            ],
            Pongs,
        ),
        case(
            "6.8 GOAWAY on a stream",
            &[frame(GOAWAY, 0, 1, &[0; 8])],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.9 WINDOW_UPDATE 0 of the connection",
            &[widen(0, 0)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.9 WINDOW_UPDATE 0 of a stream",
            &[open.clone(), widen(1, 0)],
            StreamError(PROTOCOL),
        ),
        case(
            "6.9 WINDOW_UPDATE of another length",
            &[frame(WINDOW_UPDATE, 0, 0, &[0; 3])],
            ConnectionError(SIZE),
        ),
        case(
            "6.9.1 the connection's window overflows",
            &[widen(0, 0x7fff_ffff), widen(0, 0x7fff_ffff)],
            ConnectionError(FLOW),
        ),
        case(
            "6.9.1 a stream's window overflows",
            &[open.clone(), widen(1, 0x7fff_ffff), widen(1, 0x7fff_ffff)],
            StreamError(FLOW),
        ),
        case(
            "6.10 CONTINUATION on stream 0",
            &[
                frame(HEADERS, 1, 1, &request("GET", &[])),
                frame(CONTINUATION, 4, 0, b""),
            ],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.10 CONTINUATION after END_HEADERS",
            &[get(1), frame(CONTINUATION, 4, 1, b"")],
            ConnectionError(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        case(
            "6.10 CONTINUATION after DATA",
            &[
                open.clone(),
                frame(DATA, 0, 1, b"x"),
                frame(CONTINUATION, 4, 1, b""),
            ],
            ConnectionError(PROTOCOL),
        ),
        case(
            "7 GOAWAY with an unknown code",
            &[frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff])],
            Ends,
        ),
        case(
            "7 RST_STREAM with an unknown code",
            &[open, frame(RST_STREAM, 0, 1, &[0, 0, 0, 0xff])],
            Serves(3),
        ),
    ]
}

fn messages() -> Vec<Case> {
    let usual = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.example"),
    ];
    let and = |more: &[(&'static str, &'static str)]| fields(1, &[&usual[..], more].concat());
    let without = |name: &str| {
        let left: Vec<_> = usual
            .iter()
            .copied()
            .filter(|(field, _)| *field != name)
            .collect();
        fields(1, &left)
    };
    let with = |name: &str, value: &'static str| {
        let changed = usual.map(|(field, old)| (field, if field == name { value } else { old }));
        fields(1, &changed)
    };
    let bad = StreamError(PROTOCOL);
    vec![
        case("8.2 a name in upper case", &[and(&[("X-Test", "ok")])], bad),
        case(
            "8.2.1 a value with a line feed",
            &[and(&[("x", "a\nb: c")])],
            bad,
        ),
        case("8.2.1 a value with a NUL", &[and(&[("x", "a\0b")])], bad),
        case(
            "8.2.1 a value that begins with a space",
            &[and(&[("x", " a")])],
            bad,
        ),
        case("8.2.1 a name with a space", &[and(&[("x y", "a")])], bad),
        case("8.2.1 an empty name", &[and(&[("", "a")])], bad),
        case(
            "8.3 an unknown pseudo-header field",
            &[and(&[(":test", "ok")])],
            bad,
        ),
        case("8.3 one of a response", &[and(&[(":status", "200")])], bad),
        case(
            "8.3 one after other fields",
            &[fields(
                1,
                &[("x", "y"), usual[0], usual[1], usual[2], usual[3]],
            )],
            bad,
        ),
        case(
            "8.2.2 connection",
            &[and(&[("connection", "keep-alive")])],
            bad,
        ),
        case("8.2.2 keep-alive", &[and(&[("keep-alive", "1")])], bad),
        case(
            "8.2.2 proxy-connection",
            &[and(&[("proxy-connection", "close")])],
            bad,
        ),
        case(
            "8.2.2 transfer-encoding",
            &[and(&[("transfer-encoding", "chunked")])],
            bad,
        ),
        case("8.2.2 upgrade", &[and(&[("upgrade", "h2c")])], bad),
        case(
            "8.2.2 te: gzip",
            &[and(&[("te", "trailers, deflate")])],
            bad,
        ),
        case(
            "8.2.2 te: trailers",
            &[and(&[("te", "trailers")])],
            Answers(1),
        ),
        case("8.3.1 an empty path", &[with(":path", "")], bad),
        case("8.3.1 a path without a slash", &[with(":path", "a")], bad),
        case("8.3.1 no method", &[without(":method")], bad),
        case("8.3.1 no scheme", &[without(":scheme")], bad),
        case("8.3.1 no path", &[without(":path")], bad),
        case(
            "8.3.1 no authority and no host",
            &[without(":authority")],
            Answers(1),
        ),
        case("8.3.1 two methods", &[and(&[(":method", "GET")])], bad),
        case("8.3.1 two schemes", &[and(&[(":scheme", "http")])], bad),
        case("8.3.1 two paths", &[and(&[(":path", "/")])], bad),
        case("8.3.1 two authorities", &[and(&[(":authority", "b")])], bad),
        case(
            "8.3.1 a host that differs",
            &[and(&[("host", "b.example")])],
            bad,
        ),
        case(
            "8.3.1 userinfo",
            &[with(":authority", "user@a.example")],
            Answers(1),
        ),
        case(
            "8.5 CONNECT with a path",
            &[with(":method", "CONNECT")],
            bad,
        ),
        case(
            "8441 :protocol on a GET",
            &[and(&[(":protocol", "websocket")])],
            bad,
        ),
        case(
            "8.1.1 content-length above the DATA",
            &[post(1, &[("content-length", "2")]), frame(DATA, 1, 1, b"x")],
            bad,
        ),
        case(
            "8.1.1 content-length below the DATA",
            &[
                post(1, &[("content-length", "1")]),
                frame(DATA, 1, 1, b"xy"),
            ],
            bad,
        ),
        case(
            "8.1.1 content-length and several DATA",
            &[
                post(1, &[("content-length", "1")]),
                frame(DATA, 0, 1, b"x"),
                frame(DATA, 1, 1, b"y"),
            ],
            bad,
        ),
        case(
            "8.1.1 content-length and no DATA",
            &[and(&[("content-length", "5")])],
            bad,
        ),
        case(
            "8.1.1 two content-lengths",
            &[
                post(1, &[("content-length", "1"), ("content-length", "2")]),
                frame(DATA, 1, 1, b"x"),
            ],
            bad,
        ),
        case(
            "7541 2.3.3 an index beyond the table",
            &[frame(HEADERS, 5, 1, &[0x82, 0x86, 0x84, 0xc6])],
            ConnectionError(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
        case(
            "7541 6.1 the index 0",
            &[frame(HEADERS, 5, 1, &[0x82, 0x86, 0x84, 0x80])],
            ConnectionError(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
        case(
            "7541 4.2 a late table size",
            &[frame(HEADERS, 5, 1, &[0x82, 0x86, 0x84, 0x20])],
            ConnectionError(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
        case(
            "7541 6.3 a table size beyond the limit",
            &[frame(
                HEADERS,
                5,
                1,
                &[0x3f, 0xe2, 0xff, 0x03, 0x82, 0x86, 0x84],
            )],
            ConnectionError(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
        case(
            "7541 5.2 Huffman padding too long",
            &[frame(
                HEADERS,
                5,
                1,
                &[0x82, 0x86, 0x84, 0, 0x81, 0xf8, 0x82, 0xff, 0xff],
            )],
            ConnectionError(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
        case(
            "7541 5.2 Huffman EOS",
            &[frame(
                HEADERS,
                5,
                1,
                &[
                    0x82, 0x86, 0x84, 0, 0x81, 0xf8, 0x84, 0xff, 0xff, 0xff, 0xff,
                ],
            )],
            ConnectionError(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
    ]
}

/// What came of a case, in words; `None` if it is what must.
fn wrong(raw: &mut Raw, case: &Case) -> Option<String> {
    raw.send(&case.bytes);
    let is_error = |frame: &Frame| matches!(frame.kind, RST_STREAM | GOAWAY);
    let fits = |frame: &Frame, codes: &[u32]| codes.contains(&frame.code());
    let answer = |raw: &mut Raw, stream: u32| {
        let head = raw.read_until(|frame| {
            (frame.kind == HEADERS && frame.stream == stream) || is_error(frame)
        });
        head.filter(|frame| frame.kind == HEADERS).is_none()
    };
    let failed = match case.then {
        Serves(stream) => {
            raw.send(get(stream));
            answer(raw, stream)
        }
        Answers(stream) => answer(raw, stream),
        StreamError(codes) => {
            let error = raw.read_until(is_error);
            return error
                .filter(|error| !fits(error, codes))
                .map(|error| format!("{error:?}"));
        }
        ConnectionError(codes) => {
            let Some(error) = raw.read_until(|frame| frame.kind == GOAWAY) else {
                return Some("no GOAWAY".into());
            };
            let ends = raw.read_until(|_| false).is_none();
            return (!fits(&error, codes) || !ends).then(|| format!("{error:?}"));
        }
        Ends => raw.read_until(|_| false).is_some(),
        Pongs => {
            let pong = raw.read_until(|frame| frame.kind == PING || is_error(frame));
            pong.is_none_or(|pong| pong.flags != ACK || pong.payload != b"abcdefgh")
        }
    };
    failed.then(|| "not so".into())
}

fn check(cases: Vec<Case>) {
    let origin = Origin::new(|_| Reply::ok("hello"));
    let edge = both(&format!("http://{}", origin.address()));
    let mut failures = Vec::new();
    for case in &cases {
        for tls in [false, true] {
            let mut raw = if tls { edge.open_tls() } else { edge.open() };
            raw.greet();
            let silence = |raw: &Raw| raw.silent.then(|| "silence".to_owned());
            if let Some(what) = wrong(&mut raw, case).or_else(|| silence(&raw)) {
                failures.push(format!(
                    "{} (TLS: {tls}): {what}, not {:?}",
                    case.name, case.then
                ));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

#[test]
fn what_a_connection_begins_with() {
    check(starting());
}

#[test]
fn states_of_streams() {
    check(states());
}

#[test]
fn frames_and_their_sizes() {
    check(frames_and_sizes());
}

#[test]
fn messages_are_well_formed() {
    check(messages());
}

#[test]
fn a_wrong_preface_ends_the_connection() {
    let origin = Origin::new(|_| Reply::ok("hello"));
    let edge = both(&format!("http://{}", origin.address()));
    let mut raw = edge.open_tls();
    raw.send("INVALID CONNECTION PREFACE\r\n\r\n");
    assert!(raw.read_until(|_| false).is_none());
    let mut raw = edge.open();
    raw.send([&PREFACE[..20], b"XXXX"].concat());
    assert!(raw.read_until(|_| false).is_none());
}

#[test]
fn windows_are_kept_to() {
    let origin = Origin::new(|_| Reply::ok("hello"));
    let (_weir, address): (Weir, SocketAddr) = before(&format!("http://{}", origin.address()), "");
    let mut raw = Raw::open(address);
    raw.greet_with(&[(4, 1)]);
    raw.send(get(1));
    let data = |raw: &mut Raw| {
        let data = raw.read_until(|frame| frame.kind == DATA);
        data.expect("a body").payload
    };
    assert_eq!(data(&mut raw), b"h");
    raw.send(settings(4, 3));
    assert_eq!(data(&mut raw), b"el");
    raw.send(widen(1, 100));
    assert_eq!(data(&mut raw), b"lo");
}
