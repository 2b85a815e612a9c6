//! Messages to bytes. Everything is appended to the caller's buffer.

use super::{Announce, ConnectionField};
use crate::http::{Headers, RequestHead, ResponseHead, Status};

/// A request to a server, in HTTP/1.1: `head` with its own authority as `Host`, unless `host` is another one
/// (`passHostHeader: false`).
pub fn encode_request(
    _head: &RequestHead,
    _host: Option<&str>,
    _body: Announce,
    _connection: ConnectionField,
    _out: &mut Vec<u8>,
) {
    todo!()
}

/// A response to a client, final or interim; the status line says HTTP/1.1 to every client (RFC 9110 section 2.5).
pub fn encode_response(
    _head: &ResponseHead,
    _body: Announce,
    _connection: ConnectionField,
    _out: &mut Vec<u8>,
) {
    todo!()
}

/// What goes before the bytes of a chunk of `size` bytes, at least one; after them comes `\r\n`.
pub fn chunk_head(_size: usize, _out: &mut Vec<u8>) {
    todo!()
}

/// The end of a chunked body.
pub fn last_chunk(_trailers: Option<&Headers>, _out: &mut Vec<u8>) {
    todo!()
}

/// A whole response by weir itself: a line of plain text, as Traefik writes it (`404 page not found`), or the status in
/// words. `date` as from `http::date::imf_fixdate`; to HEAD (`head_only`) the body is announced but not sent.
pub fn simple_response(
    _status: Status,
    _date: &[u8],
    _head_only: bool,
    _connection: ConnectionField,
    _out: &mut Vec<u8>,
) {
    todo!()
}
