//! Connections to servers: opening them, and keeping the idle ones of a worker for the next request.
//!
//! Owns: the idle connections of one worker. Never: which server is asked, or what is said to it. Invariants: a
//! connection is idle here or in the hands of one request, never both; one that the peer closed, or said something
//! unasked on, is not handed out; a server has at most [`limits::UPSTREAM_IDLE_PER_HOST`] idle ones on a worker.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::client::Resumption;

use crate::limits;
use crate::net::Stream;
use crate::service::{Server, ServerId, ServerTls, TransportId};
use crate::transport::Transport;
use crate::uring;

/// The idle connections of one worker, by server.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<HashMap<ServerId, Vec<Idle>>>,
    /// How many there are in all.
    total: Cell<usize>,
    tls: RefCell<HashMap<TransportId, OwnTls>>,
}

/// This worker's own copy of a transport's TLS settings, with sessions to resume that no other worker looks at.
struct OwnTls {
    of: Weak<ClientConfig>,
    config: Arc<ClientConfig>,
}

struct Idle {
    transport: Transport,
    since: Instant,
}

impl Pool {
    /// The connection that became idle last and can still be used; none that has been idle for longer than `at_most`,
    /// for a request that cannot be repeated if the server closes the connection at that very moment.
    pub fn take(&self, server: ServerId, at_most: Duration) -> Option<Transport> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&server)?;
        let oldest = uring::now().checked_sub(at_most);
        let connection = loop {
            let candidate =
                connections.pop_if(|idle| oldest.is_none_or(|oldest| idle.since >= oldest))?;
            self.total.set(self.total.get() - 1);
            if !candidate.transport.is_spent() {
                break candidate.transport;
            }
        };
        Some(connection)
    }

    /// Keeps a connection on which the last exchange has ended cleanly; the server's one idle for longest makes room.
    /// With [`limits::UPSTREAM_IDLE_PER_WORKER`] in all it is closed instead.
    pub fn put(&self, server: ServerId, transport: Transport) {
        if self.total.get() >= limits::UPSTREAM_IDLE_PER_WORKER {
            return;
        }
        transport.set_deadline(None);
        let mut idle = self.idle.borrow_mut();
        let connections = idle.entry(server).or_default();
        if connections.len() >= limits::UPSTREAM_IDLE_PER_HOST {
            connections.remove(0);
        } else {
            self.total.set(self.total.get() + 1);
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
        let total = self.idle.borrow().values().map(Vec::len).sum();
        self.total.set(total);
        let in_use = |own: &mut OwnTls| own.of.strong_count() > 0;
        self.tls.borrow_mut().retain(|_, own| in_use(own));
    }

    /// Connects to a server, over TLS where it is spoken with that server.
    ///
    /// # Errors
    /// As [`connect_to`]; as [`Transport::connect_tls`], `TimedOut` after [`limits::UPSTREAM_TLS_HANDSHAKE`].
    pub async fn connect(&self, server: &Server) -> io::Result<Transport> {
        let stream = connect_to(&server.addresses).await?;
        let Some(tls) = &server.tls else {
            return Ok(Transport::plain(stream));
        };
        let config = self.own(server.transport.id, tls);
        stream.set_deadline(Some(uring::now() + limits::UPSTREAM_TLS_HANDSHAKE));
        let transport = Transport::connect_tls(stream, &config, tls.name.clone()).await?;
        transport.set_deadline(None);
        Ok(transport)
    }

    fn own(&self, id: TransportId, tls: &ServerTls) -> Arc<ClientConfig> {
        let mut known = self.tls.borrow_mut();
        let own = known.entry(id).or_insert_with(|| {
            let mut config = ClientConfig::clone(&tls.config);
            config.resumption = Resumption::in_memory_sessions(limits::UPSTREAM_TLS_SESSIONS);
            OwnTls {
                of: Arc::downgrade(&tls.config),
                config: Arc::new(config),
            }
        });
        Arc::clone(&own.config)
    }
}

/// Connects to the first of these addresses that answers.
///
/// # Errors
/// What the last address said; `TimedOut` after [`limits::UPSTREAM_CONNECT`], of which each address gets its part.
pub async fn connect_to(addresses: &[SocketAddr]) -> io::Result<Stream> {
    let end = uring::now() + limits::UPSTREAM_CONNECT;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (left, address) in (1..=addresses.len() as u32).rev().zip(addresses) {
        let now = uring::now();
        let deadline = now + end.saturating_duration_since(now) / left;
        match Stream::connect(*address, Some(deadline)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
