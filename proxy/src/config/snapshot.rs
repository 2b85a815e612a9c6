//! What the rules say at one moment, compiled. Immutable, shared by all workers, swapped as a whole.

use std::sync::Arc;

use super::{Problem, Severity};
use crate::router::steered::SteeredTable;
use crate::router::{RouterTable, TcpTable};

/// The compiled rules. Published by one pointer swap (`arc_swap::ArcSwap<Snapshot>`); nothing long-lived holds one: a
/// request clones the `Arc`s it needs.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts loads, from 1.
    pub generation: u64,
    /// One for each of [`super::StaticConfig::entry_points`], same index.
    pub entry_points: Vec<EntryPointTable>,
    /// For every TLS connection that is terminated: certificates by name, a self-signed one where none fits.
    pub tls: Arc<rustls::ServerConfig>,
    /// What was left out and why, and warnings; in the order of files and lines.
    pub problems: Vec<Problem>,
}

/// What one entry point does with a connection. Asked in this order: `steered`; then, by the first byte, `passthrough`
/// or `https` for TLS, `tcp` and then `http` for anything else. See [`EntryPointTable::sniffs`].
#[derive(Debug, Default)]
pub struct EntryPointTable {
    /// Steered TCP routers: asked first, by the client's address alone. Shared with the control half of the XDP plane.
    pub steered: Arc<SteeredTable>,
    /// TCP routers without `tls`: plain connections, before `http`.
    pub tcp: TcpTable,
    /// TCP routers with `tls.passthrough`: TLS connections; empty where `https` is not.
    pub passthrough: TcpTable,
    /// HTTP routers without `tls`.
    pub http: Arc<RouterTable>,
    /// HTTP routers with `tls`.
    pub https: Arc<RouterTable>,
}

impl Snapshot {
    /// How many problems cost something.
    pub fn errors(&self) -> usize {
        self.problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count()
    }
}

impl EntryPointTable {
    /// Whether the first byte of the client must be seen. If not (only plain TCP routers are here, as for a protocol
    /// in which the server speaks first), `tcp` decides at once.
    pub fn sniffs(&self) -> bool {
        self.tcp.is_empty()
            || !(self.passthrough.is_empty() && self.http.is_empty() && self.https.is_empty())
    }
}
