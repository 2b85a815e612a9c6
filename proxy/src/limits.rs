//! Every bound of the program, in four files: of rules, configuration, steering and the process here.
//!
//! Owns the constants that docs/LIMITS.md has on one page.

use std::time::Duration;

mod control;
mod http;
mod network;

pub use control::*;
pub use http::*;
pub use network::*;

// Rules and services.

/// Servers in use at any one time, over all services: the length of the fixed per-server tables.
pub const SERVERS_MAX: usize = 65_536;
/// Weight of a server or of a service in `weighted`. Keeps sums of a whole tree far inside an `i64`.
pub const SERVICE_WEIGHT_MAX: u32 = 1_000_000;
/// `weighted` services inside each other. Deeper is taken for a mistake; bounds recursion while picking.
pub const SERVICE_DEPTH_MAX: usize = 8;
/// Services and servers below one `weighted` service, each counted as often as it is reached: a few services that
/// share children unfold to billions, and a steered pool looks at each.
pub const SERVICE_TREE_MAX: usize = 65_536;
/// Servers of one load balancer: each pick looks at all of them.
pub const LOAD_BALANCER_SERVERS_MAX: usize = 4_096;

/// Length of one rule in bytes: far above rules written by hand, a bound for generated ones.
pub const RULE_BYTES_MAX: usize = 65_536;
/// `!` and parentheses inside each other in one rule; bounds recursion.
pub const RULE_DEPTH_MAX: usize = 64;

/// Memory of one compiled regular expression, and of what it keeps while it searches; what needs more is refused.
pub const REGEXP_BYTES_MAX: usize = 1 << 20;

/// Middlewares that requests of one router pass, chains laid out.
pub const MIDDLEWARES_MAX: usize = 128;
/// Chains of middlewares inside each other; deeper is a circle.
pub const MIDDLEWARE_CHAIN_DEPTH_MAX: usize = 8;

/// Of a body that is compressed, how much before it an encoder looks back at, as a power of two: what a stream costs.
pub const COMPRESS_WINDOW_LOG: u32 = 18;
/// Bodies that a worker compresses at the same time; more pass as they are. An encoder takes up to about 2 MiB.
pub const COMPRESS_STREAMS_MAX: usize = 256;
/// Payload given to an encoder between two sends: a worker has others to serve.
pub const COMPRESS_STEP_BYTES: usize = 64 << 10;
/// zlib's own default.
pub const GZIP_LEVEL: u32 = 6;
/// About gzip's speed at a better ratio; the higher ones are for what is compressed once and kept.
pub const BROTLI_QUALITY: u32 = 4;
/// What an encoder hands out at a time.
pub const BROTLI_STEP_BYTES: usize = 16 << 10;
/// zstd's own default.
pub const ZSTD_LEVEL: i32 = 3;

/// Servers that a worker takes for down at any one time because they have just failed it.
pub const SUSPECTS_MAX: usize = 1_024;
/// How long a server that refused a connection, or reset one before its answer, gets nothing of that worker's while
/// another server can; health checks say the rest.
pub const SUSPECT_TIME: Duration = Duration::from_secs(2);
/// The most that `maxConnections` takes.
pub const SERVER_CONNECTIONS_MAX: u32 = 1_000_000;
/// The most that `queue.length` takes: of twice as many that wait for a server it is known who has given up.
pub const QUEUE_LENGTH_MAX: u32 = 65_536;
/// Requests that wait for a server that has as many as it may (`queue.length`).
pub const QUEUE_LENGTH: u32 = 1_024;
/// How long each of them may wait (`queue.timeout`).
pub const QUEUE_TIME: Duration = Duration::from_secs(10);
/// Between a worker's looks at whether other workers have made room at a server that its requests wait for.
pub const QUEUE_LOOK: Duration = Duration::from_millis(1);
/// Failures in a row that take a server out, beside those of which one is enough.
pub const PASSIVE_FAILURES: u32 = 5;
/// In which time they happen; Traefik's default of `passiveHealthCheck.failureWindow`.
pub const PASSIVE_WINDOW: Duration = Duration::from_secs(10);
/// The last servers that failed, which workers tell each other; one that misses some meets them itself.
pub const SUSPICIONS_TOLD: usize = 64;
/// Of 100 requests of a worker so many may be sent to one more server: a divisor of 100.
pub const RETRY_PERCENT: u32 = 20;
/// The same, each second, whatever the number of requests.
pub const RETRIES_PER_SECOND: u32 = 10;
/// How many that may come to after quiet times: what a server that dies had in hand.
pub const RETRIES_KEPT: u32 = 1_000;
/// Requests that one worker holds until their service can serve (`holdTime`); one more fails at once.
pub const HELD_MAX: usize = 1_024;
/// The most that `holdTime` takes.
pub const HOLD_TIME_MAX: Duration = Duration::from_secs(300);
/// Between two looks at whether a service can serve that requests are held for.
pub const HOLD_LOOK: Duration = Duration::from_millis(100);
/// How long such a look may take.
pub const HOLD_CONNECT: Duration = Duration::from_secs(1);
/// The file of `unavailablePage`.
pub const PAGE_BYTES_MAX: usize = 256 << 10;
/// Walks over all flows that remove those of a server (`onDown: reset`), unless one finds none before.
pub const RESET_WALKS_MAX: usize = 4;
/// Bits by which the users of a server with a sticky cookie are counted, in each of two periods.
pub const USERS_BITS: usize = 2_048;
/// Users of a server were seen lately if that was in this period or the one before.
pub const USERS_PERIOD: Duration = Duration::from_secs(300);
/// Servers that one request is sent to at most, one after the other.
pub const SERVER_TRIES_MAX: usize = 3;

/// Between two probes of a server: Traefik's default of `healthCheck.interval`.
pub const HEALTH_INTERVAL: Duration = Duration::from_secs(30);
/// Traefik's default of `healthCheck.timeout`.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// The shortest interval or timeout of a health check: below it, checking is a load of its own.
pub const HEALTH_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// The longest.
pub const HEALTH_INTERVAL_MAX: Duration = Duration::from_secs(86_400);
/// Between two probes, at most, while answers differ from what is held to be so.
pub const HEALTH_CHANGING: Duration = Duration::from_secs(1);
/// Servers that go up and down again and again have the rings built anew, and the status file written, at most so
/// often; the first change is told at once.
pub const HEALTH_TOLD: Duration = Duration::from_millis(500);
/// One over it of an interval is left to chance, so that probes do not come in step.
pub const HEALTH_JITTER: u32 = 10;
/// `healthCheck.rise`, as in HAProxy.
pub const HEALTH_RISE: u32 = 2;
/// `healthCheck.fall`, as in HAProxy.
pub const HEALTH_FALL: u32 = 3;
/// The most of either.
pub const HEALTH_STREAK_MAX: u32 = 1_000;
/// Probes under way at the same time.
pub const HEALTH_PROBES_MAX: usize = 256;
/// Redirects that a probe follows; Go's client follows one fewer.
pub const HEALTH_REDIRECTS_MAX: usize = 10;
/// Bytes of `send` and `expect`, and of an answer that is read for the latter.
pub const HEALTH_EXPECT_BYTES_MAX: usize = 4 << 10;
/// Header fields of `healthCheck.headers`.
pub const HEALTH_HEADERS_MAX: usize = 64;
/// Characters of a reason that are kept.
pub const HEALTH_REASON_CHARS_MAX: usize = 200;
/// Servers that administrators have drained or taken out at any one time.
pub const STANDINGS_MAX: usize = 4_096;

/// Between two looks at a server that is waited for.
pub const ADMIN_WAIT_LOOK: Duration = Duration::from_millis(200);
/// Between two lines that say what is still waited for.
pub const ADMIN_WAIT_TELL: Duration = Duration::from_secs(10);

/// Services in use at any one time, HTTP and TCP together.
pub const SERVICES_MAX: usize = 65_536;
/// Picks that a worker may skip at most to reach its own start in a service's cycle; bounds the first pick's cost.
pub const BALANCE_START_STEPS_MAX: i64 = 1_024;

// Reading configuration.

/// Entry points of one process: each costs a listener on every worker.
pub const ENTRY_POINTS_MAX: usize = 64;
/// Worker threads: above the core counts of today's machines.
pub const WORKERS_MAX: usize = 1_024;

/// Size of one configuration file in bytes: 10,000 routers take about 2 MiB.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Collections inside each other in one file. The deepest known key is at level 9.
pub const DOCUMENT_DEPTH_MAX: usize = 64;
/// Nodes of one file once aliases are resolved: aliases of aliases grow exponentially.
pub const DOCUMENT_NODES_MAX: usize = 1_000_000;
/// Flags, or variables of the environment, that configure.
pub const ASSIGNMENTS_MAX: usize = 10_000;
/// An index such as `[0]` in a flag is below this: the items before it are made.
pub const ASSIGNMENT_INDEX_MAX: usize = 1_024;
/// Rule files in a directory with its sub-directories.
pub const RULE_FILES_MAX: usize = 20_000;
/// Directories inside each other below the rule directory.
pub const RULE_DIRECTORY_DEPTH_MAX: usize = 16;
/// How long a load of rules waits for names it has not asked for before; they come with a later load if need be.
pub const RESOLVE_WAIT: Duration = Duration::from_secs(3);
/// Between two looks at the addresses of all names of servers. getaddrinfo(3) does not tell how long an answer holds.
pub const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);
/// Names resolved at the same time; one that does not answer blocks its thread for the resolver's own timeout.
pub const RESOLVE_THREADS_MAX: usize = 16;
/// Addresses of one server that are tried.
pub const SERVER_ADDRESSES_MAX: usize = 16;
/// Problems reported for one file; more are counted.
pub const FILE_PROBLEMS_MAX: usize = 100;

/// Actions and texts that one template may pass while it is expanded.
pub const TEMPLATE_STEPS_MAX: usize = 1_000_000;
/// Rounds of all `range` loops of one template together.
pub const TEMPLATE_ROUNDS_MAX: u64 = 1_000_000;
/// Bytes that a template expands to: those of a file.
pub const TEMPLATE_OUTPUT_BYTES_MAX: usize = DOCUMENT_BYTES_MAX;
/// Bytes that the functions of one template read and write together: bounds their memory and their time.
pub const TEMPLATE_WORK_BYTES_MAX: usize = 64 << 20;

/// Quiet time after the last change of a rule file before it is read: rsync writes a set file by file.
pub const WATCH_QUIET: Duration = Duration::from_millis(200);
/// A directory that never gets quiet is read this long after its first change.
pub const WATCH_LATEST: Duration = Duration::from_secs(2);

// Steering.

/// Distinct prefixes in the steered rules of one entry point: what the XDP program's prefix tries hold.
pub const STEERED_PREFIXES_MAX: usize = 16_384;
/// Prefixes in the steered rules of all entry points: the XDP program's tries are shared by them, and hold the old
/// rules beside the new ones while these are put in. Each entry point adds up to one entry for the rest of a family.
pub const STEERED_PREFIXES_TOTAL_MAX: usize =
    weir_common::map::RULES_MAX as usize / 2 - ENTRY_POINTS_MAX;
/// Servers of one steered router: the ring has enough slots that a share of 1 % is met within a tenth.
pub const POOL_SERVERS_MAX: usize = 256;
/// Source ports of steered connections where `steering.snat` names none: right below the kernel's default range of
/// ephemeral ports (32768-60999), as many as allow 270 new connections a second to one server from one address.
pub const SNAT_PORTS_DEFAULT: std::ops::RangeInclusive<u16> = 16_384..=32_767;
/// Network events within this time are answered together: a router daemon may send thousands.
pub const NETWORK_QUIET: Duration = Duration::from_millis(100);
/// How long new rules wait for the hardware addresses of new servers, which answer within milliseconds or not at all.
pub const NEIGHBOUR_WAIT: Duration = Duration::from_millis(300);
/// How often the XDP plane looks at everything again: neighbours kept warm, unused server indices freed, a detach by
/// hand noticed. Well inside the kernel's 30 s after which a neighbour entry counts as stale.
pub const STEERING_INTERVAL: Duration = Duration::from_secs(10);

// Workers.

/// Memory for the messages of requests that a worker keeps for the next ones.
pub const SCRATCH_KEPT: usize = 256;
/// A piece of it that has grown larger is given up.
pub const SCRATCH_BYTES_KEPT: usize = 16 << 10;
/// Room made for a head that is being written; most fit.
pub const HEAD_BYTES_USUAL: usize = 1 << 10;
/// Room made for an answer of weir's own.
pub const ANSWER_BYTES: usize = 256;
/// Payload shorter than this is copied together with its framing: a chunk per byte must not cost a queue entry each.
pub const BODY_COPY_BYTES: usize = 512;
/// How old a `Date` may be.
pub const DATE_KEPT: Duration = Duration::from_secs(1);
/// Connections the kernel completes ahead of accept; capped by net.core.somaxconn.
pub const LISTEN_BACKLOG: u32 = 4096;
/// Accepting pauses this long when descriptors or memory run out.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Between two rounds of a worker's and the control thread's regular chores.
pub const HOUSEKEEPING: Duration = Duration::from_secs(1);

// The process.

/// File descriptors below which weir warns at its start.
pub const DESCRIPTORS_WANTED: u64 = 65_536;
/// Descriptors the kernel gives by default, where it does not say.
pub const DESCRIPTORS_ASSUMED: u64 = 1024;
/// Descriptors left for everything but connections.
pub const DESCRIPTORS_RESERVED: u64 = 256;
/// Threads that compute for the control thread.
pub const CONTROL_BLOCKING_THREADS: usize = 2;
/// How much longer than the grace time a stop waits for its threads.
pub const STOP_EXTRA: Duration = Duration::from_secs(2);
/// Between two looks at whether a thread has ended.
pub const STOP_POLL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests;
