//! The ring: one io_uring per worker thread inside a stock tokio runtime.

mod buffers;
mod chunk;
mod probe;

use std::io;
use std::time::Instant;

pub use buffers::Lease;
pub use chunk::{Chunk, ChunkQueue};
pub use probe::{ProbeError, probe};

/// How one worker's ring is built.
#[derive(Clone, Debug)]
pub struct Config {
    /// Ring buffers: a power of two, at most 32768.
    pub buffers: u16,
    /// Bytes in each ring buffer.
    pub buffer_size: u32,
    /// Bytes copied out of ring buffers for readers that stalled, beyond which receives take 16 KiB at a time.
    pub copied_limit: usize,
}

/// Runs a future to completion as this thread's worker: builds the runtime (current_thread, with timer and I/O),
/// builds the ring, and polls the future `main` returns. `tokio::task::spawn_local` works within. Returning drops all
/// tasks, cancels every operation and closes every socket.
///
/// # Errors
/// If the ring or the runtime cannot be built; see [`probe`] for a message worth showing.
pub fn run<F: Future>(_config: &Config, _main: impl FnOnce() -> F) -> io::Result<F::Output> {
    todo!()
}

/// The time at the start of this loop turn: a few instructions instead of a clock read. Outside a worker it reads the
/// clock. Behind by as long as the current turn takes, usually under a millisecond.
pub fn now() -> Instant {
    todo!()
}
