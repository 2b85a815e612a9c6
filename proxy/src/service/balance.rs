//! Smooth weighted round robin, by worker. Pure: no clock, no randomness, no sharing.
//!
//! The algorithm is nginx's: before each pick every child's credit grows by its weight, the richest is picked and pays
//! the sum of all weights. Over a cycle of that sum each child is picked exactly as often as its weight says, and
//! picks of one child lie as far apart as they can. A child that is out takes no part: its credit waits, and the others
//! share by their weights as if it were not there. Invariant: the credits of a service sum up to 0.

use std::sync::Arc;
use std::time::Instant;

use super::id_map::IdMap;
use super::readiness::{self, Rank, Readiness};
use super::sticky::{CookieJar, NoCookies};
use super::{
    Child, ChildKey, LoadBalancer, Server, ServerId, Service, ServiceId, ServiceKind, Tried,
    WeightedService,
};
use crate::limits::{BALANCE_START_STEPS_MAX, SUSPECTS_MAX};

/// The balancing state of one worker: a position for each service it has been asked for.
#[derive(Debug)]
pub struct Balancer {
    worker: usize,
    workers: usize,
    /// By the slot of the service.
    positions: Vec<Option<Position>>,
    readiness: Readiness,
    /// Servers that have just failed this worker, each until when it is taken for one that is down.
    suspects: IdMap<ServerId, Instant>,
    /// Suspicions of all workers that it has heard of.
    told: u64,
    /// Memory: the ranks of a service's children.
    ranks: Vec<Rank>,
}

/// A server, and the load balancer it was picked from.
#[derive(Clone, Copy, Debug)]
pub struct Picked<'s> {
    /// Where the request goes.
    pub server: &'s Arc<Server>,
    /// How.
    pub load_balancer: &'s LoadBalancer,
    /// How good it is, where that was looked at.
    pub rank: Rank,
    /// A cookie keeps the client there from now on: that of its load balancer, or of a service above it.
    pub kept: bool,
}

impl Picked<'_> {
    /// Whether it is one for those that others have no room for: neither drained nor down.
    pub fn has_room(&self) -> bool {
        self.rank < Rank::Drained
    }
}

/// Of the children, those of this rank.
#[derive(Clone, Copy)]
struct Among<'r> {
    ranks: &'r [Rank],
    rank: Rank,
}

impl Balancer {
    /// The balancer of worker `worker` (from 0) of `workers`. Each starts at its own share of the cycle, so that the
    /// workers together keep the weights from the first requests on.
    pub fn new(worker: usize, workers: usize, readiness: Readiness) -> Self {
        Self {
            worker,
            workers: workers.max(1),
            positions: Vec::new(),
            suspects: IdMap::default(),
            told: readiness.suspicions().told(),
            readiness,
            ranks: Vec::new(),
        }
    }

    /// Takes a server for one that is down until then, unless there is none better. Of a flood of such only the first
    /// [`SUSPECTS_MAX`] are remembered.
    pub fn suspect(&mut self, server: ServerId, until: Instant) {
        if self.suspects.len() < SUSPECTS_MAX {
            self.suspects.insert(server, until);
        }
    }

    /// Ends a suspicion: the server has shown that it is there.
    pub fn trust(&mut self, server: ServerId) {
        self.suspects.remove(&server);
    }

    /// Takes up what other workers suspect.
    fn hear(&mut self) {
        let suspicions = self.readiness.suspicions();
        if suspicions.told() != self.told {
            let suspicions = suspicions.clone();
            self.told = suspicions.hear(self.told, |server, until| self.suspect(server, until));
        }
    }

    /// Ends the suspicions whose time is over; also those that it has not heard of yet, as nobody has asked it.
    pub fn forgive(&mut self, now: Instant) {
        self.hear();
        self.suspects.retain(|_, until| *until > now);
    }

    /// The next server of `service`; `None` where it has none, or all are in maintenance. State for a service whose
    /// servers or weights changed carries over for those that stayed. Counts no reference: the request keeps its router
    /// alive.
    pub fn pick<'s>(&mut self, service: &'s Service) -> Option<Picked<'s>> {
        self.pick_for(service, &mut NoCookies, &Tried::default())
    }

    /// The same for a client with cookies: it stays where they say, and is told where it came without them. One of
    /// those it was `tried` with is picked only where there is no other.
    pub fn pick_for<'s>(
        &mut self,
        service: &'s Service,
        jar: &mut dyn CookieJar,
        tried: &Tried,
    ) -> Option<Picked<'s>> {
        if service.is_empty() {
            return None;
        }
        self.hear();
        let looks = service.watched || !self.suspects.is_empty() || !tried.is_empty();
        let (index, rank) = match looks {
            false => (self.choose(service, jar, None), Rank::Ready),
            true => {
                let mut ranks = std::mem::take(&mut self.ranks);
                let index = self.look(service, jar, (&mut ranks, tried));
                let rank = index.and_then(|index| ranks.get(index).copied());
                self.ranks = ranks;
                (index?, rank.unwrap_or(Rank::Ready))
            }
        };
        match &service.kind {
            ServiceKind::LoadBalancer(load_balancer) => {
                let server = load_balancer.servers.get(index)?;
                Some(Picked {
                    server,
                    load_balancer,
                    rank,
                    kept: service.sticky.is_some(),
                })
            }
            ServiceKind::Weighted(services) => {
                let mut picked = self.pick_for(&services.get(index)?.service, jar, tried)?;
                picked.kept |= service.sticky.is_some();
                Some(picked)
            }
            ServiceKind::Failover(services) => self.pick_for(services.get(index)?, jar, tried),
        }
    }

    /// The child of a client: the one that its cookie names, else the next of those it is `among`, which it is told.
    fn choose(
        &mut self,
        service: &Service,
        jar: &mut dyn CookieJar,
        among: Option<Among<'_>>,
    ) -> usize {
        let sticky = service.sticky.as_ref();
        if among.is_none()
            && let Some(child) = sticky.and_then(|sticky| sticky.child(jar))
        {
            return child;
        }
        let index = self.position(service).advance(among);
        if let Some(sticky) = sticky {
            sticky.stay(index, jar);
        }
        index
    }

    /// The same where some children may be out; `None` where all are. A cookie counts while its child is not down, or
    /// no other is better; one that names a backup only while backups serve.
    fn look(
        &mut self,
        service: &Service,
        jar: &mut dyn CookieJar,
        (ranks, tried): (&mut Vec<Rank>, &Tried),
    ) -> Option<usize> {
        ranks.clear();
        let rank = |server: &Server| match tried.contains(server.id) {
            true => self.rank(server).max(Rank::Tried),
            false => self.rank(server),
        };
        match &service.kind {
            ServiceKind::LoadBalancer(balancer) => {
                ranks.extend(balancer.servers.iter().map(|server| rank(server)));
            }
            ServiceKind::Weighted(services) => {
                let best = |entry: &WeightedService| readiness::best(&entry.service, &rank);
                ranks.extend(services.iter().map(best));
            }
            ServiceKind::Failover(services) => {
                let best = |service: &Arc<Service>| readiness::best(service, &rank);
                ranks.extend(services.iter().map(best));
                return self.first(services, jar, ranks);
            }
        }
        let rank = ranks
            .iter()
            .copied()
            .min()
            .filter(|best| *best < Rank::Out)?;
        let stays = |child: usize| {
            let found = ranks.get(child);
            found.is_some_and(|found| match found {
                Rank::Backup => rank == Rank::Backup,
                found => *found <= rank.max(Rank::Drained),
            })
        };
        let sticky = service.sticky.as_ref();
        if let Some(child) = sticky.and_then(|sticky| sticky.child_if(jar, &stays)) {
            return Some(child);
        }
        Some(self.choose(service, jar, Some(Among { ranks, rank })))
    }

    /// Of services in the order of preference the first of the best; `None` where all are out. One before it that lets
    /// its users leave keeps those that its cookies name.
    fn first(
        &self,
        services: &[Arc<Service>],
        jar: &dyn CookieJar,
        ranks: &[Rank],
    ) -> Option<usize> {
        let best = ranks.iter().min().filter(|best| **best < Rank::Out)?;
        let first = ranks.iter().position(|rank| rank == best)?;
        let keeps =
            |index: &usize| ranks[*index] == Rank::Drained && self.keeps(&services[*index], jar);
        Some((0..first).find(keeps).unwrap_or(first))
    }

    /// Whether a cookie of the client's names a child of this service, or of one below it, that it may stay with.
    fn keeps(&self, service: &Service, jar: &dyn CookieJar) -> bool {
        let rank = |server: &Server| self.rank(server);
        let named = service.sticky.as_ref().and_then(|sticky| sticky.named(jar));
        let stays = |rank: Rank| rank <= Rank::Drained;
        match &service.kind {
            ServiceKind::LoadBalancer(balancer) => named
                .and_then(|child| balancer.servers.get(child))
                .is_some_and(|server| stays(rank(server))),
            ServiceKind::Weighted(services) => match named.and_then(|child| services.get(child)) {
                Some(entry) => stays(readiness::best(&entry.service, &rank)),
                None => services.iter().any(|entry| self.keeps(&entry.service, jar)),
            },
            ServiceKind::Failover(services) => {
                services.iter().any(|service| self.keeps(service, jar))
            }
        }
    }

    /// Whether a server has been drained, gone down or into maintenance since it was picked: one that waits for it
    /// looks again.
    pub fn has_left(&self, picked: &Picked<'_>) -> bool {
        let rank = self.rank(picked.server);
        rank >= Rank::Drained && rank > picked.rank
    }

    /// Whether its health check holds the server to be down, whatever happened to requests.
    pub fn is_down(&self, server: &Server) -> bool {
        self.readiness.standing(server.id) == Rank::Down
    }

    fn rank(&self, server: &Server) -> Rank {
        let rank = self.readiness.rank(server);
        match self.suspects.contains_key(&server.id) {
            true if rank == Rank::Down => Rank::Dead,
            true => rank.max(Rank::Down),
            false => rank,
        }
    }

    /// The position in this service, as it is now.
    fn position(&mut self, service: &Service) -> &mut Position {
        let slot = service.id.slot();
        if slot >= self.positions.len() {
            self.positions.resize_with(slot + 1, || None);
        }
        let position = &mut self.positions[slot];
        let same_service = |position: &Position| position.service == service.id;
        match position.take().filter(same_service) {
            Some(old) if old.shape == service.shape => position.insert(old),
            Some(old) => position.insert(Position::new(service).continuing(&old)),
            None => {
                let mut fresh = Position::new(service);
                let cycle = fresh.total().min(BALANCE_START_STEPS_MAX);
                // Both factors are small: a core count and a limit.
                let start = self.worker as i64 * cycle / self.workers as i64;
                (0..start).for_each(|_| {
                    fresh.advance(None);
                });
                position.insert(fresh)
            }
        }
    }
}

/// Where a worker stands in the cycle of one service.
#[derive(Debug)]
struct Position {
    service: ServiceId,
    shape: u64,
    children: Vec<Credit>,
}

#[derive(Debug)]
struct Credit {
    key: ChildKey,
    weight: i64,
    credit: i64,
}

impl Position {
    fn new(service: &Service) -> Self {
        let credit = |Child { key, weight }| Credit {
            key,
            weight: i64::from(weight),
            credit: 0,
        };
        let children = service.kind.children().map(credit).collect();
        Self {
            service: service.id,
            shape: service.shape,
            children,
        }
    }

    fn total(&self) -> i64 {
        self.children.iter().map(|child| child.weight).sum()
    }

    /// The next child, by index, of those it is `among`: at least one.
    fn advance(&mut self, among: Option<Among<'_>>) -> usize {
        let takes_part = |index: usize| among.is_none_or(|among| among.ranks[index] == among.rank);
        let (mut total, mut richest) = (0, None::<usize>);
        for index in (0..self.children.len()).filter(|index| takes_part(*index)) {
            let child = &mut self.children[index];
            child.credit += child.weight;
            total += child.weight;
            let credit = child.credit;
            if richest.is_none_or(|richest| credit > self.children[richest].credit) {
                richest = Some(index);
            }
        }
        let richest = richest.unwrap_or_default();
        self.children[richest].credit -= total;
        richest
    }

    /// Takes the credits over from a former shape of the same service, in proportion to the sums of weights.
    fn continuing(mut self, old: &Position) -> Self {
        let (total, old_total) = (self.total(), old.total().max(1));
        for child in &mut self.children {
            let before = old.children.iter().find(|before| before.key == child.key);
            let scaled = |credit: i64| {
                (i128::from(credit) * i128::from(total) / i128::from(old_total)) as i64
            };
            child.credit = before.map_or(0, |before| scaled(before.credit));
        }
        let sum: i64 = self.children.iter().map(|child| child.credit).sum();
        let count = self.children.len() as i64;
        for (index, child) in self.children.iter_mut().enumerate() {
            child.credit -=
                sum.div_euclid(count) + i64::from((index as i64) < sum.rem_euclid(count));
        }
        self
    }
}

#[cfg(test)]
mod tests;
