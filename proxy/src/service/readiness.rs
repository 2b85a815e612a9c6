//! Which servers take requests now: a fixed table of atomics, indexed by the slot of [`ServerId`].
//!
//! The control plane writes, workers read while they pick, and only for services that say so
//! ([`super::Service::is_watched`]): a service without health checks and administered servers touches no shared line.
//! Invariant: a slot nobody holds is clear, so that a new server begins ready.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::{Gates, Server, ServerId, Service, ServiceKind, Suspicions, Users};
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
    /// Drained, and as far as is known alive.
    Drained,
    /// Down.
    Down,
    /// In maintenance.
    Out,
}

impl Rank {
    fn of(bits: u8) -> Self {
        let has = |hindrance: Hindrance| bits & hindrance as u8 != 0;
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

/// The table, and those of gates, suspicions and users. Clones are one and the same.
#[derive(Clone)]
pub struct Readiness {
    bits: Arc<[AtomicU8]>,
    gates: Gates,
    suspicions: Suspicions,
    users: Users,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            bits: (0..SERVERS_MAX).map(|_| AtomicU8::new(0)).collect(),
            gates: Gates::default(),
            suspicions: Suspicions::default(),
            users: Users::default(),
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
        let bit = hindrance as u8;
        let before = if on {
            bits.fetch_or(bit, Ordering::Relaxed)
        } else {
            bits.fetch_and(!bit, Ordering::Relaxed)
        };
        (before & bit != 0) != on
    }

    /// Whether its health check holds it to be down.
    pub fn is_down(&self, server: ServerId) -> bool {
        let bits = self.bits.get(server.slot());
        bits.is_some_and(|bits| bits.load(Ordering::Relaxed) & Hindrance::Down as u8 != 0)
    }

    /// How much the server is to be preferred now, among those of its load balancer.
    pub fn rank(&self, server: &Server) -> Rank {
        let bits = self.bits.get(server.id.slot());
        let rank = bits.map_or(Rank::Ready, |bits| Rank::of(bits.load(Ordering::Relaxed)));
        let full = |cap| self.gates.is_full(server.id, cap);
        if server.backup {
            rank.max(Rank::Backup)
        } else if server.cap.as_ref().is_some_and(full) {
            rank.max(Rank::Full)
        } else {
            rank
        }
    }

    /// Who may come to servers with a cap.
    pub fn gates(&self) -> &Gates {
        &self.gates
    }

    /// Clients of drained servers.
    pub fn users(&self) -> &Users {
        &self.users
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
        self.gates.clear(slot);
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
