//! The object that is attached: one program, `weir`.
#![no_std]
#![no_main]

use aya_ebpf::{macros::xdp, programs::XdpContext};

/// Entry point. `frags`: frames larger than a page (MTU 9000, generic mode) arrive too, headers in the first part.
#[xdp(frags)]
pub fn weir(mut ctx: XdpContext) -> u32 {
    weir_ebpf::run(&mut ctx)
}

#[expect(
    unsafe_code,
    reason = "the kernel reads the licence from a section of this name"
)]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
