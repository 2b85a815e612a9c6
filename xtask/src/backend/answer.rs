//! What the server answers to which path.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Value, json};

use super::message::{Head, read_body};
use super::{Peer, hex, pattern};

/// Bytes written at once of a long body.
const PIECE: u64 = 64 * 1024;

/// The usual answer, as a client reads it from the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The name of the node that answered.
    pub node: String,
    /// Whom the node saw as its peer.
    pub peer: SocketAddr,
    /// The X-Forwarded-For of the request: there after the proxy has terminated it, absent after steering.
    pub forwarded_for: Option<String>,
}

impl Answer {
    /// Reads the body of an answer; `None` when it is something else.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        Some(Self {
            node: body["node"].as_str()?.to_owned(),
            peer: body["peer"].as_str()?.parse().ok()?,
            forwarded_for: body["forwardedFor"].as_str().map(str::to_owned),
        })
    }
}

/// Reads the request's body and answers it.
pub(super) fn answer(
    stream: &mut impl Peer,
    head: &Head,
    peer: SocketAddr,
    node: &str,
) -> io::Result<()> {
    if head
        .header("expect")
        .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    {
        stream
            .writer()
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let path = head.path();
    if path == "/upload" {
        return upload(stream, head, node);
    }
    read_body(stream, head, |_| ())?;
    let writer = stream.writer();
    if let Some(length) = argument(path, "/bytes/") {
        return bytes(writer, head, node, length);
    }
    if let Some(length) = argument(path, "/chunked/") {
        return chunked(writer, node, length);
    }
    if path == "/head" {
        return whole(writer, head, node, "text/plain", &head.text);
    }
    if let Some(delay) = argument(path, "/slow/") {
        thread::sleep(Duration::from_millis(delay));
    }
    let forwarded_for = head.header("x-forwarded-for");
    let body = json!({ "node": node, "peer": peer.to_string(), "forwardedFor": forwarded_for });
    whole(writer, head, node, "application/json", &format!("{body}\n"))
}

fn argument(path: &str, prefix: &str) -> Option<u64> {
    path.strip_prefix(prefix)?.parse().ok()
}

fn upload(stream: &mut impl Peer, head: &Head, node: &str) -> io::Result<()> {
    let (mut length, mut hash) = (0, Context::new(&SHA256));
    read_body(stream, head, |piece| {
        length += piece.len();
        hash.update(piece);
    })?;
    let body = json!({ "length": length, "sha256": hex(hash.finish().as_ref()) });
    whole(
        stream.writer(),
        head,
        node,
        "application/json",
        &format!("{body}\n"),
    )
}

fn whole(
    stream: &mut impl Write,
    head: &Head,
    node: &str,
    kind: &str,
    body: &str,
) -> io::Result<()> {
    let start = start_of(node, kind, &format!("Content-Length: {}", body.len()));
    let body = if head.method() == "HEAD" { "" } else { body };
    // In one write, so that a short answer is one packet.
    stream.write_all(format!("{start}{body}").as_bytes())?;
    stream.flush()
}

fn bytes(stream: &mut impl Write, head: &Head, node: &str, length: u64) -> io::Result<()> {
    let start = start_of(
        node,
        "application/octet-stream",
        &format!("Content-Length: {length}"),
    );
    stream.write_all(start.as_bytes())?;
    if head.method() != "HEAD" {
        pieces(length, |piece| stream.write_all(piece))?;
    }
    stream.flush()
}

fn chunked(stream: &mut impl Write, node: &str, length: u64) -> io::Result<()> {
    let start = start_of(
        node,
        "application/octet-stream",
        "Transfer-Encoding: chunked",
    );
    stream.write_all(start.as_bytes())?;
    pieces(length, |piece| {
        write!(stream, "{:x}\r\n", piece.len())?;
        stream.write_all(piece)?;
        stream.write_all(b"\r\n")
    })?;
    stream.write_all(b"0\r\n\r\n")?;
    stream.flush()
}

fn start_of(node: &str, kind: &str, framing: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nX-Node: {node}\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n")
}

fn pieces(length: u64, mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; PIECE as usize];
    let mut offset = 0;
    while offset < length {
        let size = PIECE.min(length - offset);
        let piece = &mut buffer[..size as usize];
        pattern(offset, piece);
        write(piece)?;
        offset += size;
    }
    Ok(())
}
