//! After a 101: bytes both ways, for as long as both sides like.
//!
//! Owns: what ends such a relay. Never: what the bytes mean, save where WebSocket frames end. Invariants: an end of one
//! side is passed on while the other goes on; no body timeout applies; at the end of a stop's grace time WebSockets are
//! told that weir goes away, where a frame may begin.

use super::body::{self, BodyError, Http1Sink, Http1Source, Sink, Source};
use super::worker::Worker;
use crate::http::Headers;
use crate::http1::websocket;
use crate::limits;
use crate::transport::Transport;
use crate::uring::{self, Chunk, ChunkQueue};

/// A connection to a server that has changed its protocol.
pub struct Switched<'a> {
    /// The server.
    pub server: &'a Transport,
    /// What came after its 101.
    pub first: Option<Chunk>,
    /// Both sides speak WebSocket now.
    pub websocket: bool,
    /// The worker whose stop ends it.
    pub worker: &'a Worker,
}

/// One direction: what comes in until its source ends or weir goes away.
struct Direction<'a, S> {
    source: &'a mut S,
    worker: &'a Worker,
    frames: Option<websocket::FrameWalk>,
    /// Ended because weir goes away.
    cut: bool,
}

impl Switched<'_> {
    /// Relays until both sides have ended, or one fails. The client's bytes come from `source` and go to it through
    /// `sink`, which begins with the 101.
    ///
    /// # Errors
    /// The first failure of either side; both connections are then to be dropped.
    pub async fn run(mut self, source: &mut impl Source, sink: impl Sink) -> Result<(), BodyError> {
        source.switch();
        let first = self.first.take();
        let mut from_server = Http1Source::raw(self.server, first);
        let up = self.relay(source, Http1Sink::raw(self.server), true);
        let down = self.relay(&mut from_server, sink, false);
        tokio::try_join!(up, down)?;
        Ok(())
    }

    async fn relay(
        &self,
        source: &mut impl Source,
        mut sink: impl Sink,
        to_server: bool,
    ) -> Result<(), BodyError> {
        let mut direction = Direction {
            source,
            worker: self.worker,
            frames: self.websocket.then(Default::default),
            cut: false,
        };
        body::relay(&mut direction, &mut sink, None, ChunkQueue::new()).await?;
        if direction.cut && direction.frames.is_some_and(|frames| frames.may_begin()) {
            let mask = (self.worker.ids.random() as u32).to_ne_bytes();
            let goodbye = websocket::going_away(to_server.then_some(mask));
            let mut queue: ChunkQueue = [goodbye].into_iter().collect();
            sink.send(&mut queue, None).await?;
        }
        sink.close().await?;
        if direction.cut {
            // What is closed with unread bytes is reset, and the reset destroys the goodbye.
            drain(direction.source).await;
        }
        Ok(())
    }
}

async fn drain(source: &mut impl Source) {
    let end = uring::now() + limits::LAST_WORDS;
    let mut dropped = ChunkQueue::new();
    while !source.is_ended() && uring::now() < end {
        if source.receive(&mut dropped).await.is_err() {
            return;
        }
        dropped.clear();
    }
}

impl<S: Source> Direction<'_, S> {
    /// Looks at what was appended to `payload` after its first `before` entries.
    fn walk(&mut self, payload: &ChunkQueue, before: usize) {
        if let Some(frames) = &mut self.frames {
            payload
                .iter()
                .skip(before)
                .for_each(|chunk| frames.feed(chunk));
        }
    }
}

impl<S: Source> Source for Direction<'_, S> {
    fn gather(&mut self, payload: &mut ChunkQueue, most: usize) -> Result<(), BodyError> {
        if self.cut {
            return Ok(());
        }
        let before = payload.len();
        self.source.gather(payload, most)?;
        self.walk(payload, before);
        Ok(())
    }

    async fn receive(&mut self, payload: &mut ChunkQueue) -> Result<(), BodyError> {
        let before = payload.len();
        tokio::select! {
            biased;
            received = self.source.receive(payload) => received?,
            () = self.worker.cut() => self.cut = true,
        }
        self.walk(payload, before);
        Ok(())
    }

    fn is_ended(&self) -> bool {
        self.cut || self.source.is_ended()
    }

    fn trailers(&self) -> Option<&Headers> {
        None
    }

    fn copy_out(&mut self) {
        self.source.copy_out();
    }

    fn switch(&mut self) {
        self.source.switch();
    }

    fn transport(&self) -> Option<&Transport> {
        self.source.transport()
    }
}
