//! A program that runs beside its caller: in a namespace if need be, its output collected, ended when dropped.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::netns::Namespace;

/// Polls until `condition` gives a value or the time is over.
pub fn poll<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let value = condition();
        if value.is_some() || start.elapsed() > limit {
            return value;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// A port of the loopback interface that nobody listens on at this moment. It lies below those that the kernel gives to
/// outgoing connections (`ip_local_port_range`), one of which may otherwise take it before its server listens. It is
/// given out once in a process, and processes begin in places of their own.
pub fn free_address() -> SocketAddr {
    const PORTS: Range<u32> = 10_000..32_768;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let nth = process::id() * 997 + GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = (PORTS.start + nth % PORTS.len() as u32) as u16;
        // On every address, so that a server on another one of the loopback interface counts.
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return (Ipv4Addr::LOCALHOST, port).into();
        }
    }
}

/// Runs `work` inside the namespace, or right here without one.
pub fn within<T: Send>(namespace: Option<&Namespace>, work: impl FnOnce() -> T + Send) -> T {
    match namespace {
        Some(namespace) => namespace.within(work),
        None => work(),
    }
}

/// A running program. When its owner panics, as a failed test does, its log is printed.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    namespace: Option<Namespace>,
    log: Arc<Mutex<String>>,
}

impl Daemon {
    /// Starts the command. It gets a process group of its own: Ctrl-C in the terminal is for the caller, who then ends
    /// it in order.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(command: &mut Command, namespace: Option<&Namespace>) -> io::Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = within(namespace, || command.spawn())?;
        let log = Arc::default();
        collect(child.stdout.take(), &log);
        collect(child.stderr.take(), &log);
        Ok(Self {
            child,
            namespace: namespace.cloned(),
            log,
        })
    }

    /// Waits until somebody accepts connections on `address` in its namespace.
    ///
    /// # Errors
    /// When the program ends before that, or the time is over; the text holds its log.
    pub fn listening(&mut self, address: SocketAddr, limit: Duration) -> io::Result<()> {
        let namespace = self.namespace.clone();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
        let outcome = poll(limit, || match self.child.try_wait() {
            Ok(None) => within(namespace.as_ref(), connect).then_some(Ok(())),
            Ok(Some(status)) => Some(Err(format!("it ended with {status}"))),
            Err(error) => Some(Err(error.to_string())),
        });
        match outcome {
            Some(Ok(())) => Ok(()),
            Some(Err(reason)) => Err(io::Error::other(format!(
                "nobody on {address}: {reason}\n{}",
                self.log()
            ))),
            None => Err(io::Error::other(format!(
                "nobody on {address} after {limit:?}\n{}",
                self.log()
            ))),
        }
    }

    /// Everything it has written to stdout and stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended and been waited for.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        kill(Pid::from_raw(pid), signal).map_err(io::Error::from)
    }

    /// Waits for its end; `None` when the time is over.
    ///
    /// # Errors
    /// What `waitpid` says.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        poll(limit, || self.child.try_wait().transpose()).transpose()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            println!("---- log of process {} ----\n{}", self.pid(), self.log());
        }
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>, log: &Arc<Mutex<String>>) {
    let Some(pipe) = pipe else { return };
    let log = Arc::clone(log);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
}
