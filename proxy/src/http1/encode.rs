//! Messages to bytes. Everything is appended to the caller's buffer.

use super::{Announce, ConnectionField};
use crate::http::text::push_decimal;
use crate::http::{Headers, RequestHead, ResponseHead, Status};

/// A request to a server, in HTTP/1.1: `head` with its own authority as `Host`, unless `host` is another one
/// (`passHostHeader: false`).
pub fn encode_request(
    head: &RequestHead,
    host: Option<&str>,
    body: Announce,
    connection: ConnectionField,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.path().as_bytes());
    if let Some(query) = head.query() {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(host.unwrap_or(head.authority()).as_bytes());
    out.extend_from_slice(b"\r\n");
    encode_upgrade(head.upgrade.as_deref(), connection, out);
    encode_fields(&head.headers, body, connection, out);
}

/// A response to a client, final or interim; the status line says HTTP/1.1 to every client (RFC 9110 section 2.5).
pub fn encode_response(
    head: &ResponseHead,
    body: Announce,
    connection: ConnectionField,
    out: &mut Vec<u8>,
) {
    encode_status_line(head.status, out);
    encode_upgrade(head.upgrade.as_deref(), connection, out);
    encode_fields(&head.headers, body, connection, out);
}

/// What goes before the bytes of a chunk of `size` bytes, at least one; after them comes `\r\n`.
pub fn chunk_head(size: usize, out: &mut Vec<u8>) {
    debug_assert!(size > 0, "an empty chunk ends the body");
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[size >> (place * 4) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// The end of a chunked body.
pub fn last_chunk(trailers: Option<&Headers>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.iter().flat_map(|trailers| trailers.iter()) {
        encode_field(name.as_bytes(), value, out);
    }
    out.extend_from_slice(b"\r\n");
}

fn encode_status_line(status: Status, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(u64::from(status.code()), out);
    out.push(b' ');
    out.extend_from_slice(status.reason().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// All fields and the empty line.
fn encode_fields(
    headers: &Headers,
    body: Announce,
    connection: ConnectionField,
    out: &mut Vec<u8>,
) {
    for (name, value) in headers.iter() {
        encode_field(name.as_bytes(), value, out);
    }
    match body {
        Announce::Nothing => {}
        Announce::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(length, out);
            out.extend_from_slice(b"\r\n");
        }
        Announce::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    out.extend_from_slice(match connection {
        ConnectionField::Omit => b"\r\n",
        ConnectionField::KeepAlive => b"Connection: keep-alive\r\n\r\n",
        ConnectionField::Upgrade => b"Connection: Upgrade\r\n\r\n",
        ConnectionField::Close => b"Connection: close\r\n\r\n",
    });
}

fn encode_upgrade(protocols: Option<&str>, connection: ConnectionField, out: &mut Vec<u8>) {
    if let (Some(protocols), ConnectionField::Upgrade) = (protocols, connection) {
        encode_field(b"Upgrade", protocols.as_bytes(), out);
    }
}

fn encode_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Name;

    fn text(out: Vec<u8>) -> String {
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn requests() {
        let mut head = RequestHead::default();
        head.set_target("/a", Some("b"));
        head.set_authority("a.example:1");
        head.headers.append(Name::literal("X"), b"1");
        let mut out = Vec::new();
        encode_request(
            &head,
            None,
            Announce::Length(3),
            ConnectionField::Omit,
            &mut out,
        );
        assert_eq!(
            text(out),
            "GET /a?b HTTP/1.1\r\nHost: a.example:1\r\nX: 1\r\nContent-Length: 3\r\n\r\n"
        );
        let mut out = Vec::new();
        encode_request(
            &head,
            Some("b"),
            Announce::Nothing,
            ConnectionField::Omit,
            &mut out,
        );
        assert_eq!(text(out), "GET /a?b HTTP/1.1\r\nHost: b\r\nX: 1\r\n\r\n");
        head.upgrade = Some("websocket".into());
        let mut out = Vec::new();
        encode_request(
            &head,
            None,
            Announce::Nothing,
            ConnectionField::Upgrade,
            &mut out,
        );
        assert_eq!(
            text(out),
            "GET /a?b HTTP/1.1\r\nHost: a.example:1\r\nUpgrade: websocket\r\nX: 1\r\nConnection: Upgrade\r\n\r\n"
        );
    }

    #[test]
    fn responses() {
        let head = ResponseHead {
            status: Status::IM_USED,
            ..ResponseHead::default()
        };
        let mut out = Vec::new();
        encode_response(&head, Announce::Chunked, ConnectionField::Close, &mut out);
        assert_eq!(
            text(out),
            "HTTP/1.1 226 IM Used\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn chunk_heads() {
        for size in [1, 9, 10, 15, 16, 255, 256, 65_536, usize::MAX] {
            let mut out = Vec::new();
            chunk_head(size, &mut out);
            assert_eq!(text(out), format!("{size:x}\r\n"));
        }
    }
}
