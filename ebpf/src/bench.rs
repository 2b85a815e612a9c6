//! The test object. BPF_PROG_TEST_RUN does not restore the packet between repetitions, so `bench_steer` rebuilds it
//! before it runs the product's code, and `bench_rebuild` does the rebuilding alone, to be subtracted.
#![no_std]
#![no_main]

use aya_ebpf::{
    bindings::xdp_action::XDP_TX,
    macros::{map, xdp},
    maps::Array,
    programs::XdpContext,
};
use weir_common::address::{self, Address, FAMILY_V4};
use weir_common::header::{Ethernet, Ip, Ipv4, Ipv6};
use weir_common::map::Bench;
use weir_ebpf::packet::Frame;

#[map]
static BENCH: Array<Bench> = Array::with_max_entries(1, 0);

/// Rebuilds the packet, then steers it.
#[xdp(frags)]
pub fn bench_steer(mut ctx: XdpContext) -> u32 {
    rebuild(&mut ctx);
    weir_ebpf::run(&mut ctx)
}

/// Rebuilds the packet.
#[xdp(frags)]
pub fn bench_rebuild(mut ctx: XdpContext) -> u32 {
    rebuild(&mut ctx);
    XDP_TX
}

#[expect(unsafe_code, reason = "the one map value that is counted up here")]
#[inline(always)]
fn rebuild(ctx: &mut XdpContext) {
    let Some(bench) = BENCH.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the tests run one repetition at a time.
    let bench = unsafe { &mut *bench };
    let step = bench.count as u16 & bench.mask;
    bench.count = bench.count.wrapping_add(1);
    let first = u16::from_be(address::source_port(bench.ports));
    let ports = address::ports(
        first.wrapping_add(step).to_be(),
        address::destination_port(bench.ports),
    );
    if bench.family == FAMILY_V4 {
        let Ok(frame) = Frame::<Ipv4>::new(ctx, size_of::<Ethernet>()) else {
            return;
        };
        frame.ip.ttl = 64;
        frame.ip.source = Address::from_words(bench.source);
        frame.ip.destination = Address::from_words(bench.destination);
        finish(frame, ports, bench.tcp_flags);
    } else {
        let Ok(frame) = Frame::<Ipv6>::new(ctx, size_of::<Ethernet>()) else {
            return;
        };
        frame.ip.hop_limit = 64;
        frame.ip.source = bench.source;
        frame.ip.destination = bench.destination;
        finish(frame, ports, bench.tcp_flags);
    }
}

#[inline(always)]
fn finish<I: Ip>(frame: Frame<I>, ports: u32, tcp_flags: u8) {
    frame.tcp.ports = ports;
    frame.tcp.flags = tcp_flags;
}

#[expect(
    unsafe_code,
    reason = "the kernel reads the licence from a section of this name"
)]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
