//! Sockets over the ring, no protocol: listening, connecting, receiving, sending, deadlines.
//!
//! Owns the rules by which connections share ring buffers. A connection holds at most a share of the buffers still
//! free, and receives at most 256 KiB ahead (and one burst). What holds ring buffers for longer than 10 ms (a send its
//! peer does not take, bytes nobody reads) is copied into owned memory and its buffers return. The source of a send
//! that stalled is *lean* from then on: it receives 16 KiB at a time and nothing ahead, until several sends in a row
//! were prompt. A connection that may not have a ring buffer receives 16 KiB into owned memory, so none ever waits for
//! another one's buffers.
//!
//! Memory held for readers that stall is bounded: by a share of the ring for each connection when it stalls, and once
//! a worker has copied out more than its limit, by 16 KiB for each connection (and one burst, no larger than the ring
//! itself, of receives armed before).

mod closing;
mod listener;
mod receive;
mod send;
mod socket;
mod stream;
mod sweep;

#[cfg(test)]
pub(crate) mod tests;

pub use listener::{Listener, ListenerOptions};
pub use stream::{Peer, Stream};

use std::net::{IpAddr, SocketAddr};

use crate::limits;

/// Probes on connections on which nothing moves: a peer that vanished without a word ends them, tunnels above all.
fn keepalive() -> socket2::TcpKeepalive {
    socket2::TcpKeepalive::new()
        .with_time(limits::KEEPALIVE_IDLE)
        .with_interval(limits::KEEPALIVE_INTERVAL)
        .with_retries(limits::KEEPALIVE_PROBES)
}

/// An IPv4 address mapped into IPv6 as IPv4: rules, hashes and logs know one form of an address.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}
