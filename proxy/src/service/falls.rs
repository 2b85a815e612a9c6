//! Servers whose connections are reset when they go down (`onDown: reset`), and how often they have: counted, so that
//! nobody who looks now and then misses one that was soon up again.
//!
//! Connections are known by the address of their server, which several services may name. Invariant: an address is
//! reset only where every TCP service that names it says so, and has seen it go down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::ServerId;

/// By address; equal in all services: what the addresses of a server that has several count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Falls(BTreeMap<SocketAddr, Address>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Address {
    /// A service keeps connections there.
    kept: bool,
    servers: Vec<Fallen>,
}

/// A server of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallen {
    /// Which.
    pub server: ServerId,
    /// How often it has gone down.
    pub times: u32,
    /// Whether it is.
    pub is_down: bool,
}

impl Falls {
    /// Connections to these addresses of a server are reset when it goes down.
    pub fn reset(&mut self, addresses: &[SocketAddr], fallen: Fallen) {
        for address in addresses {
            self.0.entry(*address).or_default().servers.push(fallen);
        }
    }

    /// Connections to these addresses are kept.
    pub fn keep(&mut self, addresses: &[SocketAddr]) {
        for address in addresses {
            self.0.entry(*address).or_default().kept = true;
        }
    }

    /// Whether there is an address whose connections may be reset.
    pub fn has_any(&self) -> bool {
        self.0.values().any(|address| !address.kept)
    }

    /// Those that have gone down since it was like this; a server that is down when it is first seen has, too: whoever
    /// looks now and then may not have seen it before.
    pub fn since(&self, before: &Self) -> BTreeSet<SocketAddr> {
        let unknown = Address::default();
        let fell = self.0.iter().filter(|(address, now)| {
            let before = before.0.get(*address).unwrap_or(&unknown);
            !now.kept && now.fell_since(before)
        });
        fell.map(|(address, _)| *address).collect()
    }
}

impl Address {
    fn fell_since(&self, before: &Self) -> bool {
        let falls = |now: &Fallen| {
            let known = before.servers.iter().find(|one| one.server == now.server);
            known.map_or(now.is_down, |known| known.times != now.times)
        };
        let all_down = self.servers.iter().all(|now| now.is_down || falls(now));
        all_down && self.servers.iter().any(falls)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Protocol, Registry};
    use super::*;

    /// What services say of one address: `None` keeps.
    fn falls(servers: &[Option<Fallen>]) -> Falls {
        let address = [([192, 0, 2, 1], 443).into()];
        let mut falls = Falls::default();
        for server in servers {
            match server {
                Some(fallen) => falls.reset(&address, *fallen),
                None => falls.keep(&address),
            }
        }
        falls
    }

    #[test]
    fn each_fall_counts_once_and_only_where_all_services_agree() {
        let mut registry = Registry::default();
        let names = ["a", "b"].map(std::sync::Arc::<str>::from);
        let ids = names.map(|name| registry.server(Protocol::Tcp, &name, &name).unwrap().0);
        let one = |which: usize, times: u32, is_down: bool| {
            let server = ids[which];
            Some(Fallen {
                server,
                times,
                is_down,
            })
        };
        let resets = |before: &[Option<Fallen>], now: &[Option<Fallen>]| {
            !falls(now).since(&falls(before)).is_empty()
        };
        let up = one(0, 3, false);
        assert!(resets(&[up], &[one(0, 4, true)]), "it goes down");
        assert!(
            resets(&[up], &[one(0, 4, false)]),
            "and up again before anybody has looked"
        );
        assert!(
            !resets(&[one(0, 4, true)], &[one(0, 4, true)]),
            "it stays down"
        );
        assert!(
            !resets(&[one(0, 4, true)], &[one(0, 4, false)]),
            "it goes up"
        );
        assert!(resets(&[], &[one(0, 4, true)]), "down when first seen");
        assert!(!resets(&[], &[one(0, 4, false)]), "up when first seen");
        // Another service has the same server.
        assert!(
            !resets(&[up, None], &[one(0, 4, true), None]),
            "and keeps its connections"
        );
        let other = one(1, 0, false);
        assert!(
            !resets(&[up, other], &[one(0, 4, true), other]),
            "and finds it well"
        );
        let first = one(0, 4, true);
        assert!(
            resets(&[first, other], &[first, one(1, 1, true)]),
            "until it does not"
        );
        assert!(
            !resets(&[up, other], &[up]),
            "a service that goes is no fall"
        );
    }
}
