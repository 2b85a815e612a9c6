//! Servers that requests have just failed on: a fixed table of atomics, indexed by the slot of [`ServerId`], and the
//! last entries of it, by which a worker hears of what others have met.
//!
//! Written when a server fails, read where status is asked for; workers look at one number, which changes only then.
//! Who tells takes a place of its own; who hears stops before a place that is taken and not written yet, and goes on
//! there next time. A worker that has not listened for longer than entries are kept meets the server itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::ServerId;
use crate::limits::{SERVERS_MAX, SUSPICIONS_TOLD};

/// Why a server gets nothing for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No connection.
    Connect = 1,
    /// A connection that ended before an answer.
    Reset = 2,
    /// Failures in a row.
    Failures = 3,
}

impl Cause {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "it cannot be connected to",
            Self::Reset => "it closed a connection before its answer",
            Self::Failures => "too many requests in a row failed there",
        }
    }

    fn of(bits: u64) -> Option<Self> {
        let all = [Self::Connect, Self::Reset, Self::Failures];
        all.into_iter().find(|cause| *cause as u64 == bits)
    }
}

/// A server that gets nothing while another one can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// Why.
    pub cause: Cause,
    /// How much longer.
    pub left: Duration,
    /// For how long already; of those of some hours only roughly.
    pub since: Duration,
}

/// The table. Clones are one and the same.
#[derive(Clone)]
pub struct Suspicions(Arc<Table>);

struct Table {
    begun: Instant,
    /// Milliseconds since then, for how many tenths of a second (16 bits), and a cause (8 bits).
    until: Box<[AtomicU64]>,
    last: [Told; SUSPICIONS_TOLD],
    /// How many places have been taken.
    told: AtomicU64,
    /// When the last of them ends, in milliseconds since then.
    end: AtomicU64,
}

/// One that was told of.
#[derive(Default)]
struct Told {
    /// [`ServerId::to_bits`]
    server: AtomicU64,
    /// How many there had been with it. Written last; never goes back, whoever of two comes late.
    number: AtomicU64,
}

impl Default for Suspicions {
    fn default() -> Self {
        Self(Arc::new(Table {
            begun: Instant::now(),
            until: (0..SERVERS_MAX).map(|_| AtomicU64::new(0)).collect(),
            last: std::array::from_fn(|_| Told::default()),
            told: AtomicU64::new(0),
            end: AtomicU64::new(0),
        }))
    }
}

impl fmt::Debug for Suspicions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Suspicions")
    }
}

impl Suspicions {
    /// Tells all workers. The caller holds the server's lease.
    pub fn tell(&self, server: ServerId, cause: Cause, (now, time): (Instant, Duration)) {
        let Some(entry) = self.0.until.get(server.slot()) else {
            return;
        };
        let until = (now + time).saturating_duration_since(self.0.begun);
        let end = until.as_millis() as u64;
        let tenths = (time.as_millis() / 100).min(u128::from(u16::MAX)) as u64;
        let bits = end << 24 | tenths << 8 | cause as u64;
        entry.store(bits, Ordering::Relaxed);
        self.0.end.fetch_max(end, Ordering::Relaxed);
        self.write(self.take_place(), server);
    }

    fn take_place(&self) -> u64 {
        self.0.told.fetch_add(1, Ordering::AcqRel)
    }

    fn write(&self, before: u64, server: ServerId) {
        let told = self.place(before);
        told.server.store(server.to_bits(), Ordering::Relaxed);
        told.number.fetch_max(before + 1, Ordering::Release);
    }

    fn place(&self, before: u64) -> &Told {
        &self.0.last[(before % SUSPICIONS_TOLD as u64) as usize]
    }

    /// How many there have been.
    pub fn told(&self) -> u64 {
        self.0.told.load(Ordering::Acquire)
    }

    /// Whether any may hold.
    pub fn any(&self, now: Instant) -> bool {
        let end = Duration::from_millis(self.0.end.load(Ordering::Relaxed));
        self.0.begun + end > now
    }

    /// Hears those since there had been so many, as far as they are remembered, each until when it holds. How many
    /// there had been with the last one heard.
    pub fn hear(&self, before: u64, mut each: impl FnMut(ServerId, Instant)) -> u64 {
        let told = self.told();
        for number in before.max(told.saturating_sub(SUSPICIONS_TOLD as u64))..told {
            let place = self.place(number);
            if place.number.load(Ordering::Acquire) <= number {
                return number;
            }
            if let Some(server) = ServerId::of_bits(place.server.load(Ordering::Relaxed))
                && let Some(entry) = self.0.until.get(server.slot())
            {
                let until = Duration::from_millis(entry.load(Ordering::Relaxed) >> 24);
                each(server, self.0.begun + until);
            }
        }
        told
    }

    /// What is held against a server.
    pub fn of(&self, server: ServerId, now: Instant) -> Option<Suspicion> {
        let entry = self.0.until.get(server.slot())?.load(Ordering::Relaxed);
        let until = self.0.begun + Duration::from_millis(entry >> 24);
        let left = until.saturating_duration_since(now);
        let time = Duration::from_millis((entry >> 8 & 0xffff) * 100);
        let suspicion = Suspicion {
            cause: Cause::of(entry & 0xff)?,
            left,
            since: time.saturating_sub(left),
        };
        (!left.is_zero()).then_some(suspicion)
    }

    /// Nobody has this slot any more.
    pub(super) fn clear(&self, slot: usize) {
        if let Some(entry) = self.0.until.get(slot) {
            entry.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Protocol, Registry};
    use super::*;

    #[test]
    fn what_one_tells_all_hear_and_it_ends() {
        let mut registry = Registry::default();
        let name = "s".into();
        let (id, _lease) = registry.server(Protocol::Http, &name, &name).unwrap();
        let (suspicions, now) = (Suspicions::default(), Instant::now());
        let heard = suspicions.told();
        let news = |before: u64| {
            let mut news = Vec::new();
            let heard = suspicions.hear(before, |server, until| news.push((server, until)));
            (news, heard)
        };
        assert!(suspicions.of(id, now).is_none() && news(heard) == (vec![], heard));
        assert!(!suspicions.any(now));
        let (time, until) = (Duration::from_secs(2), now + Duration::from_secs(2));
        suspicions.tell(id, Cause::Reset, (now, time));
        let (heard_of, heard_all) = news(heard);
        assert!(heard_of.len() == 1 && heard_of[0].0 == id && heard_all == heard + 1);
        let held = suspicions.of(id, now + Duration::from_millis(500)).unwrap();
        assert_eq!(held.cause, Cause::Reset);
        let about = |time: Duration| time.as_millis().abs_diff(1_500) <= 1;
        assert!(
            about(held.left) && held.since.as_millis().abs_diff(500) <= 1,
            "{held:?}"
        );
        assert!(suspicions.any(now) && !suspicions.any(until));
        assert!(suspicions.of(id, until).is_none());
        assert!(news(suspicions.told()).0.is_empty());
        (0..3 * SUSPICIONS_TOLD).for_each(|_| suspicions.tell(id, Cause::Connect, (now, time)));
        assert_eq!(news(heard).0.len(), SUSPICIONS_TOLD);
    }

    /// Two workers tell at once: neither writes over the other, and nobody hears of a place before it is written.
    #[test]
    fn what_two_tell_at_once_is_heard_of_both() {
        let mut registry = Registry::default();
        let names = ["a", "b", "old"].map(std::sync::Arc::<str>::from);
        let [a, b, old] = names.map(|name| registry.server(Protocol::Http, &name, &name).unwrap());
        let (suspicions, now) = (Suspicions::default(), Instant::now());
        (0..SUSPICIONS_TOLD)
            .for_each(|_| suspicions.tell(old.0, Cause::Reset, (now, Duration::from_secs(1))));
        let before = suspicions.told();
        let (first, second) = (suspicions.take_place(), suspicions.take_place());
        suspicions.write(second, b.0);
        let hear = |before: u64| {
            let mut servers = Vec::new();
            (
                suspicions.hear(before, |server, _| servers.push(server)),
                servers,
            )
        };
        assert_eq!(hear(before), (before, vec![]), "the first is not there yet");
        suspicions.write(first, a.0);
        assert_eq!(hear(before), (before + 2, vec![a.0, b.0]));
    }
}
