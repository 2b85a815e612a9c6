//! How many file descriptors the process may have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

use crate::limits;

/// What a process may have open.
pub struct Descriptors {
    /// File descriptors.
    pub allowed: u64,
    /// How many clients' connections these hold: each needs two, its own and its server's.
    pub connections: usize,
}

/// Takes all descriptors that the system administrator allows.
pub fn take_all() -> Descriptors {
    let allowed = match raise() {
        Ok(allowed) => allowed,
        Err(error) => {
            warn!("the limit of file descriptors stays as it is: {error}");
            limits::DESCRIPTORS_ASSUMED
        }
    };
    if allowed < limits::DESCRIPTORS_WANTED {
        let wanted = limits::DESCRIPTORS_WANTED;
        warn!(
            "only {allowed} file descriptors are allowed; set LimitNOFILE={wanted} where weir is started"
        );
    }
    let usable = allowed.saturating_sub(limits::DESCRIPTORS_RESERVED);
    Descriptors {
        allowed,
        connections: usize::try_from(usable / 2).unwrap_or(usize::MAX).max(1),
    }
}

fn raise() -> nix::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}
