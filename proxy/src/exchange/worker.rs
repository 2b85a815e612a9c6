//! The state of one worker. Nobody else reads or writes it: no lock, no atomic.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tracing::warn;

use super::budget::RetryBudget;
use super::clients::Clients;
use super::complaints::Complaints;
use super::encoded::Encoders;
use super::hold::{self, Hold};
use super::http2::Windows;
use super::own_routers::{OwnRouter, OwnRouters};
use super::passive::Streaks;
use super::queue::Queues;
use super::request_id::RequestIds;
use super::scratch::Scratch;
use crate::config::{EntryPointTable, Snapshot, StaticConfig};
use crate::failure::{Counts, Failure};
use crate::http::date;
use crate::http2::Abuse;
use crate::router::Agreed;
use crate::rule::RequestView;
use crate::service::sticky::CookieJar;
use crate::service::{
    Balancer, Cause, Falls, InFlight, Picked, Rank, Readiness, Running, Server, ServerId, Service,
    Suspicions, Tried,
};
use crate::upstream::{Multiplexed, Pool};
use crate::{limits, uring};

/// What all connections of one worker thread share.
pub struct Worker {
    /// The static configuration.
    pub config: Arc<StaticConfig>,
    /// Idle connections to servers.
    pub pool: Pool,
    /// Connections to servers that speak HTTP/2.
    pub multiplexed: Multiplexed,
    /// This host's name, for `X-Forwarded-Server`.
    pub hostname: Box<str>,
    /// How often requests and connections have failed here, and why.
    pub failures: Arc<Counts>,
    /// Which of them the log has told lately.
    pub complaints: Complaints,
    /// Connections of each client, by entry point.
    pub clients: Arc<[Option<Arc<Clients>>]>,
    /// Names for requests.
    pub ids: RequestIds,
    /// What HTTP/2 clients may still fill.
    pub windows: Windows,
    /// When the log last told of an HTTP/2 client that was stopped.
    abuse_logged: Cell<Option<Instant>>,
    rules: Arc<ArcSwap<Snapshot>>,
    balancer: RefCell<Balancer>,
    suspicions: Suspicions,
    in_flight: Arc<InFlight>,
    /// How many requests may be sent to one more server.
    pub retries: RetryBudget,
    /// Requests that wait until their service can serve.
    pub hold: Hold,
    /// Failures of servers in a row.
    pub streaks: Streaks,
    /// Requests that wait for servers with a cap.
    pub queues: Rc<Queues>,
    routers: RefCell<OwnRouters>,
    scratch: RefCell<Vec<Scratch>>,
    date: Cell<(Option<Instant>, [u8; date::LENGTH])>,
    connections: Cell<usize>,
    /// Bodies that are being compressed.
    pub encoders: Encoders,
    /// A connection has ended.
    freed: Notify,
    /// The generation of the rules that was looked at for servers whose connections are to be reset.
    reset_seen: Cell<u64>,
    /// Those of that generation, and which have gone down since the one before: of one that stays down only the
    /// connections from before are reset, not those that have tried it since.
    reset: RefCell<(Arc<Falls>, BTreeSet<SocketAddr>)>,
    /// There are some.
    resets: Notify,
    stopping: Cell<bool>,
    /// The worker has begun to stop.
    stop: Notify,
    cutting: Cell<bool>,
    /// The grace time is over.
    cut: Notify,
}

/// What is known of servers beside the rules.
#[derive(Clone, Debug)]
pub struct Servers {
    /// Which take requests now; for all workers.
    pub readiness: Readiness,
    /// This worker's counts.
    pub in_flight: Arc<InFlight>,
}

fn hostname() -> Box<str> {
    nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into())
        .unwrap_or_default()
}

/// Counts a connection for as long as it lives.
pub struct Counted(Rc<Worker>);

impl Worker {
    /// Worker `index` of `of`.
    pub fn new(
        (index, of): (usize, usize),
        config: Arc<StaticConfig>,
        rules: Arc<ArcSwap<Snapshot>>,
        failures: Arc<Counts>,
        clients: Arc<[Option<Arc<Clients>>]>,
        servers: Servers,
    ) -> Self {
        let queues = Queues::new(servers.readiness.clone());
        let suspicions = servers.readiness.suspicions().clone();
        let balancer = Balancer::new(index, of, servers.readiness);
        Self {
            windows: Windows::new(config.window_bytes),
            config,
            pool: Pool::new(of),
            multiplexed: Multiplexed::default(),
            hostname: hostname(),
            failures,
            complaints: Complaints::default(),
            clients,
            ids: RequestIds::default(),
            abuse_logged: Cell::new(None),
            rules,
            balancer: RefCell::new(balancer),
            in_flight: servers.in_flight,
            queues,
            retries: RetryBudget::default(),
            hold: Hold::default(),
            streaks: Streaks::default(),
            suspicions,
            routers: RefCell::default(),
            scratch: RefCell::default(),
            date: Cell::new((None, [0; date::LENGTH])),
            connections: Cell::new(0),
            encoders: Encoders::default(),
            freed: Notify::new(),
            reset_seen: Cell::new(0),
            reset: RefCell::default(),
            resets: Notify::new(),
            stopping: Cell::new(false),
            stop: Notify::new(),
            cutting: Cell::new(false),
            cut: Notify::new(),
        }
    }

    /// Looks at the rules in force for an entry point. They cannot be kept: what is needed longer is cloned.
    pub fn with_rules<R>(
        &self,
        entry_point: usize,
        look: impl FnOnce(&EntryPointTable, &Snapshot) -> R,
    ) -> R {
        let snapshot = self.rules.load();
        look(&snapshot.entry_points[entry_point], &snapshot)
    }

    /// The router for a request on an entry point, with TLS or without, where that began with `agreed`.
    ///
    /// # Errors
    /// No router takes it, or not on this connection.
    pub fn route(
        &self,
        (entry_point, tls): (usize, bool),
        agreed: Option<&Agreed>,
        request: &RequestView<'_>,
    ) -> Result<Rc<OwnRouter>, Failure> {
        let snapshot = self.rules.load();
        let table = &snapshot.entry_points[entry_point];
        if agreed.is_some_and(|agreed| table.terms.misdirects(agreed, request.host())) {
            return Err(Failure::Misdirected);
        }
        let router = if tls {
            table.https.find(request)
        } else {
            table.http.find(request)
        };
        let router = router.ok_or(Failure::NoRouter)?;
        if agreed.is_some_and(|agreed| table.terms.owes(agreed, router)) {
            return Err(Failure::Misdirected);
        }
        Ok(self.routers.borrow_mut().own(snapshot.generation, router))
    }

    /// The next server of a service.
    pub fn pick<'s>(&self, service: &'s Service) -> Option<Picked<'s>> {
        self.balancer.borrow_mut().pick(service)
    }

    /// Whether a server that was picked some time ago is no longer to be asked.
    pub fn has_left(&self, picked: &Picked<'_>) -> bool {
        self.balancer.borrow().has_left(picked)
    }

    /// Whether its health check holds the server to be down.
    pub fn is_down(&self, server: &Server) -> bool {
        self.balancer.borrow().is_down(server)
    }

    /// The next server of a service for a client with cookies; see [`Balancer::pick_for`].
    pub fn pick_for<'s>(
        &self,
        service: &'s Service,
        jar: &mut dyn CookieJar,
        tried: &Tried,
    ) -> Option<Picked<'s>> {
        self.balancer.borrow_mut().pick_for(service, jar, tried)
    }

    /// A server that was picked although requests had just failed there has answered: it is suspected no more.
    pub fn trust(&self, picked: &Picked<'_>) {
        if picked.rank >= Rank::Down {
            self.balancer.borrow_mut().trust(picked.server.id);
        }
    }

    /// Counts a request or connection of this server until the result is dropped.
    pub fn runs_on(&self, server: &Server) -> Running {
        self.in_flight.begin(server.id)
    }

    /// From now on others are preferred to this server for so long, by all workers. Whether that is news.
    pub fn suspect(
        &self,
        server: ServerId,
        cause: Cause,
        (now, time): (Instant, Duration),
    ) -> bool {
        let news = self.suspicions.of(server, now).is_none();
        self.suspicions.tell(server, cause, (now, time));
        self.balancer.borrow_mut().suspect(server, now + time);
        news
    }

    /// Whether a server of the service takes connections; then it is suspected no more.
    pub async fn reaches(&self, service: &Service) -> bool {
        let Some(picked) = self.pick(service) else {
            return false;
        };
        let connecting = self.pool.connect(picked.server, None);
        let reached = hold::is_reached(connecting).await;
        if reached {
            self.balancer.borrow_mut().trust(picked.server.id);
        }
        reached
    }

    /// Memory for one request's messages; given back with [`Self::give_back`].
    pub fn scratch(&self) -> Scratch {
        self.scratch.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes the memory back, unless there is plenty or it has grown beyond what is usual.
    pub fn give_back(&self, mut scratch: Scratch) {
        let mut kept = self.scratch.borrow_mut();
        if kept.len() < limits::SCRATCH_KEPT && scratch.allocated() <= limits::SCRATCH_BYTES_KEPT {
            scratch.clear();
            kept.push(scratch);
        }
    }

    /// The `Date` field's value, made once a second.
    pub fn date(&self) -> [u8; date::LENGTH] {
        let now = uring::now();
        let (made, text) = self.date.get();
        if made.is_some_and(|made| now.saturating_duration_since(made) < limits::DATE_KEPT) {
            return text;
        }
        let text = date::imf_fixdate(crate::clock::unix_seconds());
        self.date.set((Some(now), text));
        text
    }

    /// An HTTP/2 client is stopped.
    pub fn abused(&self, shape: Abuse, client: SocketAddr) {
        let (count, now) = (self.failures.add_abuse(shape), uring::now());
        let lately = |at| now.saturating_duration_since(at) < limits::ABUSE_LOGGED;
        if !self.abuse_logged.get().is_some_and(lately) {
            self.abuse_logged.set(Some(now));
            let shape = shape.as_str();
            warn!(%client, shape, count, "HTTP/2 abuse: the connection is closed");
        }
    }

    /// Counts a connection until the result is dropped.
    pub fn count_in(self: &Rc<Self>) -> Counted {
        self.connections.set(self.connections.get() + 1);
        Counted(Rc::clone(self))
    }

    /// Resolves when there are fewer than `max` connections.
    pub async fn room(&self, max: usize) {
        loop {
            let freed = self.freed.notified();
            if self.connections.get() < max {
                return;
            }
            freed.await;
        }
    }

    /// What is done once a second: idle connections that are of no more use are closed, routers that are gone are let
    /// go.
    pub fn keep_house(&self) {
        self.pool.sweep();
        self.multiplexed.sweep();
        self.balancer.borrow_mut().forgive(uring::now());
        self.streaks.sweep(uring::now());
        self.retries.refill();
        let rules = self.rules.load();
        self.routers.borrow_mut().keep_house(rules.generation);
        if self.reset_seen.replace(rules.generation) != rules.generation {
            self.see_falls(&rules.falls);
        }
    }

    fn see_falls(&self, now: &Arc<Falls>) {
        let (known, new) = &mut *self.reset.borrow_mut();
        *new = now.since(known);
        *known = Arc::clone(now);
        if !new.is_empty() {
            self.resets.notify_waiters();
        }
    }

    /// Resolves when connections to this server are to be reset because it is down.
    pub async fn resets(&self, server: SocketAddr) {
        loop {
            self.resets.notified().await;
            if self.reset.borrow().1.contains(&server) {
                return;
            }
        }
    }

    /// Whether the worker is to end: responses say `Connection: close` from now on.
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Resolves when the worker begins to stop.
    pub async fn stopped(&self) {
        let notified = self.stop.notified();
        if !self.stopping.get() {
            notified.await;
        }
    }

    /// Whether the grace time of a stop is over: what still runs says goodbye, or is cut.
    pub fn is_cutting(&self) -> bool {
        self.cutting.get()
    }

    /// Resolves when the grace time of a stop is over.
    pub async fn cut(&self) {
        let notified = self.cut.notified();
        if !self.cutting.get() {
            notified.await;
        }
    }

    /// Begins to stop and resolves when every connection has ended, at the latest after the longest grace time.
    pub async fn finish(&self) {
        self.stopping.set(true);
        self.stop.notify_waiters();
        let times = self
            .config
            .entry_points
            .iter()
            .map(|entry_point| entry_point.timeouts.grace);
        let grace = times.max().unwrap_or_default();
        if tokio::time::timeout(grace, self.room(1)).await.is_ok() {
            return;
        }
        self.cutting.set(true);
        self.cut.notify_waiters();
        // It is of no interest whether they have taken their leave in time.
        let _ = tokio::time::timeout(limits::LAST_WORDS, self.room(1)).await;
        let connections = self.connections.get();
        (0..connections).for_each(|_| self.failures.add(Failure::Stopped));
        if connections > 0 {
            tracing::warn!(connections, "still open after {grace:?}: cut");
        }
    }
}

impl Counted {
    /// The worker it counts on.
    pub fn worker(&self) -> &Rc<Worker> {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        // All of them: each entry point waits on its own, and not each has a client.
        self.0.freed.notify_waiters();
    }
}
