//! The object for the other end of a test cable: it passes everything. A veth delivers what its peer sends by XDP_TX
//! only if it carries an XDP program itself. Without maps, so that `ip link` can load it.
#![no_std]
#![no_main]

use aya_ebpf::{bindings::xdp_action::XDP_PASS, macros::xdp, programs::XdpContext};

/// Passes the frame.
#[xdp]
pub fn pass(_: XdpContext) -> u32 {
    XDP_PASS
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // The verifier refuses a program in which this can be reached.
    loop {}
}
