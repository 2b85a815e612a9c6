//! The smallest relay there can be, three times: accept, connect, copy both ways. What it costs on weir's own driver is
//! the limit for weir; what it costs on tokio-uring and on plain tokio is the reason for the driver.
//!
//! `bench-relay weir|tokio-uring|tokio LISTEN SERVER`: one thread, no protocol, no timeout, no limit.

mod epoll;
mod own;
mod tokio_uring;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::{env, io};

/// What a copy reads at once, where it has memory of its own: as large as weir's ring buffers.
const BUFFER: usize = 64 << 10;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;

type Serve = fn(SocketAddr, SocketAddr) -> io::Result<()>;

const RUNTIMES: &[(&str, Serve)] = &[
    ("weir", own::serve),
    ("tokio-uring", tokio_uring::serve),
    ("tokio", epoll::serve),
];

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let addresses = |at: usize| words.get(at).and_then(|word| word.parse().ok());
    let runtime = RUNTIMES
        .iter()
        .find(|(name, _)| words.first().is_some_and(|word| word == name));
    let (Some((_, serve)), Some(listen), Some(server)) = (runtime, addresses(1), addresses(2))
    else {
        eprintln!("usage: bench-relay weir|tokio-uring|tokio LISTEN SERVER");
        return ExitCode::FAILURE;
    };
    match serve(listen, server) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-relay: {error}");
            ExitCode::FAILURE
        }
    }
}
