//! Which index of the SERVERS map belongs to which server.
//!
//! Pure. Rings and flows hold indices, so an index keeps its server until no ring and no flow refers to it: a flow
//! never meets another server than the one it began with, over reloads and restarts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use weir_common::map::SERVERS_MAX;

/// Indices taken, by server.
#[derive(Debug, Default)]
pub struct ServerIndices {
    taken: HashMap<SocketAddr, u16>,
    idle: BTreeSet<u16>,
}

impl ServerIndices {
    /// Takes over what the map holds from an earlier process.
    pub fn adopt(servers: impl IntoIterator<Item = (u16, SocketAddr)>) -> Self {
        Self {
            taken: servers
                .into_iter()
                .map(|(index, addr)| (addr, index))
                .collect(),
            idle: BTreeSet::new(),
        }
    }

    /// The server's index, and whether it is new to it; `None` when all are taken.
    pub fn take(&mut self, addr: SocketAddr) -> Option<(u16, bool)> {
        if let Some(index) = self.taken.get(&addr) {
            return Some((*index, false));
        }
        let taken: BTreeSet<u16> = self.taken.values().copied().collect();
        let index = (0..SERVERS_MAX as u16).find(|index| !taken.contains(index))?;
        self.taken.insert(addr, index);
        Some((index, true))
    }

    /// Every server with its index.
    pub fn all(&self) -> Vec<(SocketAddr, u16)> {
        self.taken
            .iter()
            .map(|(addr, index)| (*addr, *index))
            .collect()
    }

    /// Servers that no ring in use refers to.
    pub fn retired(&self, in_use: &BTreeSet<u16>) -> Vec<u16> {
        self.taken
            .values()
            .copied()
            .filter(|index| !in_use.contains(index))
            .collect()
    }

    /// Frees what neither a ring nor a flow has referred to in two sweeps: the first may have missed a flow that the
    /// program was just opening. Says what was freed.
    pub fn sweep(&mut self, in_use: &BTreeSet<u16>, flows: &BTreeMap<u16, u64>) -> Vec<u16> {
        let idle: BTreeSet<u16> = self
            .retired(in_use)
            .into_iter()
            .filter(|index| !flows.contains_key(index))
            .collect();
        let freed: Vec<u16> = idle.intersection(&self.idle).copied().collect();
        self.taken.retain(|_, index| !freed.contains(index));
        self.idle = idle;
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [u16; 0] = [];

    fn server(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 443))
    }

    #[test]
    fn an_index_stays_with_its_server_while_a_flow_refers_to_it() {
        let mut indices = ServerIndices::adopt([(3, server(3))]);
        assert_eq!(indices.take(server(3)), Some((3, false)));
        assert_eq!(indices.take(server(1)), Some((0, true)));
        let in_use = BTreeSet::from([0]);
        let flows = BTreeMap::from([(3, 1)]);
        for _ in 0..3 {
            assert_eq!(indices.sweep(&in_use, &flows), NONE);
        }
        assert_eq!(
            indices.sweep(&in_use, &BTreeMap::new()),
            NONE,
            "one sweep may have missed a flow"
        );
        assert_eq!(indices.sweep(&in_use, &BTreeMap::new()), [3]);
        assert_eq!(indices.all(), [(server(1), 0)]);
    }

    #[test]
    fn a_server_that_comes_back_finds_its_index() {
        let mut indices = ServerIndices::default();
        indices.take(server(1));
        assert_eq!(indices.sweep(&BTreeSet::new(), &BTreeMap::new()), NONE);
        assert_eq!(indices.take(server(1)), Some((0, false)));
        assert_eq!(indices.sweep(&BTreeSet::from([0]), &BTreeMap::new()), NONE);
        assert_eq!(
            indices.sweep(&BTreeSet::new(), &BTreeMap::new()),
            NONE,
            "idle for one sweep again"
        );
    }

    #[test]
    fn a_full_map_gives_none() {
        let all = (0..SERVERS_MAX as u16).map(|n| (n, SocketAddr::from(([10, 0, 0, 1], n + 1))));
        assert_eq!(ServerIndices::adopt(all).take(server(9)), None);
    }
}
