//! Connections to servers: opening them, and keeping the idle ones of a worker for the next request.
//!
//! Owns: the idle connections of one worker. Never: which server is asked, or what is said to it. Invariants: a
//! connection is idle here or in the hands of one request, never both; one that the peer closed, or said something
//! unasked on, is not handed out; a server has at most [`limits::UPSTREAM_IDLE_PER_SERVER`] idle ones on a worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use crate::limits;
use crate::net::Stream;
use crate::service::{Server, ServerId};
use crate::transport::Transport;
use crate::uring;

/// The idle connections of one worker, by server.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<HashMap<ServerId, Vec<Idle>>>,
}

struct Idle {
    transport: Transport,
    since: Instant,
}

impl Pool {
    /// The connection that became idle last and can still be used.
    pub fn take(&self, server: ServerId) -> Option<Transport> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&server)?;
        while let Some(candidate) = connections.pop() {
            if !candidate.transport.is_spent() {
                return Some(candidate.transport);
            }
        }
        None
    }

    /// Keeps a connection on which the last exchange has ended cleanly; the one idle for longest makes room.
    pub fn put(&self, server: ServerId, transport: Transport) {
        transport.set_deadline(None);
        let mut idle = self.idle.borrow_mut();
        let connections = idle.entry(server).or_default();
        if connections.len() >= limits::UPSTREAM_IDLE_PER_SERVER {
            connections.remove(0);
        }
        connections.push(Idle {
            transport,
            since: uring::now(),
        });
    }

    /// Closes what was idle for too long or was closed by its server.
    pub fn sweep(&self) {
        let now = uring::now();
        self.idle.borrow_mut().retain(|_, connections| {
            connections.retain(|connection| {
                let age = now.saturating_duration_since(connection.since);
                age < limits::UPSTREAM_IDLE_TIME && !connection.transport.is_spent()
            });
            !connections.is_empty()
        });
    }
}

/// Connects to a server.
///
/// # Errors
/// As [`connect_to`].
pub async fn connect(server: &Server) -> io::Result<Stream> {
    connect_to(&server.addresses).await
}

/// Connects to the first of these addresses that answers.
///
/// # Errors
/// What the last address said; `TimedOut` after [`limits::UPSTREAM_CONNECT`] for each.
pub async fn connect_to(addresses: &[SocketAddr]) -> io::Result<Stream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match Stream::connect(*address, Some(uring::now() + limits::UPSTREAM_CONNECT)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
