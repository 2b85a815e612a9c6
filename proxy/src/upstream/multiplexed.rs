//! Connections to servers that speak HTTP/2: many requests share one.
//!
//! Owns: the open connections of one worker. Never: what is asked. Invariants: a connection carries no more streams
//! than its server allows, the next one is opened then; while one is being opened for a server that is not known to
//! speak HTTP/1.1 others wait, until it is known how many streams it takes; one without streams is closed after the
//! transport's `idleConnTimeout`; none is handed out for an address or for settings that are no more.

mod driver;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::sync::watch;

use self::driver::Driver;
use crate::limits;
use crate::service::{HttpTransport, Scheme, Server, ServerId, ServersTransport, TransportId};
use crate::tls::H2;
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
    /// One is being opened.
    opening: Option<Opening>,
    /// When the server last chose HTTP/1.1: nobody waits to share a connection that cannot be shared.
    http1_since: Option<Instant>,
}

/// `true` once the connection takes requests. When the sender is gone, it never will, or has.
type Opening = watch::Receiver<bool>;

struct Connection {
    requests: SendRequest<Bytes>,
    peer: SocketAddr,
    /// Streams in use.
    open: Cell<usize>,
    quiet_since: Cell<Instant>,
    idle_at_most: Option<Duration>,
    most_streams: usize,
    ended: Rc<Cell<bool>>,
    /// The settings it was opened under: gone with the last server that has them.
    settings: Weak<ServersTransport>,
}

/// How a request gets to its server.
pub enum Way {
    /// A stream of a connection that speaks HTTP/2.
    Http2(Slot),
    /// A connection of its own, in HTTP/1.1.
    Http1(Transport),
}

/// Room for one request, until it is dropped.
pub struct Slot {
    /// Ready for one request.
    pub requests: SendRequest<Bytes>,
    connection: Rc<Connection>,
}

impl Slot {
    /// The server's address.
    pub fn peer_addr(&self) -> SocketAddr {
        self.connection.peer
    }
}

impl Multiplexed {
    /// Room on an open connection.
    pub fn take(&self, server: &Server) -> Option<Slot> {
        let mut servers = self.servers.borrow_mut();
        let known = servers.get_mut(&key(server))?;
        known.connections.retain(|one| one.is_of_use());
        let mut current = known.connections.iter();
        current.find_map(|one| match server.addresses.contains(&one.peer) {
            true => one.slot(),
            false => None,
        })
    }

    /// Room on a connection, which `connect` opens if it must; or that connection, if HTTP/1.1 was agreed on. For a
    /// server that [may speak HTTP/2](Server::may_speak_http2).
    ///
    /// # Errors
    /// What `connect` says, or the server does not take the beginning of HTTP/2.
    pub async fn take_or_open(
        &self,
        server: &Server,
        connect: impl Future<Output = io::Result<Transport>>,
    ) -> io::Result<Way> {
        loop {
            if let Some(slot) = self.take(server) {
                return Ok(Way::Http2(slot));
            }
            let Some(mut opening) = self.opening(server) else {
                break;
            };
            // Who has waited for nothing waits no more: a server that fails each time would be asked one by one.
            if opening.wait_for(|opened| *opened).await.is_err() {
                break;
            }
        }
        let opened = self.begin(server);
        let transport = connect.await?;
        let chosen = transport.alpn();
        if server.scheme == Scheme::H2c || chosen.as_deref() == Some(H2) {
            return self.adopt(server, transport, opened).await.map(Way::Http2);
        }
        self.note(server, |known| known.http1_since = Some(uring::now()));
        Ok(Way::Http1(transport))
    }

    /// Takes over a new connection on which the server speaks HTTP/2.
    async fn adopt(
        &self,
        server: &Server,
        transport: Transport,
        opened: watch::Sender<bool>,
    ) -> io::Result<Slot> {
        let transport = Rc::new(transport);
        let duplex = Duplex::new(Rc::clone(&transport), limits::BODY_STALL);
        let heard = duplex.heard();
        let http = &server.transport.http;
        let began = builder(http).handshake(duplex).await;
        let (requests, frames) = began.map_err(io::Error::other)?;
        let connection = Rc::new(Connection {
            requests,
            peer: transport.peer_addr(),
            open: Cell::new(0),
            quiet_since: Cell::new(uring::now()),
            idle_at_most: http.idle_time,
            most_streams: http.streams,
            ended: Rc::default(),
            settings: Arc::downgrade(&server.transport),
        });
        let slot = connection.slot();
        let driver = Driver {
            transport,
            heard,
            ended: Rc::clone(&connection.ended),
            read_idle: http.read_idle,
            pong_within: http.ping,
        };
        self.note(server, |known| {
            known.connections.push(connection);
            known.http1_since = None;
        });
        tokio::task::spawn_local(driver.run(frames, opened));
        slot.ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }

    /// Closes what has ended, or had no stream for too long.
    pub fn sweep(&self) {
        let now = uring::now();
        let old = |since: &mut Instant| now.duration_since(*since) >= limits::UPSTREAM_HTTP1_KNOWN;
        self.servers.borrow_mut().retain(|_, known| {
            known.connections.retain(|one| one.is_of_use());
            known.opening.take_if(|opening| !is_open(opening));
            known.http1_since.take_if(old);
            !known.connections.is_empty() || known.opening.is_some() || known.http1_since.is_some()
        });
    }

    /// A connection that is worth waiting for.
    fn opening(&self, server: &Server) -> Option<Opening> {
        let servers = self.servers.borrow();
        let known = servers.get(&key(server))?;
        let opening = known.opening.as_ref().filter(|opening| is_open(opening));
        opening.filter(|_| known.http1_since.is_none()).cloned()
    }

    /// Lets others wait for what the sender says.
    fn begin(&self, server: &Server) -> watch::Sender<bool> {
        let (opened, opening) = watch::channel(false);
        self.note(server, |known| known.opening = Some(opening));
        opened
    }

    fn note(&self, server: &Server, what: impl FnOnce(&mut Known)) {
        what(self.servers.borrow_mut().entry(key(server)).or_default());
    }
}

fn is_open(opening: &Opening) -> bool {
    opening.has_changed().is_ok()
}

fn builder(http: &HttpTransport) -> Builder {
    // The crate takes less than it is told.
    let head_bytes = u32::try_from(http.head_bytes + 1).unwrap_or(u32::MAX);
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        // Until the server has said how many it takes: what it refuses cannot always be asked again.
        .initial_max_send_streams(1)
        .initial_window_size(limits::HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(limits::UPSTREAM_HTTP2_WINDOW)
        .max_header_list_size(head_bytes)
        .max_send_buffer_size(limits::HTTP2_STREAM_SEND_BYTES);
    builder
}

impl Connection {
    fn slot(self: &Rc<Self>) -> Option<Slot> {
        let mut requests = self.requests.clone();
        // Nobody waits here: a connection that is not ready is passed over.
        let ready = requests.poll_ready(&mut Context::from_waker(Waker::noop()));
        if matches!(ready, Poll::Ready(Err(_))) {
            self.ended.set(true);
        }
        let allowed = requests.current_max_send_streams();
        let room = self.open.get() < allowed.min(self.most_streams);
        if !room || !matches!(ready, Poll::Ready(Ok(()))) {
            return None;
        }
        self.open.set(self.open.get() + 1);
        Some(Slot {
            requests,
            connection: Rc::clone(self),
        })
    }

    fn is_of_use(&self) -> bool {
        let quiet = uring::now().saturating_duration_since(self.quiet_since.get());
        let fresh = self.idle_at_most.is_none_or(|most| quiet < most);
        let idle_is_fine = fresh && self.settings.strong_count() > 0;
        !self.ended.get() && (self.open.get() > 0 || idle_is_fine)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let left = self.connection.open.get() - 1;
        self.connection.open.set(left);
        self.connection.quiet_since.set(uring::now());
    }
}
