//! A connection's bytes, past the meter.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Shared;
use crate::limits;
use crate::transport::Duplex;
use crate::uring;

/// Shows all bytes to the meter. Once that has had enough nothing more is read. Streams run between what is read, so
/// that not all that has arrived waits in the crate at once.
pub struct Metered {
    duplex: Duplex,
    shared: Rc<Shared>,
    stopped: bool,
    /// Bytes read since it last let others run.
    read: usize,
}

impl Metered {
    /// For the connection of `shared`.
    pub fn new(shared: &Rc<Shared>) -> Self {
        Self {
            duplex: Duplex::new(
                Rc::clone(&shared.transport),
                shared.visitor().settings().limits.body_idle,
            ),
            shared: Rc::clone(shared),
            stopped: false,
            read: 0,
        }
    }

    fn sent(&self, parts: &[IoSlice<'_>], mut written: usize) {
        let mut meter = self.shared.meter.borrow_mut();
        let now = uring::now();
        for part in parts {
            let taken = part.len().min(written);
            written -= taken;
            let outcome = meter.sent(&part[..taken], now);
            self.shared.judge(outcome);
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.stopped {
            return Poll::Pending;
        }
        if self.read >= limits::HTTP2_TURN_BYTES {
            self.read = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = out.filled().len();
        let Poll::Ready(outcome) = Pin::new(&mut self.duplex).poll_read(cx, out) else {
            self.read = 0;
            return Poll::Pending;
        };
        outcome?;
        let mut meter = self.shared.meter.borrow_mut();
        let outcome = meter.received(&out.filled()[before..], uring::now());
        drop(meter);
        if self.shared.judge(outcome) {
            self.read += out.filled().len() - before;
            return Poll::Ready(Ok(()));
        }
        out.set_filled(before);
        self.stopped = true;
        Poll::Pending
    }
}

impl AsyncWrite for Metered {
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
        let written = ready!(Pin::new(&mut self.duplex).poll_write_vectored(cx, parts))?;
        self.sent(parts, written);
        self.shared.waiting.set(self.duplex.waiting());
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.duplex).poll_flush(cx);
        self.shared.waiting.set(self.duplex.waiting());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.duplex).poll_shutdown(cx)
    }
}
