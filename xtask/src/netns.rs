//! Network namespaces and the veth pairs between them, made with iproute2 and removed when dropped.
//!
//! Names begin with `wx` and hold this process's id, so that several runs share one machine. A namespace is entered by
//! `setns` of a thread, never by `ip netns exec`: that would mount a new /sys, in which the pinned maps cannot be seen.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A network namespace with its loopback device up. Clones share it; the last one removes it.
#[derive(Clone, Debug)]
pub struct Namespace {
    shared: Arc<Owned>,
}

#[derive(Debug)]
struct Owned {
    name: String,
}

impl Namespace {
    /// Makes a new namespace; `role` (at most 12 letters) is the readable end of its name.
    ///
    /// # Errors
    /// What `ip netns add` says: mostly that it needs root.
    pub fn create(role: &str) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wx{}.{number}-{role}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self {
            shared: Arc::new(Owned { name }),
        };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name under /run/netns, as for `nsenter --net=/run/netns/<name>`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Runs `work` on a thread inside the namespace. Sockets made and processes started there stay in it.
    ///
    /// # Panics
    /// When `work` panics, or the namespace cannot be entered (it is gone, or this process is not root).
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            let handle = File::open(format!("/run/netns/{}", self.name()))?;
            setns(handle, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
        };
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                enter().unwrap_or_else(|error| {
                    panic!("cannot enter the namespace {}: {error}", self.name())
                });
                work()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Sets a sysctl of this namespace, named by its path under /proc/sys.
    ///
    /// # Errors
    /// When the kernel has no such key or refuses the value.
    pub fn sysctl(&self, key: &str, value: &str) -> io::Result<()> {
        let path = Path::new("/proc/sys").join(key);
        let explain = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
        self.within(|| fs::write(&path, value)).map_err(explain)
    }

    /// Runs `ip` with these arguments on this namespace.
    ///
    /// # Errors
    /// What `ip` wrote to stderr.
    pub fn ip(&self, arguments: &[&str]) -> io::Result<()> {
        ip(&[&["-n", self.name()], arguments].concat())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // A namespace that somebody removed by hand is as gone as we want it.
        let _ = ip(&["netns", "del", &self.name]);
    }
}

/// Joins two namespaces by a veth pair and brings both ends up. Names of devices have at most 15 characters.
///
/// # Errors
/// What `ip link add` says.
pub fn join(left: (&Namespace, &str), right: (&Namespace, &str)) -> io::Result<()> {
    let pair = [
        "link",
        "add",
        left.1,
        "netns",
        left.0.name(),
        "type",
        "veth",
    ];
    let peer = ["peer", "name", right.1, "netns", right.0.name()];
    ip(&[&pair[..], &peer[..]].concat())?;
    left.0.ip(&["link", "set", left.1, "up"])?;
    right.0.ip(&["link", "set", right.1, "up"])
}

/// Removes what runs left behind that were killed: their namespaces, and the processes still in them. Runs whose
/// process is alive are left alone.
///
/// # Errors
/// When a namespace cannot be removed.
pub fn sweep() -> io::Result<()> {
    let Ok(names) = fs::read_dir("/run/netns") else {
        return Ok(());
    };
    for name in names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        if owner(&name).is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let inside = Command::new("ip")
                .args(["netns", "pids", &name])
                .output()?
                .stdout;
            for pid in String::from_utf8_lossy(&inside)
                .lines()
                .filter_map(|pid| pid.parse().ok())
            {
                // It may have ended meanwhile.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            ip(&["netns", "del", &name])?;
        }
    }
    Ok(())
}

/// The process id in the name of one of our namespaces.
fn owner(name: &str) -> Option<&str> {
    let (pid, _) = name.strip_prefix("wx")?.split_once('.')?;
    pid.bytes().all(|byte| byte.is_ascii_digit()).then_some(pid)
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    tool("ip", arguments)
}

/// Runs a program of the system; whatever it says on stderr is the error.
pub(crate) fn tool(program: &str, arguments: &[&str]) -> io::Result<()> {
    let line = format!("{program} {}", arguments.join(" "));
    let output = Command::new(program).args(arguments).output();
    let output =
        output.map_err(|error| io::Error::other(format!("cannot run `{line}`: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("`{line}`: {}", reason.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_have_an_owner() {
        assert_eq!(owner("wx12.0-edge"), Some("12"));
        assert_eq!(owner("wxyz.0-edge"), None);
        assert_eq!(owner("edge"), None);
    }
}
