//! A connection's bytes, in the clear or through TLS: where [`crate::net`] and [`crate::tls`] meet.
//!
//! Owns: the stream and, where there is one, its TLS session. Never: what the bytes mean. Invariants: a ring buffer is
//! given back as soon as TLS has read it; plaintext that waits is owned memory, at most what one receive brought; what
//! TLS has encrypted counts as copied out until it is sent.

mod duplex;

pub use duplex::Duplex;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{ServerName, UnixTime};

use crate::limits;
use crate::net::{Peer, Stream};
use crate::tls::{Session, Terms, TlsError};
use crate::uring::{self, Chunk, ChunkQueue};

/// One side of a relay. Receiving and sending may run at the same time, each from one task.
pub struct Transport {
    stream: Stream,
    /// Boxed: it is ten times as large as the rest.
    tls: Option<Box<Tls>>,
}

struct Tls {
    session: RefCell<Session>,
    /// Plaintext that came with what an earlier call returned.
    waiting: RefCell<ChunkQueue>,
    /// The peer has said that it sends no more.
    closed: Cell<bool>,
    /// A send is under way: nothing else may be sent beside it.
    sending: Cell<bool>,
}

impl Transport {
    /// Bytes as they come.
    pub fn plain(stream: Stream) -> Self {
        Self { stream, tls: None }
    }

    /// Answers the TLS handshake of a client. Whoever calls sets the stream's deadline.
    ///
    /// # Errors
    /// What receiving and sending say; `InvalidData` where the client broke the protocol (an alert was sent).
    pub async fn accept_tls(
        stream: Stream,
        config: &Arc<rustls::ServerConfig>,
    ) -> io::Result<Self> {
        let session = Session::server(config).map_err(io::Error::other)?;
        Self::handshake(stream, session, Vec::new()).await
    }

    /// Does the TLS handshake with a server, which must prove to be `name`. Whoever calls sets the stream's deadline.
    ///
    /// # Errors
    /// What receiving and sending say; `InvalidData` with a [`TlsError`] inside where the server's certificate is not
    /// accepted, or it broke the protocol (an alert was sent).
    pub async fn connect_tls(
        stream: Stream,
        config: &Arc<rustls::ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let mut hello = Vec::new();
        let session = Session::client(config, name, &mut hello).map_err(io::Error::other)?;
        Self::handshake(stream, session, hello).await
    }

    /// Sends `flight`, if there is one, and goes on until the handshake has ended.
    async fn handshake(stream: Stream, session: Session, flight: Vec<u8>) -> io::Result<Self> {
        let tls = Box::new(Tls {
            session: RefCell::new(session),
            waiting: RefCell::default(),
            closed: Cell::new(false),
            sending: Cell::new(false),
        });
        let mut transport = Self::plain(stream);
        if !flight.is_empty() {
            let flight = [flight].into_iter().collect();
            transport.send_wire(&tls, flight, None).await?;
        }
        while tls.session.borrow().is_handshaking() {
            if !transport.receive_tls(&tls).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        transport.tls = Some(tls);
        Ok(transport)
    }

    /// The next bytes, never none; `None` at the end.
    ///
    /// # Errors
    /// As [`Stream::recv`]; `InvalidData` where the peer broke TLS, `UnexpectedEof` where it left without close_notify.
    pub async fn recv(&self) -> io::Result<Option<Chunk>> {
        let Some(tls) = &self.tls else {
            return self.stream.recv().await;
        };
        loop {
            if let Some(chunk) = tls.waiting.borrow_mut().pop() {
                return Ok(Some(chunk));
            }
            if !self.receive_tls(tls).await? {
                return Ok(None);
            }
        }
    }

    /// What is there already, without waiting.
    pub fn try_recv(&self) -> Option<Chunk> {
        match &self.tls {
            None => self.stream.try_recv(),
            Some(tls) => tls.waiting.borrow_mut().pop(),
        }
    }

    /// Appends what is there already, up to what one send takes.
    pub fn gather(&self, queue: &mut ChunkQueue) {
        while queue.len() < limits::SEND_CHUNKS
            && let Some(chunk) = self.try_recv()
        {
            queue.push(chunk);
        }
    }

    /// Gives bytes back: the next receive returns them.
    pub fn unread(&self, chunk: Chunk) {
        match &self.tls {
            None => self.stream.unread(chunk),
            Some(tls) => tls.waiting.borrow_mut().push_front(chunk.into_owned()),
        }
    }

    /// Sends all of it. `source` is the side it came from, whose receive pauses while this peer does not read.
    ///
    /// # Errors
    /// As [`Stream::send`].
    pub async fn send(&self, queue: &mut ChunkQueue, source: Option<&Self>) -> io::Result<()> {
        let source = source.map(|transport| &transport.stream);
        let Some(tls) = &self.tls else {
            return self.stream.send(queue, source).await;
        };
        let wire = tls.seal(queue).map_err(invalid)?;
        self.send_wire(tls, wire, source).await
    }

    /// Says that nothing more will be sent; receiving goes on.
    ///
    /// # Errors
    /// As [`Stream::shutdown_write`].
    pub async fn shutdown_write(&self) -> io::Result<()> {
        if let Some(tls) = &self.tls {
            let mut wire = Vec::new();
            tls.session.borrow_mut().close_notify(&mut wire);
            self.send_wire(tls, [wire].into_iter().collect(), None)
                .await?;
        }
        self.stream.shutdown_write()
    }

    /// Ends the connection cleanly, before it is dropped: says with TLS that nothing follows (`close_notify`, RFC 8446
    /// section 6.1), without which the peer must take the end for a truncation. Waits until the deadline at most. That
    /// it fails is of no interest: the peer is gone then.
    pub async fn close(&self) {
        if let Some(tls) = &self.tls {
            let mut wire = Vec::new();
            tls.session.borrow_mut().close_notify(&mut wire);
            let _ = self
                .send_wire(tls, [wire].into_iter().collect(), None)
                .await;
        }
    }

    /// Makes dropping the connection a reset; see [`Stream::abort`].
    pub fn abort(&self) {
        self.stream.abort();
    }

    /// From when on waiting fails with `TimedOut`; see [`Stream::set_deadline`].
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.stream.set_deadline(deadline);
    }

    /// Ends a connection on which nothing moves for this long; see [`Stream::set_stall`].
    pub fn set_stall(&self, stall: Duration) {
        self.stream.set_stall(stall);
    }

    /// For a tunnel: ends it once nothing has moved for this long, or never.
    pub fn set_idle(&self, idle: Option<Duration>) {
        match idle {
            Some(time) => self.stream.set_stall(time),
            None => self.stream.set_deadline(None),
        }
    }

    /// Whether the peer is still there; see [`Stream::peer`].
    pub fn peer(&self) -> Peer {
        self.stream.peer()
    }

    /// When a byte last moved; see [`Stream::last_moved`].
    pub fn last_moved(&self) -> Instant {
        self.stream.last_moved()
    }

    /// Whether an idle connection must not be used again; see [`Stream::is_spent`]. What TLS says between messages (new
    /// session tickets, new keys) is read and changes nothing; the peer's `close_notify` does.
    pub fn is_spent(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| self.is_tls_spent(tls)) || self.stream.is_spent()
    }

    fn is_tls_spent(&self, tls: &Tls) -> bool {
        let mut wire = Vec::new();
        while let Some(received) = self.stream.try_recv() {
            match tls.session.borrow_mut().feed(&received, &mut wire) {
                Ok(progress) if progress.plaintext.is_empty() && !progress.closed => {}
                _ => tls.closed.set(true),
            }
        }
        tls.closed.get() || !tls.waiting.borrow().is_empty()
    }

    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether TLS goes on with the session of an earlier connection.
    pub fn is_resumed(&self) -> bool {
        let resumed = |tls: &Tls| tls.session.borrow().is_resumed();
        self.tls.as_deref().is_some_and(resumed)
    }

    /// The protocol agreed on by ALPN: `h2`, `http/1.1`. `None` without TLS, or where none was agreed on.
    pub fn alpn(&self) -> Option<Vec<u8>> {
        let session = self.tls.as_ref()?.session.borrow();
        session.alpn().map(<[u8]>::to_vec)
    }

    /// The server that a client named, lower case; empty without TLS, or if it named none.
    pub fn server_name(&self) -> Box<str> {
        let name = |tls: &Tls| tls.session.borrow().server_name().map(Box::from);
        self.tls.as_deref().and_then(name).unwrap_or_default()
    }

    /// Whether a client that has resumed a session may still have it under these terms, at this time in seconds since
    /// 1970.
    ///
    /// # Errors
    /// `InvalidData`: what it showed when the session began is good no more.
    pub fn verify_resumed(&self, terms: &Terms, now: u64) -> io::Result<()> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let session = tls.session.borrow();
        if !session.is_resumed() {
            return Ok(());
        }
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let verified = terms.verify_resumed(session.peer_certificates(), now);
        verified.map_err(invalid)
    }

    /// The local address; see [`Stream::local_addr`].
    ///
    /// # Errors
    /// As [`Stream::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// As [`Stream::sent`], TLS's own bytes included.
    pub fn sent(&self) -> (u64, u64) {
        self.stream.sent()
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> SocketAddr {
        self.stream.peer_addr()
    }

    /// Receives once and lets TLS read it; answers what the handshake asks for, and a broken protocol with an alert,
    /// unless a send is under way. `false` once the peer has said that it sends no more.
    async fn receive_tls(&self, tls: &Tls) -> io::Result<bool> {
        if tls.closed.get() {
            return Ok(false);
        }
        let Some(received) = self.stream.recv().await? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let mut wire = Vec::new();
        let outcome = tls.session.borrow_mut().feed(&received, &mut wire);
        drop(received);
        let sent = match wire.is_empty() || tls.sending.get() {
            true => Ok(()),
            false => {
                self.send_wire(tls, [wire].into_iter().collect(), None)
                    .await
            }
        };
        let progress = outcome.map_err(invalid)?;
        sent?;
        tls.waiting.borrow_mut().push(progress.plaintext);
        tls.closed.set(progress.closed);
        Ok(true)
    }

    async fn send_wire(
        &self,
        tls: &Tls,
        mut wire: ChunkQueue,
        source: Option<&Stream>,
    ) -> io::Result<()> {
        tls.sending.set(true);
        let _sending = Sending(&tls.sending);
        self.stream.send(&mut wire, source).await
    }
}

impl Tls {
    /// Encrypts all of `queue`, whose ring buffers return meanwhile.
    fn seal(&self, queue: &mut ChunkQueue) -> Result<ChunkQueue, TlsError> {
        let mut wire = ChunkQueue::new();
        while !queue.is_empty() {
            let piece = queue.split_to(limits::TLS_SEAL_BYTES);
            let parts: Vec<IoSlice<'_>> = piece.iter().map(|chunk| IoSlice::new(chunk)).collect();
            let mut sealed = Vec::new();
            self.session.borrow_mut().seal(&parts, &mut sealed)?;
            wire.push(uring::hold(sealed));
        }
        Ok(wire)
    }
}

/// A send that is under way, also when its future is dropped.
struct Sending<'a>(&'a Cell<bool>);

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

fn invalid(error: TlsError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
