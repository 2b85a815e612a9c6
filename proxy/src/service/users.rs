//! About how many clients of drained servers have been seen lately, by their addresses: a fixed table of atomics.
//!
//! Touched only by requests that go to a drained server, and by who asks. Counted by linear counting: each client sets
//! a bit by its hash, and from how many are set follows about how many clients there were. Numbers are good to some
//! percent up to a few hundred clients; beyond a few thousand they say no more than that there are many.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ServerId;
use crate::limits::{DRAINED_COUNTED, USERS_BITS};

const WORDS: usize = USERS_BITS / 64;

/// The table. Clones are one and the same.
#[derive(Clone)]
pub struct Users(Arc<[Entry]>);

/// One drained server: its clients in this period and in the one before, by the parity of the period.
struct Entry {
    server: AtomicU64,
    period: AtomicU64,
    bits: [[AtomicU64; WORDS]; 2],
}

impl Default for Users {
    fn default() -> Self {
        let entry = |_| Entry {
            server: AtomicU64::new(0),
            period: AtomicU64::new(0),
            bits: [const { [const { AtomicU64::new(0) }; WORDS] }; 2],
        };
        Self((0..DRAINED_COUNTED).map(entry).collect())
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Users")
    }
}

impl Users {
    /// A client with this hash has been at a drained server. Where too many servers are drained it is not counted.
    pub fn seen(&self, server: ServerId, client: u64, period: u64) {
        let Some(entry) = self.entry(server, period) else {
            return;
        };
        let before = entry.period.load(Ordering::Relaxed);
        let turns = before < period
            && entry
                .period
                .compare_exchange(before, period, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if turns {
            clear(&entry.bits[(period % 2) as usize]);
            if before + 1 != period {
                clear(&entry.bits[((period + 1) % 2) as usize]);
            }
        }
        let bit = (client % USERS_BITS as u64) as usize;
        entry.bits[(period % 2) as usize][bit / 64].fetch_or(1 << (bit % 64), Ordering::Relaxed);
    }

    /// About how many clients have been there in this period and the one before.
    pub fn lately(&self, server: ServerId, period: u64) -> u32 {
        let found = self
            .0
            .iter()
            .find(|entry| entry.server.load(Ordering::Relaxed) == server.to_bits());
        let Some(entry) = found else { return 0 };
        let of = |parity: usize, word: usize| entry.bits[parity][word].load(Ordering::Relaxed);
        let last = entry.period.load(Ordering::Relaxed);
        let parity = (last % 2) as usize;
        let word = |word: usize| match period.saturating_sub(last) {
            0 => of(0, word) | of(1, word),
            1 => of(parity, word),
            _ => 0,
        };
        let set: u32 = (0..WORDS).map(|index| word(index).count_ones()).sum();
        let all = USERS_BITS as f64;
        let unset = (all - f64::from(set)).max(1.0);
        (all * (all / unset).ln()).round() as u32
    }

    /// The entry of a server; one that nobody has looked at for two periods is taken for it.
    fn entry(&self, server: ServerId, period: u64) -> Option<&Entry> {
        let bits = server.to_bits();
        let own = |entry: &&Entry| entry.server.load(Ordering::Relaxed) == bits;
        self.0.iter().find(own).or_else(|| {
            self.0.iter().find(|entry| {
                let held = entry.server.load(Ordering::Relaxed);
                let old = entry.period.load(Ordering::Relaxed) + 1 < period;
                (held == 0 || old)
                    && entry
                        .server
                        .compare_exchange(held, bits, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
            })
        })
    }
}

fn clear(words: &[AtomicU64; WORDS]) {
    words
        .iter()
        .for_each(|word| word.store(0, Ordering::Relaxed));
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::super::{Protocol, Registry};
    use super::*;

    #[test]
    fn clients_are_counted_once_and_forgotten_in_time() {
        let mut registry = Registry::default();
        let name = "s".into();
        let (id, _lease) = registry.server(Protocol::Http, &name, &name).unwrap();
        let users = Users::default();
        let visit = |clients: std::ops::Range<u32>, period: u64| {
            for client in clients.clone().chain(clients) {
                let mut hash = DefaultHasher::new();
                client.hash(&mut hash);
                users.seen(id, hash.finish(), period);
            }
        };
        assert_eq!(users.lately(id, 7), 0);
        visit(0..100, 7);
        let near = |period: u64, due: u32| users.lately(id, period).abs_diff(due) <= due / 10 + 1;
        assert!(near(7, 100) && near(8, 100), "{}", users.lately(id, 7));
        visit(100..103, 8);
        assert!(near(8, 103));
        visit(100..103, 9);
        assert!(near(9, 3) && near(10, 3), "{}", users.lately(id, 9));
        assert_eq!(users.lately(id, 11), 0);
    }

    #[test]
    fn clients_of_so_many_servers_are_counted_and_of_no_more() {
        let mut registry = Registry::default();
        let mut id = |number: usize| {
            let name = number.to_string().into();
            registry.server(Protocol::Http, &name, &name).unwrap().0
        };
        let users = Users::default();
        let ids: Vec<_> = (0..=DRAINED_COUNTED).map(&mut id).collect();
        ids.iter().for_each(|id| users.seen(*id, 1, 7));
        let counted: Vec<_> = ids.iter().map(|id| users.lately(*id, 7)).collect();
        assert_eq!(counted[..DRAINED_COUNTED], [1; DRAINED_COUNTED]);
        assert_eq!(counted[DRAINED_COUNTED], 0, "let through uncounted");
    }
}
