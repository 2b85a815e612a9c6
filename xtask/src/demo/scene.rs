//! Servers of production go and come back while a client asks without a pause: what it counts as failed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use xtask::daemon::{poll, within};

use super::proxy::Proxy;
use super::stage::Stage;
use crate::shell::Outcome;

/// Connections of the client.
const CLIENTS: usize = 4;

/// Requests between two steps.
const MEANWHILE: u64 = 500;

/// How long these may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Something that happens under load.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scene {
    /// A server is drained, stopped, started and readied.
    Update,
    /// A server is killed with -9 and comes back.
    Kill,
}

/// In the order in which they are played.
pub(super) const ALL: [Scene; 2] = [Scene::Update, Scene::Kill];

/// What came of one.
pub(super) struct Report {
    scene: Scene,
    requests: u64,
    failed: Failed,
}

/// Status and reason of the answers that were not 200, and how many there were of each.
type Failed = BTreeMap<String, u64>;

/// Requests one after the other on kept connections.
struct Load {
    clients: Vec<(Child, JoinHandle<()>)>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    done: AtomicU64,
    failed: Mutex<Failed>,
}

impl Counts {
    /// Counts answers, a line each, until the client ends. A line without an end is of an answer that it was told to
    /// leave in the middle of.
    fn read(&self, mut answers: impl BufRead) {
        let mut line = String::new();
        while answers.read_line(&mut line).is_ok() && line.ends_with('\n') {
            self.done.fetch_add(1, Ordering::Relaxed);
            if line.trim_end() != "200" {
                *self.failed().entry(line.trim_end().to_owned()).or_default() += 1;
            }
            line.clear();
        }
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The head of the table.
pub(super) fn header() -> String {
    row("under load", "requests", "failed")
}

fn row(what: &str, requests: &str, failed: &str) -> String {
    format!("{what:<52} {requests:>8}  {failed:>6}")
}

impl Scene {
    fn describe(self) -> &'static str {
        match self {
            Self::Update => "production A is drained, stopped, started, readied",
            Self::Kill => "production B is killed with -9 and comes back",
        }
    }

    /// Plays it.
    pub(super) fn play(self, stage: &Stage, proxy: &Proxy<'_>) -> Outcome<Report> {
        let load = Load::start(stage)?;
        load.goes_on()?;
        match self {
            Self::Update => {
                let (name, url) = ("production-a", stage.url("production-a"));
                proxy.tell(&[
                    "server",
                    "drain",
                    "production",
                    &url,
                    "--wait",
                    "--timeout",
                    "30",
                ])?;
                stage.stop(name)?;
                load.goes_on()?;
                stage.start(name)?;
                proxy.tell(&["server", "ready", "production", &url])?;
            }
            Self::Kill => {
                stage.stop("production-b")?;
                load.goes_on()?;
                stage.start("production-b")?;
            }
        }
        load.goes_on()?;
        Ok(load.end(self))
    }
}

impl Load {
    fn start(stage: &Stage) -> Outcome<Self> {
        let entry = stage.entry_points()[0];
        let counts = Arc::<Counts>::default();
        let mut load = Self {
            clients: Vec::new(),
            counts,
        };
        // On standard error each line comes at once: none is left in a buffer when the client is ended.
        for _ in 0..CLIENTS {
            let mut curl = Command::new("curl");
            curl.args([
                "-sk",
                "--max-time",
                "10",
                "-o",
                "/dev/null",
                "-w",
                "%{stderr}%{http_code} %header{x-weir-reason}\\n",
            ]);
            curl.args(["--interface", &stage.client().to_string()]);
            curl.arg(format!("https://{entry}/?[1-100000000]"));
            curl.stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
            let mut child = within(stage.home("client"), || curl.spawn())?;
            let answers = child.stderr.take().ok_or("curl without an output")?;
            let counts = Arc::clone(&load.counts);
            let count = move || counts.read(BufReader::new(answers));
            load.clients.push((child, std::thread::spawn(count)));
        }
        Ok(load)
    }

    /// Waits for some more requests.
    fn goes_on(&self) -> Outcome {
        let done = || self.counts.done.load(Ordering::Relaxed);
        let wanted = done() + MEANWHILE;
        let reached = poll(PATIENCE, || (done() >= wanted).then_some(()));
        Ok(reached.ok_or("the client's requests do not go on")?)
    }

    fn end(mut self, scene: Scene) -> Report {
        self.stop();
        Report {
            scene,
            requests: self.counts.done.load(Ordering::Relaxed),
            failed: std::mem::take(&mut self.counts.failed()),
        }
    }

    /// What is under way then is not counted.
    fn stop(&mut self) {
        for (mut child, counting) in self.clients.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
            let _ = counting.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Report {
    /// One line of the table.
    pub(super) fn line(&self) -> String {
        let failed: u64 = self.failed.values().sum();
        row(
            self.scene.describe(),
            &self.requests.to_string(),
            &failed.to_string(),
        )
    }

    /// What is not as it must be.
    pub(super) fn complaint(&self) -> Option<String> {
        if self.failed.is_empty() {
            return None;
        }
        let failed = self.failed.iter();
        let failed: Vec<String> = failed
            .map(|(answer, times)| format!("{times} requests were answered {answer}"))
            .collect();
        Some(format!("{}: {}", self.scene.describe(), failed.join(", ")))
    }
}
