//! `weir status`: the file as text for people, and whether all is well.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::{EntryPointStatus, FILE, InterfaceStatus, ServerStatus, Status};
use crate::clock;
use crate::config::{FileCertificate, StaticConfig};
use crate::limits::{CERTIFICATE_DUE, STATUS_NAMES_MAX};

/// Shows the status of the proxy that runs with this configuration. Exit code 1 if something was left out, a
/// certificate that clients are shown has expired or is not deployed, the XDP program has lost an interface, a server
/// is down that nobody has drained or taken out, or a service has no server that takes requests.
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
    Ok(match status.is_well(now()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The process that runs with this runtime directory, as far as it says.
pub fn process(runtime_dir: &Path) -> Option<u32> {
    let (_, status) = read(&runtime_dir.join(FILE)).ok()?;
    Some(status.pid)
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
pub fn ago(since: u64) -> String {
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
        if !(overview.certificates.is_empty() && overview.orders.is_empty()) {
            let _ = writeln!(
                out,
                "  certificates: {} (see `weir certs list`)",
                overview.certificates.len()
            );
        }
        for line in overview.deployed(now) {
            let _ = writeln!(out, "  {line}");
        }
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

    /// Those of files, where something is to be done, and hosts without any.
    fn certificate_files(&self, out: &mut String) {
        let now = now();
        let due = now + i64::try_from(CERTIFICATE_DUE.as_secs()).unwrap_or(i64::MAX);
        let shown = self.certificate_files.iter().filter(|file| file.presented);
        let first = shown.clone().min_by_key(|file| file.not_after);
        if let Some(first) = first.filter(|file| file.not_after > due) {
            let (count, left) = (self.certificate_files.len(), days(first.not_after - now));
            let _ = writeln!(
                out,
                "  certificates of files: {count}, good for {left} at least ({})",
                first.file
            );
        }
        for FileCertificate {
            file,
            names,
            not_after,
            ..
        } in shown.filter(|file| file.not_after <= due)
        {
            let names = names.join(" ");
            let _ = match *not_after > now {
                true => writeln!(
                    out,
                    "  EXPIRES in {}: {file} ({names})",
                    days(not_after - now)
                ),
                false => writeln!(
                    out,
                    "  EXPIRED {} ago: {file} ({names})",
                    days(now - not_after)
                ),
            };
        }
        if !self.uncertified.is_empty() {
            let named = self.uncertified.iter().take(STATUS_NAMES_MAX);
            let named: Vec<&str> = named.map(|name| &**name).collect();
            let more = match self.uncertified.len().saturating_sub(STATUS_NAMES_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let _ = writeln!(
                out,
                "  SELF-SIGNED: no certificate for {}{more}: their clients are shown the default one",
                named.join(" ")
            );
        }
    }

    /// Nothing is left out, has expired, is lost, or is down.
    fn is_well(&self, now: i64) -> bool {
        let expired = |file: &FileCertificate| file.presented && file.not_after <= now;
        let interfaces = self.entry_points.iter().flat_map(|one| &one.steering);
        self.errors.is_empty()
            && self.certificates.is_deployed()
            && self.unserved.is_empty()
            && !self.servers.iter().any(|server| self.is_missed(server))
            && !self.certificate_files.iter().any(expired)
            && !interfaces
                .map(|one| &one.mode)
                .any(crate::steering::mode::InterfaceMode::is_lost)
    }

    /// Whether a server is down although it is to serve.
    fn is_missed(&self, server: &ServerStatus) -> bool {
        let said = |other: &ServerStatus| {
            ["drain", "maint"].contains(&&*other.state)
                && (&other.service, &other.server) == (&server.service, &server.server)
        };
        server.state == "down" && !self.servers.iter().any(said)
    }

    fn entry_points(&self, out: &mut String) {
        for entry_point in &self.entry_points {
            let EntryPointStatus {
                name,
                address,
                http_routers,
                https_routers,
                tcp_routers,
                steered_routers,
                steering,
            } = entry_point;
            let _ = writeln!(
                out,
                "  {name:<16} {address:<24} routers: {http_routers} http, {https_routers} https, {tcp_routers} tcp, \
                 {steered_routers} steered"
            );
            for InterfaceStatus { interface, mode } in steering {
                let _ = writeln!(
                    out,
                    "  {:<16} clients of {interface} are steered {mode}",
                    ""
                );
            }
            if steering.is_empty() && *steered_routers > 0 {
                let _ = writeln!(
                    out,
                    "  {:<16} clients are steered in user space: it has no steering.interfaces, or their mode is off",
                    ""
                );
            }
        }
    }

    fn table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "weir {}, process {}, {} workers, rules loaded {} times",
            self.version, self.pid, self.workers, self.generation
        );
        self.entry_points(&mut out);
        for (reason, count) in self.failures.iter().filter(|(_, count)| **count > 0) {
            let _ = writeln!(out, "  {reason:<20} {count} (docs/ERRORS.md)");
        }
        self.certificates(&mut out);
        self.certificate_files(&mut out);
        for service in &self.unserved {
            let _ = writeln!(
                out,
                "  NO SERVER: none of {service} takes requests; those not in maintenance are tried all the same"
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
        for (title, lines) in [("left out", &self.errors), ("warnings", &self.warnings)] {
            for line in lines {
                let _ = writeln!(out, "  {title}: {line}");
            }
        }
        out
    }
}

fn now() -> i64 {
    i64::try_from(clock::unix_seconds()).unwrap_or(i64::MAX)
}

/// Seconds as days, or as hours where these are fewer than two.
fn days(seconds: i64) -> String {
    match seconds / 86_400 {
        0 | 1 => format!("{} hours", seconds / 3_600),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steering::mode::InterfaceMode;

    const DAY: i64 = 86_400;

    fn status() -> Status {
        Status {
            version: String::new(),
            pid: 1,
            workers: 1,
            entry_points: vec![EntryPointStatus {
                name: "web".to_owned(),
                address: ([127, 0, 0, 1], 80).into(),
                http_routers: 1,
                https_routers: 0,
                tcp_routers: 0,
                steered_routers: 1,
                steering: Vec::new(),
            }],
            generation: 1,
            loads_held: 1,
            failures: Default::default(),
            servers: Vec::new(),
            unserved: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
            certificates: Default::default(),
            certificate_files: Vec::new(),
            uncertified: Vec::new(),
        }
    }

    fn file(left: i64, presented: bool) -> FileCertificate {
        FileCertificate {
            file: "a.pem".to_owned(),
            names: vec!["a.example".to_owned()],
            not_after: now() + left,
            presented,
        }
    }

    fn says(status: &Status, text: &str) {
        let table = status.table();
        assert!(table.contains(text), "{text:?} in {table}");
    }

    #[test]
    fn certificates_of_files_are_told_before_they_end_and_are_an_error_after() {
        let mut status = status();
        for (left, presented, text, well) in [
            (
                30 * DAY + 60,
                true,
                "1, good for 30 days at least (a.pem)",
                true,
            ),
            (
                13 * DAY + 60,
                true,
                "EXPIRES in 13 days: a.pem (a.example)",
                true,
            ),
            (DAY, true, "EXPIRES in ", true),
            (-3 * DAY, true, "EXPIRED 3 days ago: a.pem", false),
            (-3 * DAY, false, "", true),
        ] {
            status.certificate_files = vec![file(left, presented)];
            says(&status, text);
            assert_eq!(status.is_well(now()), well, "{left} {presented}");
        }
        assert!(
            !status.table().contains("EXPIRED"),
            "another one covers its names"
        );
        status.uncertified = (0..30).map(|n| format!("n{n}.example").into()).collect();
        says(
            &status,
            "SELF-SIGNED: no certificate for n0.example n1.example",
        );
        says(&status, " and 20 more: ");
    }

    #[test]
    fn servers_that_are_missed_are_an_error_and_those_taken_out_are_not() {
        let server = |state: &str| ServerStatus {
            service: "s@file".to_owned(),
            server: "http://192.0.2.1".to_owned(),
            state: state.to_owned(),
            reason: "why".to_owned(),
            since: 0,
        };
        for (states, well) in [
            (&["out"][..], true),
            (&["drain"], true),
            (&["maint"], true),
            (&["down"], false),
            (&["down", "ready"], false),
            (&["down", "maint"], true),
            (&["down", "drain"], true),
        ] {
            let mut status = status();
            status.servers = states.iter().map(|state| server(state)).collect();
            assert_eq!(status.is_well(now()), well, "{states:?}");
            status.unserved = vec!["s@file".into()];
            says(&status, "  NO SERVER: none of s@file takes requests");
            assert!(!status.is_well(now()), "{states:?}");
        }
    }

    #[test]
    fn where_clients_are_steered_is_said_of_each_interface() {
        let mut status = status();
        says(
            &status,
            "clients are steered in user space: it has no steering.interfaces, or their mode is off",
        );
        let cases = [
            (InterfaceMode::Native, "steered in the NIC (native)", true),
            (InterfaceMode::Generic, "(generic)", true),
            (
                InterfaceMode::user_space("no driver"),
                "in user space: no driver",
                true,
            ),
            (
                InterfaceMode::lost("it is gone"),
                "NOT IN THE NIC: it is gone",
                false,
            ),
        ];
        for (mode, text, well) in cases {
            let json = serde_json::to_string(&mode).expect("JSON");
            assert_eq!(
                serde_json::from_str::<InterfaceMode>(&json).ok(),
                Some(mode.clone())
            );
            let interface = "eth0".to_owned();
            status.entry_points[0].steering = vec![InterfaceStatus { interface, mode }];
            says(&status, text);
            assert_eq!(status.is_well(now()), well, "{text}");
        }
    }
}
