//! Certificates that take care of themselves: which are needed, from whom they come, where they are kept.
//!
//! Owns: the store on disk ([`store`]), what is planned ([`plan`]), the thread that orders it from authorities
//! ([`Keeper`]), its way to other programs ([`deploy`]) and to Traefik's acme.json ([`traefik`]). Never: a connection
//! of a client; what is shown to authorities is read by workers from [`crate::tls::Shared`]. Invariants: a file is
//! whole or not there, and what is unusable is never overwritten; an order that was begun is gone on with before
//! another is made for its names; the planner has no clock, no disk and no network.

mod authority;
pub mod deploy;
mod dns;
pub mod durable;
mod keeper;
mod offline;
mod order;
pub mod overview;
pub mod plan;
mod proof;
mod queue;
mod renewal;
pub mod store;
mod tailscale;
pub mod traefik;
mod web;

pub use self::keeper::{Asked, Keeper};
pub use self::offline::{export, import, look};
