//! Connections that were stopped for what their client did, counted by its shape.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tracing::warn;

use crate::http2::Abuse;
use crate::limits;

/// One worker's counts, which others may read. Only the worker writes.
#[derive(Debug, Default)]
pub struct AbuseCounts([AtomicU64; Abuse::COUNT]);

impl AbuseCounts {
    /// Connections stopped for this.
    pub fn get(&self, shape: Abuse) -> u64 {
        self.0[shape as usize].load(Ordering::Relaxed)
    }

    /// Counts one more and says so in the log, unless it has lately: `logged` is when.
    pub fn add(
        &self,
        shape: Abuse,
        client: SocketAddr,
        now: Instant,
        logged: &mut Option<Instant>,
    ) {
        let count = self.get(shape) + 1;
        self.0[shape as usize].store(count, Ordering::Relaxed);
        let lately =
            logged.is_some_and(|at| now.saturating_duration_since(at) < limits::ABUSE_LOGGED);
        if !lately {
            *logged = Some(now);
            warn!(%client, shape = shape.as_str(), count, "HTTP/2 abuse: the connection is closed");
        }
    }
}
