//! What RFC 9113 and RFC 7541 demand of a server, case by case, in the order of the public h2spec, in the clear and
//! over TLS. Each case has a connection of its own; after a case that must not end it, it still serves.

mod beginning;
mod frame_types;
mod messages;
mod streams;

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
    check(beginning::cases());
}

#[test]
fn states_of_streams() {
    check(streams::cases());
}

#[test]
fn frames_and_their_sizes() {
    check(frame_types::cases());
}

#[test]
fn messages_are_well_formed() {
    check(messages::cases());
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
