//! One worker's driver: queues operations, enters the ring and hands completions to their owners.
//!
//! The ring is entered ([`Driver::turn`]) by the ring task, which the first push since the last enter wakes and which
//! runs in queue order, so that a busy task cannot hold submissions back; by the runtime before it sleeps; and when
//! the eventfd says that the kernel has completions.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Bytes;
use io_uring::{cqueue, squeue};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinSet;

use super::Config;
use super::buffers::{Account, Lease};
use super::chunk::Chunk;
use super::operations::Kind;
use super::ring::{Ring, SetupError};
use super::slots::{InFlight, Payload, Slots, Token};
use crate::limits::{COPY_TURN_BYTES, COPY_TURNS_MAX, RING_SHARE, RING_SHUTDOWN};

/// Whose operation it is. The slot holds it until the terminal completion, so it outlives the operation.
pub(crate) trait Owner {
    /// Takes a completion. Must not wait; may start, cancel and wake.
    fn complete(self: Rc<Self>, done: Completion);

    /// Which account received ring buffers are counted on.
    fn account(&self) -> Account {
        Account::default()
    }
}

/// What the kernel says of an operation.
pub(crate) struct Completion {
    pub(crate) kind: Kind,
    /// What the system call of that name would have returned.
    pub(crate) result: io::Result<u32>,
    /// What was received, if into a ring buffer.
    pub(crate) lease: Option<Lease>,
    /// What was received, if into owned memory.
    pub(crate) received: Option<Vec<u8>>,
    /// An accepted connection.
    pub(crate) accepted: Option<OwnedFd>,
    /// The terminal completion of a send gives its memory back.
    pub(crate) gather: Option<Box<super::gather::Gather>>,
    /// No more completions follow.
    pub(crate) terminal: bool,
}

/// The driver of one worker thread.
pub(crate) struct Driver {
    ring: Ring,
    slots: RefCell<Slots>,
    /// Wakes the ring task.
    ring_task: RefCell<Option<Waker>>,
    /// Something was pushed since the last enter, and the ring task knows.
    pushed: Cell<bool>,
    now: Cell<Option<Instant>>,
    /// Bytes in owned memory on behalf of readers that stalled.
    copied: Arc<AtomicUsize>,
    copied_limit: usize,
    /// Bytes copied out of ring buffers since the ring was entered, or to be copied at the next.
    copied_in_turn: Cell<usize>,
    ending: Cell<bool>,
    /// The tasks without which the worker stands still; none ends but by failing.
    tasks: RefCell<JoinSet<io::Result<()>>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Driver>>> = const { RefCell::new(None) };
}

/// The driver of this thread's worker, if it is one.
pub(crate) fn current() -> Option<Rc<Driver>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Makes `driver` this thread's, or none.
pub(super) fn set_current(driver: Option<Rc<Driver>>) {
    CURRENT.set(driver);
}

impl Driver {
    pub(super) fn new(config: &Config) -> Result<Rc<Self>, SetupError> {
        Ok(Rc::new(Self {
            ring: Ring::new(config)?,
            slots: RefCell::default(),
            ring_task: RefCell::default(),
            pushed: Cell::new(false),
            now: Cell::new(None),
            copied: Arc::default(),
            copied_limit: config.copied_limit,
            copied_in_turn: Cell::default(),
            ending: Cell::new(false),
            tasks: RefCell::default(),
        }))
    }

    /// The time, read at most once a turn.
    pub(crate) fn now(&self) -> Instant {
        self.now.get().unwrap_or_else(|| {
            let now = Instant::now();
            self.now.set(Some(now));
            now
        })
    }

    /// How many ring buffers one connection may hold now: a share of those still free, at least one.
    pub(crate) fn share(&self) -> u32 {
        (u32::from(self.ring.buffers().free()) / RING_SHARE).max(1)
    }

    /// Whether so much is copied out for stalled readers that receives must be small.
    pub(crate) fn crowded(&self) -> bool {
        self.copied.load(Ordering::Relaxed) > self.copied_limit
    }

    /// Moves bytes into owned memory that counts as copied until dropped.
    pub(crate) fn charge(&self, bytes: Vec<u8>) -> Chunk {
        self.copied.fetch_add(bytes.capacity(), Ordering::Relaxed);
        Chunk::from(Bytes::from_owner(Copied {
            bytes,
            gauge: Arc::clone(&self.copied),
        }))
    }

    /// Copies what a ring buffer has, which counts as copied until dropped.
    pub(crate) fn copy_out(&self, bytes: &[u8]) -> Chunk {
        self.will_copy(bytes.len());
        self.charge(bytes.to_vec())
    }

    /// So many bytes are copied out now, or when what was cancelled completes.
    pub(crate) fn will_copy(&self, bytes: usize) {
        self.copied_in_turn.set(self.copied_in_turn.get() + bytes);
    }

    /// Bytes copied out since the ring was entered, or to be copied at the next.
    pub(crate) fn copied_in_turn(&self) -> usize {
        self.copied_in_turn.get()
    }

    /// Waits until less than [`COPY_TURN_BYTES`] have been copied out since the ring was entered, for
    /// [`COPY_TURNS_MAX`] turns at most: what waits meanwhile is served in between.
    pub(crate) async fn copy_turn(&self) {
        for _ in 0..COPY_TURNS_MAX {
            if self.copied_in_turn.get() < COPY_TURN_BYTES {
                break;
            }
            self.enter_soon();
            tokio::task::yield_now().await;
        }
    }

    /// Whether any ring buffer is free.
    pub(crate) fn has_buffers(&self) -> bool {
        self.ring.buffers().free() > 0
    }

    /// What the worker holds now.
    #[cfg(test)]
    pub(super) fn usage(&self) -> super::Usage {
        super::Usage {
            free_buffers: self.ring.buffers().free(),
            copied_bytes: self.copied.load(Ordering::Relaxed),
            operations: self.slots.borrow().len(),
        }
    }

    pub(super) fn ending(&self) -> bool {
        self.ending.get()
    }

    pub(super) fn in_flight(&self, token: Token) -> bool {
        self.slots.borrow().get(token).is_some()
    }

    pub(super) fn insert(&self, operation: InFlight) -> Token {
        self.slots.borrow_mut().insert(operation)
    }

    /// Queues an entry and sees to it that the ring is entered soon. With `bulk` bytes to be copied it waits for its
    /// turn; 0 goes at once.
    ///
    /// # Safety
    /// As for [`Ring::push`].
    pub(super) unsafe fn push(&self, entry: squeue::Entry, bulk: usize) {
        // SAFETY: handed on.
        unsafe {
            match bulk {
                0 => self.ring.push(entry),
                bytes => self.ring.push_bulk(entry, bytes),
            }
        }
        self.enter_soon();
    }

    /// Wakes the ring task, once for each enter.
    fn enter_soon(&self) {
        if !self.pushed.replace(true)
            && let Some(waker) = &*self.ring_task.borrow()
        {
            waker.wake_by_ref();
        }
    }

    /// Enters the ring if there is a reason to, and hands out completions.
    pub(super) fn turn(&self) {
        self.now.set(None);
        self.copied_in_turn.set(0);
        self.pushed.set(false);
        if !self.ring.wants_enter() {
            return;
        }
        if let Err(error) = self.ring.enter() {
            // The kernel has lost completions or the ring is not one: no operation of this worker can end.
            panic!("io_uring_enter: {error}");
        }
        self.harvest();
        // An enter runs some twenty pieces of the kernel's work, and the eventfd does not tell of the rest.
        if self.ring.wants_enter() {
            self.enter_soon();
        }
    }

    fn harvest(&self) {
        while let Some(entry) = self.ring.completion() {
            self.dispatch(&entry);
        }
    }

    /// Time has passed since the last turn: the worker slept, or was busy without the ring.
    pub(crate) fn woke(&self) {
        self.now.set(None);
    }

    fn dispatch(&self, entry: &cqueue::Entry) {
        let token = Token(entry.user_data());
        if token == Token::NOBODY {
            return;
        }
        if let Some(target) = token.cancelled() {
            // Only a cancellation that failed tells. If the kernel was about to run the operation it did not find it.
            return self.cancel(target);
        }
        let terminal = !cqueue::more(entry.flags());
        let Some(operation) = self.slots.borrow_mut().completed(token, terminal) else {
            return;
        };
        let owner = Rc::clone(&operation.owner);
        owner.complete(self.completion(entry, operation, terminal));
    }

    fn completion(&self, entry: &cqueue::Entry, operation: InFlight, terminal: bool) -> Completion {
        let InFlight {
            owner,
            kind,
            payload,
        } = operation;
        let result = match entry.result() {
            code @ 0.. => Ok(code.unsigned_abs()),
            code => Err(io::Error::from_raw_os_error(-code)),
        };
        let len = *result.as_ref().unwrap_or(&0);
        let lease = cqueue::buffer_select(entry.flags())
            .map(|id| self.ring.buffers().take(id, len, &owner.account()));
        let accepted = (kind == Kind::Accept && result.is_ok()).then(|| {
            // SAFETY: a successful accept returns a new descriptor, which this completion alone carries.
            unsafe { OwnedFd::from_raw_fd(entry.result()) }
        });
        let (gather, received) = match payload {
            Payload::Send(gather) => (Some(gather), None),
            Payload::Receive(mut bytes) => {
                // SAFETY: the kernel has written the first `len` bytes, at most the capacity it was given.
                unsafe { bytes.set_len(len as usize) };
                (None, Some(bytes))
            }
            Payload::None | Payload::Address(_) => (None, None),
        };
        Completion {
            kind,
            result,
            lease,
            received,
            accepted,
            gather,
            terminal,
        }
    }

    /// Starts a task that the worker cannot do without: with it ends [`run`](super::run).
    pub(crate) fn spawn(&self, task: impl Future<Output = io::Result<()>> + 'static) {
        self.tasks.borrow_mut().spawn_local(task);
    }

    /// Waits for such a task to fail; goes on with its panic, if that is why.
    pub(super) fn poll_broken(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let ended = ready!(self.tasks.borrow_mut().poll_join_next(cx));
        Poll::Ready(match ended {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            _ => io::Error::other("a task that drives the worker has ended"),
        })
    }

    /// The ring task: enters whenever something has been pushed.
    pub(super) async fn submit_forever(self: Rc<Self>) -> io::Result<()> {
        poll_fn(|cx| {
            let known = self
                .ring_task
                .borrow()
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()));
            if !known {
                self.ring_task.replace(Some(cx.waker().clone()));
            }
            self.turn();
            Poll::Pending
        })
        .await
    }

    /// Tells a sleeping worker that the kernel has completions. Polling the ring's own descriptor loses wake-ups with
    /// DEFER_TASKRUN. Within a runtime only.
    pub(super) fn events(&self) -> io::Result<AsyncFd<Rc<OwnedFd>>> {
        let eventfd = self.ring.eventfd();
        // SAFETY: `AsyncFd` keeps its share of the eventfd, and so the descriptor open, for as long as it lives.
        Ok(unsafe { AsyncFd::register_with_interest(eventfd, Interest::READABLE) }?)
    }

    /// Enters at each event. The eventfd is not read: epoll reports each signal as a new edge.
    pub(super) async fn enter_forever(
        self: Rc<Self>,
        events: AsyncFd<Rc<OwnedFd>>,
    ) -> io::Result<()> {
        loop {
            events.readable().await?.clear_ready();
            self.turn();
        }
    }

    /// Cancels everything and waits until the kernel has let go. Call it when no task is left.
    pub(super) fn end(self: &Rc<Self>) {
        self.ending.set(true);
        // Only what the kernel has can be cancelled.
        self.ring.release_bulk(usize::MAX);
        self.cancel_all();
        let deadline = Instant::now() + RING_SHUTDOWN;
        while self.slots.borrow().len() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.ring.enter_and_wait(left).is_err() {
                // The kernel may still write: what it could write to must never be freed.
                std::mem::forget(Rc::clone(self));
                return;
            }
            self.harvest();
        }
        // Closes and cancellations queued last.
        let _ = self.ring.enter();
    }
}

struct Copied {
    bytes: Vec<u8>,
    gauge: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Copied {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.gauge
            .fetch_sub(self.bytes.capacity(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::COPIED_BYTES;

    #[test]
    fn a_worker_holds_so_much_and_receives_little_at_a_time_beyond() {
        let config = Config::default();
        assert_eq!(config.copied_limit, COPIED_BYTES);
        crate::uring::run(&config, || async {
            let driver = current().expect("a worker");
            let _most = driver.charge(vec![0; COPIED_BYTES]);
            assert!(!driver.crowded());
            let more = driver.charge(vec![0; 1]);
            assert!(driver.crowded());
            drop(more);
            assert!(!driver.crowded());
        })
        .expect("a worker");
    }
}
