//! Listening sockets.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::coop;

use super::{Stream, closing, keepalive};
use crate::limits::{ACCEPT_AHEAD, LISTENER_QUIET, UNSENT_BYTES};
use crate::uring::{self, Completion, Driver, Owner, Token};

/// What a listening socket is made with. SO_REUSEADDR, TCP_NODELAY, keep-alive probes and the limit of
/// unsent bytes (all but the first inherited by every connection) are always set.
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
pub struct Listener(Rc<Accepting>);

impl Listener {
    /// Binds and listens. Outside a worker only to find out whether the address can be bound.
    ///
    /// # Errors
    /// What socket(2), bind(2) and listen(2) say.
    pub fn bind(address: SocketAddr, options: &ListenerOptions) -> io::Result<Self> {
        // Blocking mode: with O_NONBLOCK the ring gives up with EAGAIN instead of waiting.
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&keepalive())?;
        socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
        if options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if address.is_ipv6() {
            socket.set_only_v6(options.v6_only)?;
        }
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        Ok(Self(Rc::new(Accepting::new(socket))))
    }

    /// The bound address, with the port the kernel chose if 0 was asked for.
    ///
    /// # Errors
    /// What getsockname(2) says; `NotConnected` after [`stop`](Self::stop).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let socket = self.0.socket.borrow();
        let socket = socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// The next connection. Cancel-safe. A connection that is gone already is skipped.
    ///
    /// # Errors
    /// Out of descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM): pause and call again. `BrokenPipe` after
    /// [`stop`](Self::stop). `Unsupported` outside a worker.
    pub async fn accept(&self) -> io::Result<Stream> {
        loop {
            let descriptor = poll_fn(|cx| self.0.poll_accept(cx)).await?;
            match Stream::from_descriptor(descriptor) {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                accepted => return accepted,
            }
        }
    }

    /// Stops accepting, takes what the kernel has completed already, and closes the socket, in this order: closing
    /// resets what nobody has accepted, and left open the kernel would go on to complete handshakes for nobody. Beside
    /// others that share its port nothing completes in the last [`LISTENER_QUIET`] (see `closing`). Returns the
    /// connections taken. `accept` fails from here on.
    ///
    /// # Errors
    /// What accept4(2) says; connections taken so far are dropped then, and the socket is closed all the same.
    pub async fn stop(&self) -> io::Result<Vec<Stream>> {
        let accepting = &self.0;
        accepting.stopped.set(true);
        accepting.cancel();
        accepting.wake();
        poll_fn(|cx| accepting.poll_disarmed(cx)).await;
        let Some(socket) = accepting.socket.take() else {
            return Ok(Vec::new());
        };
        socket.set_nonblocking(true)?;
        let mut drained: Vec<OwnedFd> = accepting.queue.take().into();
        let quiet = closing::migrates() && closing::syns_only(&socket);
        if quiet {
            tokio::time::sleep(LISTENER_QUIET).await;
        }
        loop {
            match socket.accept() {
                Ok((connection, _)) => {
                    if quiet {
                        closing::take_everything(&connection);
                    }
                    drained.push(connection.into());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if transient(error.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
        drop(socket);
        Ok(drained
            .into_iter()
            .filter_map(|descriptor| Stream::from_descriptor(descriptor).ok())
            .collect())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.stopped.set(true);
        self.0.cancel();
    }
}

/// Concerns a connection that failed before it was accepted (accept(2), "error handling"), or nobody.
fn transient(code: Option<i32>) -> bool {
    matches!(
        code,
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EAGAIN
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
        )
    )
}

/// The listening socket and what it has accepted. Lives until its multishot accept has ended.
struct Accepting {
    /// None once stopped.
    socket: RefCell<Option<Socket>>,
    queue: RefCell<VecDeque<OwnedFd>>,
    armed: Cell<Option<(Rc<Driver>, Token)>>,
    failed: Cell<Option<i32>>,
    stopped: Cell<bool>,
    waker: Cell<Option<Waker>>,
    disarmed: Cell<Option<Waker>>,
}

impl Accepting {
    fn new(socket: Socket) -> Self {
        Self {
            socket: RefCell::new(Some(socket)),
            queue: RefCell::default(),
            armed: Cell::new(None),
            failed: Cell::new(None),
            stopped: Cell::new(false),
            waker: Cell::new(None),
            disarmed: Cell::new(None),
        }
    }

    fn poll_accept(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<io::Result<OwnedFd>> {
        let budget = ready!(coop::poll_proceed(cx));
        if self.stopped.get() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if let Some(descriptor) = self.queue.borrow_mut().pop_front() {
            budget.made_progress();
            return Poll::Ready(Ok(descriptor));
        }
        if let Some(code) = self.failed.take() {
            return Poll::Ready(Err(io::Error::from_raw_os_error(code)));
        }
        self.arm()?;
        self.waker.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn poll_disarmed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let armed = self.armed.take();
        if armed.is_none() {
            return Poll::Ready(());
        }
        self.armed.set(armed);
        self.disarmed.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn arm(self: &Rc<Self>) -> io::Result<()> {
        let armed = match self.armed.take() {
            Some(armed) => armed,
            None => {
                let driver = uring::current().ok_or(io::ErrorKind::Unsupported)?;
                let socket = self.socket.borrow();
                let socket = socket.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
                let token = driver.accept(Rc::clone(self) as Rc<dyn Owner>, socket.as_raw_fd());
                (driver, token)
            }
        };
        self.armed.set(Some(armed));
        Ok(())
    }

    fn cancel(&self) {
        if let Some((driver, token)) = self.armed.take() {
            driver.cancel(token);
            self.armed.set(Some((driver, token)));
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Owner for Accepting {
    fn complete(self: Rc<Self>, done: Completion) {
        if done.terminal {
            self.armed.take();
            if let Some(waker) = self.disarmed.take() {
                waker.wake();
            }
        }
        match (done.accepted, done.result) {
            (Some(descriptor), _) => self.queue.borrow_mut().push_back(descriptor),
            (None, Err(error))
                if error.raw_os_error() == Some(libc::ECANCELED)
                    || transient(error.raw_os_error()) => {}
            (None, Err(error)) => self.failed.set(error.raw_os_error()),
            (None, Ok(_)) => {}
        }
        if !done.terminal && self.queue.borrow().len() == ACCEPT_AHEAD {
            self.cancel();
        }
        // Also when there is nothing to take: a waiting `accept` arms again.
        self.wake();
    }
}
