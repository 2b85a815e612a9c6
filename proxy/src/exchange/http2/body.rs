//! Bodies as HTTP/2 streams carry them.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use ::http::HeaderMap;
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use tokio::time::timeout;

use super::Shared;
use super::stalled::Wait;
use crate::config::static_file::Limits;
use crate::exchange::body::{BodyError, Sink, Source};
use crate::http::Headers;
use crate::http1::{self, TrailerLimits};
use crate::http2::{self, Abuse};
use crate::transport::Transport;
use crate::uring::{self, Chunk, ChunkQueue};

/// A body that is being received.
pub struct Http2Source {
    stream: RecvStream,
    /// Bytes handed out, whose window is given back once they have been sent.
    given: usize,
    ended: bool,
    trailers: Option<Headers>,
    limits: TrailerLimits,
    /// What comes is for after a change of protocol.
    held: bool,
    /// How long it may bring nothing.
    stall: Option<Duration>,
    /// The same after a change of protocol.
    tunnel_stall: Option<Duration>,
}

impl Http2Source {
    /// The body of a stream that may be silent, and have trailers, as these say; `held` if it is to begin after a
    /// change of protocol.
    pub fn new(stream: RecvStream, times: &Limits, held: bool) -> Self {
        Self {
            held,
            stall: Some(times.body_idle),
            tunnel_stall: times.tunnel_idle,
            limits: times.trailers,
            given: 0,
            ended: stream.is_end_stream(),
            trailers: None,
            stream,
        }
    }

    fn release(&mut self) {
        let given = std::mem::take(&mut self.given);
        if given > 0 {
            // Refused only once the stream is gone.
            let _ = self.stream.flow_control().release_capacity(given);
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        payload: &mut ChunkQueue,
    ) -> Poll<Result<(), BodyError>> {
        let failed = |error| BodyError::Receive(io::Error::other(error));
        match ready!(self.stream.poll_data(cx)) {
            Some(Ok(bytes)) => {
                self.given += bytes.len();
                payload.push(Chunk::from(bytes));
            }
            Some(Err(error)) => return Poll::Ready(Err(failed(error))),
            None => {
                let map = ready!(self.stream.poll_trailers(cx)).map_err(failed)?;
                self.trailers = map.map(|map| self.read_trailers(&map)).transpose()?;
                self.ended = true;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn read_trailers(&self, map: &HeaderMap) -> Result<Headers, BodyError> {
        let fields = map.iter();
        let fields = fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        self.limits.check(fields).map_err(BodyError::Malformed)?;
        let mut trailers = Headers::new();
        http2::fields(map, &mut trailers);
        http1::retain_trailers(&mut trailers);
        Ok(trailers)
    }
}

impl Source for Http2Source {
    fn gather(&mut self, payload: &mut ChunkQueue, most: usize) -> Result<(), BodyError> {
        if payload.is_empty() {
            self.release();
        }
        // Whoever waits is woken by `receive`.
        let mut cx = Context::from_waker(Waker::noop());
        while !self.is_ended() && payload.len() < most {
            match self.poll(&mut cx, payload) {
                Poll::Ready(outcome) => outcome?,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    async fn receive(&mut self, payload: &mut ChunkQueue) -> Result<(), BodyError> {
        self.release();
        let stall = self.stall;
        let more = poll_fn(|cx| self.poll(cx, payload));
        let Some(stall) = stall else {
            return more.await;
        };
        match timeout(stall, more).await {
            Ok(outcome) => outcome,
            Err(_) => Err(BodyError::Receive(io::ErrorKind::TimedOut.into())),
        }
    }

    fn is_ended(&self) -> bool {
        self.held || self.ended
    }

    fn trailers(&self) -> Option<&Headers> {
        self.trailers
            .as_ref()
            .filter(|trailers| !trailers.is_empty())
    }

    fn copy_out(&mut self) {}

    fn switch(&mut self) {
        self.held = false;
        self.stall = self.tunnel_stall;
    }

    fn transport(&self) -> Option<&Transport> {
        None
    }
}

/// A body that is being sent. What waits in the crate for the connection is owned memory, within the stream's window.
pub struct Http2Sink {
    stream: SendStream<Bytes>,
    /// Whose client is to take it; `None` for a server.
    client: Option<Rc<Shared>>,
    ended: bool,
    /// How long its window may stay closed while nothing else goes to the peer.
    patience: Duration,
}

impl Http2Sink {
    /// For a message whose head has gone out, with the end of the stream if it has `ended`.
    pub(super) fn new(
        stream: SendStream<Bytes>,
        client: Option<Rc<Shared>>,
        ended: bool,
        times: &Limits,
    ) -> Self {
        // A server that takes nothing for a while is not an attack.
        let patience = match client {
            Some(_) => times.http2.zero_window,
            None => times.body_idle,
        };
        Self {
            stream,
            client,
            ended,
            patience,
        }
    }

    async fn write(&mut self, payload: &mut ChunkQueue, ends: bool) -> Result<(), BodyError> {
        while let Some(mut chunk) = payload.pop() {
            while !chunk.is_empty() {
                self.stream.reserve_capacity(chunk.len());
                let mut room = self.stream.capacity();
                if room == 0 {
                    chunk = uring::keep(chunk).await;
                    room = self.room().await?;
                }
                let piece = chunk.split_to(room.min(chunk.len())).into_bytes();
                let last = ends && chunk.is_empty() && payload.is_empty();
                self.ended |= last;
                self.stream.send_data(piece, last).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Waits until the peer's window and the connection have room.
    async fn room(&mut self) -> Result<usize, BodyError> {
        let mut wait = Wait::new(self.patience);
        // Most waits are over before the first look, which is a system call.
        while wait.goes_on() {
            if let Ok(room) = timeout(wait.pause(), self.widened()).await {
                return room;
            }
            wait.look(
                self.client
                    .as_ref()
                    .map(|client| client.seen(self.stream.stream_id().into())),
            );
        }
        self.stream.send_reset(Reason::ENHANCE_YOUR_CALM);
        if let Some(client) = &self.client {
            client.count(Abuse::ZeroWindow);
        }
        Err(BodyError::Send(io::ErrorKind::TimedOut.into()))
    }

    async fn widened(&mut self) -> Result<usize, BodyError> {
        loop {
            match poll_fn(|cx| self.stream.poll_capacity(cx)).await {
                Some(Ok(0)) => {}
                Some(Ok(room)) => return Ok(room),
                Some(Err(error)) => return Err(failed(error)),
                None => return Err(failed(Reason::STREAM_CLOSED.into())),
            }
        }
    }
}

fn failed(error: h2::Error) -> BodyError {
    BodyError::Send(io::Error::other(error))
}

impl Sink for Http2Sink {
    fn is_pending(&self) -> bool {
        false
    }

    fn gathers(&self) -> usize {
        1
    }

    async fn send(
        &mut self,
        payload: &mut ChunkQueue,
        _: Option<&Transport>,
    ) -> Result<(), BodyError> {
        self.write(payload, false).await
    }

    async fn finish(
        &mut self,
        payload: &mut ChunkQueue,
        trailers: Option<&Headers>,
        _: Option<&Transport>,
    ) -> Result<(), BodyError> {
        if self.ended {
            return Ok(());
        }
        self.write(payload, trailers.is_none()).await?;
        match trailers {
            Some(trailers) => {
                let map = http2::header_map(trailers)
                    .map_err(|error| BodyError::Send(io::Error::other(error)))?;
                self.stream.send_trailers(map).map_err(failed)?;
            }
            None if !self.ended => {
                self.stream.send_data(Bytes::new(), true).map_err(failed)?;
            }
            None => {}
        }
        self.ended = true;
        Ok(())
    }

    async fn close(&mut self) -> Result<(), BodyError> {
        self.finish(&mut ChunkQueue::new(), None, None).await
    }
}
