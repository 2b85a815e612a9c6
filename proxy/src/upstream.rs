//! Connections to servers: opening them, and keeping the idle ones of a worker for the next request.
//!
//! Owns: the idle connections of one worker, the TLS sessions it may resume, what it has complained about. Never: which
//! server is asked, what is said to it, or a name to resolve: a server comes with its addresses. Invariants: a
//! connection is idle here or in the hands of one request, never both; one that the peer closed, or said something
//! unasked on, is not handed out; nor is one that was opened under other settings or to an address that the server no
//! longer has; a server has at most its transport's share of idle ones on a worker.

mod connect;
mod multiplexed;
mod pool;

pub use connect::connect_to;
pub use multiplexed::{Multiplexed, Slot, Way};
pub use pool::Pool;
