//! `weir status`: what the running proxy says about itself, through a file in its runtime directory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::listen::Reserved;
use crate::certs::overview::Overview;
use crate::clock;
use crate::config::{Severity, Snapshot, StaticConfig};
use crate::health::Monitor;

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
    /// Steered connections are steered in the NIC where `weir steer status` says so; else all in user space.
    steering_in_nic: bool,
    /// How often weir answered a request itself, or closed a connection, by reason (docs/ERRORS.md).
    failures: BTreeMap<String, u64>,
    /// Servers that do not take requests as usual, and why.
    #[serde(default)]
    servers: Vec<ServerStatus>,
    /// Rule files, routers, services and certificates left out, and why.
    errors: Vec<String>,
    warnings: Vec<String>,
    /// Those of resolvers.
    certificates: Overview,
    /// Names of routers whose clients get the self-signed certificate.
    #[serde(default)]
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
}

/// A server that does not take requests as usual.
#[derive(Debug, Serialize, Deserialize)]
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

/// Writes the status file of this process, and removes it at the end.
pub struct StatusFile {
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
        Ok(Self {
            path: directory.join(FILE),
            workers,
            entry_points: names.zip(reserved.iter().map(|one| one.address)).collect(),
        })
    }

    /// Writes what is so now. Readers see the old file or the new one, never half of it.
    pub fn write(
        &self,
        snapshot: &Snapshot,
        in_nic: bool,
        failures: &BTreeMap<String, u64>,
        (certificates, servers): (&Overview, Vec<ServerStatus>),
    ) {
        let (errors, warnings): (Vec<_>, Vec<_>) = snapshot
            .problems
            .iter()
            .partition(|problem| problem.severity == Severity::Error);
        let lines = |problems: Vec<&crate::config::Problem>| {
            problems.iter().map(ToString::to_string).collect()
        };
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            workers: self.workers,
            entry_points: self.entry_points(snapshot),
            generation: snapshot.generation,
            steering_in_nic: in_nic,
            failures: failures.clone(),
            servers,
            errors: lines(errors),
            warnings: lines(warnings),
            certificates: certificates.clone(),
            uncertified: snapshot.uncertified.to_vec(),
        };
        let draft = self.path.with_extension("json.new");
        let written = serde_json::to_string_pretty(&status)
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

    /// The process ends: nobody is to take the file for a running proxy's.
    pub fn remove(&self) {
        // Missing is as good as removed; anything else the reader finds out by the process id.
        let _ = fs::remove_file(&self.path);
    }

    fn entry_points(&self, snapshot: &Snapshot) -> Vec<EntryPointStatus> {
        let tables = self.entry_points.iter().zip(&snapshot.entry_points);
        tables
            .map(|((name, address), table)| EntryPointStatus {
                name: name.clone(),
                address: *address,
                http_routers: table.http.serving(),
                https_routers: table.https.serving(),
                tcp_routers: table.tcp.serving() + table.tcp_tls.serving(),
                steered_routers: table.steered.rules().len(),
            })
            .collect()
    }
}

/// Those that are down, those that requests have failed on, then those that administrators have said something of.
pub fn servers(
    snapshot: &Snapshot,
    monitor: &Monitor,
    suspected: Vec<ServerStatus>,
) -> Vec<ServerStatus> {
    let down = monitor.down().into_iter().map(|verdict| ServerStatus {
        service: verdict.service.to_owned(),
        server: verdict.server.to_owned(),
        state: "down".to_owned(),
        reason: verdict.state.reason().to_owned(),
        since: verdict.state.since(),
    });
    let said = snapshot
        .standings
        .iter()
        .map(|((_, service, server), said)| ServerStatus {
            service: format!("{service}@file"),
            server: server.to_string(),
            state: said.standing.as_str().to_owned(),
            reason: match said.weight {
                None => format!("said by {}", said.by),
                Some(weight) => format!("weight {weight}, said by {}", said.by),
            },
            since: said.at,
        });
    down.chain(suspected).chain(said).collect()
}

/// Shows the status of the proxy that runs with this configuration. Exit code 1 if something was left out.
///
/// # Errors
/// One line if none runs.
pub fn show(config: &StaticConfig, json: bool) -> Result<ExitCode, String> {
    let path = config.runtime_dir.join(FILE);
    let (text, status) = read(&path)?;
    if json {
        println!("{text}");
    } else {
        print!("{}", status.table());
    }
    Ok(if status.errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read(path: &Path) -> Result<(String, Status), String> {
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!(
            "no weir runs with this configuration ({} is not there)",
            path.display()
        ),
        _ => format!("{} cannot be read: {error}", path.display()),
    })?;
    let status: Status = serde_json::from_str(&text).map_err(|error| {
        format!(
            "{} is not a status file of this version: {error}",
            path.display()
        )
    })?;
    if !Path::new(&format!("/proc/{}", status.pid)).exists() {
        return Err(format!(
            "weir is not running: process {} ended without saying so",
            status.pid
        ));
    }
    Ok((text, status))
}

/// How long something is so, for people.
pub(crate) fn ago(since: u64) -> String {
    let seconds = clock::unix_seconds().saturating_sub(since);
    match seconds {
        0..120 => format!("for {seconds} s"),
        120..7_200 => format!("for {} min", seconds / 60),
        7_200..172_800 => format!("for {} h", seconds / 3_600),
        _ => format!("for {} days", seconds / 86_400),
    }
}

impl Status {
    /// How many there are, and what is due.
    fn certificates(&self, out: &mut String) {
        let (overview, now) = (
            &self.certificates,
            i64::try_from(clock::unix_seconds()).unwrap_or(i64::MAX),
        );
        if overview.certificates.is_empty() && overview.orders.is_empty() {
            return;
        }
        let _ = writeln!(
            out,
            "  certificates: {} (see `weir certs list`)",
            overview.certificates.len()
        );
        for line in overview.planned(now) {
            let _ = writeln!(out, "  due: {line}");
        }
        for name in overview.missing(now) {
            let _ = writeln!(
                out,
                "  NO CERTIFICATE: clients that ask for {name} get the default one"
            );
        }
    }

    fn table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "weir {}, process {}, {} workers, rules loaded {} times",
            self.version, self.pid, self.workers, self.generation
        );
        for entry_point in &self.entry_points {
            let EntryPointStatus {
                name,
                address,
                http_routers,
                https_routers,
                tcp_routers,
                steered_routers,
            } = entry_point;
            let _ = writeln!(
                out,
                "  {name:<16} {address:<24} routers: {http_routers} http, {https_routers} https, {tcp_routers} tcp, \
                 {steered_routers} steered"
            );
        }
        for (reason, count) in self.failures.iter().filter(|(_, count)| **count > 0) {
            let _ = writeln!(out, "  {reason:<20} {count} (docs/ERRORS.md)");
        }
        self.certificates(&mut out);
        for name in &self.uncertified {
            let _ = writeln!(
                out,
                "  NO CERTIFICATE: clients that ask for {name} get the self-signed one"
            );
        }
        for ServerStatus {
            service,
            server,
            state,
            reason,
            since,
        } in &self.servers
        {
            let ago = ago(*since);
            let _ = writeln!(out, "  {state:<5} {server} of {service}, {ago}: {reason}");
        }
        let plane = if self.steering_in_nic {
            "in the NIC (see `weir steer status`)"
        } else {
            "in user space"
        };
        let _ = writeln!(out, "  steered connections are steered {plane}");
        for (title, lines) in [("left out", &self.errors), ("warnings", &self.warnings)] {
            for line in lines {
                let _ = writeln!(out, "  {title}: {line}");
            }
        }
        out
    }
}
