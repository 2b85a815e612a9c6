//! How many requests and connections each server has now: a worker counts its own, whoever asks sums up.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::ServerId;
use crate::limits::SERVERS_MAX;

/// The counts of one worker, its only writer: no other core's cache line is touched.
pub struct InFlight(Box<[AtomicU32]>);

/// Counts for as long as it lives.
pub struct Running {
    counts: Arc<InFlight>,
    slot: usize,
}

impl Default for InFlight {
    fn default() -> Self {
        Self((0..SERVERS_MAX).map(|_| AtomicU32::new(0)).collect())
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("InFlight")
    }
}

impl InFlight {
    /// One more for this server, whose lease the caller holds for as long as the result lives.
    pub fn begin(self: &Arc<Self>, server: ServerId) -> Running {
        let running = Running {
            counts: Arc::clone(self),
            slot: server.slot(),
        };
        running.add(1);
        running
    }

    /// How many there are.
    pub fn of(&self, server: ServerId) -> u32 {
        let count = self.0.get(server.slot());
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

impl Running {
    /// One writer: a load and a store are enough.
    fn add(&self, more: u32) {
        if let Some(count) = self.counts.0.get(self.slot) {
            let now = count.load(Ordering::Relaxed).wrapping_add(more);
            count.store(now, Ordering::Relaxed);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.add(u32::MAX);
    }
}
