//! What weir adds to the `h2` crate's HTTP/2 (RFC 9113): the meter that keeps abuse from it, and the way between its
//! messages and ours.
//!
//! No socket, no clock: bytes and instants are arguments. The counterpart that reads and writes sockets is `exchange`.

pub mod meter;
mod request;
mod response;

pub use meter::{Abuse, Allowance, Allowed, Meter, Rates, Verdict, most_continuations};
pub use request::{Malformed, Opened, outgoing_request, read_request, upgrade};
pub use response::{fields, header_map, outgoing_response, read_response};

/// What a client sends first on a connection that it knows to speak HTTP/2 (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
