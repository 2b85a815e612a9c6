//! A TCP connection over the ring.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Type};

use super::socket::Socket;
use super::{canonical, keepalive};
use crate::limits::UNSENT_BYTES;
use crate::sys;
use crate::uring::{self, Chunk, ChunkQueue};

/// What is known of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// It may still send.
    Open,
    /// It has sent its end, and may still read.
    Finished,
    /// The connection has failed or is over.
    Gone,
}

/// A TCP connection (or any connected stream socket). All methods take `&self`: receiving and sending run at the same
/// time, each from one task. Dropping it cancels what is in flight and closes the descriptor.
pub struct Stream {
    socket: Rc<Socket>,
    peer: SocketAddr,
    /// The client's destination, where a proxy in between has said it.
    destination: Option<SocketAddr>,
}

impl Stream {
    /// Takes over a connected socket, which must be in blocking mode: a non-blocking one makes the ring give up with
    /// EAGAIN instead of waiting.
    ///
    /// # Errors
    /// `NotConnected` if the peer is gone; `Unsupported` outside a worker.
    pub fn from_descriptor(descriptor: OwnedFd) -> io::Result<Self> {
        let peer = SockRef::from(&descriptor)
            .peer_addr()?
            .as_socket()
            .ok_or(io::ErrorKind::NotConnected)?;
        Self::new(descriptor, peer)
    }

    fn new(descriptor: OwnedFd, peer: SocketAddr) -> io::Result<Self> {
        let driver = uring::current().ok_or(io::ErrorKind::Unsupported)?;
        Ok(Self {
            socket: Socket::new(driver, descriptor),
            peer: canonical(peer),
            destination: None,
        })
    }

    /// Connects with TCP_NODELAY, keep-alive probes and the limit of unsent bytes set.
    ///
    /// # Errors
    /// What connect(2) says; `TimedOut` at the deadline. The deadline is forgotten once connected.
    pub async fn connect(address: SocketAddr, deadline: Option<Instant>) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&keepalive())?;
        socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
        let stream = Self::new(socket.into(), address)?;
        stream.set_deadline(deadline);
        stream.socket.connect(address.into());
        poll_fn(|cx| stream.socket.poll_idle(cx)).await?;
        stream.set_deadline(None);
        Ok(stream)
    }

    /// The next received bytes, never an empty chunk; `None` once the peer has finished sending. Cancel-safe: what
    /// arrives meanwhile waits for the next call.
    ///
    /// # Errors
    /// `ConnectionReset` and the like as recv(2) says (sticky), `TimedOut` past the stream's deadline.
    pub async fn recv(&self) -> io::Result<Option<Chunk>> {
        self.socket.begin();
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Poll form of [`recv`](Self::recv). Only the last waker is woken.
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        self.socket.poll_recv(cx)
    }

    /// What has been received already, without waiting: for gathering several chunks into one send.
    pub fn try_recv(&self) -> Option<Chunk> {
        self.socket.take_received()
    }

    /// Gives bytes back: the next `recv` returns them. A lease is copied, as nobody is sending it.
    pub fn unread(&self, chunk: Chunk) {
        self.socket.unread(chunk);
    }

    /// Sends all of the queue, gathering up to 16 chunks a time. One send at a time per stream. With `source`, the
    /// stream these bytes came from: if the peer does not take them within 10 ms, the rest and what `source` has
    /// received are copied out of the ring buffers, and `source` receives nothing more before this is sent. Owned bytes
    /// too keep their source waiting so.
    ///
    /// Dropping the future cancels the send; how much has gone is unknown then, so later sends fail with `BrokenPipe`.
    ///
    /// # Errors
    /// `BrokenPipe`, `ConnectionReset` as sendmsg(2) says, `TimedOut` past the stream's deadline; all are final. The
    /// queue's content is unspecified then.
    pub async fn send(&self, queue: &mut ChunkQueue, source: Option<&Stream>) -> io::Result<()> {
        self.socket.begin();
        let unfinished = Unfinished(&self.socket);
        let sent = poll_fn(|cx| self.poll_send(cx, queue, source)).await;
        std::mem::forget(unfinished);
        sent
    }

    /// Poll form of [`send`](Self::send), which must be polled to its end before another send.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        queue: &mut ChunkQueue,
        source: Option<&Stream>,
    ) -> Poll<io::Result<()>> {
        self.socket
            .poll_send(cx, queue, source.map(|source| &source.socket))
    }

    /// Sends FIN after what has been sent; receiving goes on.
    ///
    /// # Errors
    /// What shutdown(2) says.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.with_socket(|socket| socket.shutdown(std::net::Shutdown::Write))
    }

    /// Resolves when the connection has failed while nobody may be receiving: reset by the peer, or its keep-alive
    /// probes unanswered. Not when the peer has merely finished sending, which says nothing of whether it still reads,
    /// nor past the deadline. Takes no bytes: what arrives waits for [`recv`](Self::recv), and once some do nothing is
    /// noticed before they are read. Cancel-safe; one task at a time.
    pub async fn ended(&self) {
        let _watching = Watching(&self.socket);
        poll_fn(|cx| self.socket.poll_ended(cx)).await;
    }

    /// Makes the descriptor's close a reset (SO_LINGER of zero, socket(7)): the peer must not take what it has for all
    /// there is. What is not sent yet is lost. Takes effect when the stream is dropped.
    pub fn abort(&self) {
        // Refused only where the connection is gone already.
        let _ = self.with_socket(|socket| socket.set_linger(Some(Duration::ZERO)));
    }

    /// How long nothing may move before the first TCP keep-alive probe; `None`: no probes.
    pub fn set_keepalive(&self, idle: Option<Duration>) {
        // Refused only where the connection is gone already.
        let _ = self.with_socket(|socket| match idle {
            Some(idle) => {
                socket.set_tcp_keepalive(&keepalive().with_time(idle).with_interval(idle))
            }
            None => socket.set_keepalive(false),
        });
    }

    /// From when on a waiting `recv` or `send` fails with `TimedOut` and is cancelled (checked every 100 ms, so it
    /// may come that much late). `None`: never. Costs no timer. After `TimedOut` a later deadline makes the stream
    /// usable again, except that a send cut short cannot be resumed.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.socket.set_deadline(deadline);
    }

    /// From now on a deadline that is renewed by each `recv` and `send` when it begins, and by every byte that moves in
    /// either direction: it ends a connection on which nothing moves for this long, however long the whole takes. A
    /// peer that reads slowly makes progress when its TCP acknowledges more; told to an eighth of `stall`.
    pub fn set_stall(&self, stall: Duration) {
        self.socket.set_stall(stall);
    }

    /// Whether the peer is still there, as the kernel knows it: also while received bytes wait to be read, when no
    /// receive would tell.
    pub fn peer(&self) -> Peer {
        match self.socket.tcp_info().map(|info| info.state) {
            Some(sys::TCP_CLOSE) | None => Peer::Gone,
            Some(sys::TCP_CLOSE_WAIT | sys::TCP_LAST_ACK | sys::TCP_CLOSING) => Peer::Finished,
            Some(_) => Peer::Open,
        }
    }

    /// How many bytes the kernel has taken for the peer in all, and how many of them the peer has acknowledged; zero
    /// where the kernel does not tell.
    pub fn sent(&self) -> (u64, u64) {
        let info = self.socket.tcp_info();
        info.map_or((0, 0), |info| (info.taken, info.acknowledged))
    }

    /// When a byte last moved in either direction, as far as is known: what the peer of a long send has acknowledged
    /// is looked at now and then only, and only with [`set_stall`](Self::set_stall).
    pub fn last_moved(&self) -> Instant {
        self.socket.last_moved.get()
    }

    /// Whether a pooled connection must not be reused: the peer has closed it, it failed, or bytes nobody asked for
    /// have arrived. Costs no syscall while the receive stays armed (it then sees what the last loop turn saw);
    /// otherwise it looks, and arms the receive.
    pub fn is_spent(&self) -> bool {
        self.socket.send_failed() || self.socket.spent()
    }

    /// From now on these are the peer's and the local address: a proxy in between has said for whom it connects.
    pub fn set_addresses(&mut self, peer: SocketAddr, local: SocketAddr) {
        self.peer = canonical(peer);
        self.destination = Some(canonical(local));
    }

    /// The peer's address; an IPv4 address mapped into IPv6 is given as IPv4.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// The local address; an IPv4 address mapped into IPv6 is given as IPv4.
    ///
    /// # Errors
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        if let Some(destination) = self.destination {
            return Ok(destination);
        }
        let address = self.with_socket(|socket| socket.local_addr())?;
        address
            .as_socket()
            .map(canonical)
            .ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    pub(super) fn with_socket<T>(
        &self,
        ask: impl FnOnce(SockRef<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        match &*self.socket.descriptor.borrow() {
            Some(descriptor) => ask(SockRef::from(descriptor)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.raw
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.socket.close();
    }
}

/// Somebody waits for the connection's failure.
struct Watching<'a>(&'a Socket);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.receive.unwatch();
    }
}

/// A send whose future may be dropped before its end.
struct Unfinished<'a>(&'a Socket);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.abandon_send();
    }
}
