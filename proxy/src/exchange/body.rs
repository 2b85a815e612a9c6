//! Relaying a message body: payload out of a source, into a sink, piece by piece.
//!
//! Owns the seam between protocols: what reads a body knows nothing of how it is written. Never: payload kept beyond
//! the send it is meant for. Invariant: a sink that cannot write makes its source wait.

use std::fmt;
use std::io;

use crate::http::Headers;
use crate::http1::Reason;
use crate::transport::Transport;
use crate::uring::ChunkQueue;

mod http1;
mod kept;

pub use http1::{Http1Sink, Http1Source};
pub use kept::{Keeping, Kept};

/// Why a body was not relayed to its end.
#[derive(Debug)]
pub enum BodyError {
    /// The side it came from broke the framing or ended too early.
    Malformed(Reason),
    /// Receiving failed.
    Receive(io::Error),
    /// Sending failed.
    Send(io::Error),
    /// It is larger than it may be.
    TooLarge,
}

impl fmt::Display for BodyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(reason) => out.write_str(reason.explanation()),
            Self::Receive(error) => write!(out, "receiving failed: {error}"),
            Self::Send(error) => write!(out, "sending failed: {error}"),
            Self::TooLarge => out.write_str("it is too large"),
        }
    }
}

/// Where a body comes from.
pub trait Source {
    /// Appends payload that is there already, up to `most` entries. Where `payload` is empty, what an earlier call gave
    /// has been sent.
    ///
    /// # Errors
    /// The body is malformed, or receiving failed.
    fn gather(&mut self, payload: &mut ChunkQueue, most: usize) -> Result<(), BodyError>;

    /// Waits for more, which may turn out to be framing only. Cancel-safe.
    ///
    /// # Errors
    /// As [`Self::gather`].
    async fn receive(&mut self, payload: &mut ChunkQueue) -> Result<(), BodyError>;

    /// Whether the body has ended.
    fn is_ended(&self) -> bool;

    /// The trailer fields that may be forwarded, once the body has ended.
    fn trailers(&self) -> Option<&Headers>;

    /// Takes a copy of what it holds of the worker's ring buffers, as nobody will read it for a while.
    fn copy_out(&mut self);

    /// After a change of protocol: all that comes from now on, to the connection's or the stream's end, is payload.
    fn switch(&mut self);

    /// The connection that carries nothing else meanwhile, to pause while the sink's peer does not read.
    fn transport(&self) -> Option<&Transport>;
}

/// Where a body goes.
pub trait Sink {
    /// Whether something waits to be sent with the first payload, and is not to wait for it.
    fn is_pending(&self) -> bool;

    /// How many entries of payload are best sent together.
    fn gathers(&self) -> usize;

    /// Sends all of `payload`, waiting for as long as the peer does not take it. `from` is where it came from.
    ///
    /// # Errors
    /// Sending failed; the body cannot be continued.
    async fn send(
        &mut self,
        payload: &mut ChunkQueue,
        from: Option<&Transport>,
    ) -> Result<(), BodyError>;

    /// Sends the last of the payload, and the end.
    ///
    /// # Errors
    /// As [`Self::send`].
    async fn finish(
        &mut self,
        payload: &mut ChunkQueue,
        trailers: Option<&Headers>,
        from: Option<&Transport>,
    ) -> Result<(), BodyError>;

    /// Says, after a change of protocol, that nothing more comes; the other direction goes on.
    ///
    /// # Errors
    /// As [`Self::send`].
    async fn close(&mut self) -> Result<(), BodyError>;
}

/// Relays a body to its end, if it is no larger than `most`. `payload` is what was gathered of it already.
///
/// # Errors
/// What either side says.
pub async fn relay(
    source: &mut impl Source,
    sink: &mut impl Sink,
    most: Option<u64>,
    mut payload: ChunkQueue,
) -> Result<(), BodyError> {
    let mut left = most.unwrap_or(u64::MAX);
    loop {
        source.gather(&mut payload, sink.gathers())?;
        left = left
            .checked_sub(payload.bytes() as u64)
            .ok_or(BodyError::TooLarge)?;
        if source.is_ended() {
            let (trailers, from) = (source.trailers(), source.transport());
            return sink.finish(&mut payload, trailers, from).await;
        }
        if sink.is_pending() || !payload.is_empty() {
            sink.send(&mut payload, source.transport()).await?;
        }
        source.receive(&mut payload).await?;
    }
}
