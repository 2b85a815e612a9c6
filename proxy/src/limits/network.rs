//! Bounds of what carries bytes: TLS, the ring and its sockets.

use std::time::Duration;

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
