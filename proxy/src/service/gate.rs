//! How many requests and connections a server may have at one time, over all workers, and whose turn it is when there
//! are more: a fixed table of atomics, indexed by the slot of [`ServerId`].
//!
//! Who comes takes the next ticket; each one that leaves lets one more in. A ticket's turn has come when fewer than
//! `most` before it have not left: strictly in the order of arrival, whichever worker took it. Only servers with a
//! cap are looked at. Invariants: who has a ticket leaves exactly once, also when it gives up before its turn; a slot
//! nobody holds is clear.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::ServerId;
use crate::limits::SERVERS_MAX;

/// `maxConnections` of a server, and `queue` of its load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Requests and connections at one time; at least 1.
    pub most: u32,
    /// How many more may wait.
    pub queue: u32,
    /// How long each may wait.
    pub patience: Duration,
}

/// The place of one that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u32);

/// What one that comes is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It may go on, and leaves later.
    Enters,
    /// It waits for its turn, and leaves later.
    Waits(Ticket),
    /// Too many wait.
    Full,
}

/// The table: the next ticket in the low half of each entry, how many have left in the high one. Clones are one and the
/// same.
#[derive(Clone)]
pub struct Gates(Arc<[AtomicU64]>);

impl Default for Gates {
    fn default() -> Self {
        Self((0..SERVERS_MAX).map(|_| AtomicU64::new(0)).collect())
    }
}

impl fmt::Debug for Gates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Gates")
    }
}

const LEFT: u64 = 1 << 32;

/// How many have a ticket and have not left.
fn inside(entry: u64) -> u32 {
    (entry as u32).wrapping_sub((entry >> 32) as u32)
}

impl Gates {
    /// Comes to a server, whose lease the caller holds until it has left.
    pub fn enter(&self, server: ServerId, cap: &Cap) -> Entry {
        let Some(gate) = self.0.get(server.slot()) else {
            return Entry::Full;
        };
        let most = cap.most.saturating_add(cap.queue);
        let next = |entry: u64| {
            let ticket = u64::from((entry as u32).wrapping_add(1));
            (inside(entry) < most).then_some(entry >> 32 << 32 | ticket)
        };
        match gate.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) {
            Err(_) => Entry::Full,
            Ok(before) if inside(before) < cap.most => Entry::Enters,
            Ok(before) => Entry::Waits(Ticket(before as u32)),
        }
    }

    /// One that has entered, or had a ticket, is no longer there.
    pub fn leave(&self, server: ServerId) {
        if let Some(gate) = self.0.get(server.slot()) {
            // What overflows is the high half's own affair.
            gate.fetch_add(LEFT, Ordering::AcqRel);
        }
    }

    /// Whether one with this ticket may go on.
    pub fn is_turn(&self, server: ServerId, cap: &Cap, ticket: Ticket) -> bool {
        let gate = self.0.get(server.slot());
        gate.is_some_and(|gate| {
            let left = (gate.load(Ordering::Acquire) >> 32) as u32;
            // Half the range apart means before.
            ticket.0.wrapping_sub(left).wrapping_sub(cap.most) as i32 <= -1
        })
    }

    /// Whether one that comes now would wait.
    pub fn is_full(&self, server: ServerId, cap: &Cap) -> bool {
        let gate = self.0.get(server.slot());
        gate.is_some_and(|gate| inside(gate.load(Ordering::Relaxed)) >= cap.most)
    }

    /// Requests and connections with a ticket: those that run, and those that wait.
    pub fn count(&self, server: ServerId) -> u32 {
        let gate = self.0.get(server.slot());
        gate.map_or(0, |gate| inside(gate.load(Ordering::Relaxed)))
    }

    /// Nobody has this slot any more.
    pub(super) fn clear(&self, slot: usize) {
        if let Some(gate) = self.0.get(slot) {
            gate.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use proptest::prelude::*;

    use super::super::{Protocol, Registry};
    use super::*;

    fn server() -> (Registry, ServerId, super::super::Lease) {
        let mut registry = Registry::default();
        let name = "s".into();
        let (id, lease) = registry.server(Protocol::Http, &name, &name).unwrap();
        (registry, id, lease)
    }

    fn cap(most: u32, queue: u32) -> Cap {
        Cap {
            most,
            queue,
            patience: Duration::ZERO,
        }
    }

    fn ticket(entry: Entry) -> Ticket {
        match entry {
            Entry::Waits(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn turns_come_in_the_order_of_arrival() {
        let (_registry, id, _lease) = server();
        let (gates, cap) = (Gates::default(), cap(2, 2));
        assert_eq!(gates.enter(id, &cap), Entry::Enters);
        assert!(!gates.is_full(id, &cap));
        assert_eq!(gates.enter(id, &cap), Entry::Enters);
        assert!(gates.is_full(id, &cap));
        let (first, second) = (ticket(gates.enter(id, &cap)), ticket(gates.enter(id, &cap)));
        assert_eq!((gates.enter(id, &cap), gates.count(id)), (Entry::Full, 4));
        let turns = || [first, second].map(|ticket| gates.is_turn(id, &cap, ticket));
        assert_eq!(turns(), [false, false]);
        gates.leave(id);
        assert_eq!(turns(), [true, false]);
        let third = ticket(gates.enter(id, &cap));
        gates.leave(id);
        assert_eq!(
            (turns(), gates.is_turn(id, &cap, third)),
            ([true, true], false)
        );
    }

    #[test]
    fn numbers_that_overflow_change_nothing() {
        let (_registry, id, _lease) = server();
        let (gates, cap) = (Gates::default(), cap(1, 1));
        gates.0[id.slot()].store(u64::MAX, Ordering::Relaxed);
        assert_eq!(gates.enter(id, &cap), Entry::Enters);
        let next = ticket(gates.enter(id, &cap));
        assert!(!gates.is_turn(id, &cap, next));
        gates.leave(id);
        assert!(gates.is_turn(id, &cap, next));
        gates.leave(id);
        assert_eq!(gates.count(id), 0);
    }

    #[test]
    fn threads_together_never_exceed_the_cap() {
        let (_registry, id, _lease) = server();
        let (gates, cap, running) = (Gates::default(), cap(3, 100), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if let Entry::Waits(ticket) = gates.enter(id, &cap) {
                            while !gates.is_turn(id, &cap, ticket) {
                                std::thread::yield_now();
                            }
                        }
                        assert!(running.fetch_add(1, Ordering::SeqCst) < 3);
                        running.fetch_sub(1, Ordering::SeqCst);
                        gates.leave(id);
                    }
                });
            }
        });
        assert_eq!(gates.count(id), 0);
    }

    proptest! {
        /// Against a line of people that is written down.
        #[test]
        fn as_a_line_of_people(steps in proptest::collection::vec(0..3u8, 1..200), most in 1..4u32, queue in 0..5u32) {
            let (_registry, id, _lease) = server();
            let (gates, cap) = (Gates::default(), cap(most, queue));
            let (mut running, mut line) = (0, std::collections::VecDeque::new());
            for step in steps {
                match step {
                    0 if running > 0 => { gates.leave(id); running -= 1; }
                    0 => {}
                    _ => match gates.enter(id, &cap) {
                        Entry::Enters => { prop_assert!(running < most && line.is_empty()); running += 1; }
                        Entry::Waits(ticket) => { prop_assert!(running == most && line.len() < queue as usize); line.push_back(ticket); }
                        Entry::Full => prop_assert!(running == most && line.len() == queue as usize),
                    },
                }
                while line.front().is_some_and(|ticket| gates.is_turn(id, &cap, *ticket)) {
                    prop_assert!(running < most);
                    line.pop_front();
                    running += 1;
                }
                prop_assert!(running == most || line.is_empty());
                prop_assert!(line.iter().all(|ticket| !gates.is_turn(id, &cap, *ticket)));
            }
        }
    }
}
