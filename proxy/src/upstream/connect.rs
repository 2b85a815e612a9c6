//! Opening connections: one address after the other, TLS, and who the client is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use rustls::ClientConfig;
use rustls::client::{ClientSessionMemoryCache, Resumption};
use tracing::warn;

use crate::limits;
use crate::net::Stream;
use crate::proxy_protocol::{self, Addresses};
use crate::service::{Server, ServerId, ServerTls, TransportId};
use crate::tls::{H2, TlsError};
use crate::transport::Transport;
use crate::uring::{self, ChunkQueue};

/// What one worker remembers of connecting.
#[derive(Default)]
pub(super) struct Memory {
    tls: RefCell<HashMap<TransportId, OwnTls>>,
    /// When the log was told last that a server cannot be had.
    complained: RefCell<HashMap<ServerId, Instant>>,
}

/// This worker's own copy of a transport's TLS settings, with sessions to resume that no other worker looks at.
struct OwnTls {
    of: Weak<ClientConfig>,
    config: Arc<ClientConfig>,
    /// The same, without HTTP/2 among what is offered.
    http1: Arc<ClientConfig>,
}

/// What the server may choose from, where HTTP is spoken over TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// What its transport allows.
    All,
    /// HTTP/1.1.
    Http1,
}

impl Memory {
    /// A connection to the server, over TLS where it is spoken with that server; `avoid` is the address to try last.
    /// `client` is told to the server by the PROXY protocol, where its transport has it.
    pub(super) async fn connect(
        &self,
        server: &Server,
        avoid: Option<SocketAddr>,
        client: Option<Addresses>,
        offer: Offer,
    ) -> io::Result<Transport> {
        let connected = self.try_connect(server, avoid, client, offer).await;
        connected.inspect_err(|error| self.complain(server, error))
    }

    async fn try_connect(
        &self,
        server: &Server,
        avoid: Option<SocketAddr>,
        client: Option<Addresses>,
        offer: Offer,
    ) -> io::Result<Transport> {
        if let Some(reason) = &server.unresolved {
            return Err(io::Error::new(io::ErrorKind::NotFound, &**reason));
        }
        let transport = &server.transport;
        let handshake = transport.tls_handshake;
        let mut addresses = server.addresses.to_vec();
        // Stable: the others keep their order.
        addresses.sort_by_key(|address| Some(*address) == avoid);
        let stream = connect_to(&addresses, transport.dial_timeout).await?;
        stream.set_keepalive(transport.tcp.keep_alive);
        if let (Some(version), Some(client)) = (transport.tcp.proxy_protocol, client) {
            let header = proxy_protocol::encode(version, &client);
            let mut queue: ChunkQueue = [header].into_iter().collect();
            stream.send(&mut queue, None).await?;
        }
        let Some(tls) = &server.tls else {
            return Ok(Transport::plain(stream));
        };
        let config = self.own(transport.id, tls, offer);
        stream.set_deadline(handshake.map(|time| uring::now() + time));
        let transport = Transport::connect_tls(stream, &config, tls.name.clone()).await?;
        transport.set_deadline(None);
        Ok(transport)
    }

    /// Forgets what is of no more use.
    pub(super) fn sweep(&self) {
        let in_use = |own: &mut OwnTls| own.of.strong_count() > 0;
        self.tls.borrow_mut().retain(|_, own| in_use(own));
        let now = uring::now();
        let recent = |at: &mut Instant| now.duration_since(*at) < limits::UPSTREAM_COMPLAINT;
        self.complained.borrow_mut().retain(|_, at| recent(at));
    }

    fn own(&self, id: TransportId, tls: &ServerTls, offer: Offer) -> Arc<ClientConfig> {
        let mut known = self.tls.borrow_mut();
        let own = known.entry(id).or_insert_with(|| {
            let mut config = ClientConfig::clone(&tls.config);
            config.resumption = Resumption::store(sessions());
            // What it resumes is the same.
            let mut http1 = config.clone();
            http1.alpn_protocols.retain(|protocol| protocol != H2);
            OwnTls {
                of: Arc::downgrade(&tls.config),
                config: Arc::new(config),
                http1: Arc::new(http1),
            }
        });
        Arc::clone(match offer {
            Offer::All => &own.config,
            Offer::Http1 => &own.http1,
        })
    }

    /// Says in the log why a server cannot be had and what to do, once in a while.
    fn complain(&self, server: &Server, error: &io::Error) {
        let now = uring::now();
        let mut complained = self.complained.borrow_mut();
        let last = complained.get(&server.id);
        if last.is_some_and(|last| now.duration_since(*last) < limits::UPSTREAM_COMPLAINT) {
            return;
        }
        complained.insert(server.id, now);
        let tls = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<TlsError>());
        let remedy = tls.map_or("", TlsError::remedy);
        let separator = if remedy.is_empty() { "" } else { "; " };
        warn!(
            server = &*server.name,
            transport = &*server.transport.name,
            "no connection to the server: {error}{separator}{remedy}"
        );
    }
}

/// Remembers eight sessions for each of the servers that it has met last.
fn sessions() -> Arc<ClientSessionMemoryCache> {
    Arc::new(ClientSessionMemoryCache::new(limits::UPSTREAM_TLS_SESSIONS))
}

/// Connects to the first of these addresses that answers, as RFC 8305 ("Happy Eyeballs") has it: families take turns,
/// the next address is tried when one has failed, or beside it after [`limits::UPSTREAM_STAGGER`].
///
/// # Errors
/// What the last address said; `TimedOut` after `within`.
pub async fn connect_to(addresses: &[SocketAddr], within: Option<Duration>) -> io::Result<Stream> {
    let deadline = within.map(|within| uring::now() + within);
    match addresses {
        [address] => Stream::connect(*address, deadline).await,
        addresses => race(&taking_turns(addresses), deadline).await,
    }
}

async fn race(addresses: &[SocketAddr], deadline: Option<Instant>) -> io::Result<Stream> {
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut waiting = addresses.iter();
    loop {
        match waiting.next() {
            Some(address) => attempts.push(Stream::connect(*address, deadline)),
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let mut patience = pin!(tokio::time::sleep(limits::UPSTREAM_STAGGER));
        tokio::select! {
            biased;
            Some(outcome) = attempts.next() => match outcome {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = &mut patience, if waiting.len() > 0 => {}
        }
    }
}

/// The addresses in their order, but one family after the other, beginning with that of the first.
fn taking_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses
        .iter()
        .copied()
        .partition(|address: &SocketAddr| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::with_capacity(addresses.len());
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests;
