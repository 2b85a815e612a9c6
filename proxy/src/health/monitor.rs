//! Which server is asked when.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tracing::{info, warn};

use super::handshakes::Handshakes;
use super::{State, probe};
use crate::clock;
use crate::limits::HEALTH_PROBES_MAX;
use crate::service::{Hindrance, Readiness, Scheme, ServerId, Target};

/// All servers that are checked. Only inside a tokio runtime.
#[derive(Debug)]
pub struct Monitor {
    readiness: Readiness,
    watched: HashMap<ServerId, Watched>,
    /// When to ask whom.
    due: BTreeSet<(Instant, ServerId)>,
    probes: JoinSet<Answered>,
    handshakes: Handshakes,
}

#[derive(Debug)]
struct Watched {
    target: Target,
    state: State,
    /// Its place in `due`; `None` while it is asked.
    next: Option<Instant>,
    /// The check has changed while it was asked: that answer does not count.
    stale: bool,
}

#[derive(Debug)]
struct Answered {
    server: ServerId,
    answer: Result<(), String>,
}

/// What is held to be so of a server.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'m> {
    /// `name@file` of its service.
    pub service: &'m str,
    /// Its URL or address as written.
    pub server: &'m str,
    /// Up, down, and why since when.
    pub state: &'m State,
}

impl Watched {
    fn verdict(&self) -> Verdict<'_> {
        Verdict {
            service: &self.target.service,
            server: &self.target.server.name,
            state: &self.state,
        }
    }
}

impl Monitor {
    /// Nobody is watched yet.
    pub fn new(readiness: Readiness) -> Self {
        Self {
            readiness,
            watched: HashMap::new(),
            due: BTreeSet::new(),
            probes: JoinSet::new(),
            handshakes: Handshakes::default(),
        }
    }

    /// From now on these are checked, and no others. New ones, and those whose check has changed, are asked at once.
    pub fn watch(&mut self, targets: &[Target]) {
        let wanted: HashSet<ServerId> = targets.iter().map(|target| target.server.id).collect();
        let gone: Vec<ServerId> = self.watched.keys().copied().collect();
        for id in gone.into_iter().filter(|id| !wanted.contains(id)) {
            // It may serve on without a check. The slot is its own for as long as the target is held.
            self.readiness.set(id, Hindrance::Down, false);
            if let Some(next) = self.watched.remove(&id).and_then(|watched| watched.next) {
                self.due.remove(&(next, id));
            }
        }
        let now = Instant::now();
        for target in targets {
            self.watch_one(target, now);
        }
        self.start(now);
    }

    fn watch_one(&mut self, target: &Target, now: Instant) {
        let id = target.server.id;
        let Some(watched) = self.watched.get_mut(&id) else {
            let watched = Watched {
                target: target.clone(),
                state: State::new(clock::unix_seconds()),
                next: Some(now),
                stale: false,
            };
            self.watched.insert(id, watched);
            self.due.insert((now, id));
            return;
        };
        let same = watched.target.check == target.check
            && watched.target.server.addresses == target.server.addresses;
        watched.target = target.clone();
        if same {
            return;
        }
        match watched.next.replace(now) {
            Some(next) => {
                self.due.remove(&(next, id));
                self.due.insert((now, id));
            }
            None => (watched.next, watched.stale) = (None, true),
        }
    }

    /// Asks, and resolves when a server has gone up or down; whether it is of a TCP service, whose ring is then to be
    /// built anew. Cancel-safe.
    pub async fn changed(&mut self) -> bool {
        loop {
            let first = self.due.first().map(|(at, _)| *at);
            let may_start = self.probes.len() < HEALTH_PROBES_MAX;
            let due = async {
                match first.filter(|_| may_start) {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let answered = tokio::select! {
                biased;
                Some(answered) = self.probes.join_next() => answered,
                () = due => {
                    self.start(Instant::now());
                    continue;
                }
            };
            match answered {
                Ok(answered) => {
                    if let Some(rings) = self.take(answered) {
                        return rings;
                    }
                }
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
    }

    /// Asks all that are due, as far as there is room.
    fn start(&mut self, now: Instant) {
        while self.probes.len() < HEALTH_PROBES_MAX {
            let Some(first) = self.due.first().filter(|(at, _)| *at <= now).copied() else {
                return;
            };
            self.due.remove(&first);
            let id = first.1;
            let Some(watched) = self.watched.get_mut(&id) else {
                continue;
            };
            watched.next = None;
            let (target, handshakes) = (watched.target.clone(), self.handshakes.clone());
            self.probes.spawn(async move {
                let asked = probe::ask(&target, &handshakes);
                let answer = timeout(target.check.timeout, asked).await;
                let answer = answer.unwrap_or_else(|_| Err(late(target.check.timeout)));
                Answered { server: id, answer }
            });
        }
    }

    /// Takes an answer; where it changes anything, whether a ring is to be built anew.
    fn take(&mut self, Answered { server, answer }: Answered) -> Option<bool> {
        let watched = self.watched.get_mut(&server)?;
        let now = Instant::now();
        let pace = &watched.target.check.pace;
        let stale = std::mem::take(&mut watched.stale);
        let change = match stale {
            true => None,
            false => watched.state.observe(&answer, pace, clock::unix_seconds()),
        };
        let next = match stale {
            true => now,
            false => watched.state.next(pace, now, chance()),
        };
        watched.next = Some(next);
        self.due.insert((next, server));
        let change = change?;
        let changed = self.readiness.set(server, Hindrance::Down, !change.up);
        let service = &*watched.target.service;
        let name = &*watched.target.server.name;
        match change.up {
            true if change.known => info!(service, server = name, "the server is up again"),
            true => {}
            false => warn!(
                service,
                server = name,
                "the server is down: {}",
                watched.state.reason()
            ),
        }
        (changed || change.known).then_some(watched.target.server.scheme == Scheme::Tcp)
    }

    /// What is held to be so of each server that is checked.
    pub fn states(&self) -> HashMap<ServerId, State> {
        let states = self.watched.iter();
        let states = states.map(|(server, watched)| (*server, watched.state.clone()));
        states.collect()
    }

    /// The servers that are down, by service and name.
    pub fn down(&self) -> Vec<Verdict<'_>> {
        let down = self
            .watched
            .values()
            .filter(|watched| !watched.state.is_up());
        let mut down: Vec<Verdict<'_>> = down.map(Watched::verdict).collect();
        down.sort_by_key(|verdict| (verdict.service, verdict.server));
        down
    }
}

/// Each of the standard library's random states is another one.
fn chance() -> u64 {
    RandomState::new().hash_one(0)
}

fn late(timeout: Duration) -> String {
    format!("no answer within {timeout:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_rules::{loaded, service};

    #[tokio::test]
    async fn so_many_are_asked_at_the_same_time_and_the_next_waits() {
        for (servers, waiting) in [(HEALTH_PROBES_MAX, 0), (HEALTH_PROBES_MAX + 1, 1)] {
            let ports = 1..=u16::try_from(servers).unwrap();
            let rules = loaded(&service(ports, ", healthCheck: {path: /}"));
            let mut monitor = Monitor::new(Readiness::default());
            monitor.watch(&rules.targets);
            assert_eq!(monitor.watched.len(), servers);
            // Nothing has been given a chance to end.
            assert_eq!(
                (monitor.probes.len(), monitor.due.len()),
                (HEALTH_PROBES_MAX, waiting)
            );
        }
    }
}
