//! Relaying a message body: out of one framing, into another, chunk by chunk.

use std::fmt;
use std::io;

use crate::http1::{self, Announce, BodyDecoder, BodyLength, Reason, Step};
use crate::limits;
use crate::transport::Transport;
use crate::uring::{Chunk, ChunkQueue};

/// Why a body was not relayed to its end.
#[derive(Debug)]
pub enum BodyError {
    /// The side it came from broke the framing or ended too early.
    Malformed(Reason),
    /// Receiving failed.
    Receive(io::Error),
    /// Sending failed.
    Send(io::Error),
}

impl fmt::Display for BodyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(reason) => out.write_str(reason.explanation()),
            Self::Receive(error) => write!(out, "receiving failed: {error}"),
            Self::Send(error) => write!(out, "sending failed: {error}"),
        }
    }
}

/// Relays the body that `from` sends. `queue` goes out first, with the first bytes of the body if `first`, what came
/// with the head, holds some.
pub async fn relay(
    from: &Transport,
    to: &Transport,
    length: BodyLength,
    announce: Announce,
    mut queue: ChunkQueue,
    first: Option<Chunk>,
) -> Result<(), BodyError> {
    let mut reframe = Reframe {
        decoder: BodyDecoder::new(length),
        // A response to HEAD may announce chunks of which none comes, not even the last.
        chunked: announce == Announce::Chunked && length != BodyLength::Empty,
    };
    if let Some(chunk) = first {
        reframe.push(chunk, from, &mut queue)?;
    }
    reframe.gather(from, &mut queue)?;
    loop {
        if reframe.decoder.is_ended() {
            reframe.finish(&mut queue);
            return to
                .send(&mut queue, Some(from))
                .await
                .map_err(BodyError::Send);
        }
        if !queue.is_empty() {
            to.send(&mut queue, Some(from))
                .await
                .map_err(BodyError::Send)?;
        }
        match from.recv().await.map_err(BodyError::Receive)? {
            Some(chunk) => reframe.push(chunk, from, &mut queue)?,
            None => reframe
                .decoder
                .end_of_input()
                .map_err(BodyError::Malformed)?,
        }
        reframe.gather(from, &mut queue)?;
    }
}

struct Reframe {
    decoder: BodyDecoder,
    chunked: bool,
}

impl Reframe {
    /// Appends the payload in `chunk`. What follows the body goes back to `from`.
    fn push(
        &mut self,
        mut chunk: Chunk,
        from: &Transport,
        queue: &mut ChunkQueue,
    ) -> Result<(), BodyError> {
        loop {
            match self.decoder.step(&chunk).map_err(BodyError::Malformed)? {
                Step::Data(n) => {
                    let payload = chunk.split_to(n);
                    self.append(payload, queue);
                }
                Step::Skip(n) => chunk.advance(n),
                Step::NeedMore => return Ok(()),
                Step::End => {
                    if !chunk.is_empty() {
                        from.unread(chunk);
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Takes what is there already, up to what one send gathers.
    fn gather(&mut self, from: &Transport, queue: &mut ChunkQueue) -> Result<(), BodyError> {
        while !self.decoder.is_ended()
            && queue.len() < limits::GATHER_CHUNKS
            && let Some(chunk) = from.try_recv()
        {
            self.push(chunk, from, queue)?;
        }
        Ok(())
    }

    fn append(&self, payload: Chunk, queue: &mut ChunkQueue) {
        if self.chunked {
            let mut head = Vec::with_capacity(limits::CHUNK_HEAD_BYTES);
            http1::chunk_head(payload.len(), &mut head);
            queue.push(head);
            queue.push(payload);
            queue.push(&b"\r\n"[..]);
        } else {
            queue.push(payload);
        }
    }

    fn finish(&self, queue: &mut ChunkQueue) {
        if self.chunked {
            let mut last = Vec::new();
            http1::last_chunk(self.decoder.trailers(), &mut last);
            queue.push(last);
        }
    }
}
