//! Which servers take requests now: a fixed table of atomics, indexed by the slot of [`ServerId`].
//!
//! The control plane writes, workers read while they pick, and only for services that say so
//! ([`super::Service::is_watched`]): a service without health checks and administered servers touches no shared line.
//! Invariant: a slot nobody holds is clear, so that a new server begins ready.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Fallen, Server, ServerId, Service, ServiceKind, Suspicions};
use crate::limits::SERVERS_MAX;

/// What keeps a server from requests; a bit of its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// Its health check fails.
    Down = 1,
    /// An administrator lets its users leave: it keeps those that its cookie names, and gets no others.
    Drained = 2,
    /// An administrator has taken it out.
    Maintenance = 4,
}

/// How much a server is to be preferred. The best that a service has is picked from: with every server drained or down
/// it is better to try than to refuse; one in maintenance is never tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Ready.
    Ready,
    /// It has as many requests as it may: one more waits.
    Full,
    /// Ready, and a backup.
    Backup,
    /// It has as many requests as it may, and so many wait that one more would be refused.
    Crowded,
    /// Drained, and as far as is known alive.
    Drained,
    /// Down, or requests have just failed there.
    Down,
    /// Both: all others are tried before it.
    Dead,
    /// It has failed the very request that asks.
    Tried,
    /// In maintenance.
    Out,
}

/// One more time that a server has gone down, above all hindrances.
const FALL: u32 = 8;

impl Rank {
    fn of(bits: u32) -> Self {
        let has = |hindrance: Hindrance| bits & hindrance as u32 != 0;
        if has(Hindrance::Maintenance) {
            Self::Out
        } else if has(Hindrance::Down) {
            Self::Down
        } else if has(Hindrance::Drained) {
            Self::Drained
        } else {
            Self::Ready
        }
    }
}

/// The table, and that of suspicions. Clones are one and the same.
#[derive(Clone)]
pub struct Readiness {
    /// Hindrances, and above them how often the server has gone down.
    bits: Arc<[AtomicU32]>,
    suspicions: Suspicions,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            bits: (0..SERVERS_MAX).map(|_| AtomicU32::new(0)).collect(),
            suspicions: Suspicions::default(),
        }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Readiness")
    }
}

impl Readiness {
    /// Sets or clears a hindrance; whether that changed anything. The caller holds the server's lease.
    pub fn set(&self, server: ServerId, hindrance: Hindrance, on: bool) -> bool {
        let Some(bits) = self.bits.get(server.slot()) else {
            return false;
        };
        let bit = hindrance as u32;
        let after = |before: u32| match on {
            true if before & bit == 0 && hindrance == Hindrance::Down => {
                Some((before | bit).wrapping_add(FALL))
            }
            true => Some(before | bit),
            false => Some(before & !bit),
        };
        let before = bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
        before.is_ok_and(|before| (before & bit != 0) != on)
    }

    /// Whether its health check holds it to be down, and how often it has gone down.
    pub fn falls(&self, server: ServerId) -> Fallen {
        let bits = self.bits.get(server.slot());
        let bits = bits.map_or(0, |bits| bits.load(Ordering::Relaxed));
        Fallen {
            server,
            times: bits / FALL,
            is_down: bits & Hindrance::Down as u32 != 0,
        }
    }

    /// How much the server is to be preferred now, among those of its load balancer.
    pub fn rank(&self, server: &Server) -> Rank {
        let rank = self.standing(server.id);
        let rank = match server.backup {
            true => rank.max(Rank::Backup),
            false => rank,
        };
        match &server.cap {
            Some(cap) if cap.is_crowded() => rank.max(Rank::Crowded),
            Some(cap) if cap.is_full() => rank.max(Rank::Full),
            _ => rank,
        }
    }

    /// The same as far as health checks and administrators have a say in it.
    pub fn standing(&self, server: ServerId) -> Rank {
        let bits = self.bits.get(server.slot());
        bits.map_or(Rank::Ready, |bits| Rank::of(bits.load(Ordering::Relaxed)))
    }

    /// Servers that have just failed.
    pub fn suspicions(&self) -> &Suspicions {
        &self.suspicions
    }

    /// That of the best server of a service; [`Rank::Out`] where it has none.
    pub fn best(&self, service: &Service) -> Rank {
        best(service, &|server: &Server| self.rank(server))
    }

    /// Nobody has this slot any more.
    pub(super) fn clear(&self, slot: usize) {
        if let Some(bits) = self.bits.get(slot) {
            bits.store(0, Ordering::Relaxed);
        }
        self.suspicions.clear(slot);
    }
}

/// The best rank below a service, as `rank` ranks servers. A service that its backups serve is ready, and so is one
/// in whose lines a request would wait: parents share by weights.
pub(super) fn best(service: &Service, rank: &impl Fn(&Server) -> Rank) -> Rank {
    let ranks: &mut dyn Iterator<Item = Rank> = match &service.kind {
        ServiceKind::LoadBalancer(balancer) => {
            let of_parent = |rank| match rank {
                Rank::Full | Rank::Backup => Rank::Ready,
                rank => rank,
            };
            &mut balancer
                .servers
                .iter()
                .map(move |server| of_parent(rank(server)))
        }
        ServiceKind::Weighted(services) => {
            &mut services.iter().map(|entry| best(&entry.service, rank))
        }
        ServiceKind::Failover(services) => &mut services.iter().map(|service| best(service, rank)),
    };
    let mut found = Rank::Out;
    for rank in ranks {
        found = found.min(rank);
        if found == Rank::Ready {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::{Protocol, Registry};
    use super::*;

    #[test]
    fn each_time_that_a_server_goes_down_is_counted() {
        let mut registry = Registry::default();
        let name = "s".into();
        let (id, lease) = registry.server(Protocol::Tcp, &name, &name).unwrap();
        let readiness = registry.readiness().clone();
        for (on, changes, times) in [
            (true, true, 1),
            (true, false, 1),
            (false, true, 1),
            (false, false, 1),
            (true, true, 2),
        ] {
            assert_eq!(readiness.set(id, Hindrance::Down, on), changes);
            readiness.set(id, Hindrance::Drained, !on);
            let fallen = readiness.falls(id);
            assert_eq!((fallen.times, fallen.is_down), (times, on));
        }
        assert_eq!(readiness.standing(id), Rank::Down);
        drop(lease);
        registry.collect();
        assert_eq!(
            (readiness.falls(id).times, readiness.standing(id)),
            (0, Rank::Ready)
        );
    }
}
