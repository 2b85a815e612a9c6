//! The idle connections of one worker.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::connect::{Memory, Offer};
use crate::limits;
use crate::proxy_protocol::Addresses;
use crate::service::{IdMap, Server, ServerId, ServersTransport, TransportId};
use crate::transport::Transport;
use crate::uring;

/// The connections of one worker to servers.
pub struct Pool {
    /// How many workers share what a transport allows.
    workers: usize,
    idle: RefCell<IdMap<(ServerId, TransportId), Vec<Idle>>>,
    /// How many there are in all.
    total: Cell<usize>,
    memory: Memory,
}

struct Idle {
    transport: Transport,
    since: Instant,
    at_most: Option<Duration>,
    /// The settings it was opened under: gone with the last server that has them.
    settings: Weak<ServersTransport>,
}

impl Idle {
    fn is_fresh(&self, at_most: Option<Duration>) -> bool {
        let age = uring::now().saturating_duration_since(self.since);
        at_most.is_none_or(|at_most| age < at_most)
    }

    fn is_of_use(&self) -> bool {
        self.is_fresh(self.at_most)
            && self.settings.strong_count() > 0
            && !self.transport.is_spent()
    }
}

impl Pool {
    /// The pool of one worker of so many.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: workers.max(1),
            idle: RefCell::default(),
            total: Cell::new(0),
            memory: Memory::default(),
        }
    }

    /// The connection that became idle last and can still be used; none that has been idle for longer than `at_most`,
    /// for a request that cannot be repeated if the server closes the connection at that very moment.
    pub fn take(&self, server: &Server, at_most: Option<Duration>) -> Option<Transport> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&(server.id, server.transport.id))?;
        loop {
            let candidate = connections.pop_if(|idle| idle.is_fresh(at_most))?;
            self.total.set(self.total.get() - 1);
            let current = server.addresses.contains(&candidate.transport.peer_addr());
            if current && candidate.is_of_use() {
                return Some(candidate.transport);
            }
        }
    }

    /// Keeps a connection on which the last exchange has ended cleanly; the server's one idle for longest makes room.
    /// With [`limits::UPSTREAM_IDLE_PER_WORKER`] in all it is closed instead.
    pub fn put(&self, server: &Server, transport: Transport) {
        let most = self.share(server);
        if most == 0 || self.total.get() >= limits::UPSTREAM_IDLE_PER_WORKER {
            return;
        }
        transport.set_deadline(None);
        let mut idle = self.idle.borrow_mut();
        let connections = idle.entry((server.id, server.transport.id)).or_default();
        if connections.len() >= most {
            connections.remove(0);
        } else {
            self.total.set(self.total.get() + 1);
        }
        connections.push(Idle {
            transport,
            since: uring::now(),
            at_most: server.transport.http.idle_time,
            settings: Arc::downgrade(&server.transport),
        });
    }

    /// Closes what was idle for too long, was closed by its server, or belongs to settings that are no more.
    pub fn sweep(&self) {
        self.idle.borrow_mut().retain(|_, connections| {
            connections.retain(Idle::is_of_use);
            !connections.is_empty()
        });
        let total = self.idle.borrow().values().map(Vec::len).sum();
        self.total.set(total);
        self.memory.sweep();
    }

    /// Connects to a server; `avoid` is an address of it to be tried last. Why it fails stands in the log, now and
    /// then.
    ///
    /// # Errors
    /// As [`super::connect_to`]; `NotFound` where the server's name does not resolve; as [`Transport::connect_tls`],
    /// and `TimedOut` after the transport's `tls_handshake`.
    pub async fn connect(
        &self,
        server: &Server,
        avoid: Option<SocketAddr>,
    ) -> io::Result<Transport> {
        self.memory.connect(server, avoid, None, Offer::All).await
    }

    /// The same, for a connection on which HTTP/1.1 is spoken whatever else the server could: upgrades need that.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_http1(
        &self,
        server: &Server,
        avoid: Option<SocketAddr>,
    ) -> io::Result<Transport> {
        self.memory.connect(server, avoid, None, Offer::Http1).await
    }

    /// Connects to a server for one client, who is told to it where its transport has the PROXY protocol.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_for(&self, server: &Server, client: Addresses) -> io::Result<Transport> {
        let client = Some(client);
        self.memory.connect(server, None, client, Offer::All).await
    }

    /// Idle connections to one server on this worker: its part of what the transport allows, at least one.
    fn share(&self, server: &Server) -> usize {
        match server.transport.http.idle_per_host {
            0 => 0,
            all => (all / self.workers).max(1),
        }
    }
}

#[cfg(test)]
mod tests;
