//! Clients that speak HTTP/2 (RFC 9113).
//!
//! The `h2` crate speaks the protocol over the connection's transport; each of its streams is one exchange, carried out
//! as an HTTP/1.1 request is. Owns: what belongs to one connection ([`Shared`]), and the budget of receive windows.
//! Invariants: a stream that is not read buffers no more than its window, one whose client does not read no more than
//! [`crate::limits::HTTP2_STREAM_SEND_BYTES`]; what the meter objects to never reaches the crate.

mod body;
mod client;
mod connection;
mod metered;
mod preface;
mod server;
mod stalled;
mod windows;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

pub use connection::serve;
pub use preface::sniff;
pub use windows::Windows;

use super::Worker;
use super::decision::Visitor;
use crate::http2::{Abuse, Meter, Verdict};
use crate::router::Agreed;
use crate::transport::Transport;
use crate::uring;

/// What a connection and its streams share.
struct Shared {
    worker: Rc<Worker>,
    transport: Rc<Transport>,
    entry_point: usize,
    agreed: Option<Agreed>,
    address: SocketAddr,
    meter: RefCell<Meter>,
    /// Bytes written that the kernel may not have yet.
    waiting: Cell<usize>,
    /// Why the connection must end.
    verdict: Cell<Option<Verdict>>,
    /// Streams being served.
    open: Cell<usize>,
    /// When the last of them ended.
    quiet_since: Cell<Instant>,
    /// The connection's task.
    waker: Cell<Option<Waker>>,
}

impl Shared {
    fn new(
        worker: &Rc<Worker>,
        transport: Transport,
        entry_point: usize,
        agreed: Option<Agreed>,
    ) -> Rc<Self> {
        let now = uring::now();
        let allowed = worker.config.entry_points[entry_point].http2.allowed;
        Rc::new(Self {
            worker: Rc::clone(worker),
            address: transport.peer_addr(),
            transport: Rc::new(transport),
            entry_point,
            agreed,
            meter: RefCell::new(Meter::new(allowed, now)),
            waiting: Cell::new(0),
            verdict: Cell::new(None),
            open: Cell::new(0),
            quiet_since: Cell::new(now),
            waker: Cell::new(None),
        })
    }

    fn visitor(&self) -> Visitor<'_> {
        Visitor {
            worker: &self.worker,
            entry_point: self.entry_point,
            address: self.address,
            tls: self.transport.is_tls(),
            agreed: self.agreed.as_ref(),
        }
    }

    /// Notes what the meter says.
    fn judge(&self, outcome: Result<(), Verdict>) -> bool {
        if let Err(verdict) = outcome {
            self.verdict.set(Some(verdict));
            self.wake();
        }
        outcome.is_ok()
    }

    /// Counts what a stream has seen of its client.
    fn count(&self, shape: Abuse) {
        let outcome = self.meter.borrow_mut().count(shape, uring::now());
        self.judge(outcome);
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A stream that is being served.
struct Open(Rc<Shared>);

impl Open {
    fn new(shared: &Rc<Shared>) -> Self {
        shared.open.set(shared.open.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let left = self.0.open.get() - 1;
        self.0.open.set(left);
        if left == 0 {
            self.0.quiet_since.set(uring::now());
            self.0.wake();
        }
    }
}
