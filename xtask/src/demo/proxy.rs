//! The real binary on the stage, and what it says about itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use xtask::daemon::{Daemon, poll, within};

use super::stage::Stage;
use crate::shell::{Outcome, output, target};

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a demo's directory of pinned maps begins with; its process id follows.
const PINS: &str = "/sys/fs/bpf/weir-demo-";

/// A running weir, stopped in order when dropped.
pub(super) struct Proxy<'a> {
    daemon: Daemon,
    stage: &'a Stage,
    config: PathBuf,
}

/// What the XDP plane has done so far; nothing where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Packets steered in either direction.
    pub(super) packets: u64,
    /// Connections that got a flow.
    pub(super) flows: u64,
}

impl<'a> Proxy<'a> {
    /// Starts the binary with the stage's configuration and waits until it serves.
    pub(super) fn start(stage: &'a Stage) -> Outcome<Self> {
        let config = stage.configure()?;
        let mut command = Command::new(binary());
        command.arg("--configFile").arg(&config);
        let mut daemon = Daemon::start(&mut command, stage.edge())?;
        for address in stage.entry_points() {
            daemon
                .listening(address, PATIENCE)
                .map_err(|error| format!("weir does not serve: {error}"))?;
        }
        let proxy = Self {
            daemon,
            stage,
            config,
        };
        poll(PATIENCE, || proxy.is_filled().then_some(()))
            .ok_or("XDP is attached, but has got no rules")?;
        Ok(proxy)
    }

    /// Whether XDP, if attached, has its rules: user space serves a moment before.
    fn is_filled(&self) -> bool {
        let some =
            |status: &Value, list| status[list].as_array().is_some_and(|list| !list.is_empty());
        self.status()
            .is_ok_and(|status| some(&status, "listeners") || !some(&status, "interfaces"))
    }

    /// How connections are steered: `XDP (native)`, `XDP (generic)` or `user space`.
    pub(super) fn steering_plane(&self) -> Outcome<String> {
        let status = self.status()?;
        let attached = status["interfaces"]
            .as_array()
            .and_then(|interfaces| interfaces.first().cloned());
        let mode = attached.and_then(|interface| interface["mode"].as_str().map(str::to_owned));
        Ok(mode.map_or_else(|| "user space".to_owned(), |mode| format!("XDP ({mode})")))
    }

    /// The counters at this moment.
    pub(super) fn counters(&self) -> Outcome<Counters> {
        let status = self.status()?;
        let counter = |name: &str| status["counters"][name].as_u64().unwrap_or_default();
        Ok(Counters {
            packets: counter("forward") + counter("return"),
            flows: counter("flow_new"),
        })
    }

    /// What it has logged.
    pub(super) fn log(&self) -> String {
        self.daemon.log()
    }

    /// What this proxy is told by a command.
    pub(super) fn tell(&self, arguments: &[&str]) -> Outcome<String> {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .arg("--configFile")
            .arg(&self.config);
        output(&mut command)
    }

    /// The command that asks this proxy something, for a terminal.
    pub(super) fn command_line(&self, arguments: &[&str]) -> String {
        let (binary, config) = (binary(), self.config.display());
        format!(
            "{} {} --configFile {config}",
            binary.display(),
            arguments.join(" ")
        )
    }

    fn status(&self) -> Outcome<Value> {
        let mut command = Command::new(binary());
        command
            .args(["steer", "status", "--json", "--configFile"])
            .arg(&self.config);
        let text = within(self.stage.edge(), || output(&mut command))?;
        let explain = |error| format!("`weir steer status --json` is not JSON ({error}): {text}");
        Ok(serde_json::from_str(&text).map_err(explain)?)
    }
}

impl Drop for Proxy<'_> {
    fn drop(&mut self) {
        // Asked to stop it takes its XDP program with it (`onStop: detach`); if it does not, the pins go with the
        // namespaces' devices, and these directories by hand.
        let _ = self.daemon.signal(Signal::SIGTERM);
        let _ = self.daemon.wait(PATIENCE);
        let _ = fs::remove_dir_all(pins());
    }
}

/// Where this demo's proxy pins its maps and links.
pub(super) fn pins() -> String {
    format!("{PINS}{}", std::process::id())
}

/// Removes the pins of demos that were killed.
pub(super) fn sweep() -> Outcome {
    let (directory, prefix) = PINS.rsplit_once('/').expect("an absolute path");
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(prefix);
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn binary() -> PathBuf {
    target().join("debug/weir")
}
