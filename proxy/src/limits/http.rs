//! Bounds of what speaks HTTP: to clients and to servers.

use std::time::Duration;

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
/// The least and most that `limits.trailerBytes` takes.
pub const TRAILER_BYTES_RANGE: std::ops::RangeInclusive<i64> = 256..=1 << 20;
/// The least and most that `limits.trailerFields` takes.
pub const TRAILER_FIELDS_RANGE: std::ops::RangeInclusive<i64> = 1..=1_000;

const _: () =
    assert!(REQUEST_LINE_BYTES_MAX < HEAD_BYTES_MAX && HEAD_BYTES_MAX < u32::MAX as usize);

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
/// Of a request's body, so long after each byte.
pub const LINGER: Duration = Duration::from_secs(2);
/// How much is read then, but for the body of a request.
pub const LINGER_BYTES: usize = 256 << 10;
/// How long, in all, the body of a request is read on after weir's last answer.
pub const LINGER_BODY: Duration = Duration::from_secs(30);

/// TCP keep-alive: silence before the first probe.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// TCP keep-alive: between probes.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// TCP keep-alive: unanswered probes after which the connection has failed.
pub const KEEPALIVE_PROBES: u32 = 6;

// Servers.

/// To a connection with one address of a server: Traefik's default of `forwardingTimeouts.dialTimeout`.
pub const UPSTREAM_CONNECT: Duration = Duration::from_secs(30);
/// How long a server may be silent before weir itself tells a client that waits for 100 (Continue) to go on: Traefik's.
pub const CONTINUE: Duration = Duration::from_secs(1);
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
