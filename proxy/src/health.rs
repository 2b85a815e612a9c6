//! Active health checks: servers are asked, and what they answer keeps them in or out.
//!
//! Owns: what is held to be so of each server and why ([`State`], pure), when it is asked ([`Monitor`]) and how
//! ([`probe`]). Runs on the control thread, which waits for sockets there, but for TLS handshakes, which compute;
//! writes [`crate::service::Readiness`], which workers read. Never: requests of clients. Invariants: what is held to be
//! so of a server stays over reloads for as long as its identity does; each change is logged once; at most
//! [`crate::limits::HEALTH_PROBES_MAX`] probes are under way, each within its timeout.

mod handshakes;
mod monitor;
pub mod probe;
mod state;

pub use self::monitor::{Monitor, Verdict};
pub use self::state::{Change, State};
