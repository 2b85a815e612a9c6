//! The io_uring itself: how it is set up, filled and entered. Knows nothing of what operations mean.
//!
//! SINGLE_ISSUER and DEFER_TASKRUN: only this thread enters it, and completions are produced only while it does.
//! TASKRUN_FLAG tells, without a syscall, whether entering would produce any. The eventfd tells a sleeping worker.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, Submitter, cqueue, squeue};

use super::Config;
use super::buffers::{Buffers, GROUP};
use crate::limits::{BULK_TURN_BYTES, RING_COMPLETIONS, RING_SUBMISSIONS};
use crate::sys;

/// What was being set up when the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Setup,
    RingDescriptor,
    Buffers,
    Eventfd,
}

/// The kernel refused a ring.
#[derive(Debug)]
pub(super) struct SetupError {
    pub(super) stage: Stage,
    pub(super) source: io::Error,
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "io_uring ({:?}): {}", self.stage, self.source)
    }
}

impl std::error::Error for SetupError {}

/// An io_uring with its buffer ring and eventfd.
pub(super) struct Ring {
    /// Borrows `io`, which is why `Drop` takes both apart in order. It alone remembers the registered descriptor.
    submitter: Option<Submitter<'static>>,
    io: &'static IoUring,
    eventfd: Rc<OwnedFd>,
    /// Entries that found the submission queue full, in order.
    aside: RefCell<VecDeque<squeue::Entry>>,
    /// Operations that copy much, and how much: each entering of the ring takes [`BULK_TURN_BYTES`] of them.
    bulk: RefCell<VecDeque<(squeue::Entry, usize)>>,
    /// Registered with the kernel: must not be unmapped before `io` is closed.
    buffers: Rc<Buffers>,
}

impl Ring {
    pub(super) fn new(config: &Config) -> Result<Self, SetupError> {
        let at = |stage| move |source| SetupError { stage, source };
        let buffers =
            Buffers::new(config.buffers, config.buffer_size).map_err(at(Stage::Buffers))?;
        let eventfd = Rc::new(sys::eventfd().map_err(at(Stage::Eventfd))?);
        let io = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(RING_COMPLETIONS)
            .build(RING_SUBMISSIONS)
            .map_err(at(Stage::Setup))?;
        let io: &'static IoUring = Box::leak(Box::new(io));
        let mut ring = Self {
            submitter: Some(io.submitter()),
            io,
            eventfd,
            aside: RefCell::default(),
            bulk: RefCell::default(),
            buffers,
        };
        ring.register()?;
        Ok(ring)
    }

    fn register(&mut self) -> Result<(), SetupError> {
        let at = |stage| move |source| SetupError { stage, source };
        let (address, entries) = self.buffers.registration();
        // SAFETY: `buffers` keeps the entries mapped at `address` until `Drop` has closed the ring.
        unsafe {
            self.io
                .submitter()
                .register_buf_ring_with_flags(address, entries, GROUP, 0)
        }
        .map_err(at(Stage::Buffers))?;
        self.io
            .submitter()
            .register_eventfd(self.eventfd.as_raw_fd())
            .map_err(at(Stage::Eventfd))?;
        self.submitter
            .as_mut()
            .map_or(Ok(()), Submitter::register_ring_fd)
            .map_err(at(Stage::RingDescriptor))
    }

    /// Readable when entering would produce completions. Shared with whoever watches it.
    pub(super) fn eventfd(&self) -> Rc<OwnedFd> {
        Rc::clone(&self.eventfd)
    }

    /// The buffers the kernel receives into.
    pub(super) fn buffers(&self) -> &Rc<Buffers> {
        &self.buffers
    }

    /// Queues an entry for the next enter; never blocks and never enters.
    ///
    /// # Safety
    /// Whatever the entry points at must stay valid until its terminal completion.
    pub(super) unsafe fn push(&self, entry: squeue::Entry) {
        let mut aside = self.aside.borrow_mut();
        // SAFETY: no other view of the submission queue exists: each is dropped in the function that makes it. The
        // entry's memory is the caller's promise.
        if !aside.is_empty() || unsafe { self.io.submission_shared().push(&entry) }.is_err() {
            aside.push_back(entry);
        }
    }

    /// Queues an entry for one of the next enters, behind those queued so before.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    pub(super) unsafe fn push_bulk(&self, entry: squeue::Entry, bytes: usize) {
        self.bulk.borrow_mut().push_back((entry, bytes));
    }

    /// Queues bulk of up to `at_most` bytes, or a single longer piece of it, for the next enter.
    pub(super) fn release_bulk(&self, at_most: usize) {
        let mut bulk = self.bulk.borrow_mut();
        let mut taken = 0;
        while let Some(&(_, bytes)) = bulk.front()
            && (taken == 0 || taken + bytes <= at_most)
            && let Some((entry, bytes)) = bulk.pop_front()
        {
            taken += bytes;
            // SAFETY: the caller of `push_bulk` vouched for its memory.
            unsafe { self.push(entry) };
        }
    }

    /// Whether entering would do anything: something is queued, or the kernel has work or completions for us.
    pub(super) fn wants_enter(&self) -> bool {
        // SAFETY: as in `push`.
        let queue = unsafe { self.io.submission_shared() };
        !queue.is_empty()
            || !self.aside.borrow().is_empty()
            || !self.bulk.borrow().is_empty()
            || queue.taskrun()
            || queue.cq_overflow()
    }

    /// Submits what is queued and lets the kernel produce completions; never waits.
    pub(super) fn enter(&self) -> io::Result<()> {
        self.enter_with(0, None)
    }

    /// As [`enter`](Self::enter), waiting for a completion.
    pub(super) fn enter_and_wait(&self, at_most: Duration) -> io::Result<()> {
        self.enter_with(1, Some(at_most))
    }

    fn enter_with(&self, completions: u32, at_most: Option<Duration>) -> io::Result<()> {
        let Some(submitter) = &self.submitter else {
            return Ok(());
        };
        self.buffers.replenish();
        self.release_bulk(BULK_TURN_BYTES);
        let queued = self.fill();
        let flags = EnterFlags::GETEVENTS;
        let entered = match at_most {
            None => {
                // SAFETY: `queued` counts entries of the queue, whose memory the callers of `push` vouch for.
                unsafe {
                    submitter.enter::<libc::sigset_t>(queued, completions, flags.bits(), None)
                }
            }
            Some(time) => {
                let time = Timespec::new()
                    .sec(time.as_secs())
                    .nsec(time.subsec_nanos());
                let argument = SubmitArgs::new().timespec(&time);
                let flags = flags | EnterFlags::EXT_ARG;
                // SAFETY: as above; `argument` is what EXT_ARG announces and outlives the call.
                unsafe { submitter.enter(queued, completions, flags.bits(), Some(&argument)) }
            }
        };
        match entered {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Interrupted, out of time, short of memory for the moment, or completions to be taken first: the
                // queue is as it was and the next enter goes on.
                Some(libc::EINTR | libc::ETIME | libc::EAGAIN | libc::EBUSY) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Moves what was put aside into the submission queue; returns how many entries that now holds.
    fn fill(&self) -> u32 {
        let mut aside = self.aside.borrow_mut();
        // SAFETY: as in `push`.
        let mut queue = unsafe { self.io.submission_shared() };
        while let Some(entry) = aside.pop_front() {
            // SAFETY: the entry came through `push`, whose caller vouched for its memory.
            if unsafe { queue.push(&entry) }.is_err() {
                aside.push_front(entry);
                break;
            }
        }
        queue.len() as u32
    }

    /// Takes the oldest completion.
    pub(super) fn completion(&self) -> Option<cqueue::Entry> {
        // SAFETY: no other view of the completion queue exists: this one is dropped before returning.
        unsafe { self.io.completion_shared() }.next()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(mut submitter) = self.submitter.take() {
            // A registered descriptor holds the ring open; none was registered if `register` failed.
            let _ = submitter.unregister_ring_fd();
        }
        // SAFETY: `io` was leaked in `new` and the submitter, its only borrower, is gone. `buffers` is dropped after.
        drop(unsafe { Box::from_raw(std::ptr::from_ref(self.io).cast_mut()) });
    }
}
