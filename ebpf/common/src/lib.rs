//! What the XDP program and user space share: the layout of every map, the client hash, the ring builder, and the
//! decisions of the data path that need no packet and no kernel, so that they are tested on the host.
//!
//! Never here: I/O, allocation, a clock (time is an argument), anything that can panic.
//!
//! Invariants
//! - Addresses and ports are the raw words of the packet (network order in memory); see [`address`].
//! - A map key or value has no implicit padding: the kernel hashes and compares every byte of it.
//! - A changed layout is a changed [`map::SCHEMA`]; user space keeps the pins of different schemas apart.
//! - Both planes ask the same [`hash`] and the same [`ring`], so that both give the same server for the same client.
#![no_std]
#![deny(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod address;
pub mod checksum;
pub mod counter;
pub mod flow;
pub mod hash;
pub mod header;
pub mod map;
#[cfg(feature = "user")]
mod pod;
pub mod ring;
pub mod snat;
pub mod verdict;

pub use address::Address;
pub use counter::Counter;
