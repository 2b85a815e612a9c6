//! Requests that wait for a server which has as many as it may: one worker's part of the line before its
//! [`Gate`](crate::service::Gate).
//!
//! Whose turn has come is seen at once where one of this worker's leaves, and within [`limits::QUEUE_LOOK`] where one
//! of another's does: no worker wakes another. Who gives up is out of the line at once, at the gate and here.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::limits;
use crate::service::{Cap, Entry, Rank, Readiness, Server, ServerId, Ticket};

/// Those of one worker that wait.
pub struct Queues {
    readiness: Readiness,
    lines: RefCell<HashMap<ServerId, Line>>,
    ticking: Cell<bool>,
    /// Counts those that have ever waited.
    arrivals: Cell<u64>,
    /// A server that somebody waits for has been drained, or is worse.
    worse: Notify,
}

/// Those that wait for one server, in the order of their tickets.
struct Line {
    waiting: VecDeque<Waiting>,
    /// How the server was when that was last looked at.
    standing: Rank,
}

/// One that waits, as its line knows it.
struct Waiting {
    arrival: u64,
    cap: Cap,
    ticket: Ticket,
    turn: Rc<Turn>,
}

#[derive(Default)]
struct Turn {
    state: Cell<State>,
    came: Notify,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Waits,
    /// It may go on, and is out of the line.
    Came,
    /// It went on.
    Gone,
}

/// One of those that the server may have at one time, until dropped.
pub struct Place {
    queues: Rc<Queues>,
    server: ServerId,
    cap: Cap,
}

/// One that waits, until dropped.
struct Waiter<'w> {
    queues: &'w Rc<Queues>,
    server: ServerId,
    cap: &'w Cap,
    arrival: u64,
    turn: Rc<Turn>,
}

impl Queues {
    /// Those of a worker. Whose servers are drained or worse, this table says.
    pub fn new(readiness: Readiness) -> Rc<Self> {
        Rc::new(Self {
            readiness,
            lines: RefCell::default(),
            ticking: Cell::new(false),
            arrivals: Cell::new(0),
            worse: Notify::new(),
        })
    }

    /// A place at the server; none is needed where it has no cap. Dropped before its end it has given up.
    ///
    /// # Errors
    /// Too many wait, or it has taken too long.
    pub async fn enter(self: &Rc<Self>, server: &Server) -> Result<Option<Place>, Failure> {
        let Some(cap) = &server.cap else {
            return Ok(None);
        };
        match cap.enter() {
            Entry::Enters => Ok(Some(Place::new(self, server.id, cap))),
            Entry::Full => Err(Failure::QueueFull),
            Entry::Waits(ticket) => {
                let waiter = self.line_up(server.id, cap, ticket);
                match timeout(cap.patience, waiter.turn.came.notified()).await {
                    Ok(()) => Ok(Some(waiter.take())),
                    Err(_) => Err(Failure::QueueTimeout),
                }
            }
        }
    }

    /// Resolves when a server that some wait for is drained, goes down or into maintenance: maybe another serves them.
    pub async fn worse(&self) {
        self.worse.notified().await;
    }

    fn line_up<'w>(
        self: &'w Rc<Self>,
        server: ServerId,
        cap: &'w Cap,
        ticket: Ticket,
    ) -> Waiter<'w> {
        let (turn, arrival) = (Rc::new(Turn::default()), self.arrivals.get());
        self.arrivals.set(arrival + 1);
        let mut lines = self.lines.borrow_mut();
        let line = lines.entry(server).or_insert_with(|| Line {
            waiting: VecDeque::new(),
            standing: self.readiness.standing(server),
        });
        line.waiting.push_back(Waiting {
            arrival,
            cap: cap.clone(),
            ticket,
            turn: Rc::clone(&turn),
        });
        if !self.ticking.replace(true) {
            tokio::task::spawn_local(tick(Rc::clone(self)));
        }
        Waiter {
            queues: self,
            server,
            cap,
            arrival,
            turn,
        }
    }

    /// Lets those go on whose turn has come.
    fn advance(&self, server: ServerId) {
        let mut lines = self.lines.borrow_mut();
        let Some(line) = lines.get_mut(&server) else {
            return;
        };
        let comes = |first: &mut Waiting| first.cap.is_turn(first.ticket);
        while let Some(Waiting { turn, .. }) = line.waiting.pop_front_if(comes) {
            turn.state.set(State::Came);
            turn.came.notify_one();
        }
        if line.waiting.is_empty() {
            lines.remove(&server);
        }
    }

    /// Takes one out of the line that gives up; its ticket.
    fn take_out(&self, server: ServerId, arrival: u64) -> Option<Ticket> {
        let mut lines = self.lines.borrow_mut();
        let waiting = &mut lines.get_mut(&server)?.waiting;
        let place = waiting.binary_search_by_key(&arrival, |one| one.arrival);
        waiting.remove(place.ok()?).map(|one| one.ticket)
    }

    /// Whether a server that some wait for is drained or worse since the last look.
    fn has_worse(&self) -> bool {
        let mut any = false;
        for (server, line) in self.lines.borrow_mut().iter_mut() {
            let now = self.readiness.standing(*server);
            any |= now > std::mem::replace(&mut line.standing, now);
        }
        any
    }
}

/// Looks for what others have left, while anybody waits.
async fn tick(queues: Rc<Queues>) {
    loop {
        tokio::time::sleep(limits::QUEUE_LOOK).await;
        let servers: Vec<ServerId> = queues.lines.borrow().keys().copied().collect();
        servers
            .into_iter()
            .for_each(|server| queues.advance(server));
        if queues.has_worse() {
            queues.worse.notify_waiters();
        }
        if queues.lines.borrow().is_empty() {
            queues.ticking.set(false);
            return;
        }
    }
}

impl Place {
    fn new(queues: &Rc<Queues>, server: ServerId, cap: &Cap) -> Self {
        Self {
            queues: Rc::clone(queues),
            server,
            cap: cap.clone(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.cap.leave();
        self.queues.advance(self.server);
    }
}

impl Waiter<'_> {
    /// Its turn has come.
    fn take(&self) -> Place {
        self.turn.state.set(State::Gone);
        Place::new(self.queues, self.server, self.cap)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        match self.turn.state.get() {
            State::Waits => {
                if let Some(ticket) = self.queues.take_out(self.server, self.arrival) {
                    self.cap.give_up(ticket);
                }
                self.queues.advance(self.server);
            }
            // It has not seen that any more.
            State::Came => drop(self.take()),
            State::Gone => {}
        }
    }
}
