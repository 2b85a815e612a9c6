//! A steered router's servers: flattened weights, and one ring that says which server a client address gets.
//!
//! Pure and immutable: the XDP program's rings are filled from [`Pool::ring`], the user-space plane asks
//! [`Pool::pick`]. Builder, hash and seed are those of `weir_common`, so both planes give one answer.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weir_common::ring::{self, Candidate, RING_SIZE};
use weir_common::{address, hash};

use super::{Server, Service};
use crate::limits::POOL_SERVERS_MAX;

/// The service tree of a steered router: `tcp.services.X.loadBalancer` and `tcp.services.X.weighted`.
#[derive(Clone, Debug)]
pub enum PoolTree {
    /// Servers with their `weight`.
    Servers(Vec<(SocketAddr, u32)>),
    /// Services with their `weight`.
    Weighted(Vec<(PoolTree, u32)>),
}

/// One server and its part of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolServer {
    /// Where connections go.
    pub addr: SocketAddr,
    /// Its part of the sum of all shares; never zero.
    pub share: u32,
}

/// More servers than one pool holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyServers {
    /// Distinct addresses with a share.
    pub found: usize,
}

impl std::fmt::Display for TooManyServers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the service has {} servers, a steered router takes at most {POOL_SERVERS_MAX}",
            self.found
        )
    }
}

impl std::error::Error for TooManyServers {}

/// The servers of one steered router.
#[derive(Clone, Debug)]
pub struct Pool {
    name: Arc<str>,
    servers: Vec<PoolServer>,
    ring: Option<Box<[u16; RING_SIZE]>>,
    /// What is behind the addresses, for who counts connections.
    behind: BTreeMap<SocketAddr, Arc<Server>>,
}

impl Pool {
    /// Flattens the service tree and builds the ring. A weight of 0 takes a server or service out; a server named
    /// twice gets the sum. Shares are exact while their common total fits [`SHARES_TOTAL_MAX`], else each level is
    /// rounded by largest remainder to parts of that total.
    pub fn new(name: Arc<str>, tree: &PoolTree) -> Result<Self, TooManyServers> {
        let total = tree.exact_total().unwrap_or(SHARES_TOTAL_MAX);
        let mut shares = BTreeMap::new();
        tree.distribute(total, &mut shares);
        if shares.len() > POOL_SERVERS_MAX {
            return Err(TooManyServers {
                found: shares.len(),
            });
        }
        let servers: Vec<PoolServer> = shares
            .into_iter()
            .map(|(addr, share)| PoolServer {
                addr,
                share: share as u32,
            })
            .collect();
        let ring = ring_of(&servers);
        Ok(Self {
            name,
            servers,
            ring,
            behind: BTreeMap::new(),
        })
    }

    /// The same, which knows the servers of its service behind its addresses: the first, where there are several.
    pub fn of(mut self, service: &Service) -> Self {
        service.each_server(&mut |server| {
            if let Some(address) = server.steered_address() {
                let behind = self.behind.entry(address);
                behind.or_insert_with(|| Arc::clone(server));
            }
        });
        self
    }

    /// The server behind an address.
    pub fn behind(&self, address: SocketAddr) -> Option<&Arc<Server>> {
        self.behind.get(&address)
    }

    /// The service's name, as in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sorted by address, each address once.
    pub fn servers(&self) -> &[PoolServer] {
        &self.servers
    }

    /// Each slot an index into [`Self::servers`]; `None` when no server has a share.
    pub fn ring(&self) -> Option<&[u16; RING_SIZE]> {
        self.ring.as_deref()
    }

    /// The server of this client, the same in both planes; `None` when no server has a share. The caller passes an
    /// IPv4-mapped address as IPv4.
    pub fn pick(&self, client: IpAddr) -> Option<&PoolServer> {
        let hash = match client {
            IpAddr::V4(client) => hash::client(CLIENT_SEED, address::v4(client)),
            IpAddr::V6(client) => hash::client(CLIENT_SEED, address::v6(client)),
        };
        let server = self.ring.as_deref()?[ring::slot(hash)];
        self.servers.get(usize::from(server))
    }
}

/// Seed of the client hash. A constant: a client keeps its server over restarts and on every edge of a site.
pub const CLIENT_SEED: u64 = 0x77_65_69_72;

/// The largest total of all shares of a pool: far finer than a ring slot.
pub const SHARES_TOTAL_MAX: u64 = 1 << 24;

fn ring_of(servers: &[PoolServer]) -> Option<Box<[u16; RING_SIZE]>> {
    let numbered = (0u16..).zip(servers);
    let mut candidates: Vec<Candidate> = numbered
        .map(|(index, server)| Candidate::new(server.addr, index, server.share))
        .collect();
    let mut ring = Box::new([0; RING_SIZE]);
    (ring::fill(&mut ring, &mut candidates) > 0).then_some(ring)
}

impl PoolTree {
    /// The smallest total that every level divides without a remainder; `None` beyond [`SHARES_TOTAL_MAX`].
    fn exact_total(&self) -> Option<u64> {
        let needs = self
            .children()
            .map(|(weight, child)| Some((weight, child.map_or(Some(1), Self::exact_total)?)));
        let needs: Vec<(u64, u64)> = needs.collect::<Option<_>>()?;
        let sum: u64 = needs.iter().map(|(weight, _)| weight).sum();
        let mut total = 1u64;
        for (weight, need) in needs.into_iter().filter(|(weight, _)| *weight > 0) {
            // total * weight / sum must be a whole multiple of need.
            let denominator = sum.checked_mul(need)?;
            total = lcm(total, denominator / gcd(weight, denominator))?;
        }
        (total <= SHARES_TOTAL_MAX).then_some(total)
    }

    fn distribute(&self, total: u64, shares: &mut BTreeMap<SocketAddr, u64>) {
        let weights: Vec<u64> = self.children().map(|(weight, _)| weight).collect();
        let parts = largest_remainder(total, &weights);
        match self {
            Self::Servers(servers) => {
                for ((addr, _), part) in servers.iter().zip(parts).filter(|(_, part)| *part > 0) {
                    *shares.entry(*addr).or_default() += part;
                }
            }
            Self::Weighted(services) => {
                for ((service, _), part) in services.iter().zip(parts) {
                    service.distribute(part, shares);
                }
            }
        }
    }

    fn children(&self) -> impl Iterator<Item = (u64, Option<&Self>)> {
        let (servers, services): (&[_], &[_]) = match self {
            Self::Servers(servers) => (servers, &[]),
            Self::Weighted(services) => (&[], services),
        };
        let servers = servers.iter().map(|(_, weight)| (u64::from(*weight), None));
        servers.chain(
            services
                .iter()
                .map(|(service, weight)| (u64::from(*weight), Some(service))),
        )
    }
}

/// `total` in whole parts by weight, the parts left over to the largest remainders, the first of equals first. All
/// zero when all weights are.
fn largest_remainder(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let exact = weights
        .iter()
        .map(|weight| u128::from(total) * u128::from(*weight));
    let (mut parts, remainders): (Vec<u64>, Vec<u128>) =
        exact.map(|part| ((part / sum) as u64, part % sum)).unzip();
    let left_over = total - parts.iter().sum::<u64>();
    let mut by_remainder: Vec<usize> = (0..parts.len()).collect();
    by_remainder.sort_by_key(|index| std::cmp::Reverse(remainders[*index]));
    by_remainder
        .into_iter()
        .take(left_over as usize)
        .for_each(|index| parts[index] += 1);
    parts
}

fn lcm(a: u64, b: u64) -> Option<u64> {
    a.checked_mul(b / gcd(a, b))
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 443))
    }

    fn servers(weights: &[u32]) -> PoolTree {
        PoolTree::Servers((1..).map(server).zip(weights.iter().copied()).collect())
    }

    fn shares(tree: &PoolTree) -> Vec<u32> {
        Pool::new("pool".into(), tree)
            .unwrap()
            .servers()
            .iter()
            .map(|server| server.share)
            .collect()
    }

    #[test]
    fn shares_are_the_weights_in_lowest_terms() {
        assert_eq!(shares(&servers(&[3, 1])), [3, 1]);
        assert_eq!(shares(&servers(&[300, 100])), [3, 1]);
        assert_eq!(shares(&servers(&[1, 1, 1])), [1, 1, 1]);
        assert_eq!(shares(&servers(&[1, 0, 1])), [1, 1]);
    }

    #[test]
    fn nested_weights_multiply() {
        let inner = PoolTree::Servers(vec![(server(3), 1), (server(4), 2)]);
        let tree = PoolTree::Weighted(vec![(servers(&[1, 1]), 3), (inner, 1)]);
        // 3/8, 3/8, 1/12, 2/12
        assert_eq!(shares(&tree), [9, 9, 2, 4]);
    }

    #[test]
    fn a_server_in_two_services_has_the_sum() {
        let tree = PoolTree::Weighted(vec![(servers(&[1, 1]), 1), (servers(&[1]), 1)]);
        assert_eq!(shares(&tree), [3, 1]);
    }

    #[test]
    fn weights_without_a_small_common_total_are_rounded_and_none_is_lost() {
        let other = PoolTree::Servers(vec![(server(8), 999_961), (server(9), 1)]);
        let tree = PoolTree::Weighted(vec![(servers(&[999_983, 1]), 1), (other, 1)]);
        let shares = shares(&tree);
        assert_eq!(shares.iter().sum::<u32>(), SHARES_TOTAL_MAX as u32);
        assert_eq!(shares[1..], [8, SHARES_TOTAL_MAX as u32 / 2 - 8, 8]);
    }

    #[test]
    fn a_pool_without_shares_picks_nobody() {
        for tree in [
            servers(&[]),
            servers(&[0]),
            PoolTree::Weighted(vec![(servers(&[]), 1)]),
        ] {
            let pool = Pool::new("pool".into(), &tree).unwrap();
            assert_eq!(pool.pick(IpAddr::from([192, 0, 2, 1])), None);
        }
    }

    #[test]
    fn clients_spread_by_share_and_stay() {
        let pool = Pool::new("pool".into(), &servers(&[3, 1])).unwrap();
        let clients = || (0..4096u32).map(|host| IpAddr::from((0xc000_0000 + host).to_be_bytes()));
        let first = clients()
            .filter(|client| pool.pick(*client).unwrap().addr == server(1))
            .count();
        assert!(
            (2900..3250).contains(&first),
            "{first} of 4096 at weight 3 of 4"
        );
        let again = Pool::new("other".into(), &servers(&[3, 1])).unwrap();
        assert!(clients().all(|client| pool.pick(client) == again.pick(client)));
    }

    #[test]
    fn more_servers_than_a_pool_holds_are_refused() {
        let many =
            (0..=POOL_SERVERS_MAX as u16).map(|n| (SocketAddr::from(([10, 0, 0, 1], n + 1)), 1));
        let refused = Pool::new("pool".into(), &PoolTree::Servers(many.collect())).unwrap_err();
        assert_eq!(refused.found, POOL_SERVERS_MAX + 1);
    }
}
