//! The pinned maps of the XDP program, typed. What `weir steer` and the plane read and write; who may write what and
//! when is the business of [`super::tables`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aya::Pod;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuValues};
use ipnet::IpNet;
use nix::time::{ClockId, clock_gettime};
use weir_common::address::{self, V4, V6};
use weir_common::flow::{FORWARD, Flow, FlowKey, closed};
use weir_common::map::{
    self, Config, ListenerKey, Pool, RULE_TABLE_BITS, Ring, RuleKey, Server, ServerStats,
};
use weir_common::{Address, Counter};

use crate::limits::RESET_WALKS_MAX;

/// Number of a steered table: what a listener refers to and a rule key begins with.
pub type TableId = u32;
/// Number of a pool: what a rule refers to.
pub type PoolId = u32;

/// All maps of one pin directory.
pub struct Maps {
    directory: PathBuf,
    /// Settings of the whole program, at index 0.
    pub config: Array<MapData, Config>,
    /// What there is once for IPv4.
    pub v4: FamilyMaps<V4>,
    /// What there is once for IPv6.
    pub v6: FamilyMaps<V6>,
    /// By [`PoolId`].
    pub pools: Array<MapData, Pool>,
    /// By [`map::ring_index`].
    pub rings: Array<MapData, Ring>,
    /// What rings and flows refer to.
    pub servers: Array<MapData, Server>,
    /// By server.
    pub server_stats: PerCpuArray<MapData, ServerStats>,
    /// The time at which flows of which a CPU may have a copy were last removed, at index 0.
    pub epoch: Array<MapData, u64>,
    /// By [`Counter`].
    pub counters: PerCpuArray<MapData, u64>,
}

/// The maps of one address family.
pub struct FamilyMaps<A: Address + Pod> {
    /// Steered addresses and ports.
    pub listeners: HashMap<MapData, ListenerKey<A>, TableId>,
    /// Sources, table by table.
    pub rules: LpmTrie<MapData, RuleKey<A>, PoolId>,
    /// Source addresses of forwarded packets.
    pub snat: Array<MapData, A>,
    /// Both directions of each steered connection.
    pub flows: HashMap<MapData, FlowKey<A>, Flow<A>>,
}

/// A map that could not be opened, read or written.
#[derive(Debug)]
pub struct MapFailure {
    map: &'static str,
    error: MapError,
}

impl fmt::Display for MapFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "XDP map {}: {}", self.map, with_causes(&self.error))
    }
}

impl std::error::Error for MapFailure {}

/// An error with all its causes on one line: aya keeps the kernel's reason in the source.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

trait In<T> {
    fn within(self, map: &'static str) -> Result<T, MapFailure>;
}

impl<T> In<T> for Result<T, MapError> {
    fn within(self, map: &'static str) -> Result<T, MapFailure> {
        self.map_err(|error| MapFailure { map, error })
    }
}

impl Maps {
    /// Opens the maps pinned in `directory`.
    pub fn open(directory: &Path) -> Result<Self, MapFailure> {
        Ok(Self {
            directory: directory.to_owned(),
            config: open(directory, map::CONFIG)?,
            v4: FamilyMaps::open(
                directory,
                [
                    map::LISTENERS_V4,
                    map::RULES_V4,
                    map::SNAT_V4,
                    map::FLOWS_V4,
                ],
            )?,
            v6: FamilyMaps::open(
                directory,
                [
                    map::LISTENERS_V6,
                    map::RULES_V6,
                    map::SNAT_V6,
                    map::FLOWS_V6,
                ],
            )?,
            pools: open(directory, map::POOLS)?,
            rings: open(directory, map::RINGS)?,
            servers: open(directory, map::SERVERS)?,
            server_stats: open(directory, map::SERVER_STATS)?,
            epoch: open(directory, map::EPOCH)?,
            counters: open(directory, map::COUNTERS)?,
        })
    }
}

impl Maps {
    /// Every steered address and port with its table.
    pub fn listeners(&self) -> Result<Vec<(SocketAddr, TableId)>, MapFailure> {
        let v4 = self.v4.listeners(map::LISTENERS_V4, |address| {
            address::to_ipv4(address).into()
        })?;
        let v6 = self.v6.listeners(map::LISTENERS_V6, |address| {
            address::to_ipv6(address).into()
        })?;
        Ok([v4, v6].concat())
    }

    /// Steers what arrives at this address and port by this table; in one step where it had another.
    pub fn listen(&mut self, at: SocketAddr, table: TableId) -> Result<(), MapFailure> {
        let port = at.port().to_be();
        match at.ip() {
            IpAddr::V4(ip) => {
                self.v4
                    .listeners
                    .insert(ListenerKey::new(address::v4(ip), port), table, 0)
            }
            IpAddr::V6(ip) => {
                self.v6
                    .listeners
                    .insert(ListenerKey::new(address::v6(ip), port), table, 0)
            }
        }
        .within("LISTENERS")
    }

    /// Leaves new connections to this address and port to user space.
    pub fn unlisten(&mut self, at: SocketAddr) -> Result<(), MapFailure> {
        let port = at.port().to_be();
        let removed = match at.ip() {
            IpAddr::V4(ip) => self
                .v4
                .listeners
                .remove(&ListenerKey::new(address::v4(ip), port)),
            IpAddr::V6(ip) => self
                .v6
                .listeners
                .remove(&ListenerKey::new(address::v6(ip), port)),
        };
        match removed {
            Err(MapError::KeyNotFound) => Ok(()),
            removed => removed.within("LISTENERS"),
        }
    }

    /// Every prefix of every table with its pool or [`map::NO_POOL`], in no order.
    pub fn rules(&self) -> Result<Vec<(TableId, IpNet, PoolId)>, MapFailure> {
        let v4 = self
            .v4
            .rules(map::RULES_V4, |address| address::to_ipv4(address).into())?;
        let v6 = self
            .v6
            .rules(map::RULES_V6, |address| address::to_ipv6(address).into())?;
        Ok([v4, v6].concat())
    }

    /// Adds a prefix to a table.
    pub fn insert_rule(
        &mut self,
        table: TableId,
        prefix: IpNet,
        pool: PoolId,
    ) -> Result<(), MapFailure> {
        match prefix {
            IpNet::V4(net) => {
                self.v4
                    .rules
                    .insert(&rule_key(table, prefix, address::v4(net.addr())), pool, 0)
            }
            IpNet::V6(net) => {
                self.v6
                    .rules
                    .insert(&rule_key(table, prefix, address::v6(net.addr())), pool, 0)
            }
        }
        .within("RULES")
    }

    /// Takes a prefix out of a table.
    pub fn remove_rule(&mut self, table: TableId, prefix: IpNet) -> Result<(), MapFailure> {
        match prefix {
            IpNet::V4(net) => {
                self.v4
                    .rules
                    .remove(&rule_key(table, prefix, address::v4(net.addr())))
            }
            IpNet::V6(net) => {
                self.v6
                    .rules
                    .remove(&rule_key(table, prefix, address::v6(net.addr())))
            }
        }
        .within("RULES")
    }

    /// Live connections by server: neither closed nor evicted. Walks both flow tables, two system calls an entry.
    pub fn connections(&self) -> Result<BTreeMap<u16, u64>, MapFailure> {
        let mut counts = BTreeMap::new();
        self.v4.count_connections(&mut counts, map::FLOWS_V4)?;
        self.v6.count_connections(&mut counts, map::FLOWS_V6)?;
        Ok(counts)
    }

    /// Removes both directions of all flows of these servers; how many connections that were. No packet goes by them
    /// afterwards, nor by a CPU's copy of them.
    pub fn remove_flows(&mut self, servers: &BTreeSet<u16>) -> Result<u64, MapFailure> {
        let removed = self.walk_and_remove(servers);
        // Some may be gone where not all are.
        self.end_epoch()?;
        removed
    }

    fn walk_and_remove(&mut self, servers: &BTreeSet<u16>) -> Result<u64, MapFailure> {
        until_none(|| {
            let v4 = self.v4.remove_flows(servers, map::FLOWS_V4)?;
            Ok(v4 + self.v6.remove_flows(servers, map::FLOWS_V6)?)
        })
    }

    /// Ends the use of all copies of flows: what is to be done after removing one, see [`map::EPOCH`].
    fn end_epoch(&mut self) -> Result<(), MapFailure> {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC);
        let now = now.map_err(|error| MapError::from(std::io::Error::from(error)));
        let now = Duration::from(now.within(map::EPOCH)?).as_nanos() as u64;
        self.epoch.set(0, now, 0).within(map::EPOCH)
    }

    /// What went to and came from a server, over all CPUs.
    pub fn server_traffic(&self, server: u16) -> Result<ServerStats, MapFailure> {
        let by_cpu = self
            .server_stats
            .get(&u32::from(server), 0)
            .within(map::SERVER_STATS)?;
        Ok(by_cpu
            .iter()
            .fold(ServerStats::default(), |sum, cpu| ServerStats {
                packets: sum.packets + cpu.packets,
                bytes: sum.bytes + cpu.bytes,
                flows: sum.flows + cpu.flows,
            }))
    }

    /// A server's index is taken by another server: its traffic starts at zero.
    pub fn clear_server_traffic(&mut self, server: u16) -> Result<(), MapFailure> {
        let cpus = aya::util::nr_cpus()
            .map_err(|(_, error)| MapError::from(error))
            .within(map::SERVER_STATS)?;
        let zeros =
            PerCpuValues::try_from(vec![ServerStats::default(); cpus]).map_err(MapError::from);
        let zeros = zeros.within(map::SERVER_STATS)?;
        self.server_stats
            .set(u32::from(server), zeros, 0)
            .within(map::SERVER_STATS)
    }

    /// Every counter by name, over all CPUs.
    pub fn counters(&self) -> Result<BTreeMap<&'static str, u64>, MapFailure> {
        let sum = |counter: &Counter| {
            Ok((
                counter.name(),
                self.counters.get(&(*counter as u32), 0)?.iter().sum(),
            ))
        };
        Counter::ALL
            .iter()
            .map(sum)
            .collect::<Result<_, MapError>>()
            .within(map::COUNTERS)
    }

    /// Settings of the whole program.
    pub fn config(&self) -> Result<Config, MapFailure> {
        self.config.get(&0, 0).within(map::CONFIG)
    }

    /// Changes the settings of the whole program: alone, as both the running process and `weir steer` do so.
    pub fn change_config(
        &mut self,
        change: impl FnOnce(Config) -> Config,
    ) -> Result<(), MapFailure> {
        let directory = File::open(&self.directory).map_err(MapError::from);
        let directory = directory.within(map::CONFIG)?;
        // Until the descriptor is closed.
        directory
            .lock()
            .map_err(MapError::from)
            .within(map::CONFIG)?;
        let held = self.config()?;
        let changed = change(held);
        if changed == held {
            return Ok(());
        }
        self.config.set(0, changed, 0).within(map::CONFIG)
    }

    /// A source address of forwarded packets.
    pub fn set_snat(&mut self, index: u32, source: IpAddr) -> Result<(), MapFailure> {
        match source {
            IpAddr::V4(source) => self.v4.snat.set(index, address::v4(source), 0),
            IpAddr::V6(source) => self.v6.snat.set(index, address::v6(source), 0),
        }
        .within("SNAT")
    }

    /// Every server index in use, with its entry.
    pub fn servers(&self) -> Result<Vec<(u16, Server)>, MapFailure> {
        let all = self
            .servers
            .iter()
            .collect::<Result<Vec<_>, _>>()
            .within(map::SERVERS)?;
        Ok((0..)
            .zip(all)
            .filter(|(_, server)| *server != Server::default())
            .collect())
    }

    /// Replaces a server's entry.
    pub fn set_server(&mut self, index: u16, server: Server) -> Result<(), MapFailure> {
        self.servers
            .set(u32::from(index), server, 0)
            .within(map::SERVERS)
    }

    /// A pool's entry and its active ring.
    pub fn pool(&self, pool: PoolId) -> Result<Pool, MapFailure> {
        self.pools.get(&pool, 0).within(map::POOLS)
    }

    /// The ring a pool goes by.
    pub fn active_ring(&self, pool: PoolId) -> Result<Ring, MapFailure> {
        let half = self.pool(pool)?.active;
        self.rings
            .get(&map::ring_index(pool, half), 0)
            .within(map::RINGS)
    }

    /// Gives a pool another ring in one step: fills the idle half, then flips.
    pub fn replace_ring(
        &mut self,
        pool: PoolId,
        ring: &Ring,
        servers: u32,
    ) -> Result<(), MapFailure> {
        let active = 1 - (self.pool(pool)?.active & 1);
        self.rings
            .set(map::ring_index(pool, active), ring, 0)
            .within(map::RINGS)?;
        self.pools
            .set(pool, Pool { active, servers }, 0)
            .within(map::POOLS)
    }

    /// Leaves a pool's new connections to user space.
    pub fn empty_pool(&mut self, pool: PoolId) -> Result<(), MapFailure> {
        let emptied = Pool {
            servers: 0,
            ..self.pool(pool)?
        };
        self.pools.set(pool, emptied, 0).within(map::POOLS)
    }
}

impl<A: Address + Pod> FamilyMaps<A> {
    fn open(
        directory: &Path,
        [listeners, rules, snat, flows]: [&'static str; 4],
    ) -> Result<Self, MapFailure> {
        Ok(Self {
            listeners: open(directory, listeners)?,
            rules: open(directory, rules)?,
            snat: open(directory, snat)?,
            flows: open(directory, flows)?,
        })
    }

    fn listeners(
        &self,
        name: &'static str,
        ip: fn(A) -> IpAddr,
    ) -> Result<Vec<(SocketAddr, TableId)>, MapFailure> {
        let entries = self.listeners.iter().map(|entry| {
            let (key, table) = entry?;
            Ok((
                SocketAddr::new(ip(key.address), u16::from_be(key.port)),
                table,
            ))
        });
        entries.collect::<Result<_, MapError>>().within(name)
    }

    fn rules(
        &self,
        name: &'static str,
        ip: fn(A) -> IpAddr,
    ) -> Result<Vec<(TableId, IpNet, PoolId)>, MapFailure> {
        let mut rules = Vec::new();
        for entry in self.rules.iter() {
            let (key, pool) = entry.within(name)?;
            let length = key.prefix_len().saturating_sub(RULE_TABLE_BITS) as u8;
            if let Ok(prefix) = IpNet::new(ip(key.data().address()), length) {
                rules.push((key.data().table(), prefix, pool));
            }
        }
        Ok(rules)
    }

    fn remove_flows(
        &mut self,
        servers: &BTreeSet<u16>,
        name: &'static str,
    ) -> Result<u64, MapFailure> {
        let (mut keys, mut connections) = (Vec::new(), 0);
        for entry in self.flows.iter().take(2 * map::FLOWS_DEFAULT as usize) {
            let (key, flow) = entry.within(name)?;
            if servers.contains(&flow.server) {
                connections += u64::from(flow.direction == FORWARD && !closed(flow.state));
                keys.push(key);
            }
        }
        for key in keys {
            match self.flows.remove(&key) {
                Err(MapError::KeyNotFound) => {}
                removed => removed.within(name)?,
            }
        }
        Ok(connections)
    }

    fn count_connections(
        &self,
        counts: &mut BTreeMap<u16, u64>,
        name: &'static str,
    ) -> Result<(), MapFailure> {
        // A walk begins anew where its key was evicted meanwhile, so under a flood it needs a bound.
        for entry in self.flows.iter().take(2 * map::FLOWS_DEFAULT as usize) {
            let (_, flow) = entry.within(name)?;
            if flow.direction == FORWARD && !closed(flow.state) {
                *counts.entry(flow.server).or_default() += 1;
            }
        }
        Ok(())
    }
}

fn rule_key<A: Address + Pod>(table: TableId, prefix: IpNet, address: A) -> Key<RuleKey<A>> {
    Key::new(
        RULE_TABLE_BITS + u32::from(prefix.prefix_len()),
        RuleKey::new(table, address),
    )
}

fn open<M: TryFrom<Map, Error = MapError>>(
    directory: &Path,
    name: &'static str,
) -> Result<M, MapFailure> {
    let map = MapData::from_pin(directory.join(name))
        .and_then(Map::from_map_data)
        .and_then(M::try_from);
    map.within(name)
}

/// Walks until a walk finds none, as the program may have been opening some; what all of them have found.
fn until_none<E>(mut walk: impl FnMut() -> Result<u64, E>) -> Result<u64, E> {
    let mut all = 0;
    for _ in 0..RESET_WALKS_MAX {
        let found = walk()?;
        all += found;
        if found == 0 {
            break;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_walks_are_made_and_no_more() {
        // One flow in each of the first walks, and none afterwards.
        let walks = |flows: usize| {
            let mut walks = 0;
            let found = until_none(|| {
                walks += 1;
                Ok::<_, MapFailure>(u64::from(walks <= flows))
            });
            (walks, found.unwrap())
        };
        let most = RESET_WALKS_MAX as u64;
        assert_eq!(walks(0), (1, 0));
        assert_eq!(walks(RESET_WALKS_MAX - 1), (RESET_WALKS_MAX, most - 1));
        assert_eq!(walks(RESET_WALKS_MAX + 1), (RESET_WALKS_MAX, most));
    }
}
