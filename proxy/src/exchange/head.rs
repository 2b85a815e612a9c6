//! Reading a message head from a connection, whether it comes at once or byte by byte.

use std::fmt;
use std::io;

use crate::http1::Reject;
use crate::transport::Transport;
use crate::uring::Chunk;

/// Why no head was read.
#[derive(Debug)]
pub enum NoHead {
    /// The peer ended the connection before the first byte of a message.
    Ended,
    /// The peer ended the connection within a head.
    Truncated,
    /// The server says that it has not acted on the request (RFC 9113 section 8.7).
    Unprocessed,
    /// The bytes are no acceptable head.
    Rejected(Reject),
    /// The connection failed, or the deadline passed.
    Failed(io::Error),
}

impl fmt::Display for NoHead {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => out.write_str("the connection ended before a message"),
            Self::Truncated => out.write_str("the connection ended within a head"),
            Self::Unprocessed => out.write_str("the server refused the stream"),
            Self::Rejected(reject) => write!(out, "{reject}"),
            Self::Failed(error) => write!(out, "{error}"),
        }
    }
}

/// Reads until `parse` has found a head; returns what it found, and the bytes after the head. `first` was received
/// already. Usually the head is read
/// where it was received; bytes of a partial one are copied to `partial` at once, so that a slow peer holds no ring
/// buffer. `parse` bounds how much that can become. `partial` must be empty before.
pub async fn read<T>(
    from: &Transport,
    mut first: Option<Chunk>,
    partial: &mut Vec<u8>,
    mut parse: impl FnMut(&[u8]) -> Result<Option<(T, usize)>, Reject>,
) -> Result<(T, Option<Chunk>), NoHead> {
    loop {
        let received = match first.take() {
            Some(chunk) => Some(chunk),
            None => from.recv().await.map_err(NoHead::Failed)?,
        };
        let Some(mut chunk) = received else {
            let ended = if partial.is_empty() {
                NoHead::Ended
            } else {
                NoHead::Truncated
            };
            return Err(ended);
        };
        let before = partial.len();
        if before > 0 {
            partial.extend_from_slice(&chunk);
        }
        let input: &[u8] = if before > 0 { partial } else { &chunk };
        let parsed = parse(input).map_err(NoHead::Rejected)?;
        if let Some((found, consumed)) = parsed {
            chunk.advance(consumed - before);
            partial.clear();
            return Ok((found, Some(chunk).filter(|chunk| !chunk.is_empty())));
        }
        if before == 0 {
            partial.extend_from_slice(&chunk);
        }
    }
}
