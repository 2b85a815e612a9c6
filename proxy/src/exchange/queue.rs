//! Requests that wait for a server which has as many as it may: one worker's part of the lines of [`Gates`].
//!
//! Whose turn has come is seen at once where one of this worker's leaves, and within [`limits::QUEUE_LOOK`] where one
//! of another's does: no worker wakes another. Who gives up keeps its place, and leaves when its turn comes.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::limits;
use crate::service::{Cap, Entry, Gates, Server, ServerId, Ticket};

/// Those of one worker that wait.
pub struct Queues {
    gates: Gates,
    lines: RefCell<HashMap<ServerId, Line>>,
    ticking: Cell<bool>,
}

/// Those that wait for one server.
struct Line {
    server: Arc<Server>,
    /// In the order of their tickets.
    waiting: VecDeque<(Cap, Ticket, Rc<Turn>)>,
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
    /// It may go on.
    Came,
    /// It went on.
    Gone,
    GaveUp,
}

/// One of those that the server may have at one time, until dropped.
pub struct Place {
    queues: Rc<Queues>,
    server: Arc<Server>,
}

/// One that waits, until dropped.
struct Waiter<'w> {
    queues: &'w Rc<Queues>,
    server: &'w Arc<Server>,
    turn: Rc<Turn>,
}

impl Queues {
    /// Those of a worker at the lines that all have in common.
    pub fn new(gates: Gates) -> Rc<Self> {
        Rc::new(Self {
            gates,
            lines: RefCell::default(),
            ticking: Cell::new(false),
        })
    }

    /// A place at the server; none is needed where it has no cap. Dropped before its end it has given up.
    ///
    /// # Errors
    /// Too many wait, or it has taken too long.
    pub async fn enter(self: &Rc<Self>, server: &Arc<Server>) -> Result<Option<Place>, Failure> {
        let Some(cap) = server.cap else {
            return Ok(None);
        };
        match self.gates.enter(server.id, &cap) {
            Entry::Enters => Ok(Some(Place::new(self, server))),
            Entry::Full => Err(Failure::QueueFull),
            Entry::Waits(ticket) => {
                let waiter = self.line_up(server, &cap, ticket);
                match timeout(cap.patience, waiter.turn.came.notified()).await {
                    Ok(()) => Ok(Some(waiter.take())),
                    Err(_) => Err(Failure::QueueTimeout),
                }
            }
        }
    }

    fn line_up<'w>(
        self: &'w Rc<Self>,
        server: &'w Arc<Server>,
        cap: &Cap,
        ticket: Ticket,
    ) -> Waiter<'w> {
        let turn = Rc::new(Turn::default());
        let mut lines = self.lines.borrow_mut();
        let line = lines.entry(server.id).or_insert_with(|| Line {
            server: Arc::clone(server),
            waiting: VecDeque::new(),
        });
        line.waiting.push_back((*cap, ticket, Rc::clone(&turn)));
        if !self.ticking.replace(true) {
            tokio::task::spawn_local(tick(Rc::clone(self)));
        }
        Waiter {
            queues: self,
            server,
            turn,
        }
    }

    /// Lets those go on whose turn has come.
    fn advance(&self, server: ServerId) {
        while let Some((server, turn)) = self.next(server) {
            match turn.state.get() {
                State::GaveUp => self.gates.leave(server.id),
                State::Waits | State::Came | State::Gone => {
                    turn.state.set(State::Came);
                    turn.came.notify_one();
                }
            }
        }
    }

    /// Takes the first out of the line if its turn has come. With the server, which must be held until it has left.
    fn next(&self, server: ServerId) -> Option<(Arc<Server>, Rc<Turn>)> {
        let mut lines = self.lines.borrow_mut();
        let line = lines.get_mut(&server)?;
        let (cap, ticket, _) = line.waiting.front()?;
        if !self.gates.is_turn(line.server.id, cap, *ticket) {
            return None;
        }
        let (.., turn) = line.waiting.pop_front()?;
        let held = Arc::clone(&line.server);
        if line.waiting.is_empty() {
            lines.remove(&server);
        }
        Some((held, turn))
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
        if queues.lines.borrow().is_empty() {
            queues.ticking.set(false);
            return;
        }
    }
}

impl Place {
    fn new(queues: &Rc<Queues>, server: &Arc<Server>) -> Self {
        Self {
            queues: Rc::clone(queues),
            server: Arc::clone(server),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queues.gates.leave(self.server.id);
        self.queues.advance(self.server.id);
    }
}

impl Waiter<'_> {
    /// Its turn has come.
    fn take(&self) -> Place {
        self.turn.state.set(State::Gone);
        Place::new(self.queues, self.server)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        match self.turn.state.get() {
            // Its place is in the line until then.
            State::Waits => self.turn.state.set(State::GaveUp),
            // It has not seen that any more.
            State::Came => drop(self.take()),
            State::Gone | State::GaveUp => {}
        }
    }
}
