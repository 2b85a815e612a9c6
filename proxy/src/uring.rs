//! The ring: one io_uring per worker thread, hosted by a stock tokio current_thread runtime.
//!
//! Owns operations, the memory the kernel touches, and ring buffers. Knows descriptors, not connections: pausing,
//! deadlines and fairness between connections are `net`'s. Why not tokio-uring: docs/decisions/0001.
//!
//! Invariants: memory the kernel may touch stays in its slot until the terminal completion; a ring buffer is the
//! kernel's or leased, never both; everything here stays on its worker's thread.
#![expect(
    unsafe_code,
    reason = "the driver: every pointer handed to the kernel is made here"
)]

mod buffers;
mod chunk;
mod driver;
mod gather;
mod operations;
mod probe;
mod ring;
mod slots;

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use tokio::runtime::{Builder, LocalOptions};

pub(crate) use buffers::Account;
pub use buffers::Lease;
pub use chunk::{Chunk, ChunkQueue};
pub(crate) use driver::{Completion, Driver, Owner, current};
pub(crate) use gather::Gather;
pub(crate) use operations::Kind;
pub use probe::{ProbeError, probe};
pub(crate) use slots::Token;

use crate::limits::{COPIED_BYTES, RING_BUFFER_BYTES, RING_BUFFERS};

/// How one worker's ring is built.
#[derive(Clone, Debug)]
pub struct Config {
    /// Ring buffers: a power of two, at most 32768.
    pub buffers: u16,
    /// Bytes in each ring buffer.
    pub buffer_size: u32,
    /// Bytes in owned memory for peers that may not read, beyond which receives take 16 KiB at a time.
    pub copied_limit: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            buffers: RING_BUFFERS,
            buffer_size: RING_BUFFER_BYTES,
            copied_limit: COPIED_BYTES,
        }
    }
}

/// What a worker holds.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Ring buffers the kernel may receive into.
    pub(crate) free_buffers: u16,
    /// Bytes copied out of ring buffers for readers that stalled, and not sent yet.
    pub(crate) copied_bytes: usize,
    /// Operations the kernel has.
    pub(crate) operations: usize,
}

/// Runs a future to completion as this thread's worker: builds the runtime (current_thread, with timer and I/O),
/// builds the ring, and polls the future `main` returns. `tokio::task::spawn_local` works within. Returning drops all
/// tasks, cancels every operation and closes every socket.
///
/// # Errors
/// If the ring or the runtime cannot be built; see [`probe()`] for a message worth showing. If one of the tasks that
/// drive the worker has failed, without which nothing on it would move any more.
///
/// # Panics
/// With the panic of such a task.
pub fn run<F: Future>(config: &Config, main: impl FnOnce() -> F) -> io::Result<F::Output> {
    let worker = Worker::start(config)?;
    // Dropped before `worker`, also when `main` panics: with it go all tasks, and with them their sockets, whose
    // cancellations the worker submits at its end.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .on_thread_park(|| {
            if let Some(driver) = current() {
                driver.turn();
            }
        })
        .on_thread_unpark(|| {
            if let Some(driver) = current() {
                driver.woke();
            }
        })
        .build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let driver = &worker.0;
        let events = driver.events()?;
        driver.spawn(Rc::clone(driver).submit_forever());
        driver.spawn(Rc::clone(driver).enter_forever(events));
        let mut main = pin!(main());
        poll_fn(|cx| match main.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => driver.poll_broken(cx).map(Err),
        })
        .await
    })
}

/// This thread as a worker.
struct Worker(Rc<Driver>);

impl Worker {
    fn start(config: &Config) -> io::Result<Self> {
        let driver = Driver::new(config).map_err(io::Error::other)?;
        driver::set_current(Some(Rc::clone(&driver)));
        Ok(Self(driver))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.end();
        driver::set_current(None);
    }
}

/// What this thread's worker holds now; `None` if it is not one.
#[cfg(test)]
pub(crate) fn usage() -> Option<Usage> {
    current().map(|driver| driver.usage())
}

/// Owned bytes that count as copied out of this worker's ring buffers for as long as they live: for what may have to
/// wait for a peer that does not read.
pub fn hold(bytes: Vec<u8>) -> Chunk {
    match current() {
        Some(driver) => driver.charge(bytes),
        None => bytes.into(),
    }
}

/// The same bytes in memory of their own, which counts as copied for a peer that may not read. Waits for a turn in
/// which not too much has been copied; free if the memory is owned already.
pub async fn keep(chunk: Chunk) -> Chunk {
    match current() {
        Some(driver) if chunk.is_lease() => {
            driver.copy_turn().await;
            driver.copy_out(&chunk)
        }
        _ => chunk.into_owned(),
    }
}

/// The time, read from the clock at most once in each turn of this worker's loop (each time outside a worker). Behind
/// by as long as the current turn takes, usually well under a millisecond.
pub fn now() -> Instant {
    current().map_or_else(Instant::now, |driver| driver.now())
}
