//! A TCP connection over the ring.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::task::{Context, Poll};
use std::time::Instant;

use crate::uring::{Chunk, ChunkQueue};

/// A TCP connection (or any connected stream socket). All methods take `&self`: receiving and sending run at the same
/// time, each from one task. Dropping it cancels what is in flight and closes the descriptor.
pub struct Stream;

impl Stream {
    /// Connects with TCP_NODELAY set.
    ///
    /// # Errors
    /// What connect(2) says; `TimedOut` at the deadline. The deadline is forgotten once connected.
    pub async fn connect(_address: SocketAddr, _deadline: Option<Instant>) -> io::Result<Self> {
        todo!()
    }

    /// The next received bytes, never an empty chunk; `None` once the peer has finished sending. Cancel-safe: what
    /// arrives meanwhile waits for the next call.
    ///
    /// # Errors
    /// `ConnectionReset` and the like as recv(2) says (sticky), `TimedOut` past the stream's deadline.
    pub async fn recv(&self) -> io::Result<Option<Chunk>> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Poll form of [`recv`](Self::recv). Only the last waker is woken.
    pub fn poll_recv(&self, _cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        todo!()
    }

    /// What has been received already, without waiting: for gathering several chunks into one send.
    pub fn try_recv(&self) -> Option<Chunk> {
        todo!()
    }

    /// Gives bytes back: the next `recv` returns them. A lease is copied, as nobody is sending it.
    pub fn unread(&self, _chunk: Chunk) {
        todo!()
    }

    /// Sends all of the queue, gathering up to 16 chunks a time. One send at a time per stream. With `source`, the
    /// stream these bytes came from: if the peer does not take them within 10 ms, the rest and what `source` has
    /// received are copied out of the ring buffers, and `source` receives nothing more before this is sent.
    ///
    /// Dropping the future cancels the send; how much has gone is unknown then, so later sends fail with `BrokenPipe`.
    ///
    /// # Errors
    /// `BrokenPipe`, `ConnectionReset` as sendmsg(2) says, `TimedOut` past the stream's deadline. The queue's content is
    /// unspecified then.
    pub async fn send(&self, _queue: &mut ChunkQueue, _source: Option<&Stream>) -> io::Result<()> {
        todo!()
    }

    /// Sends FIN after what has been sent; receiving goes on.
    ///
    /// # Errors
    /// What shutdown(2) says.
    pub async fn shutdown_write(&self) -> io::Result<()> {
        todo!()
    }

    /// From when on a waiting `recv` or `send` fails with `TimedOut` and is cancelled (checked every 100 ms, so it
    /// may come that much late). `None`: never. Costs no timer. After `TimedOut` a later deadline makes the stream
    /// usable again, except that a send cut short cannot be resumed.
    pub fn set_deadline(&self, _deadline: Option<Instant>) {
        todo!()
    }

    /// Whether a pooled connection must not be reused: the peer has closed it, it failed, or bytes nobody asked for
    /// have arrived. Sees what the last loop turn saw; costs no syscall as the receive stays armed.
    pub fn is_spent(&self) -> bool {
        todo!()
    }

    /// The peer's address; an IPv4 address mapped into IPv6 is given as IPv4.
    pub fn peer_addr(&self) -> SocketAddr {
        todo!()
    }

    /// The local address; an IPv4 address mapped into IPv6 is given as IPv4.
    ///
    /// # Errors
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        todo!()
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        todo!()
    }
}
