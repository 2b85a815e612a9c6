//! What looks after all sockets of a worker now and then, so that none needs a timer of its own.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::socket::Socket;
use crate::limits::{DEADLINE_TICK, STALL_TICK};
use crate::uring::{self, Driver};

/// The sweeps of one worker.
pub(super) struct Sweep {
    pub(super) stalls: Ticker,
    pub(super) deadlines: Ticker,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Sweep>>> = const { RefCell::new(None) };
}

impl Sweep {
    /// This worker's, started if need be.
    pub(super) fn current(driver: &Driver) -> Rc<Self> {
        if let Some(sweep) = CURRENT.with_borrow(Clone::clone) {
            return sweep;
        }
        let sweep = Rc::new(Self {
            stalls: Ticker::new(STALL_TICK, Socket::check_stall),
            deadlines: Ticker::new(DEADLINE_TICK, |socket| socket.check_deadline()),
        });
        CURRENT.set(Some(Rc::clone(&sweep)));
        let (stalls, deadlines) = (Running(Rc::clone(&sweep)), Running(Rc::clone(&sweep)));
        driver.spawn(async move { stalls.0.stalls.run().await });
        driver.spawn(async move { deadlines.0.deadlines.run().await });
        sweep
    }
}

/// A running task of the sweep: it ends with its runtime, and with it everything listed.
struct Running(Rc<Sweep>);

impl Drop for Running {
    fn drop(&mut self) {
        CURRENT.take();
        self.0.stalls.listed.borrow_mut().clear();
        self.0.deadlines.listed.borrow_mut().clear();
    }
}

/// Looks at listed sockets at a period, while there are any.
pub(super) struct Ticker {
    period: Duration,
    /// Whether to look again.
    check: fn(&Rc<Socket>) -> bool,
    listed: RefCell<Vec<Rc<Socket>>>,
    waker: Cell<Option<Waker>>,
}

impl Ticker {
    fn new(period: Duration, check: fn(&Rc<Socket>) -> bool) -> Self {
        Self {
            period,
            check,
            listed: RefCell::default(),
            waker: Cell::new(None),
        }
    }

    /// Lists a socket until its check says no.
    pub(super) fn add(&self, socket: Rc<Socket>) {
        self.listed.borrow_mut().push(socket);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    async fn run(&self) -> io::Result<()> {
        loop {
            poll_fn(|cx| match self.listed.borrow().is_empty() {
                false => Poll::Ready(()),
                true => {
                    self.waker.set(Some(cx.waker().clone()));
                    Poll::Pending
                }
            })
            .await;
            tokio::time::sleep(self.period).await;
            let Some(driver) = uring::current() else {
                continue;
            };
            driver.woke();
            for socket in self.listed.take() {
                let before = driver.copied_in_turn();
                if (self.check)(&socket) {
                    self.listed.borrow_mut().push(socket);
                }
                if driver.copied_in_turn() > before {
                    driver.copy_turn().await;
                }
            }
        }
    }
}
