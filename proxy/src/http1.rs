//! HTTP/1.0 and HTTP/1.1 (RFC 9112): bytes in, typed messages out, and back.
//!
//! Strict on purpose: whatever two implementations might read differently is refused, never repaired, because a proxy
//! that guesses hands its guess to a server that guesses otherwise. Messages are never passed through: every head that
//! leaves is written anew from the typed one, with one framing, ours.
//!
//! No socket, no clock, no buffer of input: the caller owns the bytes and tells how many it still has. What the parsers
//! return says how many of them are used up. The counterpart that reads and writes sockets is `exchange`.

mod body;
mod chunk_line;
mod encode;
mod fields;
mod framing;
mod lines;
mod reject;
mod request;
mod response;
mod target;
mod trailers;
pub mod upgrade;
pub mod websocket;

pub use body::{BodyDecoder, Step};
pub use encode::{chunk_head, encode_request, encode_response, last_chunk};
pub use framing::{Announce, BodyLength, ConnectionField};
pub use reject::{Reason, Reject};
pub use request::{HeadLimits, Request, RequestParser};
pub use response::{Response, ResponseParser};
pub use target::{parse_authority, read_target};
pub use trailers::{TrailerLimits, retain_trailers};
