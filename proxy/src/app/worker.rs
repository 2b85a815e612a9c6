//! The worker threads: one ring, one runtime, one balancer and one pool each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::warn;

use super::listen::Reserved;
use super::rules::{Published, Rules};
use crate::config::StaticConfig;
use crate::exchange::{self, Clients, Servers, Worker};
use crate::failure::{Counts, Failure};
use crate::http2::Abuse;
use crate::net::{Listener, ListenerOptions, Stream};
use crate::service::{InFlight, Rank, Readiness, Server, ServerId, Suspicion};
use crate::{limits, uring};

/// The running workers.
pub struct Workers {
    stop: watch::Sender<bool>,
    failures: Vec<Arc<Counts>>,
    counts: ServerCounts,
    threads: Vec<JoinHandle<()>>,
}

/// What workers count of servers. Clones are one and the same, for any thread.
#[derive(Clone)]
pub struct ServerCounts {
    in_flight: Vec<Arc<InFlight>>,
    readiness: Readiness,
    /// When they began.
    since: Instant,
}

/// What a worker thread is started with.
#[derive(Clone)]
struct Assignment {
    index: usize,
    of: usize,
    config: Arc<StaticConfig>,
    rules: Published,
    addresses: Vec<SocketAddr>,
    connections_max: usize,
    failures: Arc<Counts>,
    clients: Arc<[Option<Arc<Clients>>]>,
    servers: Servers,
    stop: watch::Receiver<bool>,
}

impl Workers {
    /// Starts `of` workers and waits until all of them accept. Together they take up to `connections_max` connections.
    ///
    /// # Errors
    /// One line saying which worker could not start and why; those that did are stopped again.
    pub fn start(
        config: &Arc<StaticConfig>,
        reserved: &[Reserved],
        rules: &Rules,
        of: usize,
        connections_max: usize,
    ) -> Result<Self, String> {
        let (stop, stopped) = watch::channel(false);
        let (started, starts) = mpsc::channel();
        let mut workers = Self {
            stop,
            failures: (0..of).map(|_| Arc::default()).collect(),
            counts: ServerCounts {
                in_flight: (0..of).map(|_| Arc::default()).collect(),
                readiness: rules.readiness().clone(),
                since: Instant::now(),
            },
            threads: Vec::with_capacity(of),
        };
        let clients = Clients::tables(&config.entry_points);
        for index in 0..of {
            let assignment = Assignment {
                index,
                of,
                config: Arc::clone(config),
                rules: Arc::clone(rules.published()),
                addresses: reserved.iter().map(|one| one.address).collect(),
                connections_max: (connections_max / of).max(1),
                failures: Arc::clone(&workers.failures[index]),
                clients: Arc::clone(&clients),
                servers: Servers {
                    readiness: rules.readiness().clone(),
                    in_flight: Arc::clone(&workers.counts.in_flight[index]),
                },
                stop: stopped.clone(),
            };
            let started = started.clone();
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || run(assignment, &started))
                .map_err(|error| format!("worker {index} cannot start: {error}"))?;
            workers.threads.push(thread);
        }
        for _ in 0..of {
            if let Err(line) = starts
                .recv()
                .unwrap_or_else(|_| Err("a worker ended at its start".to_owned()))
            {
                workers.stop(Duration::ZERO);
                return Err(line);
            }
        }
        Ok(workers)
    }

    /// How often each failure has happened, over all workers.
    pub fn failures(&self) -> BTreeMap<String, u64> {
        let sum = |get: &dyn Fn(&Counts) -> u64| self.failures.iter().map(|one| get(one)).sum();
        let failures = Failure::ALL.iter().map(|failure| {
            let count = sum(&|counts| counts.get(*failure));
            (failure.to_string(), count)
        });
        let abuses = Abuse::ALL.iter().map(|shape| {
            let count = sum(&|counts| counts.abuses(*shape));
            (format!("http2_{}", shape.as_str()), count)
        });
        failures.chain(abuses).collect()
    }

    /// What they count of servers.
    pub fn counts(&self) -> &ServerCounts {
        &self.counts
    }

    /// Whether one has ended although nobody told it to.
    pub fn any_ended(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Stops accepting, lets requests under way finish, and waits for the threads to end. Each worker keeps to the
    /// grace time itself; `extra` is how much longer this waits before it goes on without a thread that hangs.
    pub fn stop(self, extra: Duration) {
        self.stop.send_replace(true);
        let deadline = Instant::now() + extra;
        for thread in self.threads {
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(limits::STOP_POLL);
            }
            if thread.is_finished() && thread.join().is_err() {
                warn!("a worker panicked");
            }
        }
    }
}

impl ServerCounts {
    /// Requests and connections that a server has now.
    pub fn in_flight(&self, server: ServerId) -> u32 {
        let counts = self.in_flight.iter().map(|counts| counts.of(server));
        counts.sum()
    }

    /// In what time it is known how many users a server has had lately: who came before was not counted.
    pub fn users_known_in(&self) -> Duration {
        limits::USERS_PERIOD.saturating_sub(self.since.elapsed())
    }

    /// What is held against a server now because requests have failed there.
    pub fn suspicion(&self, server: ServerId) -> Option<Suspicion> {
        self.readiness.suspicions().of(server, Instant::now())
    }

    /// How many suspicions there have been, and whether any holds.
    pub fn suspicions(&self) -> (u64, bool) {
        let suspicions = self.readiness.suspicions();
        (suspicions.told(), suspicions.any(Instant::now()))
    }

    /// Whether requests are sent there while another server cannot take them: an address is known, its check does not
    /// fail, no administrator has taken it out, and no request has just failed there.
    pub fn takes_requests(&self, server: &Server) -> bool {
        let refused = matches!(self.readiness.rank(server), Rank::Down | Rank::Out);
        !refused && server.unresolved.is_none() && self.suspicion(server.id).is_none()
    }
}

fn run(assignment: Assignment, started: &mpsc::Sender<Result<(), String>>) {
    let index = assignment.index;
    let ring = uring::Config {
        buffers: limits::RING_BUFFERS,
        buffer_size: limits::RING_BUFFER_BYTES,
        copied_limit: limits::COPIED_BYTES,
    };
    let outcome = uring::run(&ring, || serve(assignment, started.clone()));
    if let Err(error) = outcome {
        // The receiver is gone once all workers have started.
        let _ = started.send(Err(format!(
            "worker {index}: its ring cannot be built: {error}"
        )));
    }
}

async fn serve(assignment: Assignment, started: mpsc::Sender<Result<(), String>>) {
    let listeners = match listen(&assignment.addresses) {
        Ok(listeners) => listeners,
        Err(line) => {
            let _ = started.send(Err(line));
            return;
        }
    };
    let worker = Rc::new(Worker::new(
        (assignment.index, assignment.of),
        assignment.config,
        assignment.rules,
        assignment.failures,
        assignment.clients,
        assignment.servers,
    ));
    let accepting: Vec<_> = listeners
        .iter()
        .enumerate()
        .map(|(entry_point, listener)| {
            let (worker, listener) = (Rc::clone(&worker), Rc::clone(listener));
            tokio::task::spawn_local(accept(
                worker,
                listener,
                entry_point,
                assignment.connections_max,
            ))
        })
        .collect();
    let housekeeping = tokio::task::spawn_local(keep_house(Rc::clone(&worker)));
    let _ = started.send(Ok(()));
    drop(started);

    let mut stop = assignment.stop;
    // An error means that the control thread is gone, which ends the process anyway.
    let _ = stop.wait_for(|stop| *stop).await;
    let begun = Instant::now();
    for entry_point in by_accept_grace(&worker.config) {
        let listener = &listeners[entry_point];
        let until = begun
            + worker.config.entry_points[entry_point]
                .timeouts
                .accept_grace;
        tokio::time::sleep_until(until.into()).await;
        match listener.stop().await {
            Ok(queued) => queued
                .into_iter()
                .for_each(|stream| take(&worker, stream, entry_point)),
            Err(error) => warn!("connections not yet accepted are lost: {error}"),
        }
    }
    // The sockets close before the wait: nobody is to complete a handshake that no one will answer.
    for task in accepting {
        task.abort();
        let _ = task.await;
    }
    drop(listeners);
    worker.finish().await;
    housekeeping.abort();
}

/// The entry points, those first that stop accepting first.
fn by_accept_grace(config: &StaticConfig) -> Vec<usize> {
    let mut order: Vec<usize> = (0..config.entry_points.len()).collect();
    order.sort_by_key(|index| config.entry_points[*index].timeouts.accept_grace);
    order
}

fn listen(addresses: &[SocketAddr]) -> Result<Vec<Rc<Listener>>, String> {
    addresses
        .iter()
        .map(|address| {
            let options = ListenerOptions {
                reuse_port: true,
                v6_only: address.is_ipv6() && !address.ip().is_unspecified(),
                backlog: limits::LISTEN_BACKLOG,
            };
            Listener::bind(*address, &options)
                .map(Rc::new)
                .map_err(|error| format!("cannot listen on {address}: {error}"))
        })
        .collect()
}

async fn accept(
    worker: Rc<Worker>,
    listener: Rc<Listener>,
    entry_point: usize,
    connections_max: usize,
) {
    loop {
        worker.room(connections_max).await;
        match listener.accept().await {
            Ok(stream) => take(&worker, stream, entry_point),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return,
            Err(error) => {
                warn!("accepting pauses for {:?}: {error}", limits::ACCEPT_PAUSE);
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

fn take(worker: &Rc<Worker>, stream: Stream, entry_point: usize) {
    tokio::task::spawn_local(exchange::serve(worker, stream, entry_point));
}

async fn keep_house(worker: Rc<Worker>) {
    let mut every = tokio::time::interval(limits::HOUSEKEEPING);
    loop {
        every.tick().await;
        worker.keep_house();
    }
}
