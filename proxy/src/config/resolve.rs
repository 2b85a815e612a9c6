//! Host names of servers to addresses, while rules are compiled. Blocks; names are asked in parallel.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::limits::{RESOLVE_THREADS_MAX, SERVER_ADDRESSES_MAX};

/// What a lookup brought.
type Answer = Result<Vec<IpAddr>, String>;

/// The answers of the last [`Resolver::resolve`]. Where a name that was known does not resolve for now, its last
/// addresses stay.
#[derive(Debug, Default)]
pub struct Resolver {
    answers: HashMap<String, Answer>,
}

impl Resolver {
    /// Asks for all these names, each once, and forgets all others.
    pub fn resolve<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        let names: Vec<&str> = names
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let (next, fresh) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
        let work = || {
            while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = lookup(name);
                fresh
                    .lock()
                    .unwrap_or_else(|poisoned| poisoned.into_inner())
                    .insert(name.to_string(), answer);
            }
        };
        thread::scope(|scope| {
            for _ in 0..RESOLVE_THREADS_MAX.min(names.len()) {
                scope.spawn(work);
            }
        });
        let fresh = fresh
            .into_inner()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let last = std::mem::take(&mut self.answers);
        let keep = |(name, answer): (String, Answer)| {
            let known = answer
                .is_err()
                .then(|| last.get(&name))
                .flatten()
                .filter(|last| last.is_ok());
            let answer = known.cloned().unwrap_or(answer);
            (name, answer)
        };
        self.answers = fresh.into_iter().map(keep).collect();
    }

    /// The addresses of a name asked for, at least one, in the order of preference.
    pub fn addresses(&self, name: &str) -> Answer {
        self.answers
            .get(name)
            .cloned()
            .unwrap_or_else(|| Err("it was not asked for".to_owned()))
    }
}

fn lookup(name: &str) -> Answer {
    const ANY_PORT: u16 = 0;
    let found = (name, ANY_PORT)
        .to_socket_addrs()
        .map_err(|error| error.to_string())?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|found| found.ip().to_canonical()) {
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
    use super::*;

    #[test]
    fn names_are_resolved_and_last_answers_kept() {
        let mut resolver = Resolver::default();
        resolver.resolve(["localhost", "no-such-name.invalid", "localhost"]);
        assert!(
            resolver
                .addresses("localhost")
                .unwrap()
                .iter()
                .all(IpAddr::is_loopback)
        );
        assert!(resolver.addresses("no-such-name.invalid").is_err());
        let known = Ok(vec![IpAddr::from([192, 0, 2, 1])]);
        resolver
            .answers
            .insert("no-such-name.invalid".to_owned(), known.clone());
        resolver.resolve(["no-such-name.invalid"]);
        assert_eq!(resolver.addresses("no-such-name.invalid"), known);
        assert!(resolver.addresses("localhost").is_err(), "forgotten");
    }
}
