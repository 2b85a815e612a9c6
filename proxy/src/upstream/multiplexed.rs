//! Connections to servers that speak HTTP/2: many requests share one.
//!
//! Owns: the open connections of one worker. Never: what is asked. Invariants: a connection carries no more streams
//! than its server allows, the next one is opened then; while one is being opened for a server known to speak HTTP/2
//! nobody opens another; one without streams is closed after [`limits::UPSTREAM_IDLE_TIME`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::sync::Notify;
use tracing::debug;

use crate::limits;
use crate::service::{Server, ServerId, TransportId};
use crate::transport::{Duplex, Transport};
use crate::uring;

/// The connections of one worker, by server.
#[derive(Default)]
pub struct Multiplexed {
    servers: RefCell<HashMap<Key, Known>>,
}

/// What a connection is good for: a server, under one set of settings.
type Key = (ServerId, TransportId);

fn key(server: &Server) -> Key {
    (server.id, server.transport.id)
}

#[derive(Default)]
struct Known {
    connections: Vec<Rc<Connection>>,
    /// One is being opened; tells when that has ended.
    opening: Option<Rc<Notify>>,
}

struct Connection {
    requests: SendRequest<Bytes>,
    /// Streams in use.
    open: Cell<usize>,
    quiet_since: Cell<Instant>,
    ended: Cell<bool>,
}

/// Room for one request, until it is dropped.
pub struct Slot {
    /// Ready for one request.
    pub requests: SendRequest<Bytes>,
    connection: Rc<Connection>,
}

impl Multiplexed {
    /// Room on an open connection.
    pub fn take(&self, server: &Server) -> Option<Slot> {
        let mut servers = self.servers.borrow_mut();
        let known = servers.get_mut(&key(server))?;
        known.connections.retain(|one| !one.ended.get());
        known.connections.iter().find_map(Connection::slot)
    }

    /// Room on a connection, which `connect` opens if it must: a transport on which the server speaks HTTP/2.
    ///
    /// # Errors
    /// What `connect` says.
    pub async fn take_or_open(
        &self,
        server: &Server,
        connect: impl Future<Output = io::Result<Transport>>,
    ) -> io::Result<Slot> {
        loop {
            if let Some(slot) = self.take(server) {
                return Ok(slot);
            }
            let opening = self.opening(server);
            let Some(opening) = opening else { break };
            opening.notified().await;
        }
        let _opening = Opening::new(self, server);
        self.adopt(server, connect.await?).await
    }

    /// Takes over a new connection on which the server speaks HTTP/2.
    ///
    /// # Errors
    /// The server does not take the beginning.
    pub async fn adopt(&self, server: &Server, transport: Transport) -> io::Result<Slot> {
        let transport = Rc::new(transport);
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(limits::HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(limits::HTTP2_CONNECTION_WINDOW)
            .max_header_list_size(limits::HEAD_BYTES_MAX as u32)
            .max_send_buffer_size(limits::HTTP2_STREAM_SEND_BYTES);
        let began = builder.handshake(Duplex::new(Rc::clone(&transport))).await;
        let (requests, driver) = began.map_err(io::Error::other)?;
        let connection = Rc::new(Connection {
            requests,
            open: Cell::new(0),
            quiet_since: Cell::new(uring::now()),
            ended: Cell::new(false),
        });
        let slot = connection.slot();
        let mut servers = self.servers.borrow_mut();
        let known = servers.entry(key(server)).or_default();
        known.connections.push(Rc::clone(&connection));
        drop(servers);
        tokio::task::spawn_local(async move {
            if let Err(error) = driver.await {
                debug!(server = %transport.peer_addr(), "HTTP/2 with a server ends: {error}");
            }
            connection.ended.set(true);
            transport.set_deadline(Some(uring::now() + limits::LINGER));
            transport.close().await;
        });
        slot.ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }

    /// Closes what has ended, or had no stream for too long.
    pub fn sweep(&self) {
        let oldest = uring::now().checked_sub(limits::UPSTREAM_IDLE_TIME);
        self.servers.borrow_mut().retain(|_, known| {
            known.connections.retain(|one| {
                let recent = oldest.is_none_or(|oldest| one.quiet_since.get() > oldest);
                !one.ended.get() && (one.open.get() > 0 || recent)
            });
            !known.connections.is_empty() || known.opening.is_some()
        });
    }

    fn opening(&self, server: &Server) -> Option<Rc<Notify>> {
        self.servers.borrow().get(&key(server))?.opening.clone()
    }
}

impl Connection {
    fn slot(self: &Rc<Self>) -> Option<Slot> {
        let mut requests = self.requests.clone();
        // Nobody waits here: a connection that is not ready is passed over.
        let ready = requests.poll_ready(&mut Context::from_waker(Waker::noop()));
        if matches!(ready, Poll::Ready(Err(_))) {
            self.ended.set(true);
        }
        let room = self.open.get() < requests.current_max_send_streams();
        if !room || !matches!(ready, Poll::Ready(Ok(()))) {
            return None;
        }
        self.open.set(self.open.get() + 1);
        Some(Slot {
            requests,
            connection: Rc::clone(self),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let left = self.connection.open.get() - 1;
        self.connection.open.set(left);
        self.connection.quiet_since.set(uring::now());
    }
}

/// A connection that is being opened; whoever waits for it looks again when it is, or is not.
struct Opening<'a> {
    of: &'a Multiplexed,
    server: Key,
}

impl<'a> Opening<'a> {
    fn new(of: &'a Multiplexed, server: &Server) -> Self {
        let server = key(server);
        let mut servers = of.servers.borrow_mut();
        servers.entry(server).or_default().opening = Some(Rc::default());
        Self { of, server }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut servers = self.of.servers.borrow_mut();
        let known = servers.get_mut(&self.server);
        if let Some(opening) = known.and_then(|known| known.opening.take()) {
            opening.notify_waiters();
        }
    }
}
