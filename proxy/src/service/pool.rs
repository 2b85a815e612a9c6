//! A steered router's servers: flattened weights, and one ring that says which server a client address gets.
//!
//! Pure and immutable: the XDP program's rings are filled from [`Pool::ring`], the user-space plane asks
//! [`Pool::pick`]. Builder, hash and seed are those of `weir_common`, so both planes give one answer.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

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
    ring: Box<[u16]>,
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
        })
    }

    /// The service's name, as in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sorted by address, each address once.
    pub fn servers(&self) -> &[PoolServer] {
        &self.servers
    }

    /// Indices into [`Self::servers`]; empty when the pool is.
    pub fn ring(&self) -> &[u16] {
        &self.ring
    }

    /// The server of this client, the same in both planes; `None` when the pool has no server with a share. The caller
    /// passes an IPv4-mapped address as IPv4.
    pub fn pick(&self, _client: IpAddr) -> Option<&PoolServer> {
        let slot = 0;
        self.servers.get(usize::from(*self.ring.get(slot)?))
    }
}

/// The largest total of all shares of a pool: far finer than a ring slot.
const SHARES_TOTAL_MAX: u64 = 1 << 24;

fn ring_of(_servers: &[PoolServer]) -> Box<[u16]> {
    Box::new([])
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
