//! The provided-buffer ring: memory the kernel receives into, lent out as leases and recycled by the last drop.
//!
//! Invariants: a buffer is the kernel's (listed in the ring), spare, or leased (its lease count is above zero). The
//! kernel has at most a share of all buffers: within one enter it may receive into everything it has for one
//! connection alone. The spare ones are taken last in, first out, as those are in the cache. An [`Account`] counts the
//! buffers one connection holds, wherever its leases are.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use crate::limits::RING_SHARE;
use crate::sys::Mapping;

/// The ring's group id: each io_uring has a single buffer ring.
pub(super) const GROUP: u16 = 0;

/// How many ring buffers one connection holds. Clones share the count.
#[derive(Clone, Default)]
pub(crate) struct Account(Rc<Cell<u32>>);

impl Account {
    /// Buffers with at least one lease that were received for this account.
    pub(crate) fn held(&self) -> u32 {
        self.0.get()
    }
}

struct Buffer {
    leases: Cell<u32>,
    account: Cell<Option<Account>>,
}

/// The buffers of one worker. Shared by every lease, so that memory outlives whoever still reads it.
pub(super) struct Buffers {
    ring: Mapping,
    memory: Mapping,
    size: u32,
    mask: u16,
    tail: Cell<u16>,
    /// Buffers the kernel has.
    listed: Cell<u16>,
    /// How many it gets at most.
    listed_max: u16,
    spare: RefCell<Vec<u16>>,
    table: Box<[Buffer]>,
}

impl Buffers {
    /// Maps `count` buffers of `size` bytes.
    pub(super) fn new(count: u16, size: u32) -> io::Result<Rc<Self>> {
        if !count.is_power_of_two() || size == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "ring buffers: a power of two, none of them empty",
            ));
        }
        Ok(Rc::new(Self {
            ring: Mapping::anonymous(usize::from(count) * size_of::<BufRingEntry>())?,
            memory: Mapping::anonymous(usize::from(count) * size as usize)?,
            size,
            mask: count - 1,
            tail: Cell::new(0),
            listed: Cell::new(0),
            listed_max: (count / RING_SHARE as u16).max(1),
            spare: RefCell::new((0..count).collect()),
            table: (0..count)
                .map(|_| Buffer {
                    leases: Cell::new(0),
                    account: Cell::new(None),
                })
                .collect(),
        }))
    }

    /// What to register with the kernel: address and number of entries.
    pub(super) fn registration(&self) -> (u64, u16) {
        (self.ring.address().as_ptr().addr() as u64, self.mask + 1)
    }

    /// Buffers not leased.
    pub(super) fn free(&self) -> u16 {
        self.listed.get() + self.spare.borrow().len() as u16
    }

    /// Gives the kernel as many as it may have.
    pub(super) fn replenish(&self) {
        while self.listed.get() < self.listed_max {
            let Some(id) = self.spare.borrow_mut().pop() else {
                return;
            };
            self.give(id);
        }
    }

    /// Takes over a buffer into which the kernel has received `len` bytes.
    pub(super) fn take(self: &Rc<Self>, id: u16, len: u32, account: &Account) -> Lease {
        let buffer = &self.table[usize::from(id)];
        debug_assert_eq!(
            buffer.leases.get(),
            0,
            "the kernel filled a buffer that is leased"
        );
        buffer.leases.set(1);
        account.0.set(account.0.get() + 1);
        buffer.account.set(Some(account.clone()));
        self.listed.set(self.listed.get() - 1);
        Lease {
            buffers: Rc::clone(self),
            id,
            start: 0,
            end: len.min(self.size),
        }
    }

    fn release(&self, id: u16) {
        let buffer = &self.table[usize::from(id)];
        let left = buffer.leases.get() - 1;
        buffer.leases.set(left);
        if left == 0 {
            if let Some(account) = buffer.account.take() {
                account.0.set(account.0.get() - 1);
            }
            self.spare.borrow_mut().push(id);
        }
    }

    /// Lists a buffer as the kernel's.
    fn give(&self, id: u16) {
        let tail = self.tail.get();
        let base = self.ring.address().as_ptr().cast::<BufRingEntry>();
        let address = self.memory.address().as_ptr().addr() + usize::from(id) * self.size as usize;
        // SAFETY: `mask` keeps the index within `ring`, which maps one entry per buffer; the kernel reads an entry
        // only once the tail below has passed it, and no lease on `id` is left (`table[id].leases` is zero).
        unsafe {
            let entry = &mut *base.add(usize::from(tail & self.mask));
            entry.set_addr(address as u64);
            entry.set_len(self.size);
            entry.set_bid(id);
        }
        let tail = tail.wrapping_add(1);
        // SAFETY: the tail is the `resv` field of the first entry (io_uring_register_buf_ring(3)): inside `ring`,
        // aligned, and shared with the kernel, hence atomic.
        unsafe {
            AtomicU16::from_ptr(BufRingEntry::tail(base).cast_mut()).store(tail, Ordering::Release)
        };
        self.tail.set(tail);
        self.listed.set(self.listed.get() + 1);
    }
}

/// A slice of one ring buffer, which returns to the ring when its last lease is dropped.
pub struct Lease {
    buffers: Rc<Buffers>,
    id: u16,
    start: u32,
    end: u32,
}

impl Lease {
    pub(super) fn split_to(&mut self, n: usize) -> Self {
        let mut first = self.clone();
        first.truncate(n);
        self.advance(n);
        first
    }

    pub(super) fn advance(&mut self, n: usize) {
        assert!(n <= self.len(), "advance by {n} of {} bytes", self.len());
        self.start += n as u32;
    }

    pub(super) fn truncate(&mut self, n: usize) {
        if n < self.len() {
            self.end = self.start + n as u32;
        }
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        let leases = &self.buffers.table[usize::from(self.id)].leases;
        leases.set(leases.get() + 1);
        Self {
            buffers: Rc::clone(&self.buffers),
            ..*self
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.buffers.release(self.id);
    }
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let offset = usize::from(self.id) * self.buffers.size as usize + self.start as usize;
        let len = (self.end - self.start) as usize;
        // SAFETY: `start <= end <= size`, so the slice lies in buffer `id` of `memory`, which `buffers` keeps mapped.
        // While this lease counts in `table[id].leases` the kernel is not given the buffer, so nobody writes to it.
        unsafe {
            std::slice::from_raw_parts(self.buffers.memory.address().as_ptr().add(offset), len)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(count: u16, size: u32) -> Rc<Buffers> {
        let buffers = Buffers::new(count, size).expect("mapped");
        buffers.replenish();
        buffers
    }

    #[test]
    fn a_buffer_returns_with_its_last_lease() {
        let buffers = listed(8, 64);
        let account = Account::default();
        let mut first = buffers.take(7, 40, &account);
        let second = buffers.take(6, 8, &account);
        assert_eq!((buffers.free(), account.held()), (6, 2));
        let head = first.split_to(10);
        assert_eq!((head.len(), first.len()), (10, 30));
        drop(head);
        drop(second);
        assert_eq!((buffers.free(), account.held()), (7, 1));
        drop(first);
        assert_eq!((buffers.free(), account.held()), (8, 0));
    }

    #[test]
    fn the_kernel_never_has_more_than_a_share() {
        let buffers = listed(8, 64);
        assert_eq!((buffers.listed.get(), buffers.free()), (2, 8));
        let lease = buffers.take(7, 64, &Account::default());
        drop(lease);
        buffers.replenish();
        assert_eq!((buffers.listed.get(), buffers.free()), (2, 8));
    }

    #[test]
    fn a_lease_outlives_the_worker() {
        let buffers = listed(1, 16);
        let lease = buffers.take(0, 16, &Account::default());
        drop(buffers);
        assert_eq!(&*lease, &[0; 16]);
    }

    #[test]
    #[should_panic(expected = "advance by 9 of 8 bytes")]
    fn advancing_past_the_end_is_a_bug() {
        let buffers = listed(1, 16);
        buffers.take(0, 8, &Account::default()).advance(9);
    }
}
