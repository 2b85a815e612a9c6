//! Operations in flight. A slot keeps what the kernel may still touch (memory, and through the owner the descriptor)
//! until the terminal completion, whatever happens to the future that asked for it.

use std::rc::Rc;

use socket2::SockAddr;

use super::driver::Owner;
use super::gather::Gather;
use super::operations::Kind;

/// Names one operation; never reused within 2^32 operations of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(pub(super) u64);

impl Token {
    /// The completion is nobody's.
    pub(super) const NOBODY: Self = Self(u64::MAX);
    /// Marks the cancellation of the operation the other bits name.
    const CANCEL: u64 = 1 << 31;

    /// Names the cancellation of this operation.
    pub(super) fn cancellation(self) -> Self {
        Self(self.0 | Self::CANCEL)
    }

    /// The operation of which this names the cancellation.
    pub(super) fn cancelled(self) -> Option<Self> {
        (self.0 & Self::CANCEL != 0).then_some(Self(self.0 & !Self::CANCEL))
    }

    fn new(index: usize, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | index as u64)
    }

    fn index(self) -> usize {
        (self.0 & (Self::CANCEL - 1)) as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Memory the kernel reads or writes while the operation is in flight. Boxed or on the heap: it stays where it is
/// while the table grows.
pub(crate) enum Payload {
    /// The operation touches none but ring buffers.
    None,
    /// Received into, up to its capacity.
    Receive(Vec<u8>),
    /// Sent from.
    Send(Box<Gather>),
    /// Connected to.
    Address(Box<SockAddr>),
}

/// An operation the kernel has or is about to get.
pub(super) struct InFlight {
    pub(super) owner: Rc<dyn Owner>,
    pub(super) kind: Kind,
    pub(super) payload: Payload,
}

struct Slot {
    generation: u32,
    operation: Option<InFlight>,
}

/// The table of operations in flight.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
}

impl Slots {
    /// Keeps an operation until its terminal completion.
    pub(super) fn insert(&mut self, operation: InFlight) -> Token {
        let index = self
            .vacant
            .pop()
            .map_or(self.slots.len(), |index| index as usize);
        if index == self.slots.len() {
            self.slots.push(Slot {
                generation: 0,
                operation: None,
            });
        }
        let slot = &mut self.slots[index];
        slot.operation = Some(operation);
        Token::new(index, slot.generation)
    }

    /// The operation, unless it has ended.
    pub(super) fn get(&self, token: Token) -> Option<&InFlight> {
        let slot = self.slots.get(token.index())?;
        slot.operation
            .as_ref()
            .filter(|_| slot.generation == token.generation())
    }

    /// The operation a completion belongs to. The terminal completion takes it out, with its memory; others leave it,
    /// and do not get to see the memory.
    pub(super) fn completed(&mut self, token: Token, terminal: bool) -> Option<InFlight> {
        let slot = self
            .slots
            .get_mut(token.index())
            .filter(|slot| slot.generation == token.generation())?;
        if !terminal {
            let InFlight { owner, kind, .. } = slot.operation.as_ref()?;
            return Some(InFlight {
                owner: Rc::clone(owner),
                kind: *kind,
                payload: Payload::None,
            });
        }
        let operation = slot.operation.take()?;
        // The last generation is that of `Token::NOBODY`.
        slot.generation = (slot.generation + 1) % u32::MAX;
        self.vacant.push(token.index() as u32);
        Some(operation)
    }

    /// Operations in flight.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uring::driver::Completion;

    struct Nobody;

    impl Owner for Nobody {
        fn complete(self: Rc<Self>, _: Completion) {}
    }

    fn operation() -> InFlight {
        InFlight {
            owner: Rc::new(Nobody),
            kind: Kind::Nop,
            payload: Payload::None,
        }
    }

    #[test]
    fn a_late_completion_does_not_meet_the_slots_next_tenant() {
        let mut slots = Slots::default();
        let first = slots.insert(operation());
        assert!(slots.completed(first, true).is_some());
        let second = slots.insert(operation());
        assert_eq!(first.index(), second.index());
        assert!(slots.get(first).is_none() && slots.completed(first, true).is_none());
        assert!(slots.get(second).is_some());
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn nobody_is_never_a_slot() {
        let mut slots = Slots::default();
        let token = slots.insert(operation());
        slots.slots[0].generation = u32::MAX - 1;
        assert!(
            slots
                .completed(Token::new(token.index(), u32::MAX - 1), true)
                .is_some()
        );
        assert_eq!(slots.insert(operation()).generation(), 0);
        assert!(slots.get(Token::NOBODY).is_none());
        assert_eq!(token.cancellation().cancelled(), Some(token));
        assert_eq!(token.cancelled(), None);
    }
}
