//! Where a frame goes next: what user space has learnt of a server's neighbour, else the kernel's FIB.

use aya_ebpf::bindings::{BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_SUCCESS};
use weir_common::Counter;
use weir_common::flow::Flow;
use weir_common::header::Ip;
use weir_common::map::{Config, FLAG_NO_MTU, Hop};

use crate::maps::{self, Family};
use crate::packet::Frame;

/// The hop towards the server of a flow; the error is the reason to drop a packet of `length` bytes.
#[inline(always)]
pub fn towards<I: Family>(
    config: &Config,
    frame: &Frame<I>,
    flow: &Flow<I::Address>,
    length: u32,
) -> Result<Hop, Counter> {
    let server = maps::server(flow.server).ok_or(Counter::DropNoHop)?;
    if server.hop.ifindex != 0 {
        return Ok(server.hop);
    }
    let mut hop = Hop::default();
    let length = if config.flags & FLAG_NO_MTU == 0 {
        length
    } else {
        0
    };
    match ask::<I>(frame, flow, length, &mut hop) {
        BPF_FIB_LKUP_RET_SUCCESS => Ok(hop),
        BPF_FIB_LKUP_RET_FRAG_NEEDED => Err(Counter::DropTooBig),
        _ => Err(Counter::DropNoHop),
    }
}

/// Asks the FIB; see [`maps::fib`]. A function of its own in the object, for the stack's sake.
#[inline(never)]
fn ask<I: Family>(frame: &Frame<I>, flow: &Flow<I::Address>, length: u32, hop: &mut Hop) -> u32 {
    let (result, found) = maps::fib::<I>(frame, flow, length as u16);
    *hop = found;
    result
}

/// The hop back to whoever sent the frame.
#[inline(always)]
pub fn back<I: Ip>(frame: &Frame<I>) -> Hop {
    Hop {
        ifindex: frame.ifindex,
        macs: frame.ethernet.macs.reversed(),
    }
}

/// Addresses the frame to its next hop and says what the kernel is to do with it.
#[inline(always)]
pub fn send<I: Ip>(frame: &mut Frame<I>, hop: Hop) -> u32 {
    frame.ethernet.macs = hop.macs;
    if hop.ifindex == frame.ifindex {
        aya_ebpf::bindings::xdp_action::XDP_TX
    } else {
        maps::redirect(hop.ifindex)
    }
}
