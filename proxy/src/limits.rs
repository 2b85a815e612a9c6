//! Every bound of the program on one page.

use std::time::Duration;

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

// HTTP/1.1 heads and bodies. Sizes in bytes.

/// A request line; longer is 414. nginx allows 8 KiB, and RFC 9112 section 3 asks for at least 8,000.
pub const REQUEST_LINE_BYTES_MAX: usize = 16 << 10;
/// A whole head; larger is 431. Cookies of several single sign-ons reach 32 KiB.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Field lines in a head; more is 431. Apache httpd and hyper allow 100.
pub const HEAD_FIELDS_MAX: usize = 128;
/// A method; the longest registered one has 17 characters. Longer is 501.
pub const METHOD_BYTES_MAX: usize = 32;
/// Empty lines skipped before a request line (RFC 9112 section 2.2 asks for at least one).
pub const LEADING_EMPTY_LINES_MAX: usize = 1;
/// A chunk-size line with its extensions. Nobody uses extensions but attackers.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Extension bytes in one body, all chunks together; large ones make a body of framing without payload.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 16 << 10;
/// All trailer fields of a body.
pub const TRAILER_BYTES_MAX: usize = 8 << 10;
/// Trailer fields of a body.
pub const TRAILER_FIELDS_MAX: usize = 32;

const _: () =
    assert!(REQUEST_LINE_BYTES_MAX < HEAD_BYTES_MAX && HEAD_BYTES_MAX < u32::MAX as usize);

// TLS.

/// Bytes a client may send before its handshake ends. A ClientHello with post-quantum shares takes 2 KiB, client
/// certificates a few more.
pub const TLS_HANDSHAKE_BYTES_MAX: usize = 64 << 10;
/// A ClientHello that is looked at before it is answered; larger is refused. Those of today's clients, with
/// post-quantum shares and Encrypted Client Hello, take 2 KiB.
pub const CLIENT_HELLO_BYTES_MAX: usize = 32 << 10;
/// Plaintext of a record (RFC 8446 section 5.1).
pub const TLS_RECORD_PLAINTEXT: usize = 16 << 10;
/// Plaintext encrypted into one piece of memory: ring buffers return that much earlier than everything is encrypted.
pub const TLS_SEAL_BYTES: usize = 4 * TLS_RECORD_PLAINTEXT;
/// What a record adds to it, at most: header, content type and tag, or TLS 1.2's explicit nonce and tag.
pub const TLS_RECORD_OVERHEAD: usize = 5 + 8 + 16;
/// How long a session ticket may be used; RFC 8446 section 4.6.1 allows a week.
pub const TICKET_TIME: Duration = Duration::from_secs(43_200);
/// How long a key seals tickets before another one does.
pub const TICKET_KEY_TIME: Duration = Duration::from_secs(21_600);

// The ring and its sockets.

/// Submission queue entries of a worker's ring. More are kept aside until the next enter.
pub const RING_SUBMISSIONS: u32 = 1024;
/// Completion queue entries of a worker's ring: multishot receives and accepts bring many at once. The kernel keeps
/// what does not fit, at the price of an allocation each.
pub const RING_COMPLETIONS: u32 = 16 * 1024;
/// How long a worker that ends waits for the kernel to let go of its operations.
pub const RING_SHUTDOWN: Duration = Duration::from_secs(5);
/// Ring buffers of a worker: few enough to stay in the cache (the ring is first in, first out).
pub const RING_BUFFERS: u16 = 256;
/// Bytes in a ring buffer: 64 KiB measured best for bulk (docs/decisions/0001).
pub const RING_BUFFER_BYTES: u32 = 64 * 1024;
/// A connection may hold this fraction (one over it) of the ring buffers still free.
pub const RING_SHARE: u32 = 4;
/// Bytes a connection receives ahead of whoever reads it; its receive is cancelled above this.
pub const RECEIVE_AHEAD_BYTES: usize = 256 * 1024;
/// Chunks that were read from a connection before the kernel may fill many ring buffers at once for it: what one that
/// reads no further has received ahead is [`RECEIVE_AHEAD_BYTES`] and a ring buffer.
pub const RECEIVE_MANY_AFTER: u32 = 8;
/// Bytes received at a time for a reader that stalled, or when the worker's buffers or copies are exhausted.
pub const LEAN_RECEIVE_BYTES: usize = 16 * 1024;
/// Bytes a worker holds in owned memory for peers that may not read: copied out of ring buffers for readers that
/// stalled, encrypted, or small chunks put together. Above it receives take one
/// [`LEAN_RECEIVE_BYTES`] at a time, so that each connection adds at most that.
pub const COPIED_BYTES: usize = 64 * 1024 * 1024;
/// Sends longer than this are bulk: they wait for their turn, shorter ones overtake them.
pub const BULK_SEND_BYTES: usize = 16 * 1024;
/// Bytes of bulk sends, and of receives for connections that got ahead of their readers, that the kernel is given at
/// one entering of the ring, where it copies them: what waits meanwhile is served in between. A longer one goes alone.
pub const BULK_TURN_BYTES: usize = 512 * 1024;
/// Bytes that are copied out of ring buffers between two enterings of the ring, for peers that do not read: what waits
/// meanwhile is served in between. What one connection holds is copied at once.
pub const COPY_TURN_BYTES: usize = 256 * 1024;
/// Turns that such a copy waits for at most, where others copy all the time.
pub const COPY_TURNS_MAX: u32 = 8;
/// Bytes that the kernel takes for a peer beyond what it may send at once (TCP_NOTSENT_LOWAT). Without it a peer that
/// does not read has megabytes copied for it, and hundreds of such peers keep a worker busy with nothing else.
pub const UNSENT_BYTES: u32 = 128 * 1024;
/// Chunks gathered into one send.
pub const SEND_CHUNKS: usize = 16;
/// A ring buffer held longer than this by a send or an unread queue is copied out.
pub const STALL: Duration = Duration::from_millis(10);
/// How often stalls are looked for, while anything could stall.
pub const STALL_TICK: Duration = Duration::from_millis(5);
/// How often deadlines of sockets are looked at, while any has one: how late they may be.
pub const DEADLINE_TICK: Duration = Duration::from_millis(100);
/// Looks at whether a long send makes progress, in the time after which it has stalled: how exact that time is.
pub const PROGRESS_LOOKS: u32 = 8;
/// Sends that must be prompt before a source that stalled receives ahead again; doubled at each relapse.
pub const PROMPT_SENDS: u32 = 8;
/// Where that doubling ends.
pub const PROMPT_SENDS_MAX: u32 = 1024;
/// How long a listening socket that closes beside others of its port has taken nothing but SYNs: longer than the kernel
/// takes to complete a handshake that it has begun to.
pub const LISTENER_QUIET: Duration = Duration::from_millis(2);
/// Accepted connections that wait for `accept`; the multishot accept is cancelled above this, and the kernel's
/// backlog takes over.
pub const ACCEPT_AHEAD: usize = 256;

// Clients.

/// To the first bytes of a connection, which say whether it is TLS.
pub const CLIENT_FIRST_BYTES: Duration = Duration::from_secs(10);
/// A PROXY header, of which version 2 allows 64 KiB; client certificates among its TLVs take a few KiB.
pub const PROXY_HEADER_BYTES_MAX: usize = 16 << 10;
/// To the end of a PROXY header. Proxies send it at once; a connection on which nothing has come by then has none.
pub const PROXY_HEADER: Duration = Duration::from_secs(5);
/// To the end of a TLS handshake, from its first byte.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// To the end of a request head, from its first byte; in HTTP/2 of a header block, of any frame but DATA, and of the
/// preface.
pub const CLIENT_HEAD: Duration = Duration::from_secs(10);
/// A body of which nothing moves: the peer sends none of it, or acknowledges none (`limits.bodyIdleTimeout`).
pub const BODY_STALL: Duration = Duration::from_secs(120);
/// The least and most that `limits` takes for bytes of a request line or a head.
pub const HEAD_BYTES_RANGE: std::ops::RangeInclusive<i64> = 1 << 10..=16 << 20;
/// The least and most that `limits.headerFields` takes.
pub const HEAD_FIELDS_RANGE: std::ops::RangeInclusive<i64> = 1..=10_000;
/// Addresses of clients whose connections are counted at one time, where `limits.connectionsPerClient` is set. A
/// client that finds no room is let in uncounted.
pub const CLIENT_ADDRESSES: usize = 64 << 10;
/// Leading bits of an IPv6 address that are one client: what a site gives to one of its networks.
pub const CLIENT_PREFIX_V6: u32 = 64;
/// The least and most that `limits.clientPrefixV6` takes.
pub const CLIENT_PREFIX_V6_RANGE: std::ops::RangeInclusive<i64> = 16..=64;
/// How long WebSockets that are told at the end of the grace time that weir goes away have for their own goodbye.
pub const LAST_WORDS: Duration = Duration::from_millis(500);
/// A client's `X-Request-Id` that is kept, where the client is trusted.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// How long a worker that stops still waits for a request on a keep-alive connection.
pub const LAST_REQUEST: Duration = Duration::from_secs(1);
/// How long a connection is read on after weir's last answer, for the client to read it before a reset.
pub const LINGER: Duration = Duration::from_secs(2);
/// How much is read then.
pub const LINGER_BYTES: usize = 256 << 10;

/// TCP keep-alive: silence before the first probe.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// TCP keep-alive: between probes.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// TCP keep-alive: unanswered probes after which the connection has failed.
pub const KEEPALIVE_PROBES: u32 = 6;

// Servers.

/// To a connection with one address of a server: Traefik's default of `forwardingTimeouts.dialTimeout`.
pub const UPSTREAM_CONNECT: Duration = Duration::from_secs(30);
/// How long an address may be silent before the next one is tried beside it (RFC 8305 section 8).
pub const UPSTREAM_STAGGER: Duration = Duration::from_millis(250);
/// Between two lines of the log about one server that cannot be reached or trusted.
pub const UPSTREAM_COMPLAINT: Duration = Duration::from_secs(30);
/// To the end of a TLS handshake with a server, from its connection: Traefik's and Go's.
pub const UPSTREAM_TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// TLS sessions that a worker remembers for one transport, to resume them: eight for each of its last 32 servers.
pub const UPSTREAM_TLS_SESSIONS: usize = 256;
/// TCP keep-alive to servers: Traefik's default of `dialKeepAlive`.
pub const UPSTREAM_KEEPALIVE: Duration = Duration::from_secs(15);
/// How long a PING to a server may be unanswered: Traefik's default of `forwardingTimeouts.pingTimeout`.
pub const UPSTREAM_PING: Duration = Duration::from_secs(15);
/// Streams on one HTTP/2 connection to a server, if the server allows that many.
pub const UPSTREAM_HTTP2_STREAMS: usize = 256;
/// Receive window of an HTTP/2 connection to a server: that of all its streams, so that those whose clients do not read
/// hold up no other.
pub const UPSTREAM_HTTP2_WINDOW: u32 = HTTP2_STREAM_WINDOW * UPSTREAM_HTTP2_STREAMS as u32;
/// Bytes of a request's body that are kept until the response of an HTTP/2 server begins, to be sent once more if the
/// server refuses the stream unprocessed. A request that has sent more fails then.
pub const UPSTREAM_REPEAT_BYTES: usize = 16 << 10;
/// For how long a server that chose HTTP/1.1 is expected to do so again.
pub const UPSTREAM_HTTP1_KNOWN: Duration = Duration::from_secs(90);
/// Idle connections kept on one worker.
pub const UPSTREAM_IDLE_PER_WORKER: usize = 1024;
/// For how long a connection may have been idle to carry a request that cannot be repeated.
pub const UPSTREAM_IDLE_UNREPEATABLE: Duration = Duration::from_secs(3);
/// Interim responses (1xx) to one request.
pub const INTERIM_RESPONSES_MAX: usize = 64;
/// Between two looks at whether a client that sends nothing more, or has sent its next request ahead, is still there.
pub const GONE_LOOK: Duration = Duration::from_secs(1);
/// How long a client that has ended its side is answered while nothing moves: it may have gone for good.
pub const HALF_CLOSED: Duration = Duration::from_secs(30);
/// Idle connections kept for one server, over all workers: Traefik's default of `maxIdleConnsPerHost`.
pub const UPSTREAM_IDLE_PER_HOST: usize = 200;
/// How long a connection is kept idle: Traefik's default of `forwardingTimeouts.idleConnTimeout`.
pub const UPSTREAM_IDLE_TIME: Duration = Duration::from_secs(90);

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

// Certificates.

/// Names in one certificate: Let's Encrypt's limit for its default profile.
pub const CERTIFICATE_NAMES_MAX: usize = 100;
/// Seconds before its end at which a certificate is renewed, if a third of its life is not less: Traefik's.
pub const RENEW_BEFORE: i64 = 30 * 86_400;
/// For one request to an authority: Traefik's default of `clientTimeout`.
pub const ACME_TIMEOUT: Duration = Duration::from_secs(120);
/// An answer of an authority; chains of certificates take a few KiB.
pub const ACME_ANSWER_BYTES_MAX: usize = 1 << 20;
/// How often an order asks again after a refused nonce, beyond the library's three times.
pub const ACME_NONCE_TRIES: u32 = 5;
/// How long an authority may take to look at the proofs of an order.
pub const ACME_VALIDATION: Duration = Duration::from_secs(180);
/// How long an authority may take to issue.
pub const ACME_ISSUE: Duration = Duration::from_secs(180);
/// Seconds before a refused name is asked for again, first and at most, four times as long each time: within the five
/// refusals an hour that Let's Encrypt allows.
pub const NAME_RETRY: (i64, i64) = (60, 12 * 3_600);
/// The same for an authority that is not there, or asks for patience.
pub const AUTHORITY_RETRY: (i64, i64) = (2, 3_600);
/// Seconds until an authority that gave no renewal window is asked again (RFC 9773 section 4.3.2).
pub const ARI_RETRY: i64 = 6 * 3_600;
/// Seconds after which certificates are looked at, whatever the clock said before.
pub const CERTIFICATES_LOOK: i64 = 600;
/// Seconds that stand for no time at all.
pub const CERTIFICATES_NEVER: i64 = 365 * 86_400;
/// Aliases that are followed from the name of a DNS challenge.
pub const DNS_CNAMES_MAX: usize = 8;
/// For one answer of a name server.
pub const DNS_ANSWER: Duration = Duration::from_secs(3);
/// How often a name server is asked.
pub const DNS_TRIES: usize = 3;
/// Between two looks at whether a record is there.
pub const DNS_LOOK: Duration = Duration::from_secs(2);
/// How long the servers of a zone may take to have a record: lego's default.
pub const DNS_PROPAGATION: Duration = Duration::from_secs(60);
/// For one run of a program that makes a record.
pub const DNS_PROGRAM: Duration = Duration::from_secs(60);
/// For one answer of a service that makes records: lego's.
pub const PROVIDER_TIMEOUT: Duration = Duration::from_secs(30);
/// Such an answer.
pub const PROVIDER_ANSWER_BYTES_MAX: usize = 1 << 20;
/// Between two requests to Route 53, which takes five in a second from an account.
pub const ROUTE53_PACE: Duration = Duration::from_millis(210);
/// How often Route 53 is asked where it asks for patience.
pub const ROUTE53_TRIES: u32 = 5;
/// Before it is asked again then; twice as long each time.
pub const ROUTE53_RETRY: Duration = Duration::from_millis(400);
/// Between two looks at whether a change is at all servers of Route 53.
pub const ROUTE53_LOOK: Duration = Duration::from_secs(2);
/// How long that may take: lego's default.
pub const ROUTE53_PROPAGATION: Duration = Duration::from_secs(120);
/// Between two requests to Cloudflare, which takes 1,200 in five minutes from a user.
pub const CLOUDFLARE_PACE: Duration = Duration::from_millis(250);
/// For one answer of the metadata of an instance, which is next door or not there.
pub const INSTANCE_METADATA_TIMEOUT: Duration = Duration::from_secs(2);
/// For one run of `deploy.command`, which is stopped then.
pub const DEPLOY_PROGRAM: Duration = Duration::from_secs(120);
/// What is kept of what that command says: the last of it.
pub const DEPLOY_OUTPUT_BYTES_MAX: usize = 2 << 10;
/// How long a command that has ended may have its output held open by what it has left running.
pub const DEPLOY_DRAIN: Duration = Duration::from_secs(1);
/// Seconds before a deployment that failed is tried again, first and at most, four times as long each time.
pub const DEPLOY_RETRY: (i64, i64) = (10, 3_600);
/// Deployments under way at one time, each perhaps with its command.
pub const DEPLOYS_AT_ONCE: usize = 8;

// Administration.

/// One request on the admin socket.
pub const ADMIN_REQUEST_BYTES_MAX: usize = 64 << 10;
/// Administrators connected at one time.
pub const ADMIN_CONNECTIONS_MAX: usize = 16;
/// How long one may take to send its request or to take an answer.
pub const ADMIN_PATIENCE: Duration = Duration::from_secs(10);
/// How long `weir reload` waits for its answer: names that do not resolve take their time.
pub const ADMIN_ANSWER: Duration = Duration::from_secs(120);
/// Changes that one answer names; more are counted.
pub const ADMIN_CHANGES_MAX: usize = 1_000;
/// How long the log is silent about a reason for which a server's requests failed, once it has told of it.
pub const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);
/// Pairs of a reason and a server that each worker remembers for that; what is beyond is counted, and not told.
pub const COMPLAINTS_MAX: usize = 64;
/// An answer is written in pieces of so many bytes, each of which has that time.
pub const ADMIN_WRITE_BYTES: usize = 64 << 10;
/// `weir status` shows the certificates of files that end within so many seconds.
pub const CERTIFICATE_DUE: Duration = Duration::from_secs(1_209_600);
/// Names that one line of `weir status` shows; more are counted.
pub const STATUS_NAMES_MAX: usize = 10;
/// Between two looks at whether anybody still holds former rules.
pub const FORMER_RULES_LOOK: Duration = Duration::from_millis(100);
/// Routers of former rules that a worker lets go of with each request: all at once would hold requests up.
pub const FORMER_ROUTERS_REQUEST: usize = 8;
/// And with each look at its house.
pub const FORMER_ROUTERS_TICK: usize = 256;

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

// HTTP/2. Pairs are what a client may do at once, and how much more each second.

/// RST_STREAM from a client: a browser that leaves a page cancels what it still loads.
pub const HTTP2_RESETS: (u32, u32) = (300, 50);
/// RST_STREAM that a client's errors make weir send.
pub const HTTP2_MADE_RESETS: (u32, u32) = (100, 10);
/// The same in a connection's life, sent or not: the `h2` crate's own bound; twice the burst where that is more.
pub const HTTP2_MADE_RESETS_LIFE: usize = 1024;
/// SETTINGS and their acknowledgements.
pub const HTTP2_SETTINGS: (u32, u32) = (50, 5);
/// PING; each frame sent to the client allows one more, as gRPC measures round trips while it receives.
pub const HTTP2_PINGS: (u32, u32) = (200, 20);
/// PRIORITY and PRIORITY_UPDATE: browsers send up to one for each stream.
pub const HTTP2_PRIORITIES: (u32, u32) = (500, 100);
/// DATA without content. The `h2` crate takes 100 in a connection's life.
pub const HTTP2_EMPTY_DATA: (u32, u32) = (100, 10);
/// WINDOW_UPDATE; each frame sent to the client allows four more.
pub const HTTP2_WINDOW_UPDATES: (u32, u32) = (2_000, 500);
/// Frames of unknown types, which extensions may send, and answers to pings.
pub const HTTP2_UNKNOWN_FRAMES: (u32, u32) = (500, 100);
/// Streams of a connection that were cut because their window stayed closed.
pub const HTTP2_ZERO_WINDOWS: (u32, u32) = (10, 1);
/// CONTINUATION frames of one header block: four are enough for the longest in frames of the usual size. The `h2` crate
/// allows as many, and the meter must see them first; both allow more from a `limits.headerBytes` of 80 KiB on.
pub const HTTP2_CONTINUATIONS_MAX: u32 = 5;
/// Those of them without content.
pub const HTTP2_EMPTY_CONTINUATIONS_MAX: u32 = 4;
/// Bytes of one header block as sent, or `limits.headerBytes` where that is more; decoded it is bounded by the latter.
pub const HTTP2_HEADER_BLOCK_BYTES_MAX: usize = HEAD_BYTES_MAX;
/// Streams that a client has begun and neither ended nor reset, those that were refused included; twice
/// `http2.maxConcurrentStreams` where that is more.
pub const HTTP2_UNENDED_STREAMS_MAX: usize = 4_096;
/// The least and most that `limits.http2` takes for either number of a rate, but for `settings.burst` (from 2) and
/// `emptyData.burst` (to 100). Zero would end every long connection.
pub const HTTP2_RATE_RANGE: std::ops::RangeInclusive<i64> = 1..=1_000_000;
/// The most streams that `http2.maxConcurrentStreams` and `limits.http2.unendedStreams` take.
pub const HTTP2_STREAMS_MAX: u32 = 100_000;
/// How long a stream whose window is closed is kept.
pub const HTTP2_ZERO_WINDOW: Duration = Duration::from_secs(30);
/// Bytes a second that a client acknowledges while its link is busy: a stream that waits for the link is kept then.
pub const HTTP2_BUSY_RATE: u64 = 1 << 10;
/// Bytes of a connection that are read before its streams run.
pub const HTTP2_TURN_BYTES: usize = 64 << 10;
/// What small DATA frames that wait to be read may cost a connection, each 256 bytes less its length: the `h2` crate
/// would take it from the window, and end a client that sends many at once.
pub const HTTP2_SMALL_DATA_BYTES: usize = 2 << 20;
/// Streams a client may have open: Traefik's default of `http2.maxConcurrentStreams`.
pub const HTTP2_STREAMS: u32 = 250;
/// HPACK tables: Traefik's default of `http2.maxDecoderHeaderTableSize` and `maxEncoderHeaderTableSize`.
pub const HTTP2_HEADER_TABLE: u32 = 4_096;
/// HPACK tables, at most: a decoder keeps that much for each connection.
pub const HTTP2_HEADER_TABLE_MAX: u32 = 1 << 20;
/// Receive window of a connection while the worker has plenty of [`HTTP2_WINDOWS_BYTES`].
pub const HTTP2_CONNECTION_WINDOW: u32 = 1 << 20;
/// Receive window of a stream then.
pub const HTTP2_STREAM_WINDOW: u32 = 256 << 10;
/// Receive window of connection and stream when the worker has not: RFC 9113's initial one.
pub const HTTP2_SMALL_WINDOW: u32 = 65_535;
/// The least and most that `limits.http2` takes for either: RFC 9113's initial one, and its largest.
pub const HTTP2_WINDOW_RANGE: std::ops::RangeInclusive<i64> = 65_535..=0x7fff_ffff;
/// Receive windows of a worker's connections, beyond which each gets the small ones; it keeps what it was given.
pub const HTTP2_WINDOWS_BYTES: usize = 64 << 20;
/// The least and most that `limits.http2.workerWindowBytes` takes.
pub const HTTP2_WINDOWS_RANGE: std::ops::RangeInclusive<i64> = 2 << 20..=1 << 40;
/// Bytes of one stream's response that wait in the connection to be sent.
pub const HTTP2_STREAM_SEND_BYTES: usize = 64 << 10;
/// Bytes of a connection's frames gathered for one send.
pub const HTTP2_SEND_BYTES: usize = 64 << 10;
/// A worker gives small windows once less than this fraction (one over it) of [`HTTP2_WINDOWS_BYTES`] is left.
pub const HTTP2_WINDOWS_SHARE: usize = 4;
/// Between two lines of a worker's log about HTTP/2 clients that were stopped.
pub const ABUSE_LOGGED: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
