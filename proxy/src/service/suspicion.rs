//! Servers that requests have just failed on: a fixed table of atomics, indexed by the slot of [`ServerId`], and the
//! last entries of it, by which a worker hears of what others have met.
//!
//! Written when a server fails, read where status is asked for; workers look at one number, which changes only then.
//! A worker that misses an entry meets the server itself.

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
    last: [AtomicU64; SUSPICIONS_TOLD],
    /// How many there have been.
    told: AtomicU64,
    /// When the last of them ends, in milliseconds since then.
    end: AtomicU64,
}

impl Default for Suspicions {
    fn default() -> Self {
        Self(Arc::new(Table {
            begun: Instant::now(),
            until: (0..SERVERS_MAX).map(|_| AtomicU64::new(0)).collect(),
            last: [const { AtomicU64::new(0) }; SUSPICIONS_TOLD],
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
        let place = self.0.told.load(Ordering::Relaxed) as usize % SUSPICIONS_TOLD;
        self.0.last[place].store(server.to_bits(), Ordering::Release);
        self.0.told.fetch_add(1, Ordering::Release);
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

    /// Those since there had been so many, as far as they are remembered, each until when it holds.
    pub fn since(&self, told: u64) -> impl Iterator<Item = (ServerId, Instant)> {
        let new = self.told().wrapping_sub(told).min(SUSPICIONS_TOLD as u64);
        let places = (0..new).map(move |back| {
            (self.told().wrapping_sub(1 + back) % SUSPICIONS_TOLD as u64) as usize
        });
        places.filter_map(|place| {
            let server = ServerId::of_bits(self.0.last[place].load(Ordering::Acquire))?;
            let entry = self.0.until.get(server.slot())?.load(Ordering::Relaxed);
            Some((server, self.0.begun + Duration::from_millis(entry >> 24)))
        })
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
        assert!(suspicions.of(id, now).is_none() && suspicions.since(heard).next().is_none());
        assert!(!suspicions.any(now));
        let (time, until) = (Duration::from_secs(2), now + Duration::from_secs(2));
        suspicions.tell(id, Cause::Reset, (now, time));
        let news: Vec<ServerId> = suspicions.since(heard).map(|(server, _)| server).collect();
        assert_eq!(news, [id]);
        let held = suspicions.of(id, now + Duration::from_millis(500)).unwrap();
        assert_eq!(held.cause, Cause::Reset);
        let about = |time: Duration| time.as_millis().abs_diff(1_500) <= 1;
        assert!(
            about(held.left) && held.since.as_millis().abs_diff(500) <= 1,
            "{held:?}"
        );
        assert!(suspicions.any(now) && !suspicions.any(until));
        assert!(suspicions.of(id, until).is_none());
        assert!(suspicions.since(suspicions.told()).next().is_none());
        (0..3 * SUSPICIONS_TOLD).for_each(|_| suspicions.tell(id, Cause::Connect, (now, time)));
        assert_eq!(suspicions.since(heard).count(), SUSPICIONS_TOLD);
    }
}
