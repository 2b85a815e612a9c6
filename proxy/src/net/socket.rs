//! A connected socket as the driver sees it: owner of its operations, closed when the last of them has ended.
//!
//! Invariant: `in_flight` counts the operations that have not had their terminal completion; the descriptor stays open
//! while it is above zero, since an entry that is queued but not submitted names the descriptor by number.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::receive::Receive;
use super::send::Sending;
use super::sweep::Sweep;
use crate::limits::PROGRESS_LOOKS;
use crate::sys;
use crate::uring::{Account, Completion, Driver, Kind, Owner};

pub(super) struct Socket {
    pub(super) driver: Rc<Driver>,
    pub(super) sweep: Rc<Sweep>,
    pub(super) descriptor: RefCell<Option<OwnedFd>>,
    pub(super) raw: RawFd,
    pub(super) in_flight: Cell<u32>,
    pub(super) closing: Cell<bool>,
    pub(super) receive: Receive,
    pub(super) sending: Sending,
    pub(super) deadline: Cell<Option<Instant>>,
    /// How long nothing may move; each progress renews the deadline.
    stall: Cell<Option<Duration>>,
    /// When it was last looked at how much the peer has acknowledged, and what that was.
    looked: Cell<Option<(Instant, u64)>>,
    /// When a byte last moved, in either direction, as far as is known.
    pub(super) last_moved: Cell<Instant>,
    /// Listed with the sweep for stalls.
    pub(super) watched: Cell<bool>,
    /// Listed with the sweep for deadlines.
    pub(super) timed: Cell<bool>,
}

impl Socket {
    pub(super) fn new(driver: Rc<Driver>, descriptor: OwnedFd) -> Rc<Self> {
        Rc::new(Self {
            sweep: Sweep::current(&driver),
            raw: descriptor.as_raw_fd(),
            descriptor: RefCell::new(Some(descriptor)),
            in_flight: Cell::new(0),
            closing: Cell::new(false),
            receive: Receive::new(driver.now()),
            sending: Sending::default(),
            deadline: Cell::new(None),
            stall: Cell::new(None),
            looked: Cell::new(None),
            last_moved: Cell::new(driver.now()),
            watched: Cell::new(false),
            timed: Cell::new(false),
            driver,
        })
    }

    /// The socket as the owner of an operation about to be started.
    pub(super) fn owner(self: &Rc<Self>) -> Rc<dyn Owner> {
        Rc::<Self>::clone(self)
    }

    /// Notes that an operation has been started.
    pub(super) fn started(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// Cancels everything; the descriptor is closed with the last terminal completion.
    pub(super) fn close(&self) {
        self.closing.set(true);
        self.cancel_receive();
        self.receive.discard();
        self.cut_send();
        self.release();
    }

    fn release(&self) {
        if self.closing.get()
            && self.in_flight.get() == 0
            && let Some(descriptor) = self.descriptor.take()
        {
            self.driver.close(descriptor);
        }
    }

    pub(super) fn set_deadline(self: &Rc<Self>, deadline: Option<Instant>) {
        self.stall.set(None);
        self.expire_at(deadline);
    }

    pub(super) fn set_stall(self: &Rc<Self>, stall: Duration) {
        self.stall.set(Some(stall));
        self.looked.set(None);
        self.begin();
    }

    /// A byte has moved: nothing has stalled.
    pub(super) fn moved(self: &Rc<Self>) {
        self.last_moved.set(self.driver.now());
        self.begin();
    }

    /// Somebody begins to wait: for how long nothing may move counts from now.
    pub(super) fn begin(self: &Rc<Self>) {
        if let Some(stall) = self.stall.get() {
            self.expire_at(Some(self.driver.now() + stall));
        }
    }

    fn expire_at(self: &Rc<Self>, deadline: Option<Instant>) {
        self.deadline.set(deadline);
        if deadline.is_some() && !self.timed.replace(true) {
            self.sweep.deadlines.add(Rc::clone(self));
        }
    }

    /// Whether the deadline has passed.
    pub(super) fn expired(&self) -> bool {
        self.deadline
            .get()
            .is_some_and(|deadline| deadline <= self.driver.now())
    }

    /// Fails what is waiting if the deadline has passed; whether to look again.
    pub(super) fn check_deadline(self: &Rc<Self>) -> bool {
        if self.is_sending() {
            self.look_for_progress();
        }
        let expired = self.expired();
        if expired {
            self.cut_send();
            self.receive.wake();
        }
        let again = !expired && !self.closing.get() && self.deadline.get().is_some();
        self.timed.set(again);
        again
    }

    /// A send says nothing before its end, since the kernel resumes it by itself; what the peer acknowledges tells of
    /// its progress.
    fn look_for_progress(self: &Rc<Self>) {
        let Some(stall) = self.stall.get() else {
            return;
        };
        let (now, last) = (self.driver.now(), self.looked.get());
        let recent = last.is_some_and(|(at, _)| now.duration_since(at) < stall / PROGRESS_LOOKS);
        // Before the end it is looked once more, however recent the last look was.
        if recent && !self.expired() {
            return;
        }
        if let Some(info) = self.tcp_info() {
            self.looked.set(Some((now, info.acknowledged)));
            if last.is_some_and(|(_, before)| before != info.acknowledged) {
                self.moved();
            }
        }
    }

    /// What the kernel says of the connection; `None` if nothing, as of one that is closed.
    pub(super) fn tcp_info(&self) -> Option<sys::TcpInfo> {
        let descriptor = self.descriptor.borrow();
        sys::tcp_info(descriptor.as_ref()?.as_fd()).ok()
    }

    /// Has the sweep look for ring buffers that this socket holds for too long.
    pub(super) fn watch(self: &Rc<Self>) {
        if !self.watched.replace(true) {
            self.sweep.stalls.add(Rc::clone(self));
        }
    }

    /// Frees ring buffers held for too long; whether to look again.
    pub(super) fn check_stall(self: &Rc<Self>) -> bool {
        let sending = self.check_send();
        let receiving = self.check_queue();
        let again = (sending || receiving) && !self.closing.get();
        self.watched.set(again);
        again
    }
}

impl Owner for Socket {
    fn complete(self: Rc<Self>, done: Completion) {
        if done.terminal {
            self.in_flight.set(self.in_flight.get() - 1);
        }
        match done.kind {
            Kind::Receive => self.received(done),
            Kind::Send | Kind::Connect => self.sent(done),
            _ => {}
        }
        self.release();
    }

    fn account(&self) -> Account {
        self.receive.account.clone()
    }
}
