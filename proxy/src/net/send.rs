//! Sending: gathering chunks, resuming what was cut short, and copying out what the peer does not take.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use socket2::SockAddr;
use tokio::task::coop;

use super::socket::Socket;
use crate::limits::STALL;
use crate::uring::{ChunkQueue, Completion, Gather, Token};

/// The send (or connect) the kernel has.
#[derive(Clone, Copy)]
struct Busy {
    token: Token,
    since: Instant,
    /// Bytes that go with it and what is to be gathered next, if any of them is in a ring buffer; else 0.
    leased: usize,
    end: Early,
}

/// Why it was asked to end early.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Early {
    No,
    /// It holds ring buffers for too long: go on with a copy.
    Stalled,
    /// The deadline has passed, or nobody waits for it any more.
    Cut,
}

#[derive(Default)]
pub(super) struct Sending {
    busy: Cell<Option<Busy>>,
    /// What is left, while the kernel does not have it.
    gather: Cell<Option<Box<Gather>>>,
    /// The first failure; nothing can be sent after it.
    failed: Cell<Option<i32>>,
    /// The send now going on has stalled: what is still to be gathered leaves the ring buffers too.
    stalled: Cell<bool>,
    /// Where the bytes came from.
    source: Cell<Option<Rc<Socket>>>,
    waker: Cell<Option<Waker>>,
}

impl Sending {
    fn fail(&self, code: i32) {
        self.failed.set(self.failed.get().or(Some(code)));
    }
}

impl Socket {
    pub(super) fn connect(self: &Rc<Self>, address: SockAddr) {
        let token = self.driver.connect(self.owner(), self.raw, address);
        self.set_busy(token, 0);
    }

    /// Waits until the send or connect in flight has ended.
    pub(super) fn poll_idle(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(code) = self.sending.failed.get() {
            return Poll::Ready(Err(io::Error::from_raw_os_error(code)));
        }
        if self.sending.busy.get().is_none() {
            return Poll::Ready(Ok(()));
        }
        self.sending.waker.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    pub(super) fn poll_send(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        queue: &mut ChunkQueue,
        source: Option<&Rc<Socket>>,
    ) -> Poll<io::Result<()>> {
        let budget = ready!(coop::poll_proceed(cx));
        ready!(self.poll_idle(cx))?;
        if self.sending.stalled.get() {
            queue.copy_out(|bytes| self.driver.copy_out(bytes));
        }
        let mut gather = self.sending.gather.take().unwrap_or_else(Gather::new);
        if gather.chunks.is_empty() {
            gather.fill(queue);
        }
        if gather.chunks.is_empty() {
            self.sending.gather.set(Some(gather));
            self.sending.stalled.set(false);
            budget.made_progress();
            return Poll::Ready(Ok(()));
        }
        if self.expired() {
            self.sending.fail(libc::ETIMEDOUT);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.sending.source.set(source.cloned());
        let leased = match gather.chunks.has_lease() || queue.has_lease() {
            true => gather.chunks.bytes() + queue.bytes(),
            false => 0,
        };
        let token = self.driver.send(self.owner(), self.raw, gather);
        self.set_busy(token, leased);
        if leased > 0 || source.is_some() {
            self.watch();
        }
        self.sending.waker.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn set_busy(&self, token: Token, leased: usize) {
        self.started();
        self.sending.busy.set(Some(Busy {
            token,
            since: self.driver.now(),
            leased,
            end: Early::No,
        }));
    }

    pub(super) fn sent(self: &Rc<Self>, done: Completion) {
        let sending = &self.sending;
        let Some(busy) = sending.busy.take() else {
            return;
        };
        let source = sending.source.take();
        if self.closing.get() {
            return;
        }
        let outcome = match done.result {
            Ok(sent) => Ok(sent as usize),
            Err(error) => match error.raw_os_error() {
                Some(libc::ECANCELED) if busy.end == Early::Cut => Err(libc::ETIMEDOUT),
                Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN) if done.gather.is_some() => {
                    Ok(0)
                }
                code => Err(code.unwrap_or(libc::EIO)),
            },
        };
        match (outcome, done.gather) {
            (Ok(sent), Some(gather)) => {
                if sent > 0 {
                    self.moved();
                }
                self.advance(busy, sent, gather, source);
            }
            (Ok(_), None) => {}
            (Err(code), _) => sending.fail(code),
        }
        if let Some(waker) = sending.waker.take() {
            waker.wake();
        }
    }

    /// Keeps what is left of a send. If it stalled, nothing of it or of its source stays in ring buffers.
    fn advance(
        &self,
        busy: Busy,
        sent: usize,
        mut gather: Box<Gather>,
        source: Option<Rc<Socket>>,
    ) {
        gather.chunks.advance(sent);
        let whole = gather.chunks.is_empty();
        let stalled = busy.end == Early::Stalled && !whole;
        if stalled {
            self.sending.stalled.set(true);
            gather.chunks.copy_out(|bytes| self.driver.copy_out(bytes));
        }
        if busy.end == Early::Cut && !whole {
            self.sending.fail(libc::ETIMEDOUT);
        }
        self.sending.gather.set(Some(gather));
        if let Some(source) = source {
            if stalled {
                source.stall();
            }
            source
                .receive
                .sent(!stalled && self.driver.now().duration_since(busy.since) < STALL);
        }
    }

    /// Ends the send or connect in flight for good.
    pub(super) fn cut_send(&self) {
        self.end_early(Early::Cut);
    }

    /// The future of a send was dropped: what is in flight is cut, and how much has gone is unknown.
    pub(super) fn abandon_send(&self) {
        if self.sending.busy.get().is_some() {
            self.cut_send();
            self.sending.fail(libc::EPIPE);
        } else if self
            .sending
            .gather
            .take()
            .is_some_and(|gather| !gather.chunks.is_empty())
        {
            self.sending.fail(libc::EPIPE);
        }
    }

    /// Whether the kernel has a send (or connect).
    pub(super) fn is_sending(&self) -> bool {
        self.sending.busy.get().is_some()
    }

    /// Whether nothing can be sent any more.
    pub(super) fn send_failed(&self) -> bool {
        self.sending.failed.get().is_some()
    }

    fn end_early(&self, end: Early) {
        if let Some(busy) = self.sending.busy.get() {
            if busy.end == Early::No {
                self.driver.cancel(busy.token);
            }
            self.sending.busy.set(Some(Busy { end, ..busy }));
        }
    }

    /// Looks at a send that takes too long. If ring buffers wait for it, it ends and goes on with a copy; if it is of
    /// owned memory, only its source is told. Whether to look again.
    pub(super) fn check_send(&self) -> bool {
        let Some(busy) = self.sending.busy.get() else {
            return false;
        };
        let stalled =
            busy.end == Early::No && self.driver.now().duration_since(busy.since) >= STALL;
        let source = self.sending.source.take();
        if busy.leased > 0 {
            if stalled {
                self.end_early(Early::Stalled);
                let ahead = source.as_ref().map_or(0, |source| source.waiting_bytes());
                self.driver.will_copy(busy.leased + ahead);
            }
            self.sending.source.set(source);
            return true;
        }
        let Some(source) = source else {
            return false;
        };
        if stalled {
            source.stall();
        }
        self.sending.source.set(Some(source));
        !stalled
    }
}
