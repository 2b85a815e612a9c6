//! The control thread: waits for signals, changed rule files and the network, and decides. What computes runs on the
//! blocking pool, at low priority.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Interval;
use tracing::{info, warn};

use super::rules::{Reply, Rules};
use super::servers;
use super::standings::{Saying, Word};
use super::status::{self, Facts, StatusFile};
use super::worker::Workers;
use crate::admin::{Answer, Asked, Request, Server};
use crate::certs::overview::Overview;
use crate::certs::{Asked as Wish, Keeper};
use crate::config::static_file::Timeouts;
use crate::config::{EntryPointTable, FileWatcher, Refresh, Snapshot, StaticConfig, Watch};
use crate::health::Monitor;
use crate::steering::Plane;
use crate::steering::mode::InterfaceMode;
use crate::{limits, sys};

/// The control plane.
pub struct Control {
    runtime: Runtime,
    config: Arc<StaticConfig>,
    plane: Plane,
    signals: Signals,
    watch: Option<Watch>,
    admin: Option<Server>,
    certificates: Option<Keeper>,
    rules: Rules,
    status: StatusFile,
}

/// What tells weir to stop, or to read its rules again.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Control {
    /// Looks at what steering in the NIC needs, and loads the rules for the first time.
    ///
    /// # Errors
    /// Lines naming what the static configuration asks for and this host cannot give.
    pub fn new(config: &Arc<StaticConfig>, status: StatusFile) -> Result<Self, Vec<String>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(limits::CONTROL_BLOCKING_THREADS)
            .on_thread_start(sys::lower_priority)
            .build()
            .map_err(|error| vec![format!("the control thread cannot start: {error}")])?;
        // Before anything serves: a signal that nobody has asked for yet ends the process with its work undone.
        let signals = {
            let _inside = runtime.enter();
            Signals::listen().map_err(|line| vec![line])?
        };
        let plane = runtime
            .block_on(Plane::start(config))
            .map_err(super::lines)?;
        // Before the first load, so that no change falls between the two.
        let watch = watch(config);
        let admin = {
            let _inside = runtime.enter();
            admin(config)
        };
        // Before the first load, which offers what is in the store.
        let shared = Arc::default();
        let certificates = Keeper::start(config, &shared).map_err(|error| vec![error])?;
        let links = links(watch.as_ref());
        let rules = Rules::load(config, &shared, links).map_err(|error| vec![error])?;
        Ok(Self {
            runtime,
            config: Arc::clone(config),
            plane,
            signals,
            watch,
            admin,
            certificates,
            rules,
            status,
        })
    }

    /// The rules, which the workers read.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Runs until a signal says stop, then ends everything in order.
    ///
    /// # Errors
    /// One line if a worker ended by itself.
    pub fn run(self, workers: Workers) -> Result<(), Vec<String>> {
        let Self {
            runtime,
            config,
            mut plane,
            signals,
            watch,
            admin,
            certificates,
            mut rules,
            mut status,
        } = self;
        let monitor = Monitor::new(rules.readiness().clone());
        let mut supervision = Supervision {
            monitor,
            config: &config,
            plane: &mut plane,
            certificates: certificates.as_ref(),
            rules: &mut rules,
            workers: &workers,
            status: &mut status,
            suspected: (0, false),
            told: Told::default(),
            flips: Flips::default(),
        };
        let ended = runtime.block_on(supervision.wait(signals, watch, admin));
        workers.stop(grace(&config) + limits::STOP_EXTRA);
        plane.stop();
        runtime.block_on(status.remove());
        ended.map_err(|line| vec![line])
    }
}

/// What the control thread looks after while weir serves.
struct Supervision<'a> {
    config: &'a StaticConfig,
    plane: &'a mut Plane,
    certificates: Option<&'a Keeper>,
    rules: &'a mut Rules,
    workers: &'a Workers,
    status: &'a mut StatusFile,
    monitor: Monitor,
    /// Suspicions before the status file was written, and whether it may show any.
    suspected: (u64, bool),
    told: Told,
    flips: Flips,
}

/// Servers that have gone up or down, and are told of now or soon.
#[derive(Default)]
struct Flips {
    any: bool,
    /// One may be in a ring, or its connections are to be reset.
    rings: bool,
    told: Option<tokio::time::Instant>,
}

impl Flips {
    /// Resolves when they are to be told; never, while there are none. Cancel-safe.
    async fn due(&self) {
        match self.told {
            _ if !self.any => std::future::pending().await,
            Some(told) => tokio::time::sleep_until(told + limits::HEALTH_TOLD).await,
            None => {}
        }
    }
}

/// What the status file says of what changes without an event.
#[derive(Default, PartialEq, Eq)]
struct Told {
    failures: BTreeMap<String, u64>,
    certificates: Arc<Overview>,
    steering: Vec<Vec<(String, InterfaceMode)>>,
}

impl Supervision<'_> {
    async fn wait(
        &mut self,
        mut signals: Signals,
        mut watch: Option<Watch>,
        mut admin: Option<Server>,
    ) -> Result<(), String> {
        let mut every = tokio::time::interval(limits::HOUSEKEEPING);
        let mut telling = tokio::time::interval(limits::HOUSEKEEPING);
        let mut names = Refresh::new(self.rules.names().clone());
        let mut pems = self.rules.pem_watch();
        let first = self.rules.published().load_full();
        self.apply(&first).await;
        drop(first);
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break self.stopping("SIGTERM"),
                _ = signals.interrupt.recv() => break self.stopping("SIGINT"),
                _ = signals.hangup.recv() => {
                    self.rules.names().refresh();
                    self.rules.reload();
                }
                () = names.changed() => self.rules.rename(),
                rings = self.monitor.changed() => {
                    self.flips.rings |= rings && self.has_rings();
                    self.flips.any = true;
                }
                () = self.flips.due() => self.tell_flips(),
                () = changed(&mut watch) => self.rules.reload(),
                () = changed(&mut pems) => self.rules.rename(),
                () = obtained(self.certificates) => self.rules.rename(),
                asked = asked(&mut admin) => self.answer(asked),
                changed = self.rules.changed() => match changed {
                    Some(snapshot) => {
                        self.apply(&snapshot).await;
                        self.rules.answer();
                    }
                    None => self.write_status(),
                },
                () = self.plane.follow() => self.write_status(),
                () = self.status.written() => {}
                _ = telling.tick() => {
                    self.rules.published().load().shared.tickets.rotate(Instant::now());
                    self.tell_changes();
                }
                () = ended(self.workers, &mut every) => {
                    return Err("a worker ended by itself; weir ends with it so that it can be started anew".to_owned());
                }
            }
        }
        Ok(())
    }

    fn answer(&mut self, asked: Asked) {
        match asked.request {
            Request::Reload { dry_run } => self.rules.reload_for(asked.answers, dry_run),
            Request::RenewCertificates { names } => {
                self.ask_keeper(asked.answers, Wish::Renew(names))
            }
            Request::ReadCertificates => self.ask_keeper(asked.answers, Wish::ReadAgain),
            Request::Servers { service } => {
                let rules = self.rules.published().load_full();
                let (checked, counts) = (self.monitor.states(), self.workers.counts().clone());
                // Nobody waits for the end of that.
                drop(tokio::task::spawn_blocking(move || {
                    let answers = servers::list(&rules, &checked, &counts, service.as_deref());
                    // Whoever asked may have gone.
                    let _ = asked.answers.send(answers);
                }));
            }
            Request::Stand {
                service,
                server,
                standing,
            } => {
                let saying = Saying {
                    service,
                    server,
                    what: Word::Stand(standing),
                    user: asked.user,
                };
                self.rules.say(saying, asked.answers);
            }
            Request::Weigh {
                service,
                server,
                weight,
            } => {
                let saying = Saying {
                    service,
                    server,
                    what: Word::Weigh(weight),
                    user: asked.user,
                };
                self.rules.say(saying, asked.answers);
            }
        }
    }

    fn ask_keeper(&self, answers: Reply, wish: Wish) {
        let answer = match self.certificates {
            Some(keeper) => {
                keeper.ask(wish);
                let generation = self.rules.published().load().generation;
                Answer::Done {
                    generation,
                    errors: 0,
                    dry_run: false,
                }
            }
            None => Answer::Refused("no certificatesResolvers are configured".to_owned()),
        };
        // Whoever asked may have gone.
        let _ = answers.send(vec![answer]);
    }

    async fn apply(&mut self, snapshot: &Snapshot) {
        self.monitor.watch(&snapshot.targets);
        self.plane.apply(snapshot).await;
        if let Some(keeper) = self.certificates {
            keeper.need(Arc::clone(&snapshot.needs));
        }
        self.write_status();
    }

    /// By reason; and those that only the certificates know of.
    fn failures(&self) -> BTreeMap<String, u64> {
        let mut failures = self.workers.failures();
        let shared = &self.rules.published().load().shared;
        let self_signed = shared.self_signed.load(Ordering::Relaxed);
        if self_signed > 0 {
            failures.insert("self_signed_certificate".to_owned(), self_signed);
        }
        failures
    }

    /// Whether a server that goes up or down changes what the rules are compiled to.
    fn has_rings(&self) -> bool {
        let rules = self.rules.published().load();
        let steers = |table: &EntryPointTable| !table.steered.rules().is_empty();
        rules.entry_points.iter().any(steers) || rules.falls.has_any()
    }

    fn tell_flips(&mut self) {
        if self.flips.rings {
            self.rules.rename();
        }
        self.flips = Flips {
            told: Some(tokio::time::Instant::now()),
            ..Flips::default()
        };
        self.write_status();
    }

    /// What no event tells of is told soon, but not one by one.
    fn tell_changes(&mut self) {
        let suspected =
            self.suspected.1 || self.suspected.0 != self.workers.counts().suspicions().0;
        if suspected || self.told != self.seen() {
            self.write_status();
        }
    }

    fn seen(&self) -> Told {
        Told {
            failures: self.failures(),
            certificates: self.certificates.map(Keeper::overview).unwrap_or_default(),
            steering: self.plane.modes(&self.config.entry_points),
        }
    }

    fn write_status(&mut self) {
        self.told = self.seen();
        let counts = self.workers.counts().clone();
        self.suspected = counts.suspicions();
        self.status.write(Facts {
            rules: self.rules.published().load_full(),
            held: self.rules.held(),
            steering: self.told.steering.clone(),
            failures: self.told.failures.clone(),
            certificates: Arc::clone(&self.told.certificates),
            down: status::down(&self.monitor),
            counts,
        });
    }

    fn stopping(&self, signal: &str) {
        info!("{signal}: weir stops, within {:?}", grace(self.config));
    }
}

impl Signals {
    /// Catches them from now on. Only inside a runtime.
    fn listen() -> Result<Self, String> {
        let listen =
            |kind| signal(kind).map_err(|error| format!("signals cannot be received: {error}"));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }
}

/// How long a stop takes at most: entry points first go on accepting, then wait.
fn grace(config: &StaticConfig) -> Duration {
    let longest = |time: fn(&Timeouts) -> Duration| {
        let times = config
            .entry_points
            .iter()
            .map(|entry_point| time(&entry_point.timeouts));
        times.max().unwrap_or_default()
    };
    longest(|timeouts| timeouts.accept_grace) + longest(|timeouts| timeouts.grace)
}

fn watch(config: &StaticConfig) -> Option<Watch> {
    let path = config
        .rules
        .path
        .as_deref()
        .filter(|_| config.rules.watch)?;
    match Watch::new(path) {
        Ok(watch) => Some(watch),
        Err(error) => {
            warn!(
                "{} is not watched: {error}; send SIGHUP after a change",
                path.display()
            );
            None
        }
    }
}

fn links(watch: Option<&Watch>) -> Option<FileWatcher> {
    let watcher = watch?.files();
    let not = |error: &std::io::Error| {
        warn!("links to rule files are not watched: {error}; send SIGHUP after a change");
    };
    watcher.inspect_err(not).ok().flatten()
}

/// Returns when a worker has ended by itself. A future of its own: a tick by itself would cancel whatever else
/// is waited for.
async fn ended(workers: &Workers, every: &mut Interval) {
    while !workers.any_ended() {
        every.tick().await;
    }
}

/// Without it weir serves, and reads its rules by signals.
fn admin(config: &StaticConfig) -> Option<Server> {
    let server = Server::listen(&config.runtime_dir);
    if let Err(error) = &server {
        warn!(
            "no admin socket in {}: {error}; `weir reload` does not work",
            config.runtime_dir.display()
        );
    }
    server.ok()
}

async fn asked(admin: &mut Option<Server>) -> Asked {
    match admin {
        Some(admin) => admin.asked().await,
        None => std::future::pending().await,
    }
}

async fn obtained(certificates: Option<&Keeper>) {
    match certificates {
        Some(keeper) => keeper.changed().await,
        None => std::future::pending().await,
    }
}

async fn changed(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}
