//! The binary under test: started with a configuration of its own in a scratch directory, killed when dropped.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use xtask::daemon::{Daemon, within};
use xtask::netns::Namespace;
use xtask::process;

use super::{DEADLINE, eventually};

/// A configuration on disk that the binary can be started with, once or several times.
pub struct Setup {
    dir: TempDir,
    namespace: Option<Namespace>,
    variables: Vec<(String, String)>,
}

impl Setup {
    /// Writes `weir.yml` into a new scratch directory. `{dir}` in the text stands for that directory; rule files are
    /// in `{dir}/rules`.
    pub fn new(static_config: &str) -> Self {
        let setup = Self {
            dir: tempfile::tempdir().expect("a scratch directory"),
            namespace: None,
            variables: Vec::new(),
        };
        fs::create_dir(setup.path("rules")).expect("rules directory");
        setup.write("weir.yml", static_config);
        setup
    }

    /// Adds or replaces `rules/name`.
    pub fn rules(self, name: &str, text: &str) -> Self {
        self.write(&format!("rules/{name}"), text);
        self
    }

    /// Runs the binary with this variable in its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs the binary in this network namespace instead of the test's own.
    pub fn within(mut self, namespace: &Namespace) -> Self {
        self.namespace = Some(namespace.clone());
        self
    }

    /// A path inside the scratch directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file by rename, as a careful editor does: a watcher never sees half of it.
    pub fn write(&self, name: &str, text: &str) {
        let text = text.replace("{dir}", &self.dir.path().display().to_string());
        let (target, draft) = (self.path(name), self.path("draft"));
        fs::write(&draft, text)
            .and_then(|()| fs::rename(&draft, &target))
            .expect("write into the scratch directory");
    }

    /// Starts the proxy and leaves it running; say what to wait for with [`Weir::listening`].
    pub fn start(self) -> Weir {
        let mut command = self.command(&["--configFile", &self.config_file()]);
        let daemon =
            Daemon::start(&mut command, self.namespace.as_ref()).expect("the weir binary starts");
        Weir {
            daemon,
            setup: self,
        }
    }

    /// Runs the binary with these arguments to its end, as for a start that must fail or `steer status`.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        within(self.namespace.as_ref(), || command.output()).expect("the weir binary runs")
    }

    /// The path of the static file, as an argument.
    pub fn config_file(&self) -> String {
        self.path("weir.yml").display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(arguments);
        // What makes a test larger is named like what configures weir, and is none of it.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WEIR_")) {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        // Nothing of a test may stay on the machine, whatever its static file says.
        if !arguments
            .iter()
            .any(|argument| argument.contains("stateDir"))
        {
            command.env("WEIR_STATEDIR", self.path("state"));
        }
        command
    }
}

/// A running proxy.
pub struct Weir {
    // First, so that the proxy ends before its scratch directory goes.
    daemon: Daemon,
    setup: Setup,
}

impl Weir {
    /// Waits until the proxy accepts connections on `address`; panics with its log when it ends before that.
    pub fn listening(self, address: impl Into<SocketAddr>) -> Self {
        self.listening_within(DEADLINE, address)
    }

    /// As [`Self::listening`], with a deadline of its own.
    pub fn listening_within(mut self, deadline: Duration, address: impl Into<SocketAddr>) -> Self {
        if let Err(error) = self.daemon.listening(address.into(), deadline) {
            panic!("{error}");
        }
        self
    }

    /// The configuration it runs with, to change a rule file or run a second command beside it.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Everything it has written to stdout and stderr so far.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Waits until the log holds `text`.
    pub fn logged(&self, text: &str) {
        eventually(&format!("the log says {text:?}"), || {
            self.log().contains(text).then_some(())
        });
    }

    /// The process id, as for /proc.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Open descriptors of the process.
    pub fn descriptors(&self) -> usize {
        process::descriptors(self.pid()).expect("it runs")
    }

    /// The most memory that the process has ever held, in bytes.
    pub fn most_resident(&self) -> u64 {
        process::most_resident(self.pid()).expect("it runs")
    }

    /// Resident memory of the process, in bytes.
    pub fn resident(&self) -> u64 {
        process::resident(self.pid()).expect("it runs")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.daemon.signal(signal).expect("signal the proxy");
    }

    /// Waits for its end after a signal, and gives back the configuration for another start.
    pub fn wait(self) -> (ExitStatus, Setup) {
        let Self { mut daemon, setup } = self;
        let status = daemon.wait(DEADLINE).expect("status of the proxy");
        (status.expect("weir ends in time"), setup)
    }
}
