//! Where a frame goes next: what user space has learnt of a server's neighbour, else the kernel's FIB.

use aya_ebpf::bindings::{BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_SUCCESS};
use aya_ebpf::programs::XdpContext;
use weir_common::Counter;
use weir_common::address::Mac;
use weir_common::header::Ip;
use weir_common::map::{Config, FLAG_NO_MTU, Hop, Server};

use crate::maps::{self, Family};
use crate::packet::Frame;

/// The hop towards a server; the error is the reason to drop a packet of a flow.
#[inline(always)]
pub fn towards<I: Family>(
    ctx: &XdpContext,
    config: &Config,
    server: &Server,
    (source, destination): (I::Address, I::Address),
    length: u32,
) -> Result<Hop, Counter> {
    if server.hop.ifindex != 0 {
        return Ok(server.hop);
    }
    let length = if config.flags & FLAG_NO_MTU == 0 {
        length as u16
    } else {
        0
    };
    let (result, found) = maps::fib::<I>(ctx, source, destination, length);
    match result {
        BPF_FIB_LKUP_RET_SUCCESS => Ok(Hop {
            ifindex: found.ifindex,
            destination: Mac::from(found.dmac),
            source: Mac::from(found.smac),
        }),
        BPF_FIB_LKUP_RET_FRAG_NEEDED => Err(Counter::DropTooBig),
        _ => Err(Counter::DropNoHop),
    }
}

/// The hop back to whoever sent the frame.
#[inline(always)]
pub fn back<I: Ip>(frame: &Frame<I>) -> Hop {
    Hop {
        ifindex: frame.ifindex,
        destination: frame.ethernet.source,
        source: frame.ethernet.destination,
    }
}

/// Addresses the frame to its next hop and says what the kernel is to do with it.
#[inline(always)]
pub fn send<I: Ip>(frame: &mut Frame<I>, hop: Hop) -> u32 {
    frame.ethernet.destination = hop.destination;
    frame.ethernet.source = hop.source;
    if hop.ifindex == frame.ifindex {
        aya_ebpf::bindings::xdp_action::XDP_TX
    } else {
        maps::redirect(hop.ifindex)
    }
}
