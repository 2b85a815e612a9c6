//! The operations, each a safe method of the driver: what the kernel touches is in the slot before the entry is queued
//! and stays there until the terminal completion.

use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use socket2::SockAddr;

use super::buffers::GROUP;
use super::driver::{Driver, Owner};
use super::gather::Gather;
use super::slots::{InFlight, Payload, Token};
use crate::limits::{BULK_SEND_BYTES, LEAN_RECEIVE_BYTES};

/// What kind of operation a completion belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Accept,
    Connect,
    Receive,
    Send,
    #[cfg(test)]
    Nop,
}

/// Longest piece handed to one send: what fits the kernel's 32-bit length with room to spare.
const SEND_BYTES_MAX: usize = 1 << 30;

/// A send that the peer closed is an error, not a signal, and one that is cut short is resumed by the kernel.
const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;

impl Driver {
    /// Accepts until cancelled: a completion per connection, with its descriptor.
    pub(crate) fn accept(&self, owner: Rc<dyn Owner>, listener: RawFd) -> Token {
        let entry = opcode::AcceptMulti::new(Fd(listener))
            .flags(libc::SOCK_CLOEXEC)
            .build();
        self.start(owner, Kind::Accept, Payload::None, 0, |_| entry)
    }

    /// Connects a socket.
    pub(crate) fn connect(&self, owner: Rc<dyn Owner>, socket: RawFd, address: SockAddr) -> Token {
        let payload = Payload::Address(Box::new(address));
        self.start(owner, Kind::Connect, payload, 0, |payload| match payload {
            Payload::Address(address) => {
                opcode::Connect::new(Fd(socket), address.as_ptr().cast(), address.len()).build()
            }
            _ => unreachable!("connect is started with an address"),
        })
    }

    /// Receives into ring buffers until cancelled, the buffers run out or the connection ends: a completion each time.
    /// `bulk` is how many bytes a receive that may wait for its turn is likely to find; 0 for one that may not.
    pub(crate) fn receive_many(&self, owner: Rc<dyn Owner>, socket: RawFd, bulk: usize) -> Token {
        let entry = opcode::RecvMulti::new(Fd(socket), GROUP).build();
        self.start(owner, Kind::Receive, Payload::None, bulk, |_| entry)
    }

    /// Receives once into a ring buffer, up to `most` bytes and no more than it holds. Holds no buffer while it waits.
    /// `bulk` as in [`receive_many`](Self::receive_many).
    pub(crate) fn receive(
        &self,
        owner: Rc<dyn Owner>,
        socket: RawFd,
        most: u32,
        bulk: usize,
    ) -> Token {
        let entry = opcode::Recv::new(Fd(socket), std::ptr::null_mut(), most)
            .buf_group(GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        self.start(owner, Kind::Receive, Payload::None, bulk, |_| entry)
    }

    /// Receives once into memory of its own, up to [`LEAN_RECEIVE_BYTES`]. Works with every ring buffer in use. `bulk`
    /// as in [`receive_many`](Self::receive_many).
    pub(crate) fn receive_owned(&self, owner: Rc<dyn Owner>, socket: RawFd, bulk: usize) -> Token {
        let payload = Payload::Receive(Vec::with_capacity(LEAN_RECEIVE_BYTES));
        self.start(
            owner,
            Kind::Receive,
            payload,
            bulk,
            |payload| match payload {
                Payload::Receive(bytes) => {
                    opcode::Recv::new(Fd(socket), bytes.as_mut_ptr(), LEAN_RECEIVE_BYTES as u32)
                        .build()
                }
                _ => unreachable!("an owned receive is started with memory"),
            },
        )
    }

    /// Sends what is gathered, at least one chunk, in one go.
    pub(crate) fn send(&self, owner: Rc<dyn Owner>, socket: RawFd, gather: Box<Gather>) -> Token {
        let bytes = gather.chunks.bytes();
        let bulk = if bytes > BULK_SEND_BYTES { bytes } else { 0 };
        self.start(
            owner,
            Kind::Send,
            Payload::Send(gather),
            bulk,
            |payload| match payload {
                Payload::Send(gather) => match gather.single() {
                    Some(bytes) => {
                        let len = bytes.len().min(SEND_BYTES_MAX) as u32;
                        opcode::Send::new(Fd(socket), bytes.as_ptr(), len)
                            .flags(SEND_FLAGS)
                            .build()
                    }
                    None => opcode::SendMsg::new(Fd(socket), gather.header())
                        .flags(SEND_FLAGS as u32)
                        .build(),
                },
                _ => unreachable!("a send is started with chunks"),
            },
        )
    }

    /// Does nothing but complete: how long the ring takes.
    #[cfg(test)]
    pub(crate) fn nop(&self, owner: Rc<dyn Owner>) -> Token {
        self.start(owner, Kind::Nop, Payload::None, 0, |_| {
            opcode::Nop::new().build()
        })
    }

    /// Asks the kernel to end an operation early. Its terminal completion comes all the same, often as ECANCELED, and
    /// until then its memory stays in the slot.
    pub(crate) fn cancel(&self, token: Token) {
        if self.in_flight(token) {
            self.push_unowned(
                opcode::AsyncCancel::new(token.0).build(),
                token.cancellation(),
            );
        }
    }

    /// Closes a descriptor without a syscall of its own. No operation on it may be in flight.
    pub(crate) fn close(&self, descriptor: OwnedFd) {
        if self.ending() {
            drop(descriptor);
        } else {
            self.push_unowned(
                opcode::Close::new(Fd(descriptor.into_raw_fd())).build(),
                Token::NOBODY,
            );
        }
    }

    /// Cancels everything.
    pub(super) fn cancel_all(&self) {
        let everything = io_uring::types::CancelBuilder::any().all();
        self.push_unowned(opcode::AsyncCancel2::new(everything).build(), Token::NOBODY);
    }

    fn start(
        &self,
        owner: Rc<dyn Owner>,
        kind: Kind,
        mut payload: Payload,
        bulk: usize,
        entry: impl FnOnce(&mut Payload) -> squeue::Entry,
    ) -> Token {
        let entry = entry(&mut payload);
        let token = self.insert(InFlight {
            owner,
            kind,
            payload,
        });
        // SAFETY: an entry points at nothing, or into the heap memory of `payload` (`Payload`: boxed or a vector, so
        // moving it into the slot moves no byte of that). `InFlight::payload` stays in the slot untouched until
        // `Driver::dispatch` has seen the terminal completion of `token`.
        unsafe { self.push(entry.user_data(token.0), bulk) };
        token
    }

    fn push_unowned(&self, entry: squeue::Entry, token: Token) {
        let entry = entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(token.0);
        // SAFETY: cancel and close entries carry numbers, no pointers.
        unsafe { self.push(entry, 0) };
    }
}
