//! Listening sockets.

use std::io;
use std::net::SocketAddr;

use super::Stream;

/// What a listening socket is made with. SO_REUSEADDR and TCP_NODELAY (inherited by every connection) are always set.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Several sockets share the address and the kernel spreads connections over them (one per worker).
    pub reuse_port: bool,
    /// For an IPv6 address: take no IPv4 connections.
    pub v6_only: bool,
    /// Connections the kernel completes ahead of `accept`; the kernel caps it at net.core.somaxconn.
    pub backlog: u32,
}

/// A listening socket of this worker.
pub struct Listener;

impl Listener {
    /// Binds and listens. Outside a worker only to find out whether the address can be bound.
    ///
    /// # Errors
    /// What socket(2), bind(2) and listen(2) say.
    pub fn bind(_address: SocketAddr, _options: &ListenerOptions) -> io::Result<Self> {
        todo!()
    }

    /// The bound address, with the port the kernel chose if 0 was asked for.
    ///
    /// # Errors
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        todo!()
    }

    /// The next connection. Cancel-safe. A connection that is gone already is skipped.
    ///
    /// # Errors
    /// Out of descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM): pause and call again. `BrokenPipe` after
    /// [`stop`](Self::stop).
    pub async fn accept(&self) -> io::Result<Stream> {
        todo!()
    }

    /// Stops accepting and returns what the kernel has completed already, so that with SO_REUSEPORT no connection is
    /// reset when the socket closes. `accept` fails from here on.
    ///
    /// # Errors
    /// What accept4(2) says; connections taken so far are dropped then.
    pub async fn stop(&self) -> io::Result<Vec<Stream>> {
        todo!()
    }
}
