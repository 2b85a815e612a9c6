//! What the running proxy says about itself, in a file of its runtime directory: `weir status` shows it.
//!
//! Owns: the file, and what it says. Never: finding out; the control thread hands over what it knows, and the blocking
//! pool makes text of it and writes, one file at a time.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tracing::warn;

use super::listen::Reserved;
use super::worker::ServerCounts;
use super::{servers, standings};
use crate::certs::overview::Overview;
use crate::config::{FileCertificate, Severity, Snapshot, StaticConfig};
use crate::health::Monitor;
use crate::steering::mode::InterfaceMode;

mod show;

pub use self::show::{ago, process, show};

/// The file's name in the runtime directory.
const FILE: &str = "status.json";

/// What the process is doing.
#[derive(Debug, Serialize, Deserialize)]
struct Status {
    version: String,
    pid: u32,
    workers: usize,
    entry_points: Vec<EntryPointStatus>,
    /// How many times the rules have been loaded.
    generation: u64,
    /// Loads of rules that are still in memory: one, but for what somebody still looks at after a change.
    loads_held: usize,
    /// How often weir answered a request itself, or closed a connection, by reason (docs/ERRORS.md).
    failures: BTreeMap<String, u64>,
    /// Servers that do not take requests as usual, and why.
    #[serde(default)]
    servers: Vec<ServerStatus>,
    /// Services none of whose servers takes requests.
    #[serde(default)]
    unserved: Vec<Box<str>>,
    /// Rule files, routers, services and certificates left out, and why.
    errors: Vec<String>,
    warnings: Vec<String>,
    /// Those of resolvers.
    certificates: Overview,
    /// Those of files.
    certificate_files: Vec<FileCertificate>,
    /// Names of routers whose clients get the self-signed certificate.
    uncertified: Vec<Box<str>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct EntryPointStatus {
    name: String,
    address: SocketAddr,
    http_routers: usize,
    https_routers: usize,
    tcp_routers: usize,
    steered_routers: usize,
    /// Where clients are steered, for each of its `steering.interfaces`; empty: in user space.
    steering: Vec<InterfaceStatus>,
}

#[derive(Debug, Serialize, Deserialize)]
struct InterfaceStatus {
    interface: String,
    #[serde(flatten)]
    mode: InterfaceMode,
}

/// A server that does not take requests as usual.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerStatus {
    /// `name@file`
    pub service: String,
    /// As written.
    pub server: String,
    /// `down`, `out` (requests have failed there), `drain` or `maint`.
    pub state: String,
    /// Why, or who said so.
    pub reason: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

/// What the control thread knows at one moment.
pub struct Facts {
    /// The rules in force.
    pub rules: Arc<Snapshot>,
    /// Loads of rules in memory.
    pub held: usize,
    /// Of each entry point, as [`crate::steering::Plane::modes`] gives it.
    pub steering: Vec<Vec<(String, InterfaceMode)>>,
    /// How often each has happened.
    pub failures: BTreeMap<String, u64>,
    /// Of resolvers.
    pub certificates: Arc<Overview>,
    /// The servers that are down.
    pub down: Vec<ServerStatus>,
    /// Tells of those that requests have failed on.
    pub counts: ServerCounts,
}

/// The status file of this process: written anew by the blocking pool whenever something has changed, removed at the
/// end.
pub struct StatusFile {
    place: Arc<Place>,
    /// What is to be written next.
    wanted: Option<Facts>,
    writing: Option<JoinHandle<()>>,
}

/// Where it is, and what never changes.
struct Place {
    path: PathBuf,
    workers: usize,
    entry_points: Vec<(String, SocketAddr)>,
}

impl StatusFile {
    /// The file in the configuration's runtime directory, which is made if missing.
    ///
    /// # Errors
    /// One line if the directory cannot be made or written to.
    pub fn new(
        config: &StaticConfig,
        reserved: &[Reserved],
        workers: usize,
    ) -> Result<Self, String> {
        let directory = &config.runtime_dir;
        let probe = directory.join(format!("{FILE}.new"));
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&probe, ""))
            .map_err(|error| {
                format!(
                    "runtimeDir: {} cannot be written to: {error}; choose another with runtimeDir",
                    directory.display()
                )
            })?;
        let names = config
            .entry_points
            .iter()
            .map(|entry_point| entry_point.name.clone());
        let place = Place {
            path: directory.join(FILE),
            workers,
            entry_points: names.zip(reserved.iter().map(|one| one.address)).collect(),
        };
        Ok(Self {
            place: Arc::new(place),
            wanted: None,
            writing: None,
        })
    }

    /// Has this written; of what waits for its turn, only the last.
    pub fn write(&mut self, facts: Facts) {
        self.wanted = Some(facts);
        self.start();
    }

    /// Resolves when something was written, and begins with what waits; never, while there is nothing. Cancel-safe.
    pub async fn written(&mut self) {
        let Some(writing) = &mut self.writing else {
            return std::future::pending().await;
        };
        if let Err(panicked) = writing.await {
            std::panic::resume_unwind(panicked.into_panic());
        }
        self.writing = None;
        self.start();
    }

    /// The process ends: nobody is to take the file for a running proxy's.
    pub async fn remove(&mut self) {
        self.wanted = None;
        if self.writing.is_some() {
            self.written().await;
        }
        // Another process may have put its own there, where directories cannot be locked.
        let whose = self.place.path.parent().and_then(process);
        if whose == Some(std::process::id()) {
            // Missing is as good as removed; anything else the reader finds out by the process id.
            let _ = fs::remove_file(&self.place.path);
        }
    }

    fn start(&mut self) {
        if self.writing.is_some() {
            return;
        }
        if let Some(facts) = self.wanted.take() {
            let place = Arc::clone(&self.place);
            self.writing = Some(tokio::task::spawn_blocking(move || place.write(&facts)));
        }
    }
}

impl Place {
    /// Readers see the old file or the new one, never half of it.
    fn write(&self, facts: &Facts) {
        let draft = self.path.with_extension("json.new");
        let written = serde_json::to_string_pretty(&self.status(facts))
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&draft, text))
            .and_then(|()| fs::rename(&draft, &self.path));
        if let Err(error) = written {
            warn!(
                "{} cannot be written: {error}; `weir status` shows an old state",
                self.path.display()
            );
        }
    }

    fn status(&self, facts: &Facts) -> Status {
        let rules = &facts.rules;
        let lines = |severity: Severity| {
            let problems = rules.problems.iter();
            let these = problems.filter(|problem| problem.severity == severity);
            these.map(ToString::to_string).collect()
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            workers: self.workers,
            entry_points: self.entry_points(facts),
            generation: rules.generation,
            loads_held: facts.held,
            failures: facts.failures.clone(),
            servers: servers(facts),
            unserved: servers::unserved(&facts.rules, &facts.counts),
            errors: lines(Severity::Error),
            warnings: lines(Severity::Warning),
            certificates: (*facts.certificates).clone(),
            certificate_files: rules.certificates.to_vec(),
            uncertified: rules.uncertified.to_vec(),
        }
    }

    fn entry_points(&self, facts: &Facts) -> Vec<EntryPointStatus> {
        let tables = self.entry_points.iter().zip(&facts.rules.entry_points);
        let all = tables.zip(&facts.steering);
        all.map(|(((name, address), table), steering)| EntryPointStatus {
            name: name.clone(),
            address: *address,
            http_routers: table.http.serving(),
            https_routers: table.https.serving(),
            tcp_routers: table.tcp.serving() + table.tcp_tls.serving(),
            steered_routers: table.steered.rules().len(),
            steering: steering.iter().map(interface).collect(),
        })
        .collect()
    }
}

fn interface((interface, mode): &(String, InterfaceMode)) -> InterfaceStatus {
    InterfaceStatus {
        interface: interface.clone(),
        mode: mode.clone(),
    }
}

/// The servers that are down.
pub fn down(monitor: &Monitor) -> Vec<ServerStatus> {
    let down = monitor.down().into_iter().map(|verdict| ServerStatus {
        service: verdict.service.to_owned(),
        server: verdict.server.to_owned(),
        state: "down".to_owned(),
        reason: verdict.state.reason().to_owned(),
        since: verdict.state.since(),
    });
    down.collect()
}

/// Those that are down, those that requests have failed on, then those that administrators have said something of.
fn servers(facts: &Facts) -> Vec<ServerStatus> {
    let suspected = servers::suspected(&facts.rules, &facts.counts);
    let said = facts
        .rules
        .standings
        .iter()
        .map(|(name, said)| ServerStatus {
            service: format!("{}@file", name.1),
            server: name.2.to_string(),
            state: said.standing.as_str().to_owned(),
            reason: match said.weight {
                None => format!("said by {}", said.by),
                Some(weight) => format!("weight {weight}, said by {}", said.by),
            } + match standings::is_named(&facts.rules, name) {
                true => "",
                false => {
                    "; no rule names it any more: `ready` or the weight `file` takes that back"
                }
            },
            since: said.at,
        });
    let down = facts.down.iter().cloned();
    down.chain(suspected).chain(said).collect()
}
