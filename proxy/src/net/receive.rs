//! Receiving: what to arm, when to stop, and what to do when nobody reads.
//!
//! A receive is armed in one of four ways. *Many*: multishot into ring buffers, ahead of the reader. *Next*: once into
//! a ring buffer, ahead of a reader that has not shown yet that it reads on: multishot may fill many buffers before it
//! can be stopped. *Small*: a piece into a ring buffer, for a reader that waits. *Owned*: the same into memory of its
//! own, when this connection may not have a ring buffer. Only the last holds memory while it waits.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use tokio::task::coop;

use super::socket::Socket;
use crate::limits::{
    LEAN_RECEIVE_BYTES, PROMPT_SENDS, PROMPT_SENDS_MAX, RECEIVE_AHEAD_BYTES, RECEIVE_MANY_AFTER,
    RING_BUFFER_BYTES, STALL,
};
use crate::uring::{Account, Chunk, ChunkQueue, Completion, Token};

/// Why nothing more will be received.
#[derive(Clone, Copy)]
enum End {
    Finished,
    Failed(i32),
}

#[derive(Clone, Copy)]
struct Armed {
    token: Token,
    cancelled: bool,
}

pub(super) struct Receive {
    /// Ring buffers held, wherever their leases are.
    pub(super) account: Account,
    queue: RefCell<ChunkQueue>,
    end: Cell<Option<End>>,
    armed: Cell<Option<Armed>>,
    waker: Cell<Option<Waker>>,
    /// Whom a failure wakes, whether or not it receives.
    watcher: Cell<Option<Waker>>,
    /// No ring buffer was free: the next receive is an owned one.
    starved: Cell<bool>,
    /// The last receive was ended, or none followed it, because it got too far ahead.
    paused: Cell<bool>,
    /// Prompt sends still needed before receiving ahead again; zero: not lean.
    lean: Cell<u32>,
    /// How many the next stall demands.
    penance: Cell<u32>,
    /// Chunks that have been read since the connection was pooled, up to [`RECEIVE_MANY_AFTER`].
    read: Cell<u32>,
    /// When the queue last gave something or stopped being empty.
    touched: Cell<Instant>,
}

impl Receive {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            account: Account::default(),
            queue: RefCell::default(),
            end: Cell::new(None),
            armed: Cell::new(None),
            waker: Cell::new(None),
            watcher: Cell::new(None),
            starved: Cell::new(false),
            paused: Cell::new(false),
            lean: Cell::new(0),
            penance: Cell::new(PROMPT_SENDS),
            read: Cell::new(0),
            touched: Cell::new(now),
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Drops what nobody will read.
    pub(super) fn discard(&self) {
        self.queue.borrow_mut().clear();
        self.waker.take();
    }

    /// Nobody waits for a failure any more.
    pub(super) fn unwatch(&self) {
        self.watcher.take();
    }

    /// Whether anybody waits for bytes or a failure.
    fn waiting(&self) -> bool {
        [&self.waker, &self.watcher].into_iter().any(|cell| {
            let waker = cell.take();
            let waiting = waker.is_some();
            cell.set(waker);
            waiting
        })
    }

    /// A send of what was received here was prompt, or not.
    pub(super) fn sent(&self, prompt: bool) {
        match self.lean.get() {
            0 => {}
            needed if prompt => self.lean.set(needed - 1),
            _ => self.lean.set(self.penance.get()),
        }
    }

    fn become_lean(&self) {
        if self.lean.get() == 0 {
            self.lean.set(self.penance.get());
            self.penance
                .set((self.penance.get() * 2).min(PROMPT_SENDS_MAX));
        }
    }
}

impl Socket {
    pub(super) fn poll_recv(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Chunk>>> {
        let budget = ready!(coop::poll_proceed(cx));
        if let Some(chunk) = self.take_received() {
            budget.made_progress();
            return Poll::Ready(Ok(Some(chunk)));
        }
        match self.receive.end.get() {
            Some(End::Finished) => return Poll::Ready(Ok(None)),
            Some(End::Failed(code)) => return Poll::Ready(Err(io::Error::from_raw_os_error(code))),
            None => {}
        }
        if self.expired() {
            self.cancel_receive();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.receive.waker.set(Some(cx.waker().clone()));
        self.arm(true);
        Poll::Pending
    }

    /// Waits for a failure; receives ahead for that, but no more than an idle connection does.
    pub(super) fn poll_ended(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.receive.end.get(), Some(End::Failed(_))) {
            return Poll::Ready(());
        }
        self.receive.watcher.set(Some(cx.waker().clone()));
        if self.receive.queue.borrow().is_empty() {
            self.arm(true);
        }
        Poll::Pending
    }

    /// Takes from the queue, and receives ahead once it is empty.
    pub(super) fn take_received(self: &Rc<Self>) -> Option<Chunk> {
        let receive = &self.receive;
        let mut queue = receive.queue.borrow_mut();
        let chunk = queue.pop()?;
        let emptied = queue.is_empty();
        drop(queue);
        receive.touched.set(self.driver.now());
        receive
            .read
            .set((receive.read.get() + 1).min(RECEIVE_MANY_AFTER));
        if emptied {
            self.arm(false);
        }
        Some(chunk)
    }

    pub(super) fn unread(&self, chunk: Chunk) {
        self.receive
            .queue
            .borrow_mut()
            .push_front(chunk.into_owned());
    }

    /// Whether this idle connection has seen anything; arms its receive if it is not.
    pub(super) fn spent(self: &Rc<Self>) -> bool {
        let receive = &self.receive;
        if receive.end.get().is_some()
            || receive.starved.get()
            || !receive.queue.borrow().is_empty()
        {
            return true;
        }
        // Its next source or reader is another one, which may read nothing.
        if receive.read.replace(0) >= RECEIVE_MANY_AFTER {
            self.cancel_receive();
        }
        if receive.armed.get().is_some_and(|armed| !armed.cancelled) {
            return false;
        }
        receive.lean.set(0);
        self.arm(false);
        !self.nothing_to_read()
    }

    fn nothing_to_read(&self) -> bool {
        let descriptor = self.descriptor.borrow();
        let Some(descriptor) = descriptor.as_ref() else {
            return false;
        };
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let peeked = socket2::SockRef::from(descriptor)
            .recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Arms a receive if none is and there may be one: ahead of the reader, or because it waits.
    fn arm(self: &Rc<Self>, waiting: bool) {
        let receive = &self.receive;
        if receive.armed.get().is_some() || receive.end.get().is_some() || self.closing.get() {
            return;
        }
        let owned = receive.starved.get() || receive.account.held() >= self.driver.share();
        let small = owned || receive.lean.get() > 0 || self.driver.crowded();
        if small && !waiting {
            return;
        }
        let owner = self.owner();
        let bulk = match (receive.lean.get(), receive.paused.take()) {
            (0, false) => 0,
            (0, true) => RING_BUFFER_BYTES as usize,
            _ => LEAN_RECEIVE_BYTES,
        };
        let many = receive.read.get() >= RECEIVE_MANY_AFTER;
        let next = |most| self.driver.receive(owner.clone(), self.raw, most, bulk);
        let token = match (owned, small) {
            (true, _) => self.driver.receive_owned(owner, self.raw, bulk),
            (false, true) => next(LEAN_RECEIVE_BYTES as u32),
            (false, false) if many => self.driver.receive_many(owner, self.raw, bulk),
            (false, false) => next(RING_BUFFER_BYTES),
        };
        self.started();
        receive.armed.set(Some(Armed {
            token,
            cancelled: false,
        }));
    }

    pub(super) fn cancel_receive(&self) {
        if let Some(armed) = self.receive.armed.get().filter(|armed| !armed.cancelled) {
            self.driver.cancel(armed.token);
            self.receive.armed.set(Some(Armed {
                cancelled: true,
                ..armed
            }));
        }
    }

    pub(super) fn received(self: &Rc<Self>, done: Completion) {
        let receive = &self.receive;
        let cancelled = receive.armed.get().is_some_and(|armed| armed.cancelled);
        if done.terminal {
            receive.armed.set(None);
        }
        if self.closing.get() {
            return;
        }
        match done.result {
            Ok(0) => receive.end.set(Some(End::Finished)),
            Ok(_) => {
                self.moved();
                self.queue_up(done.lease.map(Chunk::from), done.received);
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOBUFS) => receive.starved.set(!self.driver.has_buffers()),
                Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN) => {}
                code => {
                    receive
                        .end
                        .set(Some(End::Failed(code.unwrap_or(libc::EIO))));
                    if let Some(watcher) = receive.watcher.take() {
                        watcher.wake();
                    }
                }
            },
        }
        let empty = receive.queue.borrow().is_empty();
        if !empty || receive.end.get().is_some() {
            receive.wake();
        }
        let (waiting, ahead) = (empty && receive.waiting(), self.is_ahead());
        if ahead {
            receive.paused.set(true);
            self.cancel_receive();
        }
        if waiting || !(ahead || cancelled) {
            self.arm(waiting);
        }
    }

    fn queue_up(self: &Rc<Self>, lease: Option<Chunk>, received: Option<Vec<u8>>) {
        let receive = &self.receive;
        let owned = received.map(|mut bytes| {
            receive.starved.set(false);
            if bytes.len() < LEAN_RECEIVE_BYTES / 2 {
                bytes.shrink_to_fit();
            }
            self.driver.charge(bytes)
        });
        let mut queue = receive.queue.borrow_mut();
        if queue.is_empty() {
            receive.touched.set(self.driver.now());
        }
        if lease.is_some() {
            self.watch();
        }
        lease
            .into_iter()
            .chain(owned)
            .for_each(|chunk| queue.push(chunk));
    }

    fn is_ahead(&self) -> bool {
        is_ahead(self.waiting_bytes(), self.driver.crowded())
            || self.receive.account.held() > self.driver.share()
    }

    /// Bytes received that nobody has read.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.receive.queue.borrow().bytes()
    }

    /// What was received here is sent to a peer that does not take it: receive no more than is asked for, until sends
    /// are prompt again.
    pub(super) fn stall(&self) {
        self.receive.become_lean();
        self.evict();
    }

    /// Copies out what waits in the queue; nothing more is received before it has been read.
    fn evict(&self) {
        self.cancel_receive();
        self.receive
            .queue
            .borrow_mut()
            .copy_out(|bytes| self.driver.copy_out(bytes));
    }

    /// Evicts a queue that nobody has read from for too long; whether it holds leases still.
    pub(super) fn check_queue(&self) -> bool {
        if !self.receive.queue.borrow().has_lease() {
            return false;
        }
        let stalled = self.driver.now().duration_since(self.receive.touched.get()) >= STALL;
        if stalled {
            self.evict();
        }
        !stalled
    }
}

/// Whether so many bytes that wait for the reader are enough for now.
fn is_ahead(waiting: usize, crowded: bool) -> bool {
    let most = match crowded {
        true => LEAN_RECEIVE_BYTES,
        false => RECEIVE_AHEAD_BYTES,
    };
    waiting >= most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_is_received_ahead_and_no_more_is_asked_for() {
        assert!(!is_ahead(RECEIVE_AHEAD_BYTES - 1, false));
        assert!(is_ahead(RECEIVE_AHEAD_BYTES, false));
        assert!(!is_ahead(LEAN_RECEIVE_BYTES - 1, true));
        assert!(is_ahead(LEAN_RECEIVE_BYTES, true));
    }
}
