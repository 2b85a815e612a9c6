//! Bodies as HTTP/1.1 frames them. What is received as a lease on a ring buffer is sent as that lease.

use super::{BodyError, Sink, Source};
use crate::http::Headers;
use crate::http1::{self, Announce, BodyDecoder, BodyLength, Reason, Step, TrailerLimits};
use crate::limits;
use crate::transport::Transport;
use crate::uring::{self, Chunk, ChunkQueue};

/// A body that is being received.
pub struct Http1Source<'a> {
    from: &'a Transport,
    unframe: Unframe,
    /// What came with the head.
    first: Option<Chunk>,
}

impl<'a> Http1Source<'a> {
    /// The body that follows a head with which `first` was received.
    pub fn new(
        from: &'a Transport,
        length: BodyLength,
        trailers: TrailerLimits,
        first: Option<Chunk>,
    ) -> Self {
        Self {
            from,
            unframe: Unframe::new(length, trailers),
            first,
        }
    }

    /// Of bytes that are no HTTP any more.
    pub fn raw(from: &'a Transport, first: Option<Chunk>) -> Self {
        Self::new(
            from,
            BodyLength::UntilClose,
            TrailerLimits::default(),
            first,
        )
    }

    /// Appends the payload in `chunk`. What follows the body goes back.
    fn take(&mut self, chunk: Chunk, payload: &mut ChunkQueue) -> Result<(), BodyError> {
        let rest = self.unframe.push(chunk, payload);
        if let Some(rest) = rest.map_err(BodyError::Malformed)? {
            self.from.unread(rest);
        }
        Ok(())
    }
}

impl Source for Http1Source<'_> {
    fn gather(&mut self, payload: &mut ChunkQueue, most: usize) -> Result<(), BodyError> {
        if let Some(chunk) = self.first.take() {
            self.take(chunk, payload)?;
        }
        while !self.unframe.decoder.is_ended()
            && payload.len() < most
            && let Some(chunk) = self.from.try_recv()
        {
            self.take(chunk, payload)?;
        }
        Ok(())
    }

    async fn receive(&mut self, payload: &mut ChunkQueue) -> Result<(), BodyError> {
        match self.from.recv().await.map_err(BodyError::Receive)? {
            Some(chunk) => self.take(chunk, payload),
            None => self
                .unframe
                .decoder
                .end_of_input()
                .map_err(BodyError::Malformed),
        }
    }

    fn is_ended(&self) -> bool {
        self.unframe.decoder.is_ended()
    }

    fn trailers(&self) -> Option<&Headers> {
        self.unframe.decoder.trailers()
    }

    fn copy_out(&mut self) {
        self.first = self.first.take().map(Chunk::into_owned);
    }

    fn switch(&mut self) {
        self.unframe = Unframe::new(BodyLength::UntilClose, TrailerLimits::default());
    }

    fn transport(&self) -> Option<&Transport> {
        Some(self.from)
    }
}

struct Unframe {
    decoder: BodyDecoder,
    /// Payload too short for an entry of its own.
    small: Vec<u8>,
}

impl Unframe {
    fn new(length: BodyLength, trailers: TrailerLimits) -> Self {
        Self {
            decoder: BodyDecoder::new(length, trailers),
            small: Vec::new(),
        }
    }

    /// Appends the payload in `chunk`: at most two queue entries for each [`limits::BODY_COPY_BYTES`] of it, whatever
    /// its framing. Returns what follows the body.
    fn push(
        &mut self,
        mut chunk: Chunk,
        payload: &mut ChunkQueue,
    ) -> Result<Option<Chunk>, Reason> {
        let rest = loop {
            match self.decoder.step(&chunk)? {
                Step::Data(n) if n < limits::BODY_COPY_BYTES => {
                    self.small.extend_from_slice(&chunk[..n]);
                    chunk.advance(n);
                }
                Step::Data(n) => {
                    flush(&mut self.small, payload);
                    payload.push(chunk.split_to(n));
                }
                Step::Skip(n) => chunk.advance(n),
                Step::NeedMore => break None,
                Step::End => break (!chunk.is_empty()).then_some(chunk),
            }
        };
        flush(&mut self.small, payload);
        Ok(rest)
    }
}

/// A message that is being sent.
pub struct Http1Sink<'a> {
    to: &'a Transport,
    framing: Framing,
    /// What goes out next: the head, then framed payload.
    queue: ChunkQueue,
}

impl<'a> Http1Sink<'a> {
    /// For the body that `head` announces.
    pub fn new(to: &'a Transport, head: Chunk, length: BodyLength, announce: Announce) -> Self {
        Self {
            to,
            framing: Framing::new(length, announce),
            queue: [head].into_iter().collect(),
        }
    }

    /// For bytes that are no HTTP any more.
    pub fn raw(to: &'a Transport) -> Self {
        Self {
            to,
            framing: Framing::new(BodyLength::UntilClose, Announce::Nothing),
            queue: ChunkQueue::new(),
        }
    }

    async fn flush(&mut self, from: Option<&Transport>) -> Result<(), BodyError> {
        let sent = self.to.send(&mut self.queue, from).await;
        sent.map_err(BodyError::Send)
    }
}

impl Sink for Http1Sink<'_> {
    fn is_pending(&self) -> bool {
        !self.queue.is_empty()
    }

    fn gathers(&self) -> usize {
        limits::SEND_CHUNKS
    }

    async fn send(
        &mut self,
        payload: &mut ChunkQueue,
        from: Option<&Transport>,
    ) -> Result<(), BodyError> {
        self.framing.append(payload, &mut self.queue);
        self.flush(from).await
    }

    async fn finish(
        &mut self,
        payload: &mut ChunkQueue,
        trailers: Option<&Headers>,
        from: Option<&Transport>,
    ) -> Result<(), BodyError> {
        self.framing.append(payload, &mut self.queue);
        self.framing.end(trailers, &mut self.queue);
        self.flush(from).await
    }

    async fn close(&mut self) -> Result<(), BodyError> {
        self.to.shutdown_write().await.map_err(BodyError::Send)
    }
}

struct Framing {
    chunked: bool,
    /// Framing, and payload too short for an entry of its own.
    small: Vec<u8>,
}

impl Framing {
    fn new(length: BodyLength, announce: Announce) -> Self {
        Self {
            // A response to HEAD may announce chunks of which none comes, not even the last.
            chunked: announce == Announce::Chunked && length != BodyLength::Empty,
            small: Vec::new(),
        }
    }

    fn append(&mut self, payload: &mut ChunkQueue, queue: &mut ChunkQueue) {
        while let Some(chunk) = payload.pop() {
            if !self.chunked {
                queue.push(chunk);
                continue;
            }
            http1::chunk_head(chunk.len(), &mut self.small);
            if chunk.len() < limits::BODY_COPY_BYTES {
                self.small.extend_from_slice(&chunk);
            } else {
                flush(&mut self.small, queue);
                queue.push(chunk);
            }
            self.small.extend_from_slice(b"\r\n");
        }
        flush(&mut self.small, queue);
    }

    fn end(&mut self, trailers: Option<&Headers>, queue: &mut ChunkQueue) {
        if self.chunked {
            http1::last_chunk(trailers, &mut self.small);
            flush(&mut self.small, queue);
        }
    }
}

fn flush(small: &mut Vec<u8>, queue: &mut ChunkQueue) {
    if !small.is_empty() {
        queue.push(uring::hold(std::mem::take(small)));
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

    fn bytes(queue: &ChunkQueue) -> Vec<u8> {
        queue.iter().flat_map(|chunk| chunk.to_vec()).collect()
    }

    #[test]
    fn chunks_of_any_size_take_few_entries() {
        let mixed: Vec<usize> = (0..100).flat_map(|_| [1, 512, 511]).collect();
        for (pieces, most) in [(vec![1; 13_000], 2), (vec![65_000], 4), (mixed, 202)] {
            let (mut wire, expected) = body(&pieces);
            wire.extend_from_slice(b"next");
            let (mut unframe, mut payload) = (
                Unframe::new(BodyLength::Chunked, TrailerLimits::default()),
                ChunkQueue::new(),
            );
            let rest = unframe.push(wire.into(), &mut payload);
            assert!(rest.is_ok_and(|rest| rest.as_deref() == Some(b"next".as_slice())));
            assert!(bytes(&payload) == expected);
            assert!(payload.len() <= most, "{} entries", payload.len());
            let (mut framing, mut framed) = (
                Framing::new(BodyLength::Chunked, Announce::Chunked),
                ChunkQueue::new(),
            );
            framing.append(&mut payload, &mut framed);
            framing.end(None, &mut framed);
            assert!(framed.len() <= 2 * most + 1, "{} entries", framed.len());
            let mut again = ChunkQueue::new();
            let mut unframe = Unframe::new(BodyLength::Chunked, TrailerLimits::default());
            let framed = bytes(&framed).into();
            assert!(
                unframe
                    .push(framed, &mut again)
                    .is_ok_and(|rest| rest.is_none())
            );
            assert!(unframe.decoder.is_ended() && bytes(&again) == expected);
        }
    }
}
