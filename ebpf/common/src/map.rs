//! The maps: names, sizes, keys and values. User space writes all of them but the flows and the counters.

use crate::address::{Mac, Macs, V4, V6};
use crate::ring::RING_SIZE;

/// Version of every layout in this module and in [`crate::flow`]; part of the pin directory's name and of [`Config`].
pub const SCHEMA: u32 = 3;

/// Names of the programs in the object.
pub mod program {
    /// The product's program.
    pub const STEER: &str = "weir";
    /// Test object only: rebuilds the packet from [`super::BENCH`], then runs the product's code on it.
    pub const BENCH_STEER: &str = "bench_steer";
    /// Test object only: rebuilds the packet and does nothing else; what is to be subtracted.
    pub const BENCH_REBUILD: &str = "bench_rebuild";
}

/// Array of one [`Config`].
pub const CONFIG: &str = "CONFIG";
/// Hash of [`ListenerKey<V4>`] to the number of a steered table.
pub const LISTENERS_V4: &str = "LISTENERS_V4";
/// Hash of [`ListenerKey<V6>`] to the number of a steered table.
pub const LISTENERS_V6: &str = "LISTENERS_V6";
/// LPM trie of [`RuleKey<V4>`] to a pool or [`NO_POOL`].
pub const RULES_V4: &str = "RULES_V4";
/// LPM trie of [`RuleKey<V6>`] to a pool or [`NO_POOL`].
pub const RULES_V6: &str = "RULES_V6";
/// Array of [`Pool`].
pub const POOLS: &str = "POOLS";
/// Array of [`Ring`]; two halves for each pool, see [`ring_index`].
pub const RINGS: &str = "RINGS";
/// Array of [`Server`]; the index is what a ring holds and a flow remembers.
pub const SERVERS: &str = "SERVERS";
/// Per-CPU array of [`ServerStats`], same index as [`SERVERS`].
pub const SERVER_STATS: &str = "SERVER_STATS";
/// Array of source addresses ([`V4`]) of forwarded packets; the first [`Config::snat_v4`] of them count.
pub const SNAT_V4: &str = "SNAT_V4";
/// Array of source addresses ([`V6`]) of forwarded packets; the first [`Config::snat_v6`] of them count.
pub const SNAT_V6: &str = "SNAT_V6";
/// LRU hash of [`crate::flow::FlowKey<V4>`] to [`crate::flow::Flow<V4>`], both directions of each connection.
pub const FLOWS_V4: &str = "FLOWS_V4";
/// LRU hash of [`crate::flow::FlowKey<V6>`] to [`crate::flow::Flow<V6>`], both directions of each connection.
pub const FLOWS_V6: &str = "FLOWS_V6";
/// Per-CPU array of [`crate::flow::Recent<V4>`]: what each CPU has looked up in this tick.
pub const RECENT_V4: &str = "RECENT_V4";
/// Per-CPU array of [`crate::flow::Recent<V6>`]: what each CPU has looked up in this tick.
pub const RECENT_V6: &str = "RECENT_V6";
/// Array of one `u64`. Whoever removes or changes a flow of which a CPU may have a copy then writes the time into it,
/// in nanoseconds of CLOCK_MONOTONIC: no copy made before counts from then on.
pub const EPOCH: &str = "EPOCH";
/// Array of `u64`, one for each slot of [`crate::flow::recent_slot`]. Whoever makes the entries of a connection then
/// writes the time into the words of both keys, as into [`EPOCH`]: from then on no CPU takes it that there is no flow.
pub const OPENED: &str = "OPENED";
/// Per-CPU array of `u64`, indexed by [`crate::Counter`].
pub const COUNTERS: &str = "COUNTERS";
/// Test object only: array of one [`Bench`].
pub const BENCH: &str = "BENCH";

/// Every map of the product's object, in the order above.
pub const ALL: [&str; 18] = [
    CONFIG,
    LISTENERS_V4,
    LISTENERS_V6,
    RULES_V4,
    RULES_V6,
    POOLS,
    RINGS,
    SERVERS,
    SERVER_STATS,
    SNAT_V4,
    SNAT_V6,
    FLOWS_V4,
    FLOWS_V6,
    RECENT_V4,
    RECENT_V6,
    EPOCH,
    OPENED,
    COUNTERS,
];

/// Addresses and ports that may be steered, per family; preallocated, 64 B each.
pub const LISTENERS_MAX: u32 = 1024;
/// Prefixes per family, all tables together; allocated on insertion.
pub const RULES_MAX: u32 = 1 << 18;
/// Pools; 64 KiB each (two rings).
pub const POOLS_MAX: u32 = 64;
/// Servers, all pools together. An index stays taken while a flow may refer to it. At most `u16::MAX`.
pub const SERVERS_MAX: u32 = 4096;
/// Source addresses of forwarded packets, per family.
pub const SNAT_MAX: u32 = 64;
/// Flow entries per family when the loader says nothing else; two for each connection. About 120 B (v4) or 180 B (v6)
/// of kernel memory each, all allocated at load.
pub const FLOWS_DEFAULT: u32 = 1 << 18;
/// Copies of flows per CPU and family: 64 B (v4) or 112 B (v6) each, so that all lie in the CPU's second cache. A power
/// of two.
pub const RECENT_MAX: u32 = 1024;

/// Pool number of a prefix for which no steered rule wins: the packet belongs to user space.
pub const NO_POOL: u32 = u32::MAX;

/// New connections are steered; without it SYNs pass and existing flows go on.
pub const FLAG_STEER_NEW: u32 = 1;
/// The program is attached in generic mode, where a frame may be many segments: no MTU check in the FIB lookup.
pub const FLAG_NO_MTU: u32 = 2;

/// Settings of the whole program. All zero (nothing configured yet) passes everything.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// [`SCHEMA`]; with any other value the program passes every packet.
    pub schema: u32,
    /// `FLAG_*`.
    pub flags: u32,
    /// Seed of [`crate::hash`]; keep it over restarts, else clients change servers.
    pub seed: u64,
    /// Entries used in [`SNAT_V4`]; 0 leaves IPv4 to user space.
    pub snat_v4: u32,
    /// Entries used in [`SNAT_V6`]; 0 leaves IPv6 to user space.
    pub snat_v6: u32,
    /// First source port of forwarded packets, host order.
    pub port_base: u16,
    /// Number of source ports less one, the number being a power of two. `port_base + port_mask` fits 16 bits.
    pub port_mask: u16,
    /// Timer interrupts per second of this kernel, which the program's clock counts; 0 passes everything. User space
    /// knows it as the resolution of CLOCK_MONOTONIC_COARSE.
    pub hz: u32,
}

/// A steered address and port.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerKey<A> {
    /// Destination address of the SYN.
    pub address: A,
    /// Destination port, network order.
    pub port: u16,
    _pad: u16,
}

impl<A> ListenerKey<A> {
    /// `port` in network order.
    #[inline(always)]
    pub const fn new(address: A, port: u16) -> Self {
        Self {
            address,
            port,
            _pad: 0,
        }
    }
}

/// Data of a key of the rule tries: table first, then the source address. The trie's prefix length is
/// [`RULE_TABLE_BITS`] plus the length of the prefix.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleKey<A> {
    table: u32,
    address: A,
}

/// Bits of a rule key that name the table; they always match whole.
pub const RULE_TABLE_BITS: u32 = 32;

impl<A> RuleKey<A> {
    /// `table` in host order.
    #[inline(always)]
    pub const fn new(table: u32, address: A) -> Self {
        Self {
            table: table.to_be(),
            address,
        }
    }

    /// Number of the table, host order.
    pub const fn table(&self) -> u32 {
        u32::from_be(self.table)
    }
}

impl<A: Copy> RuleKey<A> {
    /// The prefix's address.
    pub const fn address(&self) -> A {
        self.address
    }
}

/// A pool: which of its two rings counts, and how many servers that ring holds.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// 0 or 1. User space fills the other half, then flips this.
    pub active: u32,
    /// Servers in the active ring; 0 passes the connection to user space.
    pub servers: u32,
}

/// One whole ring: for each slot an index into [`SERVERS`]. One update syscall fills it.
pub type Ring = [u16; RING_SIZE];

/// Index into [`RINGS`] of a pool's half.
#[inline(always)]
pub const fn ring_index(pool: u32, half: u32) -> u32 {
    pool.wrapping_mul(2) + (half & 1)
}

/// Where a frame goes next. Aligned so that it moves in two words.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// The first twelve bytes of the frame.
    pub macs: Macs,
    /// Egress device; 0 means that the hop is unknown.
    pub ifindex: u32,
}

impl Hop {
    /// A hop by a device, from its MAC `source` to `destination`.
    #[inline(always)]
    pub const fn new(ifindex: u32, destination: Mac, source: Mac) -> Self {
        Self {
            ifindex,
            macs: Macs::new(destination, source),
        }
    }

    /// Equality in one comparison.
    #[inline(always)]
    pub const fn same(&self, other: &Self) -> bool {
        (self.ifindex ^ other.ifindex) | self.macs.difference(other.macs) == 0
    }
}

/// In [`Server::family`]: packets to this server leave by an interface without the program, or there is no way to it.
/// Makes the family that of no client.
pub const UNREACHABLE: u8 = 0x80;

/// A server.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// [`crate::Address::words`] of its address.
    pub address: [u32; 4],
    /// Kept by user space from the kernel's neighbour table; while its `ifindex` is 0 the program asks the FIB.
    pub hop: Hop,
    /// Port, network order.
    pub port: u16,
    /// [`crate::address::FAMILY_V4`] or [`crate::address::FAMILY_V6`], with [`UNREACHABLE`] added where the program
    /// must leave new connections to user space; 0 for a free entry.
    pub family: u8,
    /// Always zero.
    pub _pad: [u8; 5],
}

/// What went to and came from one server; user space sums over the CPUs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// Packets, both directions.
    pub packets: u64,
    /// Bytes of their IP packets, both directions.
    pub bytes: u64,
    /// Flows opened.
    pub flows: u64,
}

/// Test object only: the TCP packet which each repetition starts from.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bench {
    /// [`crate::Address::words`] of the source.
    pub source: [u32; 4],
    /// [`crate::Address::words`] of the destination.
    pub destination: [u32; 4],
    /// Word of ports of the first packet, see [`crate::address::ports`].
    pub ports: u32,
    /// The source port runs through `mask + 1` values from the first one on.
    pub mask: u16,
    /// [`crate::address::FAMILY_V4`] or [`crate::address::FAMILY_V6`].
    pub family: u8,
    /// TCP flags byte.
    pub tcp_flags: u8,
    /// Repetitions so far.
    pub count: u32,
}

const _: () = {
    assert!(size_of::<Config>() == 32);
    assert!(size_of::<ListenerKey<V4>>() == 8);
    assert!(size_of::<ListenerKey<V6>>() == 20);
    assert!(size_of::<RuleKey<V4>>() == 8);
    assert!(size_of::<RuleKey<V6>>() == 20);
    assert!(size_of::<Pool>() == 8);
    assert!(size_of::<Ring>() == 32768);
    assert!(size_of::<Hop>() == 16);
    assert!(size_of::<Server>() == 40);
    assert!(size_of::<ServerStats>() == 24);
    assert!(size_of::<Bench>() == 44);
    assert!(SERVERS_MAX <= u16::MAX as u32);
};
