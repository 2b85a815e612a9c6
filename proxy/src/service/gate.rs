//! How many requests and connections a server may have at one time, over all workers, and whose turn it is when there
//! are more.
//!
//! Who comes finds a place, or takes the next ticket; whoever leaves lets the next ticket in: strictly in the order of
//! arrival, whichever worker took it. Who gives up goes out of the line: the first and the last at once, one in the
//! middle leaves a mark, which counts no more and which those that let others in pass over. Only servers with a cap
//! have a gate, which lives for as long as somebody knows the server. No operation waits for another thread's.
//! Invariants: who has come in leaves exactly once, and who has a ticket comes in or gives up; of a mark one alone
//! makes something, who has taken it away.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::limits::{QUEUE_LENGTH_MAX, SERVER_CONNECTIONS_MAX};

/// `maxConnections` of a server, and `queue` of its load balancer.
#[derive(Clone, Debug)]
pub struct Cap {
    /// Requests and connections at one time; at least 1, at most [`SERVER_CONNECTIONS_MAX`].
    pub most: u32,
    /// How many more may wait, at most [`QUEUE_LENGTH_MAX`].
    pub queue: u32,
    /// How long each may wait.
    pub patience: Duration,
    /// Who is there and who waits; the same over reloads.
    pub gate: Arc<Gate>,
}

/// The place of one that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u32);

/// What one that comes is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It may go on, and leaves later.
    Enters,
    /// It waits for its turn, or gives up.
    Waits(Ticket),
    /// Too many wait.
    Full,
}

/// Who is at one server, and who waits for it.
pub struct Gate {
    state: AtomicU64,
    /// How many marks there are, or a few more for an instant.
    marked: AtomicU32,
    /// A bit for each ticket, by its remainder: who had it has given up.
    marks: Box<[AtomicU64]>,
}

/// Tickets between the next turn and the next one to be given out, with marks: as many as bits, less than half of all.
const LINE_MAX: u32 = 2 * QUEUE_LENGTH_MAX;
const TICKET_BITS: u32 = 22;
const TICKETS: u32 = (1 << TICKET_BITS) - 1;
const _: () = assert!(LINE_MAX < TICKETS / 2 && LINE_MAX.is_power_of_two());
const _: () = assert!(SERVER_CONNECTIONS_MAX < 1 << (64 - 2 * TICKET_BITS));

/// [`Gate::state`], in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// Those that have come in and not left.
    inside: u32,
    /// Whose turn is next.
    turn: u32,
    /// What the next one to come gets.
    next: u32,
}

impl State {
    fn of(bits: u64) -> Self {
        Self {
            inside: (bits >> (2 * TICKET_BITS)) as u32,
            turn: (bits >> TICKET_BITS) as u32 & TICKETS,
            next: bits as u32 & TICKETS,
        }
    }

    fn bits(self) -> u64 {
        let tickets =
            u64::from(self.turn & TICKETS) << TICKET_BITS | u64::from(self.next & TICKETS);
        u64::from(self.inside) << (2 * TICKET_BITS) | tickets
    }

    /// Those between the next turn and the next ticket, also where they have given up.
    fn line(self) -> u32 {
        self.next.wrapping_sub(self.turn) & TICKETS
    }

    fn last(self) -> u32 {
        self.next.wrapping_sub(1) & TICKETS
    }

    /// Whether this ticket has been let in.
    fn has_let_in(self, ticket: u32) -> bool {
        let since = self.turn.wrapping_sub(ticket) & TICKETS;
        (1..=TICKETS / 2).contains(&since)
    }

    fn with_more_inside(self) -> Self {
        Self {
            inside: self.inside + 1,
            ..self
        }
    }

    fn with_turn_passed(self) -> Self {
        Self {
            turn: self.turn.wrapping_add(1),
            ..self
        }
    }
}

impl Default for Gate {
    fn default() -> Self {
        let words = (0..LINE_MAX / u64::BITS).map(|_| AtomicU64::new(0));
        Self {
            state: AtomicU64::new(0),
            marked: AtomicU32::new(0),
            marks: words.collect(),
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().fmt(out)
    }
}

impl Cap {
    /// Comes to the server.
    pub fn enter(&self) -> Entry {
        let gate = &self.gate;
        loop {
            let state = gate.state();
            if state.line() == 0 && state.inside < self.most {
                if gate.change(state, state.with_more_inside()) {
                    return Entry::Enters;
                }
                continue;
            }
            if gate.waiting(state) >= self.queue || state.line() >= LINE_MAX {
                return Entry::Full;
            }
            let next = state.next.wrapping_add(1);
            if gate.change(state, State { next, ..state }) {
                // Somebody may have left since.
                gate.let_in(self.most);
                return match gate.state().has_let_in(state.next) {
                    true => Entry::Enters,
                    false => Entry::Waits(Ticket(state.next)),
                };
            }
        }
    }

    /// One that has come in is no longer there.
    pub fn leave(&self) {
        self.gate.less_inside();
        self.gate.let_in(self.most);
    }

    /// One with this ticket goes, whether its turn has come or not.
    pub fn give_up(&self, Ticket(ticket): Ticket) {
        self.gate.take_out(ticket);
        self.gate.shorten();
        self.gate.let_in(self.most);
    }

    /// Whether one with this ticket may go on, and leaves later.
    pub fn is_turn(&self, Ticket(ticket): Ticket) -> bool {
        self.gate.state().has_let_in(ticket)
    }

    /// Whether one that comes now would wait, or worse.
    pub fn is_full(&self) -> bool {
        let state = State::of(self.gate.state.load(Ordering::Relaxed));
        state.inside >= self.most || state.line() > 0
    }

    /// How many wait.
    pub fn waiting(&self) -> u32 {
        self.gate.waiting(self.gate.state())
    }

    /// Whether one that comes now would be refused.
    pub fn is_crowded(&self) -> bool {
        let state = State::of(self.gate.state.load(Ordering::Relaxed));
        state.inside >= self.most && self.gate.waiting(state) >= self.queue
    }
}

/// All in one order for all threads: who marks a ticket looks at the turn then, who passes a turn on looks for a mark
/// then, and one of them sees the other.
impl Gate {
    fn state(&self) -> State {
        State::of(self.state.load(Ordering::SeqCst))
    }

    /// Whether nothing had changed before.
    fn change(&self, from: State, to: State) -> bool {
        let (from, to, order) = (from.bits(), to.bits(), Ordering::SeqCst);
        self.state.compare_exchange(from, to, order, order).is_ok()
    }

    /// Those that wait and have not given up.
    fn waiting(&self, state: State) -> u32 {
        state
            .line()
            .saturating_sub(self.marked.load(Ordering::SeqCst))
    }

    fn less_inside(&self) {
        let one = State {
            inside: 1,
            turn: 0,
            next: 0,
        };
        self.state.fetch_sub(one.bits(), Ordering::SeqCst);
    }

    /// Lets in as many as there are places, and past those that have given up.
    fn let_in(&self, most: u32) {
        loop {
            let state = self.state();
            if state.line() == 0 {
                return;
            }
            if self.take_mark(state.turn) {
                self.take_out(state.turn);
                continue;
            }
            if state.inside >= most {
                return;
            }
            let passed = state.with_turn_passed().with_more_inside();
            if self.change(state, passed) && self.take_mark(state.turn) {
                self.less_inside();
            }
        }
    }

    /// Takes a ticket out of the line whose mark, if it had one, is the caller's; in the middle it is marked.
    fn take_out(&self, ticket: u32) {
        loop {
            let state = self.state();
            if state.has_let_in(ticket) {
                return self.less_inside();
            }
            let next = state.last();
            let without = match ticket {
                first if first == state.turn => Some(state.with_turn_passed()),
                last if last == next => Some(State { next, ..state }),
                _ => None,
            };
            match without {
                Some(without) if self.change(state, without) => return,
                Some(_) => {}
                None => {
                    self.mark(ticket);
                    let now = self.state();
                    let inner =
                        !now.has_let_in(ticket) && ticket != now.turn && ticket != now.last();
                    if inner || !self.take_mark(ticket) {
                        return;
                    }
                }
            }
        }
    }

    /// Takes out those at the end that have given up.
    fn shorten(&self) {
        loop {
            let state = self.state();
            if state.line() == 0 || !self.take_mark(state.last()) {
                return;
            }
            self.take_out(state.last());
        }
    }

    fn bit(&self, ticket: u32) -> (&AtomicU64, u64) {
        let bit = ticket % LINE_MAX;
        let word = &self.marks[(bit / u64::BITS) as usize];
        (word, 1 << (bit % u64::BITS))
    }

    fn mark(&self, ticket: u32) {
        let (word, bit) = self.bit(ticket);
        self.marked.fetch_add(1, Ordering::SeqCst);
        word.fetch_or(bit, Ordering::SeqCst);
    }

    /// Whether there was a mark, which is the caller's now.
    fn take_mark(&self, ticket: u32) -> bool {
        let (word, bit) = self.bit(ticket);
        let taken = word.load(Ordering::SeqCst) & bit != 0
            && word.fetch_and(!bit, Ordering::SeqCst) & bit != 0;
        if taken {
            self.marked.fetch_sub(1, Ordering::SeqCst);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn cap(most: u32, queue: u32) -> Cap {
        Cap {
            most,
            queue,
            patience: Duration::ZERO,
            gate: Arc::default(),
        }
    }

    fn ticket(entry: Entry) -> Ticket {
        match entry {
            Entry::Waits(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    /// Nobody is there, and nothing is left of those that were.
    fn is_empty(cap: &Cap) -> bool {
        let state = cap.gate.state();
        let marked = cap
            .gate
            .marks
            .iter()
            .any(|word| word.load(Ordering::SeqCst) != 0);
        state.inside == 0 && state.line() == 0 && !marked && cap.gate.waiting(state) == 0
    }

    #[test]
    fn turns_come_in_the_order_of_arrival() {
        let cap = cap(2, 2);
        assert_eq!(cap.enter(), Entry::Enters);
        assert!(!cap.is_full());
        assert_eq!(cap.enter(), Entry::Enters);
        assert!(cap.is_full() && !cap.is_crowded());
        let (first, second) = (ticket(cap.enter()), ticket(cap.enter()));
        assert_eq!((cap.enter(), cap.is_crowded()), (Entry::Full, true));
        let turns = || [first, second].map(|ticket| cap.is_turn(ticket));
        assert_eq!(turns(), [false, false]);
        cap.leave();
        assert_eq!(turns(), [true, false]);
        let third = ticket(cap.enter());
        cap.leave();
        assert_eq!((turns(), cap.is_turn(third)), ([true, true], false));
    }

    #[test]
    fn who_gives_up_frees_its_place_at_once_wherever_it_stood() {
        for gone in 0..3 {
            let cap = cap(1, 3);
            assert_eq!(cap.enter(), Entry::Enters);
            let mut line: Vec<Ticket> = (0..3).map(|_| ticket(cap.enter())).collect();
            assert_eq!(cap.enter(), Entry::Full);
            cap.give_up(line.remove(gone));
            line.push(ticket(cap.enter()));
            assert_eq!(cap.enter(), Entry::Full);
            for next in line {
                assert!(!cap.is_turn(next));
                cap.leave();
                assert!(cap.is_turn(next), "{gone}");
            }
            cap.leave();
            assert!(is_empty(&cap));
        }
    }

    #[test]
    fn a_line_that_all_have_left_is_nobodys() {
        let cap = cap(1, 1_000);
        assert_eq!(cap.enter(), Entry::Enters);
        // Three times as many as may wait, while the server does nothing.
        for _ in 0..3 {
            let line: Vec<Ticket> = (0..1_000).map(|_| ticket(cap.enter())).collect();
            let (odd, even): (Vec<_>, Vec<_>) = line.into_iter().partition(|one| one.0 % 2 == 1);
            odd.into_iter().chain(even).for_each(|one| cap.give_up(one));
        }
        let alive = ticket(cap.enter());
        cap.leave();
        assert!(cap.is_turn(alive));
        cap.leave();
        assert!(is_empty(&cap));
    }

    #[test]
    fn numbers_that_overflow_change_nothing() {
        let cap = cap(1, 3);
        let last = State {
            inside: 0,
            turn: TICKETS,
            next: TICKETS,
        };
        cap.gate.state.store(last.bits(), Ordering::Relaxed);
        assert_eq!(cap.enter(), Entry::Enters);
        let line: Vec<Ticket> = (0..3).map(|_| ticket(cap.enter())).collect();
        cap.give_up(line[1]);
        cap.leave();
        assert!(cap.is_turn(line[0]) && !cap.is_turn(line[2]));
        cap.leave();
        assert!(cap.is_turn(line[2]));
        cap.leave();
        assert!(is_empty(&cap));
    }

    #[test]
    fn threads_together_never_exceed_the_cap_and_lose_no_place() {
        let (cap, running) = (cap(3, 5), AtomicU32::new(0));
        let one = |patience: u32| {
            match cap.enter() {
                Entry::Full => return,
                Entry::Enters => {}
                Entry::Waits(ticket) => {
                    let mut looks = 0;
                    while !cap.is_turn(ticket) {
                        std::thread::yield_now();
                        looks += 1;
                        if looks > patience {
                            return cap.give_up(ticket);
                        }
                    }
                }
            }
            assert!(running.fetch_add(1, Ordering::SeqCst) < 3);
            std::thread::yield_now();
            running.fetch_sub(1, Ordering::SeqCst);
            cap.leave();
        };
        std::thread::scope(|scope| {
            for thread in 0..6u32 {
                let one = &one;
                scope.spawn(move || (0..3_000).for_each(|round| one((round + thread) % 7)));
            }
        });
        assert!(is_empty(&cap), "{cap:?}");
    }

    proptest! {
        /// Against a line of people that is written down.
        #[test]
        fn as_a_line_of_people(steps in proptest::collection::vec((0..4u8, any::<u8>()), 1..200), most in 1..4u32, queue in 0..6u32) {
            let cap = cap(most, queue);
            let (mut running, mut line) = (0, VecDeque::new());
            for (step, which) in steps {
                match step {
                    0 if running > 0 => { cap.leave(); running -= 1; }
                    0 => {}
                    1 if !line.is_empty() => {
                        let gone = line.remove(usize::from(which) % line.len());
                        cap.give_up(gone.unwrap());
                    }
                    1 => {}
                    _ => match cap.enter() {
                        Entry::Enters => { prop_assert!(running < most && line.is_empty()); running += 1; }
                        Entry::Waits(ticket) => { prop_assert!(running == most && line.len() < queue as usize); line.push_back(ticket); }
                        Entry::Full => prop_assert!(running == most && line.len() == queue as usize),
                    },
                }
                while line.front().is_some_and(|ticket| cap.is_turn(*ticket)) {
                    prop_assert!(running < most);
                    line.pop_front();
                    running += 1;
                }
                prop_assert!(running == most || line.is_empty());
                prop_assert!(line.iter().all(|ticket| !cap.is_turn(*ticket)));
                prop_assert_eq!(cap.is_full(), running == most);
                prop_assert_eq!(cap.is_crowded(), running == most && line.len() == queue as usize);
            }
            line.into_iter().for_each(|ticket| cap.give_up(ticket));
            (0..running).for_each(|_| cap.leave());
            prop_assert!(is_empty(&cap));
        }
    }
}
