//! A flow: one direction of a steered connection. Both directions live in one LRU map: user space opens neither.

use crate::address::{self, Address, V4, V6};
use crate::checksum;
use crate::map::{Hop, RECENT_MAX};

/// The packet's addresses and ports, as they come in.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey<A> {
    /// Source address.
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// Both ports, see [`crate::address::ports`].
    pub ports: u32,
}

impl<A: Address> FlowKey<A> {
    /// Equality in one comparison, see [`Address::difference`].
    #[inline(always)]
    pub fn same(&self, other: &Self) -> bool {
        let ends =
            self.source.difference(other.source) | self.destination.difference(other.destination);
        ends | (self.ports ^ other.ports) == 0
    }

    /// The key of packets back: both ends swapped.
    #[inline(always)]
    pub fn reversed(self) -> Self {
        let ports = address::ports(
            address::destination_port(self.ports),
            address::source_port(self.ports),
        );
        Self {
            source: self.destination,
            destination: self.source,
            ports,
        }
    }
}

/// What becomes of a packet of this direction, and what is known of the connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<A> {
    /// Source address the packet leaves with.
    pub source: A,
    /// Destination address the packet leaves with.
    pub destination: A,
    /// Ports the packet leaves with, see [`crate::address::ports`].
    pub ports: u32,
    /// Index into [`crate::map::SERVERS`].
    pub server: u16,
    /// [`FORWARD`] or [`RETURN`].
    pub direction: u8,
    /// `STATE_*`, the same in both directions.
    pub state: u8,
    /// Tick of the last packet of this direction, or of the last change of state; see [`Clock`].
    pub last: u32,
    /// What new addresses and one hop less add to the sum of an IPv4 header.
    pub header_change: u16,
    /// What new addresses and ports add to the sum of a TCP segment with its pseudo header.
    pub segment_change: u16,
    /// The client's next hop, as its SYN showed it; only the return direction uses it.
    pub client: Hop,
}

impl<A: Address> Flow<A> {
    /// The flow of packets that come with the key `from` and leave with the key `to`.
    #[inline(always)]
    pub fn new(from: &FlowKey<A>, to: &FlowKey<A>, direction: u8, connection: &Connection) -> Self {
        let addresses = checksum::replaced_address(from.source, to.source)
            + checksum::replaced_address(from.destination, to.destination);
        Self {
            source: to.source,
            destination: to.destination,
            ports: to.ports,
            server: connection.server,
            direction,
            state: 0,
            last: connection.now,
            client: connection.client,
            header_change: checksum::fold(addresses + checksum::HOP_LESS),
            segment_change: checksum::fold(addresses + checksum::replaced(from.ports, to.ports)),
        }
    }

    /// The key of the other direction. That entry is ours if its own peer is our key: the port may have a new owner.
    #[inline(always)]
    pub fn peer(&self) -> FlowKey<A> {
        FlowKey {
            source: self.source,
            destination: self.destination,
            ports: self.ports,
        }
        .reversed()
    }
}

/// What one CPU goes by for the rest of a tick, once it has looked a flow up: the copy of the flow, or that there is
/// none. Finding it takes no call into the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recent<A> {
    key: FlowKey<A>,
    tick: u32,
    stamp: u64,
    /// Of no flow only the direction counts, [`NO_FLOW`].
    flow: Flow<A>,
}

/// What a [`Recent`] says of a key, and the stamp it bears: as long as that stands, it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied<'a, A> {
    /// The flow; stands as long as [`crate::map::EPOCH`].
    Flow(&'a Flow<A>, u64),
    /// There is none; stands as long as the key's word in [`crate::map::OPENED`]. Nothing that a SYN may go by.
    NoFlow(u64),
}

impl<A: Address> Recent<A> {
    /// The copy of a flow, made in this tick, while this was the number in [`crate::map::EPOCH`] *before* the flow was
    /// looked up.
    #[inline(always)]
    pub const fn new(key: FlowKey<A>, flow: Flow<A>, tick: u32, epoch: u64) -> Self {
        Self {
            key,
            tick,
            stamp: epoch,
            flow,
        }
    }

    /// Keeps that there is no flow, where this was the key's word in [`crate::map::OPENED`] *before* it was looked up.
    /// The copy of a flow of this tick is not given up for it: segments of nobody must not slow down those of flows.
    #[inline(always)]
    pub fn keep_none(&mut self, key: &FlowKey<A>, tick: u32, opened: u64) {
        if self.tick == tick && self.flow.direction != NO_FLOW {
            return;
        }
        self.key = *key;
        self.tick = tick;
        self.stamp = opened;
        self.flow.direction = NO_FLOW;
    }

    /// Says nothing more in this tick.
    #[inline(always)]
    pub fn forget(&mut self) {
        self.tick = self.tick.wrapping_sub(1);
    }

    /// What it says of this key in this tick.
    #[inline(always)]
    pub fn get(&self, key: &FlowKey<A>, tick: u32) -> Option<Copied<'_, A>> {
        if self.tick != tick || !self.key.same(key) {
            return None;
        }
        Some(if self.flow.direction == NO_FLOW {
            Copied::NoFlow(self.stamp)
        } else {
            Copied::Flow(&self.flow, self.stamp)
        })
    }
}

/// Where the copy of a flow is kept, and its word in [`crate::map::OPENED`]. Flows that share a slot take turns, tick
/// by tick.
#[inline(always)]
pub fn recent_slot<A: Address>(key: &FlowKey<A>) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let [a, b, c, d] = key.source.words();
    let mut word = a as u64 ^ (key.ports as u64) << 32;
    if A::FAMILY == address::FAMILY_V6 {
        word ^= (b ^ c) as u64 ^ (d as u64) << 32;
    }
    (word.wrapping_mul(ODD) >> (64 - RECENT_MAX.trailing_zeros())) as u32
}

/// What both directions of a new connection share.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// Index of its server.
    pub server: u16,
    /// The client's next hop.
    pub client: Hop,
    /// The tick it opens in.
    pub now: u32,
}

/// From the client to the server.
pub const FORWARD: u8 = 0;
/// From the server to the client.
pub const RETURN: u8 = 1;
/// In a [`Recent`]: there is no flow.
const NO_FLOW: u8 = 2;

/// The client has answered the server's SYN.
pub const STATE_ESTABLISHED: u8 = 1;
/// The client has sent a FIN.
pub const STATE_CLIENT_FIN: u8 = 2;
/// The server has sent a FIN.
pub const STATE_SERVER_FIN: u8 = 4;
/// Either side has sent a RST.
pub const STATE_RESET: u8 = 8;

/// The time, in ticks of 64 timer interrupts (64 ms at 1000 Hz): a flow is written at most once per tick to keep its
/// time. Timer interrupts, because the program reads their number at no cost, any clock at half the cost of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Ticks since some time before.
    pub now: u32,
    hz: u32,
}

impl Clock {
    const INTERRUPTS_SHIFT: u32 = 6;

    /// From the kernel's number of timer interrupts, and how many there are in a second.
    #[inline(always)]
    pub const fn new(interrupts: u64, hz: u32) -> Self {
        Self {
            now: (interrupts >> Self::INTERRUPTS_SHIFT) as u32,
            hz,
        }
    }

    /// Whether more than `seconds` have passed since the tick `then`. Wrong only after years of silence. `then` may lie
    /// ahead: another CPU has noted the next tick while this packet was on its way.
    #[inline(always)]
    pub const fn passed(&self, then: u32, seconds: u32) -> bool {
        self.now.wrapping_sub(then) as i32 > self.ticks(seconds) as i32
    }

    /// The most ticks that may lie between two moments `seconds` apart.
    #[inline(always)]
    pub const fn ticks(&self, seconds: u32) -> u32 {
        (seconds.wrapping_mul(self.hz) >> Self::INTERRUPTS_SHIFT) + 1
    }
}

/// Whether `state` says that the connection is over: reset, or a FIN from both sides.
#[inline(always)]
pub const fn closed(state: u8) -> bool {
    const FINS: u8 = STATE_CLIENT_FIN | STATE_SERVER_FIN;
    state & STATE_RESET != 0 || state & FINS == FINS
}

const _: () = {
    assert!(size_of::<FlowKey<V4>>() == 12);
    assert!(size_of::<FlowKey<V6>>() == 36);
    assert!(size_of::<Flow<V4>>() == 40);
    assert!(size_of::<Flow<V6>>() == 64);
    assert!(size_of::<Recent<V4>>() == 64);
    assert!(size_of::<Recent<V6>>() == 112);
    assert!(RECENT_MAX.is_power_of_two());
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_that_another_cpu_saw_first_has_not_passed() {
        for now in [0, 5, u32::MAX - 1, u32::MAX] {
            let clock = Clock { now, hz: 250 };
            assert!(!clock.passed(now.wrapping_add(1), 0), "{now}");
            assert!(!clock.passed(now.wrapping_add(1), 3600), "{now}");
        }
    }

    #[test]
    fn time_passes_alike_at_every_frequency() {
        for hz in [100, 250, 300, 1000] {
            for start in [0, 1, 63, u64::from(u32::MAX) * 64 + 17] {
                let then = Clock::new(start, hz).now;
                let after = |seconds: u64| Clock::new(start + seconds * u64::from(hz), hz);
                assert!(!after(60).passed(then, 60), "{hz} Hz");
                assert!(after(62).passed(then, 60), "{hz} Hz");
                assert!(
                    !after(3600).passed(then, 3600) && after(3602).passed(then, 3600),
                    "{hz} Hz"
                );
            }
        }
    }

    fn key(port: u16) -> FlowKey<V4> {
        FlowKey {
            source: 0x0a00_0001,
            destination: 0x0a00_0002,
            ports: address::ports(port.to_be(), 443u16.to_be()),
        }
    }

    fn flow() -> Flow<V4> {
        let connection = Connection {
            server: 1,
            client: Hop::default(),
            now: 7,
        };
        Flow::new(&key(1), &key(2), RETURN, &connection)
    }

    #[test]
    fn a_copy_is_of_one_flow_and_one_tick() {
        let mut copy = Recent::new(key(1), flow(), 7, 1 << 40);
        assert_eq!(copy.get(&key(1), 7), Some(Copied::Flow(&flow(), 1 << 40)));
        assert_eq!(copy.get(&key(2), 7), None);
        assert_eq!(copy.get(&key(1), 8), None);
        copy.forget();
        assert_eq!(copy.get(&key(1), 7), None);
    }

    #[test]
    fn a_copy_of_no_flow_gives_way_to_one_of_a_flow() {
        let mut copy = Recent::new(key(1), flow(), 6, 5);
        copy.keep_none(&key(2), 7, 50);
        assert_eq!(copy.get(&key(2), 7), Some(Copied::NoFlow(50)));
        assert_eq!(copy.get(&key(1), 6), None);
        copy.keep_none(&key(3), 7, 51);
        assert_eq!(copy.get(&key(3), 7), Some(Copied::NoFlow(51)));
        copy = Recent::new(key(1), flow(), 7, 5);
        copy.keep_none(&key(2), 7, 52);
        assert_eq!(copy.get(&key(1), 7), Some(Copied::Flow(&flow(), 5)));
    }

    #[test]
    fn neighbouring_ports_seldom_share_a_slot() {
        let mut slots = [0u8; RECENT_MAX as usize];
        for port in 0..RECENT_MAX as u16 {
            slots[recent_slot(&key(20_000 + port)) as usize] += 1;
        }
        let used = slots.iter().filter(|flows| **flows > 0).count();
        assert!(used > slots.len() / 2, "{used} slots used");
    }
}
