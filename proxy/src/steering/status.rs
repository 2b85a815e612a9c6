//! What `weir steer status` shows: read from the pinned maps, so it works whether the proxy runs or not. Names of
//! entry points, routers and pools come from the file the running process left in its runtime directory; without it
//! numbers stand for them.

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use weir_common::map::{Config, FLAG_STEER_NEW, NO_POOL, POOLS_MAX, Server, UNREACHABLE};
use weir_common::ring::RING_SIZE;

use super::maps::{MapFailure, Maps, PoolId, TableId};
use super::program::Pins;
use super::tables::server_address;

/// The XDP plane as the kernel holds it now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// New connections are steered; `false` after `weir steer off`, and where the program is attached nowhere.
    pub enabled: bool,
    /// Where the program is attached; empty when all steering is in user space.
    pub interfaces: Vec<InterfaceStatus>,
    /// Addresses and ports that are steered now.
    pub listeners: Vec<ListenerStatus>,
    /// Steered prefixes, by entry point; the longest that holds the source decides.
    pub rules: Vec<RuleStatus>,
    /// Where steered connections go.
    pub pools: Vec<PoolStatus>,
    /// Servers in no pool any more.
    pub retired: Vec<ServerStatus>,
    /// Packets by outcome, summed over CPUs, by counter name.
    pub counters: BTreeMap<&'static str, u64>,
}

/// One attached interface.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// `native` or `generic`.
    pub mode: &'static str,
}

/// One steered address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// The entry point.
    pub entry_point: String,
    /// Address and port.
    pub address: SocketAddr,
}

/// One entry of the program's prefix tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleStatus {
    /// The entry point.
    pub entry_point: String,
    /// Sources.
    pub prefix: IpNet,
    /// The steered router that wins there; `None`: not steered, inside a steered prefix.
    pub router: Option<String>,
    /// Its pool.
    pub pool: Option<String>,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolStatus {
    /// The service's name.
    pub name: String,
    /// Its servers.
    pub servers: Vec<ServerStatus>,
}

/// One server of a pool. A server in several pools shows the same traffic in each.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// Its address.
    pub address: SocketAddr,
    /// How its packets leave.
    pub next_hop: NextHop,
    /// Its part of the ring, from 0 to 1.
    pub share: f64,
    /// Packets in both directions.
    pub packets: u64,
    /// Bytes of IP packets in both directions.
    pub bytes: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections now.
    pub connections: u64,
}

/// How packets to a server leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum NextHop {
    /// Straight from the program, which has the hardware address.
    Known,
    /// By the kernel's FIB, as long as its neighbour has not answered.
    Unresolved,
    /// Not by a steered interface: user space connects.
    UserSpace,
}

impl NextHop {
    fn of(server: &Server) -> Self {
        match server.hop.ifindex {
            _ if server.family & UNREACHABLE != 0 => Self::UserSpace,
            0 => Self::Unresolved,
            _ => Self::Known,
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Known => "known",
            Self::Unresolved => "unresolved",
            Self::UserSpace => "user space",
        })
    }
}

/// What the numbers in the maps are called: written by the process that fills them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Names {
    /// Tables of rules.
    pub tables: BTreeMap<TableId, TableNames>,
    /// Pools.
    pub pools: BTreeMap<PoolId, String>,
}

/// What one table's rules are called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableNames {
    /// The entry point it belongs to.
    pub entry_point: String,
    /// The router that wins each prefix.
    pub routers: BTreeMap<IpNet, String>,
}

impl Names {
    /// Writes the file by rename: a reader never sees half of it.
    pub fn write(&self, runtime_dir: &Path) -> io::Result<()> {
        fs::create_dir_all(runtime_dir)?;
        let draft = runtime_dir.join("steering.json.new");
        fs::write(&draft, serde_json::to_vec(self)?)?;
        fs::rename(draft, Self::path(runtime_dir))
    }

    /// Nothing where there is no readable file.
    fn read(runtime_dir: &Path) -> Self {
        let text = fs::read(Self::path(runtime_dir)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn path(runtime_dir: &Path) -> PathBuf {
        runtime_dir.join("steering.json")
    }

    fn entry_point(&self, table: TableId) -> String {
        self.tables.get(&table).map_or_else(
            || format!("table {table}"),
            |names| names.entry_point.clone(),
        )
    }

    fn router(&self, table: TableId, prefix: &IpNet) -> Option<String> {
        self.tables.get(&table)?.routers.get(prefix).cloned()
    }

    fn pool(&self, pool: PoolId) -> String {
        self.pools
            .get(&pool)
            .cloned()
            .unwrap_or_else(|| format!("pool {pool}"))
    }
}

/// Why `weir steer` cannot do what it was asked.
#[derive(Debug)]
pub enum ControlError {
    /// Nothing is pinned: steering is in user space, or no proxy has run since the last detach.
    NotAttached,
    /// The place of the pins cannot be read or changed.
    Io(PathBuf, io::Error),
    /// A map cannot.
    Map(MapFailure),
}

impl fmt::Display for ControlError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAttached => out.write_str(
                "the XDP program is not attached; a start of weir with entryPoints.*.steering attaches it",
            ),
            Self::Io(path, error) if error.kind() == io::ErrorKind::PermissionDenied => {
                write!(out, "{}: {error}; run as root", path.display())
            }
            Self::Io(path, error) => write!(out, "{}: {error}", path.display()),
            Self::Map(error) => write!(out, "{error}; run as root, with the weir that attached the program"),
        }
    }
}

impl std::error::Error for ControlError {}

impl From<MapFailure> for ControlError {
    fn from(error: MapFailure) -> Self {
        Self::Map(error)
    }
}

/// What the kernel holds. Not attached is a status too: everything is empty then.
pub fn status(pin_path: &Path, runtime_dir: &Path) -> Result<Status, ControlError> {
    let pins = Pins::below(pin_path);
    let attached = pins
        .attached()
        .map_err(|error| ControlError::Io(pin_path.to_owned(), error))?;
    if attached.is_empty() {
        return Ok(Status::default());
    }
    let (maps, names) = (Maps::open(&pins.maps())?, Names::read(runtime_dir));
    let rules = maps.rules()?;
    let servers = ServerTable::read(&maps)?;
    let pools: BTreeSet<PoolId> = rules
        .iter()
        .map(|(.., pool)| *pool)
        .filter(|pool| *pool < POOLS_MAX)
        .collect();
    let pools: Vec<PoolStatus> = pools
        .into_iter()
        .map(|id| pool(&maps, &servers, &names, id))
        .collect::<Result<_, _>>()?;
    let pooled: BTreeSet<SocketAddr> = pools
        .iter()
        .flat_map(|pool| &pool.servers)
        .map(|server| server.address)
        .collect();
    let interfaces = attached.into_iter().map(|(name, mode)| InterfaceStatus {
        name,
        mode: mode.name(),
    });
    Ok(Status {
        enabled: maps.config()?.flags & FLAG_STEER_NEW != 0,
        interfaces: interfaces.collect(),
        listeners: listeners(&maps, &names)?,
        rules: sorted(
            rules
                .into_iter()
                .map(|(table, prefix, pool)| rule(&names, table, prefix, pool)),
        ),
        retired: servers.outside(&maps, &pooled)?,
        pools,
        counters: maps.counters()?,
    })
}

/// Turns the steering of new connections on or off, also while no proxy runs. Flows go on.
pub fn set_enabled(pin_path: &Path, enabled: bool) -> Result<(), ControlError> {
    let mut maps = attached_maps(pin_path)?;
    let changed = maps.change_config(|config| Config {
        flags: if enabled {
            config.flags | FLAG_STEER_NEW
        } else {
            config.flags & !FLAG_STEER_NEW
        },
        ..config
    });
    Ok(changed?)
}

/// What [`detach`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    /// Interfaces the program was attached to.
    pub interfaces: Vec<String>,
    /// Steered connections that are cut: their packets now meet a host that does not know them.
    pub connections: u64,
}

/// Detaches the program from every interface and removes all that is pinned, also while no proxy runs.
pub fn detach(pin_path: &Path) -> Result<Detached, ControlError> {
    let pins = Pins::below(pin_path);
    let failed = |error| ControlError::Io(pin_path.to_owned(), error);
    let interfaces: Vec<String> = pins
        .attached()
        .map_err(failed)?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    if interfaces.is_empty() {
        return Err(ControlError::NotAttached);
    }
    // Maps of another version cannot be counted, and must not keep anyone from detaching.
    let counted = Maps::open(&pins.maps()).and_then(|maps| maps.connections());
    let connections = counted.map_or(0, |connections| connections.values().sum());
    pins.remove().map_err(failed)?;
    Ok(Detached {
        interfaces,
        connections,
    })
}

fn attached_maps(pin_path: &Path) -> Result<Maps, ControlError> {
    let pins = Pins::below(pin_path);
    match pins.attached() {
        Ok(attached) if attached.is_empty() => Err(ControlError::NotAttached),
        Ok(_) => Ok(Maps::open(&pins.maps())?),
        Err(error) => Err(ControlError::Io(pin_path.to_owned(), error)),
    }
}

fn listeners(maps: &Maps, names: &Names) -> Result<Vec<ListenerStatus>, MapFailure> {
    let named = |(address, table)| ListenerStatus {
        entry_point: names.entry_point(table),
        address,
    };
    Ok(sorted(maps.listeners()?.into_iter().map(named)))
}

fn rule(names: &Names, table: TableId, prefix: IpNet, pool: PoolId) -> RuleStatus {
    RuleStatus {
        entry_point: names.entry_point(table),
        prefix,
        router: names.router(table, &prefix),
        pool: (pool != NO_POOL).then(|| names.pool(pool)),
    }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items
}

fn pool(
    maps: &Maps,
    servers: &ServerTable,
    names: &Names,
    id: PoolId,
) -> Result<PoolStatus, MapFailure> {
    let mut slots: BTreeMap<u16, u32> = BTreeMap::new();
    if maps.pool(id)?.servers > 0 {
        maps.active_ring(id)?
            .iter()
            .for_each(|server| *slots.entry(*server).or_default() += 1);
    }
    let shares = slots
        .into_iter()
        .map(|(index, slots)| (index, f64::from(slots) / RING_SIZE as f64));
    let listed = shares.filter_map(|(index, share)| servers.status(maps, index, share));
    Ok(PoolStatus {
        name: names.pool(id),
        servers: listed.collect::<Result<_, _>>()?,
    })
}

struct ServerTable {
    entries: BTreeMap<u16, Server>,
    connections: BTreeMap<u16, u64>,
}

impl ServerTable {
    fn read(maps: &Maps) -> Result<Self, MapFailure> {
        Ok(Self {
            entries: maps.servers()?.into_iter().collect(),
            connections: maps.connections()?,
        })
    }

    fn status(
        &self,
        maps: &Maps,
        index: u16,
        share: f64,
    ) -> Option<Result<ServerStatus, MapFailure>> {
        let server = self.entries.get(&index)?;
        let connections = self.connections.get(&index).copied().unwrap_or_default();
        Some(maps.server_traffic(index).map(|traffic| ServerStatus {
            address: server_address(server),
            next_hop: NextHop::of(server),
            share,
            packets: traffic.packets,
            bytes: traffic.bytes,
            opened: traffic.flows,
            connections,
        }))
    }

    fn outside(
        &self,
        maps: &Maps,
        pooled: &BTreeSet<SocketAddr>,
    ) -> Result<Vec<ServerStatus>, MapFailure> {
        let outside = self
            .entries
            .iter()
            .filter(|(_, server)| !pooled.contains(&server_address(server)));
        outside
            .filter_map(|(index, _)| self.status(maps, *index, 0.0))
            .collect()
    }
}
