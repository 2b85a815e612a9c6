//! Whether this machine can run the driver, and if not, why and what to do.

use std::fmt;

use super::Config;
use super::ring::{Ring, SetupError, Stage};

/// The first kernel with everything the driver needs (IORING_SETUP_DEFER_TASKRUN).
const KERNEL: (u32, u32) = (6, 1);

/// Why the driver cannot run here: one line with cause and remedy.
#[derive(Debug)]
pub struct ProbeError(String);

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProbeError {}

/// Builds and drops a small ring as a worker does. Call it once at start, before anything is bound.
///
/// # Errors
/// A kernel before 6.1, `kernel.io_uring_disabled`, a seccomp profile or a memory-lock limit in the way.
pub fn probe() -> Result<(), ProbeError> {
    let small = Config {
        buffers: 2,
        buffer_size: 4096,
        ..Config::default()
    };
    let Err(error) = Ring::new(&small) else {
        return Ok(());
    };
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let disabled =
        std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    Err(ProbeError(explain(&error, release.trim(), disabled.trim())))
}

/// `release` as in uname(2), `disabled` the value of kernel.io_uring_disabled, empty if there is no such sysctl.
fn explain(error: &SetupError, release: &str, disabled: &str) -> String {
    let SetupError { stage, source } = error;
    if version(release).is_some_and(|version| version < KERNEL) {
        return format!(
            "io_uring: Linux {release} is too old ({source}): weir needs {}.{} or later; upgrade the kernel",
            KERNEL.0, KERNEL.1
        );
    }
    match source.raw_os_error() {
        Some(libc::EPERM) if matches!(disabled, "1" | "2") => format!(
            "io_uring: switched off by kernel.io_uring_disabled = {disabled}; run `sysctl -w kernel.io_uring_disabled=0` \
             and keep it in /etc/sysctl.d{}",
            if disabled == "1" {
                ", or run weir as root or in the kernel.io_uring_group"
            } else {
                ""
            }
        ),
        Some(libc::EPERM | libc::EACCES) => format!(
            "io_uring: refused ({source}) by a security profile: containers block it by default; allow io_uring_setup, \
             io_uring_enter and io_uring_register in the seccomp profile (docker: --security-opt seccomp=<profile>)"
        ),
        Some(libc::ENOSYS) => format!(
            "io_uring: not there on Linux {release} ({source}): the kernel lacks CONFIG_IO_URING or a seccomp profile \
             hides it; use a stock kernel or allow io_uring_setup, io_uring_enter and io_uring_register"
        ),
        Some(libc::ENOMEM) => format!(
            "io_uring: not enough memory for the ring ({source}): raise the memory-lock limit (`ulimit -l`, systemd: \
             LimitMEMLOCK=infinity) or the memory limit of the control group"
        ),
        Some(libc::EMFILE | libc::ENFILE) => format!(
            "io_uring: no descriptor left for the ring ({source}): raise the limit (`ulimit -n`, systemd: LimitNOFILE=)"
        ),
        _ => format!(
            "io_uring: cannot set up {} on Linux {release}: {source}; weir needs Linux {}.{} or later with io_uring",
            part(*stage),
            KERNEL.0,
            KERNEL.1
        ),
    }
}

fn part(stage: Stage) -> &'static str {
    match stage {
        Stage::Setup => "a ring (SINGLE_ISSUER, DEFER_TASKRUN)",
        Stage::RingDescriptor => "a registered ring descriptor",
        Stage::Buffers => "a ring of provided buffers",
        Stage::Eventfd => "a registered eventfd",
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn explained(errno: i32, release: &str, disabled: &str) -> String {
        let error = SetupError {
            stage: Stage::Setup,
            source: io::Error::from_raw_os_error(errno),
        };
        let line = explain(&error, release, disabled);
        assert!(
            !line.contains('\n') && line.starts_with("io_uring: "),
            "{line}"
        );
        line
    }

    #[test]
    fn each_cause_is_named_with_its_remedy() {
        let cases = [
            (libc::EINVAL, "5.15.0-91-generic", "0", "6.1 or later"),
            (
                libc::EPERM,
                "6.6.1",
                "2",
                "sysctl -w kernel.io_uring_disabled=0",
            ),
            (libc::EPERM, "6.6.1", "1", "kernel.io_uring_group"),
            (libc::EPERM, "6.6.1", "0", "seccomp"),
            (libc::EPERM, "6.1.0", "", "seccomp"),
            (libc::ENOSYS, "6.6.1", "", "CONFIG_IO_URING"),
            (libc::ENOMEM, "6.6.1", "0", "LimitMEMLOCK"),
            (libc::EMFILE, "6.6.1", "0", "LimitNOFILE"),
            (libc::EINVAL, "6.6.1", "0", "DEFER_TASKRUN"),
        ];
        for (errno, release, disabled, expected) in cases {
            let line = explained(errno, release, disabled);
            assert!(
                line.contains(expected),
                "{errno} on {release}, disabled {disabled:?}: {line}"
            );
        }
    }

    #[test]
    fn this_machine_can_run_the_driver() {
        probe().expect("the tests need io_uring");
    }

    #[test]
    fn reads_kernel_releases() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("6.1"), Some((6, 1)));
        assert_eq!(version(""), None);
    }
}
