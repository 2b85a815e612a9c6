//! A transport as the byte stream that libraries written for tokio's traits expect.
//!
//! Received chunks are copied into the caller's buffer, and what is written is gathered until the last send has ended.
//! Invariants: at most [`limits::HTTP2_SEND_BYTES`] wait beside as many that are being sent, then writing waits; no
//! ring buffer is kept while it does.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Transport;
use crate::limits;
use crate::uring::{self, Chunk};

/// Reads and writes a transport; whoever holds another reference must do neither meanwhile.
pub struct Duplex {
    transport: Rc<Transport>,
    /// What the last read left.
    received: Option<Chunk>,
    /// What is sent next.
    gathered: Vec<u8>,
    /// When something was received last.
    heard: Rc<Cell<Instant>>,
    sending: Option<Pin<Box<dyn Future<Output = io::Result<()>>>>>,
    /// How much that is.
    sending_bytes: usize,
    /// How long nothing of a send may move.
    stall: Duration,
}

impl Duplex {
    /// Around a transport on which nothing is being received or sent; a send of which nothing moves for so long fails.
    pub fn new(transport: Rc<Transport>, stall: Duration) -> Self {
        Self {
            transport,
            received: None,
            gathered: Vec::new(),
            heard: Rc::new(Cell::new(uring::now())),
            sending: None,
            sending_bytes: 0,
            stall,
        }
    }

    /// When something was received last, at any time.
    pub fn heard(&self) -> Rc<Cell<Instant>> {
        Rc::clone(&self.heard)
    }

    /// Bytes written that the transport may not have taken yet.
    pub fn waiting(&self) -> usize {
        let sending = self.sending.as_ref().map_or(0, |_| self.sending_bytes);
        self.gathered.len() + sending
    }

    /// Sends on, as far as possible without waiting. Ready once nothing is being sent.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(sending) = &mut self.sending {
                ready!(sending.as_mut().poll(cx))?;
                self.sending = None;
                self.transport.set_deadline(None);
            }
            if self.gathered.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.sending_bytes = self.gathered.len();
            let bytes = uring::hold(std::mem::take(&mut self.gathered));
            let transport = Rc::clone(&self.transport);
            transport.set_stall(self.stall);
            self.sending = Some(Box::pin(async move {
                let mut queue = [bytes].into_iter().collect();
                transport.send(&mut queue, None).await
            }));
        }
    }

    /// Ready while there is room to write.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.gathered.len() >= limits::HTTP2_SEND_BYTES
            && let Poll::Ready(sent) = self.poll_sent(cx)
        {
            sent?;
        }
        match limits::HTTP2_SEND_BYTES.checked_sub(self.gathered.len()) {
            Some(room @ 1..) => Poll::Ready(Ok(room)),
            _ => {
                // Who cannot write does not read either.
                self.received = self.received.take().map(Chunk::into_owned);
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for Duplex {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = match self.received.take() {
            Some(chunk) => chunk,
            // A receive may be begun again any time: what arrives waits in the transport.
            None => match ready!(pin!(self.transport.recv()).poll(cx))? {
                Some(chunk) => {
                    self.heard.set(uring::now());
                    chunk
                }
                None => return Poll::Ready(Ok(())),
            },
        };
        let taken = chunk.len().min(out.remaining());
        out.put_slice(&chunk[..taken]);
        chunk.advance(taken);
        self.received = Some(chunk).filter(|chunk| !chunk.is_empty());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_room(cx))?;
        let mut left = room;
        for part in parts {
            let taken = part.len().min(left);
            self.gathered.extend_from_slice(&part[..taken]);
            left -= taken;
        }
        Poll::Ready(Ok(room - left))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Begins to send. What cannot be sent at once is sent on by the next call of this, for which the send wakes the
    /// task: so frames that are written meanwhile go out together.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_sent(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ if self.gathered.len() < limits::HTTP2_SEND_BYTES => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    /// Sends everything; the connection is closed by whoever owns the transport.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::task::Waker;

    use super::*;
    use crate::net::Stream;

    #[test]
    fn so_much_waits_to_be_sent_beside_as_much_that_is_being_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        uring::run(&uring::Config::default(), || async {
            let stream = Stream::connect(address, None).await.expect("connected");
            let mut duplex = Duplex::new(Rc::new(Transport::plain(stream)), limits::BODY_STALL);
            // The ring is not entered meanwhile: no send ends.
            let mut cx = Context::from_waker(Waker::noop());
            let bytes = vec![b'x'; 2 * limits::HTTP2_SEND_BYTES];
            let mut write = |count: usize| {
                let written = Pin::new(&mut duplex).poll_write(&mut cx, &bytes[..count]);
                written.map(|written| written.expect("written"))
            };
            let most = limits::HTTP2_SEND_BYTES;
            assert_eq!(write(most + 1), Poll::Ready(most), "until it is sent");
            assert_eq!(write(most - 1), Poll::Ready(most - 1), "beside that");
            assert_eq!(write(2), Poll::Ready(1));
            assert_eq!(write(1), Poll::Pending);
        })
        .expect("a worker");
    }
}
