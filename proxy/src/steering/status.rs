//! What `weir steer status` shows: read from the pinned maps, so it works whether the proxy runs or not. Names of
//! rules and pools come from the file the running process left in its runtime directory.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ipnet::IpNet;
use serde::Serialize;

/// The XDP plane as the kernel holds it now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// New connections are steered; `false` after `weir steer off`.
    pub enabled: bool,
    /// Where the program is attached.
    pub interfaces: Vec<InterfaceStatus>,
    /// Steered prefixes, by entry point.
    pub rules: Vec<RuleStatus>,
    /// Where steered connections go.
    pub pools: Vec<PoolStatus>,
    /// Packets by outcome, summed over CPUs, by counter name.
    pub counters: BTreeMap<String, u64>,
}

/// One attached interface.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InterfaceStatus {
    /// Its name, as configured.
    pub name: String,
    /// `native` or `generic`.
    pub mode: String,
}

/// One entry of the program's prefix tables.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
pub struct ServerStatus {
    /// Its address.
    pub addr: SocketAddr,
    /// Its part of the sum of shares.
    pub share: u32,
    /// Packets in both directions.
    pub packets: u64,
    /// Bytes in both directions.
    pub bytes: u64,
    /// Connections in the flow table.
    pub flows: u64,
}
