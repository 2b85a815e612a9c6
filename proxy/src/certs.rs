//! Certificates that take care of themselves: which are needed, from whom they come, where they are kept.
//!
//! Owns: the store on disk ([`store`]), what is planned ([`plan`]) and the way to Traefik's acme.json ([`traefik`]).
//! Never: a connection of a client. Invariants: a file of the store is whole or not there, and what is unusable is
//! never overwritten; the planner has no clock, no disk and no network.

pub mod durable;
pub mod plan;
pub mod store;
pub mod traefik;
