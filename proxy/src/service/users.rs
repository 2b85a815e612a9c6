//! About how many clients a sticky cookie has kept at one server lately, by their addresses: a fixed set of atomics.
//!
//! Touched by requests that a sticky cookie keeps, and by who asks; takes no room before the first. Counted by linear
//! counting: each client sets a bit by its hash, and from how many are set follows about how many clients there were.
//! Numbers are good to some percent up to a few thousand clients; beyond ten thousand they say no more than that there
//! are many.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::{USERS_BITS, USERS_PERIOD};

const WORDS: usize = USERS_BITS / 64;

/// The clients of one server.
#[derive(Debug, Default)]
pub struct Users(OnceLock<Box<Seen>>);

/// Those of this period and of the one before, by the parity of the period.
#[derive(Debug)]
struct Seen {
    period: AtomicU64,
    bits: [[AtomicU64; WORDS]; 2],
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            period: AtomicU64::new(0),
            bits: [const { [const { AtomicU64::new(0) }; WORDS] }; 2],
        }
    }
}

impl Users {
    /// A client that a cookie keeps has been there, `now` in seconds of Unix time.
    pub fn seen(&self, client: IpAddr, now: u64) {
        self.0
            .get_or_init(Box::default)
            .add(place(client), period(now));
    }

    /// About how many clients have been there in this period and the one before, `now` in seconds of Unix time; `None`
    /// where no cookie has kept any yet.
    pub fn lately(&self, now: u64) -> Option<u32> {
        Some(self.0.get()?.lately(period(now)))
    }
}

impl Seen {
    fn add(&self, bit: usize, period: u64) {
        self.turn(period);
        let word = &self.bits[(period % 2) as usize][bit / 64];
        let mask = 1 << (bit % 64);
        // Most have been here before: one that only reads takes the line from no other worker.
        if word.load(Ordering::Relaxed) & mask == 0 {
            word.fetch_or(mask, Ordering::Relaxed);
        }
    }

    fn lately(&self, period: u64) -> u32 {
        let of = |parity: usize, word: usize| self.bits[parity][word].load(Ordering::Relaxed);
        let last = self.period.load(Ordering::Relaxed);
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

    /// Begins a period, if it is a new one.
    fn turn(&self, period: u64) {
        let before = self.period.load(Ordering::Relaxed);
        let turns = before < period
            && self
                .period
                .compare_exchange(before, period, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if turns {
            clear(&self.bits[(period % 2) as usize]);
            if before + 1 != period {
                clear(&self.bits[((period + 1) % 2) as usize]);
            }
        }
    }
}

fn period(now: u64) -> u64 {
    now / USERS_PERIOD.as_secs()
}

fn place(client: IpAddr) -> usize {
    let mut hash = DefaultHasher::new();
    client.hash(&mut hash);
    (hash.finish() % USERS_BITS as u64) as usize
}

fn clear(words: &[AtomicU64; WORDS]) {
    words
        .iter()
        .for_each(|word| word.store(0, Ordering::Relaxed));
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::ops::Range;

    use super::*;

    const PERIOD: u64 = USERS_PERIOD.as_secs();

    fn visit(users: &Users, clients: Range<u32>, period: u64) {
        for client in clients.clone().chain(clients) {
            users.seen(Ipv4Addr::from_bits(client).into(), period * PERIOD);
        }
    }

    #[test]
    fn clients_are_counted_once_and_forgotten_in_time() {
        let users = Users::default();
        assert_eq!(users.lately(0), None);
        let lately = |period: u64| {
            users
                .lately(period * PERIOD + PERIOD - 1)
                .unwrap_or_default()
        };
        let near = |period: u64, due: u32| lately(period).abs_diff(due) <= due / 10;
        visit(&users, 0..100, 7);
        assert!(near(7, 100) && near(8, 100), "{}", lately(7));
        visit(&users, 100..110, 8);
        assert!(near(8, 110), "{}", lately(8));
        visit(&users, 100..110, 9);
        assert!(near(9, 10) && near(10, 10), "{}", lately(9));
        assert_eq!(lately(11), 0);
    }

    #[test]
    fn thousands_of_clients_are_counted_and_more_are_many() {
        let users = Users::default();
        visit(&users, 0..5_000, 7);
        let lately = || users.lately(7 * PERIOD).unwrap();
        assert!(lately().abs_diff(5_000) < 500);
        visit(&users, 0..100_000, 7);
        assert!(lately() > 10_000);
    }
}
