//! Relaying a message body: out of one framing, into another, chunk by chunk.

use std::fmt;
use std::io;

use crate::http1::{self, Announce, BodyDecoder, BodyLength, Reason, Step};
use crate::limits;
use crate::transport::Transport;
use crate::uring::{self, Chunk, ChunkQueue};

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
    let mut reframe = Reframe::new(length, announce);
    if let Some(chunk) = first {
        reframe.relay(chunk, from, &mut queue)?;
    }
    loop {
        reframe.gather(from, &mut queue)?;
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
            Some(chunk) => reframe.relay(chunk, from, &mut queue)?,
            None => reframe
                .decoder
                .end_of_input()
                .map_err(BodyError::Malformed)?,
        }
    }
}

struct Reframe {
    decoder: BodyDecoder,
    chunked: bool,
    /// What goes out next, after the queue: framing, and payload too short for an entry of its own.
    small: Vec<u8>,
}

impl Reframe {
    fn new(length: BodyLength, announce: Announce) -> Self {
        Self {
            decoder: BodyDecoder::new(length),
            // A response to HEAD may announce chunks of which none comes, not even the last.
            chunked: announce == Announce::Chunked && length != BodyLength::Empty,
            small: Vec::new(),
        }
    }

    /// Takes what is there already, up to what one send gathers.
    fn gather(&mut self, from: &Transport, queue: &mut ChunkQueue) -> Result<(), BodyError> {
        while !self.decoder.is_ended()
            && queue.len() < limits::SEND_CHUNKS
            && let Some(chunk) = from.try_recv()
        {
            self.relay(chunk, from, queue)?;
        }
        Ok(())
    }

    /// Appends the payload in `chunk`. What follows the body goes back to `from`.
    fn relay(
        &mut self,
        chunk: Chunk,
        from: &Transport,
        queue: &mut ChunkQueue,
    ) -> Result<(), BodyError> {
        if let Some(rest) = self.push(chunk, queue).map_err(BodyError::Malformed)? {
            from.unread(rest);
        }
        Ok(())
    }

    /// Appends the payload in `chunk`: at most two queue entries for each [`limits::BODY_COPY_BYTES`] of it, whatever
    /// its framing. Returns what follows the body.
    fn push(&mut self, mut chunk: Chunk, queue: &mut ChunkQueue) -> Result<Option<Chunk>, Reason> {
        let rest = loop {
            match self.decoder.step(&chunk)? {
                Step::Data(n) => {
                    let payload = chunk.split_to(n);
                    self.append(payload, queue);
                }
                Step::Skip(n) => chunk.advance(n),
                Step::NeedMore => break None,
                Step::End => break (!chunk.is_empty()).then_some(chunk),
            }
        };
        self.flush(queue);
        Ok(rest)
    }

    fn append(&mut self, payload: Chunk, queue: &mut ChunkQueue) {
        if self.chunked {
            http1::chunk_head(payload.len(), &mut self.small);
        }
        if payload.len() < limits::BODY_COPY_BYTES {
            self.small.extend_from_slice(&payload);
        } else {
            self.flush(queue);
            queue.push(payload);
        }
        if self.chunked {
            self.small.extend_from_slice(b"\r\n");
        }
    }

    fn flush(&mut self, queue: &mut ChunkQueue) {
        if !self.small.is_empty() {
            queue.push(uring::hold(std::mem::take(&mut self.small)));
        }
    }

    fn finish(&mut self, queue: &mut ChunkQueue) {
        if self.chunked {
            http1::last_chunk(self.decoder.trailers(), &mut self.small);
            self.flush(queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pieces` of payload, each as a chunk of its own.
    fn body(pieces: &[usize]) -> (Vec<u8>, Vec<u8>) {
        let (mut wire, mut payload) = (Vec::new(), Vec::new());
        for (index, length) in pieces.iter().enumerate() {
            let piece = vec![index as u8; *length];
            http1::chunk_head(*length, &mut wire);
            wire.extend_from_slice(&piece);
            wire.extend_from_slice(b"\r\n");
            payload.extend(piece);
        }
        http1::last_chunk(None, &mut wire);
        (wire, payload)
    }

    /// What `wire` becomes, received at once, and how many queue entries that takes.
    fn reframed(wire: &[u8], announce: Announce) -> (Vec<u8>, usize) {
        let (mut reframe, mut queue) = (
            Reframe::new(BodyLength::Chunked, announce),
            ChunkQueue::new(),
        );
        let rest = reframe.push(wire.to_vec().into(), &mut queue);
        assert!(rest.is_ok_and(|rest| rest.as_deref() == Some(b"next".as_slice())));
        reframe.finish(&mut queue);
        (
            queue.iter().flat_map(|chunk| chunk.to_vec()).collect(),
            queue.len(),
        )
    }

    #[test]
    fn chunks_of_any_size_take_few_entries() {
        let mixed: Vec<usize> = (0..100).flat_map(|_| [1, 512, 511]).collect();
        for (pieces, most) in [(vec![1; 13_000], 2), (vec![65_000], 4), (mixed, 202)] {
            let (mut wire, payload) = body(&pieces);
            let chunked = wire.clone();
            wire.extend_from_slice(b"next");
            let (out, entries) = reframed(&wire, Announce::Chunked);
            assert!(out == chunked && entries <= most, "{entries} entries");
            let (out, entries) = reframed(&wire, Announce::Nothing);
            assert!(out == payload && entries <= most, "{entries} entries");
        }
    }
}
