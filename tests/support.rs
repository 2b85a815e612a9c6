//! What every end-to-end test shares: the binary under test, scratch directories, free ports, waiting with a deadline.
//! Network namespaces and the small origin server are `xtask::netns` and `xtask::backend`, shared with the demo.

pub mod client;
pub mod tls;
pub mod weir;

use std::path::{Path, PathBuf};
use std::time::Duration;

use xtask::daemon::{free_address, poll};

/// How long anything may take that is supposed to happen at once; generous, because the machine is shared.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Says whether this process may do what root may. Without root it prints the line by which `cargo xtask test` counts
/// the test as skipped; the caller then returns. `what` names the need, as in "network namespaces".
#[must_use]
pub fn require_root(what: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped: needs root ({what})");
    }
    root
}

/// A TCP port nobody listens on at this moment, on any loopback address.
pub fn free_port() -> u16 {
    free_address().port()
}

/// What a test takes a number of: `usual`, or what this variable of the environment says.
pub fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

/// Polls until `condition` gives a value, and panics with `what` when [`DEADLINE`] has passed.
pub fn eventually<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    poll(DEADLINE, condition).unwrap_or_else(|| panic!("not within {DEADLINE:?}: {what}"))
}

/// As [`eventually`], with a deadline of its own.
pub fn eventually_within<T>(
    deadline: std::time::Duration,
    what: &str,
    condition: impl FnMut() -> Option<T>,
) -> T {
    poll(deadline, condition).unwrap_or_else(|| panic!("not within {deadline:?}: {what}"))
}

/// A file that `cargo xtask setup` has put into the target directory, if it could.
pub fn set_up(path: &str) -> Option<PathBuf> {
    let binary = Path::new(env!("CARGO_BIN_EXE_weir"));
    let mut found = binary.ancestors().map(|directory| directory.join(path));
    found.find(|path| path.exists())
}
