//! A body in a content coding: what comes out of one source, encoded, as another.

use std::cell::Cell;

use super::body::{BodyError, Source};
use crate::http::Headers;
use crate::limits::COMPRESS_STREAMS_MAX;
use crate::middleware::Encoder;
use crate::transport::Transport;
use crate::uring::{Chunk, ChunkQueue};

/// How many encoders a worker has.
#[derive(Default)]
pub struct Encoders(Cell<usize>);

/// Counts an encoder for as long as it lives.
pub struct EncoderRoom<'w>(&'w Encoders);

impl Encoders {
    /// A place for one more, kept until it is dropped; `None` where there are enough.
    pub fn room(&self) -> Option<EncoderRoom<'_>> {
        let Self(encoders) = self;
        (encoders.get() < COMPRESS_STREAMS_MAX).then(|| {
            encoders.set(encoders.get() + 1);
            EncoderRoom(self)
        })
    }
}

impl Drop for EncoderRoom<'_> {
    fn drop(&mut self) {
        let EncoderRoom(Encoders(encoders)) = self;
        encoders.set(encoders.get() - 1);
    }
}

/// What a body is encoded with.
pub struct Encoding<'w> {
    /// The encoder, new.
    pub encoder: Encoder,
    /// Its place among those of the worker.
    pub room: EncoderRoom<'w>,
    /// The body has no known length, so it may be a stream of events: each piece is to go out at once.
    pub prompt: bool,
}

/// A source behind an encoder. It takes one piece after the other, so that an encoder never keeps the worker for long.
pub struct Encoded<'w, S> {
    inner: S,
    /// `None` once the body has ended.
    encoder: Option<Encoder>,
    prompt: bool,
    /// Received and not encoded yet.
    plain: ChunkQueue,
    _room: EncoderRoom<'w>,
}

impl<'w, S: Source> Encoded<'w, S> {
    /// The body of `inner`, encoded.
    pub fn new(inner: S, encoding: Encoding<'w>) -> Self {
        Self {
            inner,
            encoder: Some(encoding.encoder),
            prompt: encoding.prompt,
            plain: ChunkQueue::new(),
            _room: encoding.room,
        }
    }

    /// Encodes what is there.
    fn encode(&mut self, payload: &mut ChunkQueue) -> Result<(), BodyError> {
        let Some(mut encoder) = self.encoder.take() else {
            return Ok(());
        };
        let mut out = Vec::new();
        let mut any = false;
        while let Some(chunk) = self.plain.pop() {
            any |= !chunk.is_empty();
            encoder
                .write(&chunk, &mut out)
                .map_err(BodyError::Receive)?;
        }
        if self.inner.is_ended() {
            encoder.finish(&mut out).map_err(BodyError::Receive)?;
        } else {
            if any && self.prompt {
                encoder.flush(&mut out).map_err(BodyError::Receive)?;
            }
            self.encoder = Some(encoder);
        }
        if !out.is_empty() {
            payload.push(Chunk::from(out));
        }
        Ok(())
    }
}

impl<S: Source> Source for Encoded<'_, S> {
    fn gather(&mut self, payload: &mut ChunkQueue, _most: usize) -> Result<(), BodyError> {
        self.inner.gather(&mut self.plain, 1)?;
        self.encode(payload)
    }

    async fn receive(&mut self, _payload: &mut ChunkQueue) -> Result<(), BodyError> {
        self.inner.receive(&mut self.plain).await
    }

    fn is_ended(&self) -> bool {
        self.encoder.is_none()
    }

    fn trailers(&self) -> Option<&Headers> {
        self.inner.trailers()
    }

    fn copy_out(&mut self) {
        self.inner.copy_out();
    }

    fn switch(&mut self) {
        self.inner.switch();
    }

    fn transport(&self) -> Option<&Transport> {
        self.inner.transport()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_bodies_are_compressed_at_the_same_time_and_no_more() {
        let encoders = Encoders::default();
        let mut rooms: Vec<_> = (0..COMPRESS_STREAMS_MAX)
            .map_while(|_| encoders.room())
            .collect();
        assert_eq!(rooms.len(), COMPRESS_STREAMS_MAX);
        assert!(encoders.room().is_none());
        rooms.pop();
        assert!(encoders.room().is_some(), "one has ended");
    }
}
