//! Certificates by name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::KeyPair;

/// Chooses the certificate for the name a client asks for. Immutable: a change of certificates is a new store.
#[derive(Debug)]
pub struct Store {
    exact: HashMap<Box<str>, KeyPair>,
    /// `*.example.org` as `example.org`.
    wildcard: HashMap<Box<str>, KeyPair>,
    default: KeyPair,
    /// Counts clients that name a server and are shown the default, where that is nobody's.
    self_signed: Option<Arc<AtomicU64>>,
    /// What it was made of, in this order.
    pairs: Vec<Arc<CertifiedKey>>,
    /// Until when another store of the same would be the same: then a certificate expires. Seconds since 1970.
    holds_until: i64,
}

impl Store {
    /// A store of these key pairs; `default` is for clients that ask for no name or one that nobody has. For a name
    /// whose own certificate has expired at `now` (seconds since 1970), a valid wildcard comes first.
    pub fn new(pairs: impl IntoIterator<Item = KeyPair>, default: KeyPair, now: i64) -> Self {
        let mut store = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default,
            self_signed: None,
            pairs: Vec::new(),
            holds_until: i64::MAX,
        };
        for pair in pairs {
            store.pairs.push(Arc::clone(pair.certified()));
            if pair.not_after() > now {
                store.holds_until = store.holds_until.min(pair.not_after());
            }
            for name in pair.names() {
                match name.strip_prefix("*.") {
                    Some(parent) => offer(&mut store.wildcard, parent, &pair),
                    None => offer(&mut store.exact, name, &pair),
                }
            }
        }
        let Self {
            exact, wildcard, ..
        } = &mut store;
        let is_valid = |pair: &KeyPair| pair.not_after() > now;
        exact.retain(|name, own| {
            let parent = name.split_once('.').map(|(_, parent)| parent);
            let wildcard = parent.and_then(|parent| wildcard.get(parent));
            is_valid(own) || !wildcard.is_some_and(is_valid)
        });
        store
    }

    /// The default is a self-signed certificate that nobody has asked for: who is shown it is counted.
    pub fn counting(self, self_signed: &Arc<AtomicU64>) -> Self {
        Self {
            self_signed: Some(Arc::clone(self_signed)),
            ..self
        }
    }

    /// Whether clients that ask for names without a certificate get a self-signed one.
    pub fn is_self_signed(&self) -> bool {
        self.self_signed.is_some()
    }

    /// Whether a store of these, made at `now`, would be this one.
    pub fn is_of(&self, pairs: &[KeyPair], default: &KeyPair, now: i64) -> bool {
        let same = |one: &Arc<CertifiedKey>, other: &KeyPair| Arc::ptr_eq(one, other.certified());
        now < self.holds_until
            && same(self.default.certified(), default)
            && self.pairs.len() == pairs.len()
            && self
                .pairs
                .iter()
                .zip(pairs)
                .all(|(one, other)| same(one, other))
    }

    /// The key pair for a name: an exact one before a wildcard of one label; among several for one name that which
    /// expires last, then that which came first. `None`: the default would be presented.
    pub fn find(&self, server_name: &str) -> Option<&KeyPair> {
        let name = server_name.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let parent = || {
            name.split_once('.')
                .filter(|(label, _)| !label.is_empty())
                .map(|(_, parent)| parent)
        };
        self.exact
            .get(name)
            .or_else(|| self.wildcard.get(parent()?))
    }
}

impl ResolvesServerCert for Store {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        let found = name.and_then(|name| self.find(name));
        if let (Some(count), Some(_), None) = (&self.self_signed, name, found) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Some(Arc::clone(found.unwrap_or(&self.default).certified()))
    }
}

fn offer(names: &mut HashMap<Box<str>, KeyPair>, name: &str, pair: &KeyPair) {
    match names.entry(name.into()) {
        Entry::Vacant(place) => drop(place.insert(pair.clone())),
        Entry::Occupied(mut place) if pair.not_after() > place.get().not_after() => {
            drop(place.insert(pair.clone()))
        }
        Entry::Occupied(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(names: &[&str], last_year: i32) -> KeyPair {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut params = rcgen::CertificateParams::new(names).expect("valid names");
        params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("signed").pem();
        KeyPair::load(&cert, &key.serialize_pem()).expect("usable")
    }

    fn is(found: Option<&KeyPair>, expected: &KeyPair) -> bool {
        found.is_some_and(|found| Arc::ptr_eq(found.certified(), expected.certified()))
    }

    /// As many names as ten thousand certificates have.
    #[test]
    fn a_choice_among_ten_thousand_names_takes_little_time() {
        const ROUNDS: usize = 20;
        let names: Vec<String> = (0..10_000)
            .map(|index| format!("n{index}.example"))
            .collect();
        let pairs = names.chunks(100).map(|names| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            pair(&names, 2030)
        });
        let store = Store::new(pairs.collect::<Vec<_>>(), pair(&["default"], 2030), 0);
        let best = (0..ROUNDS).map(|_| {
            let start = std::time::Instant::now();
            assert!(names.iter().all(|name| store.find(name).is_some()));
            start.elapsed() / 10_000
        });
        let best = best.min().expect("rounds");
        println!("{best:?} for a choice");
        // A build that is not optimized may take a few.
        let most = std::time::Duration::from_micros(if cfg!(debug_assertions) { 5 } else { 1 });
        assert!(best < most, "{best:?}");
    }

    #[test]
    fn exact_before_wildcard_of_one_label() {
        let exact = pair(&["a.example.org"], 2030);
        let wildcard = pair(&["*.example.org", "example.org"], 2040);
        let store = Store::new(
            [wildcard.clone(), exact.clone()],
            pair(&["default"], 2030),
            0,
        );
        assert!(is(store.find("A.example.ORG."), &exact));
        assert!(is(store.find("b.example.org"), &wildcard));
        assert!(is(store.find("example.org"), &wildcard));
        for nobodys in [
            "a.b.example.org",
            "org",
            "default",
            "",
            ".example.org",
            "*.example.org.evil",
        ] {
            assert!(store.find(nobodys).is_none(), "{nobodys}");
        }
    }

    #[test]
    fn a_valid_wildcard_before_an_expired_exact_one_before_none() {
        const YEAR_2035: i64 = 2_051_222_400;
        let (expired, valid) = (
            pair(&["a.example.org"], 2030),
            pair(&["*.example.org"], 2040),
        );
        let default = || pair(&["default"], 2030);
        let store = Store::new([expired.clone(), valid.clone()], default(), YEAR_2035);
        assert!(is(store.find("a.example.org"), &valid));
        let store = Store::new([expired.clone()], default(), YEAR_2035);
        assert!(is(store.find("a.example.org"), &expired));
        let store = Store::new([expired.clone(), valid], default(), 0);
        assert!(is(store.find("a.example.org"), &expired));
    }

    #[test]
    fn the_same_of_the_same_until_one_expires() {
        const YEAR_2035: i64 = 2_051_222_400;
        let (a, b, default) = (pair(&["a"], 2040), pair(&["b"], 2041), pair(&["c"], 2040));
        let store = Store::new([a.clone(), b.clone()], default.clone(), YEAR_2035);
        let both = [a.clone(), b.clone()];
        assert!(store.is_of(&both, &default, YEAR_2035));
        assert!(!store.is_of(&both, &default, a.not_after()));
        assert!(!store.is_of(&both, &a, YEAR_2035));
        assert!(!store.is_of(&[b, a.clone()], &default, YEAR_2035));
        assert!(!store.is_of(&[a], &default, YEAR_2035));
    }

    #[test]
    fn among_equals_the_last_to_expire_then_the_first_given() {
        let (early, late, late_too) = (pair(&["a"], 2030), pair(&["a"], 2031), pair(&["a"], 2031));
        let orders = [
            [&early, &late, &late_too],
            [&late, &early, &late_too],
            [&late, &late_too, &early],
        ];
        for order in orders {
            let store = Store::new(order.map(KeyPair::clone), pair(&["default"], 2030), 0);
            assert!(is(store.find("a"), &late));
        }
    }
}
