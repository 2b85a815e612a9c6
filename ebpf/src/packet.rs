//! The only reads and writes of the frame. A header is lent only after the check that it lies within the frame, which
//! the kernel's verifier demands as well.
#![expect(unsafe_code, reason = "headers are lent where they lie in the frame")]

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use weir_common::Counter;
use weir_common::flow::FlowKey;
use weir_common::header::{
    ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN, Ethernet, Ip, Ipv4,
    Ipv6, Tcp, VlanTag,
};

/// A header: packed, integers only, every bit pattern valid.
///
/// # Safety
/// The type has alignment 2 at most, as frames and offsets of headers in them have, no padding and no invalid patterns.
unsafe trait Header {}

// SAFETY: packed structs of integers.
unsafe impl Header for Ethernet {}
// SAFETY: as above.
unsafe impl Header for VlanTag {}
// SAFETY: as above.
unsafe impl Header for Ipv4 {}
// SAFETY: as above.
unsafe impl Header for Ipv6 {}
// SAFETY: as above.
unsafe impl Header for Tcp {}

/// What the link layer says follows, and where in the frame.
pub enum Network {
    /// IPv4 at this offset.
    Ipv4(usize),
    /// IPv6 at this offset.
    Ipv6(usize),
}

/// Reads the link layer: Ethernet with at most two VLAN tags.
#[inline(always)]
pub fn network(ctx: &XdpContext) -> Result<Network, Counter> {
    let mut offset = size_of::<Ethernet>();
    let mut ethertype = read::<Ethernet>(ctx, 0)?.ethertype;
    if ethertype == ETHERTYPE_VLAN.to_be() || ethertype == ETHERTYPE_SERVICE_VLAN.to_be() {
        ethertype = read::<VlanTag>(ctx, offset)?.ethertype;
        offset += size_of::<VlanTag>();
        if ethertype == ETHERTYPE_VLAN.to_be() {
            ethertype = read::<VlanTag>(ctx, offset)?.ethertype;
            offset += size_of::<VlanTag>();
        }
    }
    if ethertype == ETHERTYPE_IPV4.to_be() {
        Ok(Network::Ipv4(offset))
    } else if ethertype == ETHERTYPE_IPV6.to_be() {
        Ok(Network::Ipv6(offset))
    } else {
        Err(Counter::PassNotIp)
    }
}

/// The headers of a TCP packet that may be forwarded.
pub struct Frame<'a, I> {
    /// First bytes of the frame; VLAN tags may follow, they are kept.
    pub ethernet: &'a mut Ethernet,
    /// IP header.
    pub ip: &'a mut I,
    /// TCP header.
    pub tcp: &'a mut Tcp,
    /// Device the frame came in by.
    pub ifindex: u32,
    context: *mut xdp_md,
}

impl<'a, I: Ip> Frame<'a, I> {
    /// The headers of a frame whose IP header lies at `offset`, or the reason to pass it.
    #[inline(always)]
    #[expect(private_bounds, reason = "only this module says what is a header")]
    pub fn new(ctx: &'a mut XdpContext, offset: usize) -> Result<Self, Counter>
    where
        I: Header,
    {
        read::<I>(ctx, offset)?.check()?;
        let ethernet = header::<Ethernet>(ctx, 0)?;
        let ip = header::<I>(ctx, offset)?;
        let tcp = header::<Tcp>(ctx, offset + size_of::<I>())?;
        // SAFETY: within the frame by `header`; one after the other, as `offset` is behind the Ethernet header; the
        // frame is this program's alone while it runs, and `ctx` is borrowed for as long as the headers are.
        let (ethernet, ip, tcp) = unsafe { (&mut *ethernet, &mut *ip, &mut *tcp) };
        // SAFETY: the kernel hands the program a valid context.
        let ifindex = unsafe { (*ctx.ctx).ingress_ifindex };
        Ok(Self {
            ethernet,
            ip,
            tcp,
            ifindex,
            context: ctx.ctx,
        })
    }

    /// The key of the packet's flow.
    #[inline(always)]
    pub fn key(&self) -> FlowKey<I::Address> {
        FlowKey {
            source: self.ip.source(),
            destination: self.ip.destination(),
            ports: self.tcp.ports,
        }
    }

    /// The kernel's context, for helpers that want it: valid as long as the frame is.
    #[inline(always)]
    pub fn context(&self) -> *mut xdp_md {
        self.context
    }
}

#[inline(always)]
fn read<T: Header>(ctx: &XdpContext, offset: usize) -> Result<&T, Counter> {
    // SAFETY: within the frame by `header`; `Header` asks for an even address, no pattern; nobody writes to the frame
    // while `ctx` is borrowed.
    header::<T>(ctx, offset).map(|header| unsafe { &*header })
}

/// Where a header lies, if it lies within the frame.
#[inline(always)]
fn header<T: Header>(ctx: &XdpContext, offset: usize) -> Result<*mut T, Counter> {
    let start = ctx.data() + offset;
    if start + size_of::<T>() > ctx.data_end() {
        return Err(Counter::PassTruncated);
    }
    Ok(start as *mut T)
}
