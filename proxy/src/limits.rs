//! Every bound of the program on one page.

use std::time::Duration;

// Rules and services.

/// Servers in use at any one time, over all services: the length of the fixed per-server tables.
pub const SERVERS_MAX: usize = 65_536;
/// Weight of a server or of a service in `weighted`. Keeps sums of a whole tree far inside an `i64`.
pub const SERVICE_WEIGHT_MAX: u32 = 1_000_000;
/// `weighted` services inside each other. Deeper is taken for a mistake; bounds recursion while picking.
pub const SERVICE_DEPTH_MAX: usize = 8;

// Reading configuration.

/// Quiet time after the last change of a rule file before it is read: rsync writes a set file by file.
pub const WATCH_QUIET: Duration = Duration::from_millis(200);
/// A directory that never gets quiet is read this long after its first change.
pub const WATCH_LATEST: Duration = Duration::from_secs(2);

// Steering.

/// Distinct prefixes in the steered rules of one entry point: what the XDP program's prefix tries hold.
pub const STEERED_PREFIXES_MAX: usize = 16_384;
/// Servers of one steered router: the ring has enough slots that a share of 1 % is met within a tenth.
pub const POOL_SERVERS_MAX: usize = 256;
