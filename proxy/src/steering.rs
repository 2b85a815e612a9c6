//! The XDP plane: loads, attaches, fills and detaches the program that steers connections in the NIC.
//!
//! Runs on the control thread alone. It never decides where a connection goes: both planes read the same
//! [`SteeredTable`](crate::router::steered::SteeredTable), so that a kernel without XDP gives the same answers slower.

pub mod status;

/// The XDP object `cargo xtask build-ebpf` made before this build, aligned for the ELF reader; `None` when the binary
/// was built without one: steering then happens in user space.
#[cfg(weir_xdp_object)]
pub static OBJECT: Option<&[u8]> = Some(aya::include_bytes_aligned!(concat!(
    env!("OUT_DIR"),
    "/weir.o"
)));
#[cfg(not(weir_xdp_object))]
#[expect(missing_docs, reason = "documented above")]
pub static OBJECT: Option<&[u8]> = None;
