//! A connected socket as the driver sees it: owner of its operations, closed when the last of them has ended.
//!
//! Invariant: `in_flight` counts the operations that have not had their terminal completion; the descriptor stays open
//! while it is above zero, since an entry that is queued but not submitted names the descriptor by number.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Instant;

use super::receive::Receive;
use super::send::Sending;
use super::sweep::Sweep;
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
    /// Listed with the sweep for stalls.
    pub(super) watched: Cell<bool>,
    /// Listed with the sweep for deadlines.
    pub(super) timed: Cell<bool>,
}

impl Socket {
    pub(super) fn new(driver: Rc<Driver>, descriptor: OwnedFd) -> Rc<Self> {
        Rc::new(Self {
            sweep: Sweep::current(),
            raw: descriptor.as_raw_fd(),
            descriptor: RefCell::new(Some(descriptor)),
            in_flight: Cell::new(0),
            closing: Cell::new(false),
            receive: Receive::new(driver.now()),
            sending: Sending::default(),
            deadline: Cell::new(None),
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
    pub(super) fn check_deadline(&self) -> bool {
        let expired = self.expired();
        if expired {
            self.cut_send();
            self.receive.wake();
        }
        let again = !expired && !self.closing.get() && self.deadline.get().is_some();
        self.timed.set(again);
        again
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
