//! The binary under test: started with a configuration of its own in a scratch directory, killed when dropped.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use xtask::netns::Namespace;

use super::eventually;

/// A configuration on disk that the binary can be started with, once or several times.
pub struct Setup {
    dir: TempDir,
    namespace: Option<Namespace>,
}

impl Setup {
    /// Writes `weir.yml` into a new scratch directory. `{dir}` in the text stands for that directory; rule files are
    /// in `{dir}/rules`.
    pub fn new(static_config: &str) -> Self {
        let setup = Self {
            dir: tempfile::tempdir().expect("a scratch directory"),
            namespace: None,
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
        let child = self.spawn(&["--configFile", &self.config_file()]);
        Weir::new(self, child)
    }

    /// Runs the binary with these arguments to its end, as for a start that must fail or `steer status`.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.spawn(arguments)
            .wait_with_output()
            .expect("the binary's output")
    }

    /// The path of the static file, as an argument.
    pub fn config_file(&self) -> String {
        self.path("weir.yml").display().to_string()
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_weir")));
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut spawn = || command.spawn().expect("the weir binary starts");
        match &self.namespace {
            Some(namespace) => namespace.within(spawn),
            None => spawn(),
        }
    }
}

/// A running proxy.
pub struct Weir {
    setup: Setup,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Weir {
    fn new(setup: Setup, mut child: Child) -> Self {
        let log = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().expect("stdout is piped"), &log);
        collect(child.stderr.take().expect("stderr is piped"), &log);
        Self { setup, child, log }
    }

    /// Waits until the proxy accepts connections on `address`; panics with its log when it ends before that.
    pub fn listening(mut self, address: impl Into<SocketAddr>) -> Self {
        let address = address.into();
        let namespace = self.setup.namespace.clone();
        eventually(&format!("weir listens on {address}"), || {
            if let Some(status) = self.child.try_wait().expect("status of the child") {
                panic!(
                    "weir ended ({status}) before it listened on {address}:\n{}",
                    self.log()
                );
            }
            let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok();
            match &namespace {
                Some(namespace) => namespace.within(connect),
                None => connect(),
            }
        });
        self
    }

    /// The configuration it runs with, to change a rule file or run a second command beside it.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Everything it has written to stdout and stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("log lock").clone()
    }

    /// Waits until the log holds `text`.
    pub fn logged(&self, text: &str) {
        eventually(
            &format!("the log says {text:?}; it is:\n{}", self.log()),
            || self.log().contains(text).then_some(()),
        );
    }

    /// The process id, as for /proc.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("pids fit in i32"));
        kill(pid, signal).expect("signal the child");
    }

    /// Waits for its end after a signal, and gives back the configuration for another start.
    pub fn wait(mut self) -> (ExitStatus, Setup) {
        let status = eventually("weir ends", || {
            self.child.try_wait().expect("status of the child")
        });
        let empty = Setup {
            dir: tempfile::tempdir().expect("a scratch directory"),
            namespace: None,
        };
        (status, std::mem::replace(&mut self.setup, empty))
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("---- log of weir ----\n{}", self.log());
        }
    }
}

fn collect(pipe: impl Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut log = log.lock().expect("log lock");
            log.push_str(&line);
            log.push('\n');
        }
    });
}
