//! Host names of servers to addresses, by getaddrinfo(3): /etc/hosts and nsswitch.conf count. Names are asked in
//! parallel on threads of their own, as each may block for many seconds.
//!
//! Invariants: a name that has resolved once keeps its last addresses while it does not resolve; nothing but the
//! control plane waits for a name.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Origin, Problem};
use crate::limits::{RESOLVE_INTERVAL, RESOLVE_THREADS_MAX, RESOLVE_WAIT, SERVER_ADDRESSES_MAX};

/// What a lookup brought: at least one address, in the order of preference.
type Answer = Result<Vec<IpAddr>, String>;

/// The names in use and their addresses. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    shared: Arc<Shared>,
}

/// Asks for all names again and again.
#[derive(Debug)]
pub struct Refresh {
    resolver: Resolver,
    every: Interval,
}

#[derive(Debug, Default)]
struct Shared {
    /// Nobody is asked, and every name has an address.
    offline: bool,
    names: Mutex<Names>,
    /// A lookup has ended.
    answered: Condvar,
    /// A name that somebody has looked at means something else now.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Names {
    known: HashMap<String, Known>,
    queue: VecDeque<String>,
    /// Threads that look up.
    threads: usize,
}

#[derive(Debug, Default)]
struct Known {
    /// Of the last lookup that brought any.
    addresses: Vec<IpAddr>,
    /// Why the last lookup brought none.
    failed: Option<String>,
    answered: bool,
    /// In the queue, or being looked up.
    asked: bool,
    /// Somebody has used what is here.
    used: bool,
}

impl Resolver {
    /// One that takes every name for good without asking: for checks away from where the rules serve.
    pub fn offline() -> Self {
        let shared = Shared {
            offline: true,
            ..Shared::default()
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// From now on these names are in use, and no others. Waits for those that are new, at most [`RESOLVE_WAIT`].
    pub fn want<'n>(&self, names: impl IntoIterator<Item = &'n str>) {
        if self.shared.offline {
            return;
        }
        let wanted: BTreeSet<&str> = names.into_iter().collect();
        let end = Instant::now() + RESOLVE_WAIT;
        let mut names = self.names();
        names.known.retain(|name, _| wanted.contains(&**name));
        for name in wanted {
            if !names.known.contains_key(name) {
                names.known.insert(name.to_owned(), Known::default());
                self.ask(&mut names, name);
            }
        }
        while names.known.values().any(|known| !known.answered) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.answered.wait_timeout(names, left);
            names = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Asks for all names in use again; does not wait.
    pub fn refresh(&self) {
        let mut names = self.names();
        let all: Vec<String> = names.known.keys().cloned().collect();
        all.iter().for_each(|name| self.ask(&mut names, name));
    }

    /// What a name in use, written at `origin`, stands for, and what is wrong with it.
    pub fn addresses(&self, name: &str, origin: &Origin) -> (Answer, Option<Problem>) {
        if self.shared.offline {
            return (Ok(vec![IpAddr::from([0, 0, 0, 0])]), None);
        }
        let mut names = self.names();
        let Some(known) = names.known.get_mut(name) else {
            return (Err("it was not asked for".to_owned()), None);
        };
        known.used = true;
        let Some(error) = known.failure() else {
            return (Ok(known.addresses.clone()), None);
        };
        if known.addresses.is_empty() {
            let problem = Problem::error(
                origin.clone(),
                format!("{name}, which does not resolve: {error}"),
            );
            let problem = problem.remedy("correct the name, or write the address");
            return (Err(error), Some(problem));
        }
        // Without the error, which may be another one each time.
        let problem = Problem::warning(origin.clone(), format!("{name}, which no longer resolves"))
            .remedy("correct the name or the name servers; its last addresses are used");
        (Ok(known.addresses.clone()), Some(problem))
    }

    fn ask(&self, names: &mut Names, name: &str) {
        match names.known.get_mut(name) {
            Some(known) if !known.asked => known.asked = true,
            _ => return,
        }
        names.queue.push_back(name.to_owned());
        if names.threads < RESOLVE_THREADS_MAX {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("resolver".to_owned());
            names.threads += usize::from(thread.spawn(move || shared.look_up()).is_ok());
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.shared.lock()
    }
}

impl Refresh {
    /// Begins to. Only inside a runtime.
    pub fn new(resolver: Resolver) -> Self {
        let mut every = interval(RESOLVE_INTERVAL);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        every.reset();
        Self { resolver, every }
    }

    /// Resolves when a name that is in use means something else than when it was used. Cancel-safe.
    pub async fn changed(&mut self) {
        loop {
            tokio::select! {
                () = self.resolver.shared.changed.notified() => return,
                _ = self.every.tick() => self.resolver.refresh(),
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks names up until none is waiting.
    fn look_up(&self) {
        let mut names = self.lock();
        while let Some(name) = names.queue.pop_front() {
            drop(names);
            let answer = look_up(&name);
            names = self.lock();
            if let Some(known) = names.known.get_mut(&name)
                && known.take(answer)
            {
                self.changed.notify_one();
            }
            self.answered.notify_all();
        }
        names.threads -= 1;
    }
}

impl Known {
    /// Why it has no addresses, or keeps old ones.
    fn failure(&self) -> Option<String> {
        match self.answered {
            true => self.failed.clone(),
            false => Some("no answer yet".to_owned()),
        }
    }

    /// Takes an answer; whether somebody uses something else.
    fn take(&mut self, answer: Answer) -> bool {
        let failed = self.failed.is_some() || !self.answered;
        (self.asked, self.answered) = (false, true);
        let changed = match answer {
            Ok(addresses) => {
                self.failed = None;
                // Name servers turn the order around from answer to answer.
                let differs = sorted(&addresses) != sorted(&self.addresses);
                if differs {
                    self.addresses = addresses;
                }
                differs || failed
            }
            Err(error) => {
                self.failed = Some(error);
                !failed
            }
        };
        changed && self.used
    }
}

fn sorted(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut sorted = addresses.to_vec();
    sorted.sort_unstable();
    sorted
}

fn look_up(name: &str) -> Answer {
    const ANY_PORT: u16 = 0;
    let found = (name, ANY_PORT)
        .to_socket_addrs()
        .map_err(|error| error.to_string())?;
    distinct(found.map(|found| found.ip().to_canonical()))
}

/// Each once, the first ones where there are many.
fn distinct(found: impl Iterator<Item = IpAddr>) -> Answer {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.truncate(SERVER_ADDRESSES_MAX);
    if addresses.is_empty() {
        Err("no address".to_owned())
    } else {
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const LOST: &str = "no-such-name.invalid";

    fn origin() -> Origin {
        Origin::file(Path::new("a.yml"))
    }

    fn known(answers: impl IntoIterator<Item = Answer>) -> Known {
        let mut known = Known::default();
        answers.into_iter().for_each(|answer| {
            known.take(answer);
        });
        known.used = true;
        known
    }

    fn addresses(last: &[u8]) -> Answer {
        Ok(last.iter().map(|last| [192, 0, 2, *last].into()).collect())
    }

    fn error() -> Answer {
        Err("gone".to_owned())
    }

    #[test]
    fn names_are_resolved_and_forgotten() {
        let resolver = Resolver::default();
        resolver.want(["localhost", LOST, "localhost"]);
        let (found, problem) = resolver.addresses("localhost", &origin());
        assert!(found.unwrap().iter().all(IpAddr::is_loopback) && problem.is_none());
        let (found, problem) = resolver.addresses(LOST, &origin());
        assert!(found.is_err() && problem.is_some());
        resolver.want([LOST]);
        assert!(
            resolver.addresses("localhost", &origin()).0.is_err(),
            "forgotten"
        );
    }

    #[test]
    fn last_addresses_stay_with_one_warning() {
        let resolver = Resolver::default();
        let lost = known([addresses(&[1]), error()]);
        resolver.names().known.insert(LOST.to_owned(), lost);
        let (found, problem) = resolver.addresses(LOST, &origin());
        assert_eq!(found, addresses(&[1]));
        let line = problem.expect("a warning").to_string();
        assert!(line.contains("no longer resolves"), "{line}");
    }

    #[test]
    fn only_what_means_something_else_is_a_change() {
        let mut seen = known([addresses(&[1, 2])]);
        assert!(!seen.take(addresses(&[2, 1])), "turned around");
        assert_eq!(
            seen.addresses,
            addresses(&[1, 2]).unwrap(),
            "the order stays"
        );
        assert!(seen.take(addresses(&[2, 3])));
        assert!(seen.take(error()), "one warning");
        assert!(!seen.take(Err("otherwise gone".to_owned())), "not two");
        assert!(seen.take(addresses(&[2, 3])), "the warning goes");
        let mut late = known([]);
        assert!(late.take(addresses(&[1])), "later than it was waited for");
        let mut unused = Known::default();
        assert!(!unused.take(addresses(&[1])));
    }

    #[test]
    fn a_server_has_so_many_addresses_and_no_more() {
        let most = u8::try_from(SERVER_ADDRESSES_MAX).unwrap();
        let expected: Vec<u8> = (0..most).collect();
        for count in [most, most + 1] {
            let found: Vec<u8> = (0..count).collect();
            let twice = [addresses(&found).unwrap(), addresses(&found).unwrap()].concat();
            assert_eq!(distinct(twice.into_iter()), addresses(&expected));
        }
        assert!(distinct(std::iter::empty()).is_err());
    }

    #[test]
    fn so_many_names_are_looked_up_at_the_same_time_and_no_more() {
        let resolver = Resolver::default();
        let mut names = resolver.names();
        // No thread gets beyond its first step while the names are held.
        for number in 1..=RESOLVE_THREADS_MAX + 1 {
            let name = format!("127.0.0.{number}");
            names.known.insert(name.clone(), Known::default());
            resolver.ask(&mut names, &name);
            assert_eq!(names.threads, number.min(RESOLVE_THREADS_MAX));
        }
        drop(names);
        let last = format!("127.0.0.{}", RESOLVE_THREADS_MAX + 1);
        resolver.want([&*last]);
        let (found, _) = resolver.addresses(&last, &origin());
        assert_eq!(found, Ok(vec![last.parse().unwrap()]), "in its turn");
    }
}
