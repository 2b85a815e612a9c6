//! From compiled rules to the program's maps, so that no packet meets a state between two rule sets.
//!
//! Order of every change: servers, then rings (filled in the idle half, flipped in one step), then rules in a table of
//! a new number, then listeners (each turned to its new table in one step), then what nobody refers to any more is
//! removed. What cannot be written is left to user space, which gives the same answer: an error costs speed only.
//! Numbers that an earlier process left in use are not taken until its tables are gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_getres};
use weir_common::Address;
use weir_common::address::{self, FAMILY_V4, FAMILY_V6};
use weir_common::map::{
    Config, FLAG_NO_MTU, FLAG_STEER_NEW, Hop, NO_POOL, POOLS_MAX, Ring, SCHEMA, SNAT_MAX, Server,
    UNREACHABLE,
};

use super::maps::{MapFailure, Maps, PoolId, TableId};
use super::servers::ServerIndices;
use super::snat::SourcePorts;
use super::status::{Names, TableNames};
use crate::router::steered::SteeredTable;
use crate::service::pool::{CLIENT_SEED, Pool};

/// What one entry point steers, and where.
pub struct Wanted<'p> {
    /// Its name.
    pub entry_point: &'p str,
    /// Its addresses, as the interfaces have them now.
    pub listens: Vec<SocketAddr>,
    /// Its rules.
    pub table: &'p Arc<SteeredTable>,
}

/// Whether and how the program reaches a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By this hop; while its `ifindex` is 0 the program asks the FIB.
    Hop(Hop),
    /// Not by an interface the program is attached to: user space connects.
    UserSpace,
}

/// How servers are reached, by address.
pub type Reaches = HashMap<IpAddr, Reach>;

/// The maps and what they hold.
pub struct Tables {
    maps: Maps,
    servers: ServerIndices,
    written: BTreeMap<u16, Server>,
    pools: HashMap<String, FilledPool>,
    tables: HashMap<String, FilledTable>,
    listeners: HashMap<SocketAddr, TableId>,
    adopted: Adopted,
}

struct FilledPool {
    id: PoolId,
    ring: Option<Box<Ring>>,
    servers: BTreeSet<u16>,
}

struct FilledTable {
    id: TableId,
    /// What the rules were made of; the same again needs no look at each prefix.
    source: Arc<SteeredTable>,
    rules: Arc<[(IpNet, PoolId)]>,
}

/// Numbers in use under no name: those of an earlier process, until the first fill has replaced its tables, and those
/// that could not be cleaned up.
#[derive(Default)]
struct Adopted {
    tables: BTreeSet<TableId>,
    pools: BTreeSet<PoolId>,
}

impl Tables {
    /// Takes over what the maps hold, all of it going on as it is until [`Self::fill`].
    pub fn adopt(maps: Maps) -> Result<Self, MapFailure> {
        let written: BTreeMap<u16, Server> = maps.servers()?.into_iter().collect();
        let listeners: HashMap<SocketAddr, TableId> = maps.listeners()?.into_iter().collect();
        let rules = maps.rules()?;
        let adopted = Adopted {
            tables: listeners
                .values()
                .copied()
                .chain(rules.iter().map(|(table, ..)| *table))
                .collect(),
            pools: rules.iter().map(|(.., pool)| *pool).collect(),
        };
        let servers = ServerIndices::adopt(
            written
                .iter()
                .map(|(index, server)| (*index, server_address(server))),
        );
        Ok(Self {
            maps,
            servers,
            written,
            pools: HashMap::new(),
            tables: HashMap::new(),
            listeners,
            adopted,
        })
    }

    /// The indices of these servers, as far as flows may refer to them.
    pub fn indices(&self, servers: &BTreeSet<SocketAddr>) -> BTreeSet<u16> {
        let all = self.servers.all().into_iter();
        let found = all.filter(|(server, _)| servers.contains(server));
        found.map(|(_, index)| index).collect()
    }

    /// `weir steer off` holds: new connections go to user space.
    pub fn is_switched_off(&self) -> Result<bool, MapFailure> {
        Ok(is_switched_off(&self.maps.config()?))
    }

    /// Settings of the program. A switch turned off by hand stays off over restarts.
    pub fn configure(
        &mut self,
        snat: &[IpAddr],
        ports: SourcePorts,
        generic: bool,
    ) -> Result<(), MapFailure> {
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = snat.iter().partition(|source| source.is_ipv4());
        for family in [&v4, &v6] {
            for (index, source) in (0..SNAT_MAX).zip(family) {
                self.maps.set_snat(index, *source)?;
            }
        }
        self.maps.change_config(|held| Config {
            schema: SCHEMA,
            flags: if is_switched_off(&held) {
                0
            } else {
                FLAG_STEER_NEW
            } | if generic { FLAG_NO_MTU } else { 0 },
            seed: CLIENT_SEED,
            snat_v4: (v4.len() as u32).min(SNAT_MAX),
            snat_v6: (v6.len() as u32).min(SNAT_MAX),
            port_base: ports.base,
            port_mask: ports.mask,
            hz: timer_frequency(),
        })
    }

    /// Makes the maps say what the entry points want; writes only what differs. What fails is logged and left to user
    /// space. Says whether a table or a pool has another number than before.
    pub fn fill(&mut self, wanted: &[Wanted<'_>], reaches: &Reaches) -> bool {
        for (addr, index) in self.servers.all() {
            if let Some(reach) = reaches.get(&addr.ip())
                && let Err(error) = self.point_server(index, addr, *reach)
            {
                left_to_user_space(&addr.to_string(), &error);
            }
        }
        let pools = self.fill_pools(wanted, reaches);
        let new_pools = numbers(&pools, |pool| pool.id) != numbers(&self.pools, |pool| pool.id);
        let mut tables = HashMap::new();
        let mut listeners = HashMap::new();
        for entry_point in wanted.iter().filter(|wanted| !wanted.table.is_empty()) {
            match self.fill_table(entry_point, &pools, new_pools) {
                Ok(table) => {
                    listeners.extend(entry_point.listens.iter().map(|at| (*at, table.id)));
                    tables.insert(entry_point.entry_point.to_owned(), table);
                }
                Err(error) => left_to_user_space(entry_point.entry_point, &error),
            }
        }
        self.turn_listeners(&listeners);
        let replaced = std::mem::replace(&mut self.tables, tables);
        let new_tables =
            numbers(&replaced, |table| table.id) != numbers(&self.tables, |table| table.id);
        if let Err(error) = self.clean_up(&replaced, pools) {
            tracing::error!(%error, "unused entries stay in the XDP maps");
        }
        new_pools || new_tables
    }

    /// Every server that a ring or a flow may refer to.
    pub fn servers(&self) -> Vec<SocketAddr> {
        self.servers
            .all()
            .into_iter()
            .map(|(addr, _)| addr)
            .collect()
    }

    fn point_server(
        &mut self,
        index: u16,
        addr: SocketAddr,
        reach: Reach,
    ) -> Result<(), MapFailure> {
        let server = server_entry(addr, reach);
        if self.written.get(&index) != Some(&server) {
            tracing::debug!(server = %addr, ?reach, "the way to this server");
            self.maps.set_server(index, server)?;
            self.written.insert(index, server);
        }
        Ok(())
    }

    fn fill_pools(
        &mut self,
        wanted: &[Wanted<'_>],
        reaches: &Reaches,
    ) -> HashMap<String, FilledPool> {
        let wanted = wanted.iter().flat_map(|wanted| wanted.table.rules());
        let by_name: BTreeMap<&str, &Arc<Pool>> =
            wanted.map(|rule| (rule.pool.name(), &rule.pool)).collect();
        let mut filled = HashMap::new();
        for (name, pool) in by_name {
            match self.fill_pool(pool, reaches, &filled) {
                Ok(Some(pool)) => drop(filled.insert(name.to_owned(), pool)),
                Ok(None) => left_to_user_space(
                    name,
                    &"the XDP maps have no room for another pool or server",
                ),
                Err(error) => left_to_user_space(name, &error),
            }
        }
        filled
    }

    fn fill_pool(
        &mut self,
        pool: &Pool,
        reaches: &Reaches,
        filled: &HashMap<String, FilledPool>,
    ) -> Result<Option<FilledPool>, MapFailure> {
        let Some(indices) = self.server_indices(pool, reaches)? else {
            return Ok(None);
        };
        let ring = pool
            .ring()
            .map(|ring| Box::new(ring.map(|server| indices[usize::from(server)])));
        let servers: BTreeSet<u16> = indices.iter().copied().collect();
        let held = self.pools.get(pool.name());
        let Some(id) = held.map(|held| held.id).or_else(|| self.free_pool(filled)) else {
            return Ok(None);
        };
        if held.is_none_or(|held| held.ring != ring) {
            match &ring {
                Some(ring) => self.maps.replace_ring(id, ring, servers.len() as u32)?,
                None => self.maps.empty_pool(id)?,
            }
        }
        Ok(Some(FilledPool { id, ring, servers }))
    }

    /// An index for each of the pool's servers, their entries written; `None` when there are not enough.
    fn server_indices(
        &mut self,
        pool: &Pool,
        reaches: &Reaches,
    ) -> Result<Option<Vec<u16>>, MapFailure> {
        let mut indices = Vec::with_capacity(pool.servers().len());
        for server in pool.servers() {
            let Some((index, new)) = self.servers.take(server.addr) else {
                return Ok(None);
            };
            if new {
                self.maps.clear_server_traffic(index)?;
            }
            let reach = reaches
                .get(&server.addr.ip())
                .copied()
                .unwrap_or(Reach::UserSpace);
            self.point_server(index, server.addr, reach)?;
            indices.push(index);
        }
        Ok(Some(indices))
    }

    fn free_pool(&self, filled: &HashMap<String, FilledPool>) -> Option<PoolId> {
        let taken: BTreeSet<PoolId> = self
            .pools
            .values()
            .chain(filled.values())
            .map(|pool| pool.id)
            .collect();
        (0..POOLS_MAX).find(|id| !taken.contains(id) && !self.adopted.pools.contains(id))
    }

    /// The entry point's rules under the number they have, or under a new one where they changed.
    fn fill_table(
        &mut self,
        wanted: &Wanted<'_>,
        pools: &HashMap<String, FilledPool>,
        new_pools: bool,
    ) -> Result<FilledTable, MapFailure> {
        let held = self.tables.get(wanted.entry_point);
        let filled = |id, rules| FilledTable {
            id,
            source: Arc::clone(wanted.table),
            rules,
        };
        if let Some(held) = held
            && !new_pools
            && Arc::ptr_eq(&held.source, wanted.table)
        {
            return Ok(filled(held.id, Arc::clone(&held.rules)));
        }
        let rules: Arc<[_]> = rules(wanted.table, pools).into();
        if let Some(held) = held.filter(|held| held.rules == rules) {
            return Ok(filled(held.id, rules));
        }
        let id = self.free_table();
        // In use from here on, so that a failure half-way is cleaned up and another entry point takes another number.
        self.adopted.tables.insert(id);
        for (prefix, pool) in rules.iter() {
            self.maps.insert_rule(id, *prefix, *pool)?;
        }
        Ok(filled(id, rules))
    }

    fn free_table(&self) -> TableId {
        let taken = |id: &TableId| {
            self.adopted.tables.contains(id) || self.tables.values().any(|table| table.id == *id)
        };
        (0..).find(|id| !taken(id)).unwrap_or_default()
    }

    /// What cannot be turned to its new table is left to user space, and only where that fails too to its old table.
    fn turn_listeners(&mut self, wanted: &HashMap<SocketAddr, TableId>) {
        for (at, table) in wanted {
            if self.listeners.get(at) == Some(table) {
                continue;
            }
            match self.maps.listen(*at, *table) {
                Ok(()) => drop(self.listeners.insert(*at, *table)),
                Err(error) => {
                    left_to_user_space(&at.to_string(), &error);
                    self.unlisten(*at);
                }
            }
        }
        let held: Vec<SocketAddr> = self.listeners.keys().copied().collect();
        for at in held.into_iter().filter(|at| !wanted.contains_key(at)) {
            self.unlisten(at);
        }
    }

    fn unlisten(&mut self, at: SocketAddr) {
        if !self.listeners.contains_key(&at) {
            return;
        }
        match self.maps.unlisten(at) {
            Ok(()) => drop(self.listeners.remove(&at)),
            Err(error) => {
                tracing::error!(address = %at, %error, "this address is steered by its old rules")
            }
        }
    }

    /// Removes the rules of tables no listener refers to, and empties pools no rule refers to. What cannot go yet keeps
    /// its number until the next fill has another try.
    fn clean_up(
        &mut self,
        replaced: &HashMap<String, FilledTable>,
        pools: HashMap<String, FilledPool>,
    ) -> Result<(), MapFailure> {
        let left = std::mem::replace(&mut self.pools, pools);
        let kept: BTreeSet<PoolId> = self.pools.values().map(|pool| pool.id).collect();
        let tables: BTreeSet<TableId> = self.tables.values().map(|table| table.id).collect();
        let replaced = replaced.values().map(|table| table.id);
        self.adopted.tables.extend(replaced);
        self.adopted.tables.retain(|id| !tables.contains(id));
        let left = left.values().map(|pool| pool.id);
        self.adopted.pools.extend(left);
        self.adopted
            .pools
            .retain(|id| *id < POOLS_MAX && !kept.contains(id));
        if self.listeners.values().any(|id| !tables.contains(id)) {
            return Ok(());
        }
        if !self.adopted.tables.is_empty() {
            for (table, prefix, _) in self.maps.rules()? {
                if !tables.contains(&table) {
                    self.maps.remove_rule(table, prefix)?;
                }
            }
        }
        for pool in &self.adopted.pools {
            self.maps.empty_pool(*pool)?;
        }
        self.adopted = Adopted::default();
        Ok(())
    }

    /// There are servers that no ring refers to; flows may.
    pub fn has_retired(&self) -> bool {
        !self.servers.retired(&self.pooled()).is_empty()
    }

    /// Frees the indices of servers that no ring and none of these connections, counted of late, refers to any more.
    pub fn sweep(&mut self, connections: &BTreeMap<u16, u64>) -> Result<(), MapFailure> {
        for index in self.servers.sweep(&self.pooled(), connections) {
            self.maps.set_server(index, Server::default())?;
            self.written.remove(&index);
        }
        Ok(())
    }

    fn pooled(&self) -> BTreeSet<u16> {
        let pools = self.pools.values();
        pools.flat_map(|pool| &pool.servers).copied().collect()
    }

    /// What the numbers in the maps are called.
    pub fn names(&self, wanted: &[Wanted<'_>]) -> Names {
        let tables = wanted.iter().filter_map(|wanted| {
            let routers = wanted
                .table
                .entries()
                .filter_map(|(prefix, rule)| Some((prefix, rule?.router.to_string())));
            let names = TableNames {
                entry_point: wanted.entry_point.to_owned(),
                routers: routers.collect(),
            };
            Some((self.tables.get(wanted.entry_point)?.id, names))
        });
        let pools = self
            .pools
            .iter()
            .map(|(name, pool)| (pool.id, name.clone()));
        Names {
            tables: tables.collect(),
            pools: pools.collect(),
        }
    }
}

fn is_switched_off(config: &Config) -> bool {
    config.schema == SCHEMA && config.flags & FLAG_STEER_NEW == 0
}

/// The entries of a table of rules, in the order of their prefixes.
fn rules(table: &SteeredTable, pools: &HashMap<String, FilledPool>) -> Vec<(IpNet, PoolId)> {
    let entries = table.entries().map(|(prefix, rule)| {
        let pool = rule.and_then(|rule| pools.get(rule.pool.name()));
        (prefix, pool.map_or(NO_POOL, |pool| pool.id))
    });
    let mut rules: Vec<(IpNet, PoolId)> = entries.collect();
    rules.sort();
    rules
}

fn numbers<T>(named: &HashMap<String, T>, number: fn(&T) -> u32) -> BTreeMap<&str, u32> {
    let numbers = named.iter().map(|(name, one)| (&**name, number(one)));
    numbers.collect()
}

/// Timer interrupts per second of this kernel: its coarse clocks advance by one of them (clock_getres(2)). 0, with
/// which the program steers nothing, where the kernel does not say.
fn timer_frequency() -> u32 {
    let resolution = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE);
    let nanoseconds = resolution.map_or(0, |resolution| resolution.num_nanoseconds());
    u32::try_from(1_000_000_000_i64.checked_div(nanoseconds).unwrap_or(0)).unwrap_or(0)
}

fn left_to_user_space(what: &str, error: &dyn std::fmt::Display) {
    tracing::error!(%error, "{what}: new connections are steered in user space");
}

fn server_entry(addr: SocketAddr, reach: Reach) -> Server {
    let (address, family) = match addr.ip() {
        IpAddr::V4(ip) => (address::v4(ip).words(), FAMILY_V4),
        IpAddr::V6(ip) => (address::v6(ip).words(), FAMILY_V6),
    };
    let (flag, hop) = match reach {
        Reach::Hop(hop) => (0, hop),
        Reach::UserSpace => (UNREACHABLE, Hop::default()),
    };
    Server {
        address,
        port: addr.port().to_be(),
        family: family | flag,
        hop,
        ..Server::default()
    }
}

/// The address of an entry.
pub fn server_address(server: &Server) -> SocketAddr {
    let ip = match server.family & !UNREACHABLE {
        FAMILY_V4 => address::to_ipv4(server.address[0]).into(),
        _ => address::to_ipv6(server.address).into(),
    };
    SocketAddr::new(ip, u16::from_be(server.port))
}
