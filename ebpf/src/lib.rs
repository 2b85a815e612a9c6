//! weir's XDP program: a SYN to a steered address and port, from a client that a steered rule sends to a pool, opens a
//! flow; packets of a flow are forwarded by full NAT, both ways. Everything else is passed up, with a counter for each
//! reason.
//!
//! Never here: decisions that need no packet and no kernel; they are in `weir-common`, tested on the host. User space
//! decides which rules there are and where servers live, and writes the maps.
//!
//! Invariants
//! - Only a SYN makes a flow: a connection that user space has accepted is never taken from it.
//! - A packet is changed only when all that can fail has succeeded, so whatever is passed is passed untouched.
//! - Once a SYN has been passed up, no stale flow catches the segments that follow it.
//! - Unsafe code: `packet` (reads of the frame) and `maps` (map memory, helper calls), nowhere else.
#![no_std]
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod flows;
mod hop;
pub mod maps;
pub mod packet;
mod steer;

pub use steer::run;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // The verifier refuses a program in which this can be reached.
    loop {}
}
