//! The maps, the memory in them, and the helper calls: the kernel's side of the door.
#![expect(
    unsafe_code,
    reason = "map values are lent where the kernel keeps them, helpers are C functions"
)]

use core::ops::{Deref, DerefMut};

use aya_ebpf::bindings::bpf_fib_lookup as FibLookup;
use aya_ebpf::helpers::{bpf_fib_lookup, bpf_jiffies64, bpf_ktime_get_ns, bpf_redirect};
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie;
use aya_ebpf::maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray};
use weir_common::Counter;
use weir_common::address::{Address, Mac, V4, V6};
use weir_common::counter::COUNTERS_MAX;
use weir_common::flow::{Clock, Copied, Flow, FlowKey, Recent, recent_slot};
use weir_common::header::{Ip, Ipv4, Ipv6};
use weir_common::map::{
    Config, FLOWS_DEFAULT, Hop, LISTENERS_MAX, ListenerKey, POOLS_MAX, Pool, RECENT_MAX,
    RULE_TABLE_BITS, RULES_MAX, Ring, RuleKey, SCHEMA, SERVERS_MAX, SNAT_MAX, Server, ServerStats,
    ring_index,
};

use crate::packet::Frame;

#[map]
static CONFIG: Array<Config> = Array::with_max_entries(1, 0);
#[map]
static LISTENERS_V4: HashMap<ListenerKey<V4>, u32> = HashMap::with_max_entries(LISTENERS_MAX, 0);
#[map]
static LISTENERS_V6: HashMap<ListenerKey<V6>, u32> = HashMap::with_max_entries(LISTENERS_MAX, 0);
#[map]
static RULES_V4: LpmTrie<RuleKey<V4>, u32> = LpmTrie::with_max_entries(RULES_MAX, 0);
#[map]
static RULES_V6: LpmTrie<RuleKey<V6>, u32> = LpmTrie::with_max_entries(RULES_MAX, 0);
#[map]
static POOLS: Array<Pool> = Array::with_max_entries(POOLS_MAX, 0);
#[map]
static RINGS: Array<Ring> = Array::with_max_entries(POOLS_MAX * 2, 0);
#[map]
static SERVERS: Array<Server> = Array::with_max_entries(SERVERS_MAX, 0);
#[map]
static SERVER_STATS: PerCpuArray<ServerStats> = PerCpuArray::with_max_entries(SERVERS_MAX, 0);
#[map]
static SNAT_V4: Array<V4> = Array::with_max_entries(SNAT_MAX, 0);
#[map]
static SNAT_V6: Array<V6> = Array::with_max_entries(SNAT_MAX, 0);
#[map]
static FLOWS_V4: LruHashMap<FlowKey<V4>, Flow<V4>> = LruHashMap::with_max_entries(FLOWS_DEFAULT, 0);
#[map]
static FLOWS_V6: LruHashMap<FlowKey<V6>, Flow<V6>> = LruHashMap::with_max_entries(FLOWS_DEFAULT, 0);
#[map]
static RECENT_V4: PerCpuArray<Recent<V4>> = PerCpuArray::with_max_entries(RECENT_MAX, 0);
#[map]
static RECENT_V6: PerCpuArray<Recent<V6>> = PerCpuArray::with_max_entries(RECENT_MAX, 0);
#[map]
static EPOCH: Array<u64> = Array::with_max_entries(1, 0);
#[map]
static OPENED: Array<u64> = Array::with_max_entries(RECENT_MAX, 0);
#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTERS_MAX, 0);

/// Insert only if there is no entry (`BPF_NOEXIST`).
const NO_ENTRY: u64 = 1;
/// Insert or replace (`BPF_ANY`).
const ANY: u64 = 0;
const AF_INET: u8 = weir_common::address::FAMILY_V4;
const AF_INET6: u8 = weir_common::address::FAMILY_V6;
const PROTOCOL_TCP: u8 = 6;

/// The key of a flow, on the stack. Aligned, as two fields next to each other are read and written as one, and the
/// verifier allows that across a boundary of eight bytes in packets and maps, but not on the stack.
#[repr(align(8))]
pub struct Key<A>(pub FlowKey<A>);

impl<A> Deref for Key<A> {
    type Target = FlowKey<A>;

    #[inline(always)]
    fn deref(&self) -> &FlowKey<A> {
        &self.0
    }
}

impl<A> DerefMut for Key<A> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut FlowKey<A> {
        &mut self.0
    }
}

/// An IP version: its maps, and its part of a FIB lookup.
pub trait Family: Ip {
    /// Where its flows are.
    fn flows() -> &'static LruHashMap<FlowKey<Self::Address>, Flow<Self::Address>>;
    /// Where this CPU's copies of them are.
    fn recent() -> &'static PerCpuArray<Recent<Self::Address>>;
    /// Number of the steered table for a destination, its port in network order.
    fn table(destination: Self::Address, port: u16) -> Option<u32>;
    /// Pool for a client, by the longest prefix in a table; may be `NO_POOL`.
    fn pool(table: u32, client: Self::Address) -> Option<u32>;
    /// How many source addresses there are to forward from.
    fn snat_count(config: &Config) -> u32;
    /// One of them.
    fn snat(index: u32) -> Option<&'static Self::Address>;
    /// Writes family, source and destination into a FIB lookup.
    fn fill(lookup: &mut FibLookup, source: Self::Address, destination: Self::Address);
}

impl Family for Ipv4 {
    #[inline(always)]
    fn flows() -> &'static LruHashMap<FlowKey<V4>, Flow<V4>> {
        &FLOWS_V4
    }

    #[inline(always)]
    fn recent() -> &'static PerCpuArray<Recent<V4>> {
        &RECENT_V4
    }

    #[inline(always)]
    fn table(destination: V4, port: u16) -> Option<u32> {
        // SAFETY: a u32, read at once.
        unsafe { LISTENERS_V4.get(ListenerKey::new(destination, port)) }.copied()
    }

    #[inline(always)]
    fn pool(table: u32, client: V4) -> Option<u32> {
        RULES_V4
            .get(lpm_trie::Key::new(
                RULE_TABLE_BITS + V4::BITS,
                RuleKey::new(table, client),
            ))
            .copied()
    }

    #[inline(always)]
    fn snat_count(config: &Config) -> u32 {
        config.snat_v4
    }

    #[inline(always)]
    fn snat(index: u32) -> Option<&'static V4> {
        SNAT_V4.get(index)
    }

    #[inline(always)]
    fn fill(lookup: &mut FibLookup, source: V4, destination: V4) {
        lookup.family = AF_INET;
        lookup.__bindgen_anon_3.ipv4_src = source;
        lookup.__bindgen_anon_4.ipv4_dst = destination;
    }
}

impl Family for Ipv6 {
    #[inline(always)]
    fn flows() -> &'static LruHashMap<FlowKey<V6>, Flow<V6>> {
        &FLOWS_V6
    }

    #[inline(always)]
    fn recent() -> &'static PerCpuArray<Recent<V6>> {
        &RECENT_V6
    }

    #[inline(always)]
    fn table(destination: V6, port: u16) -> Option<u32> {
        // SAFETY: a u32, read at once.
        unsafe { LISTENERS_V6.get(ListenerKey::new(destination, port)) }.copied()
    }

    #[inline(always)]
    fn pool(table: u32, client: V6) -> Option<u32> {
        RULES_V6
            .get(lpm_trie::Key::new(
                RULE_TABLE_BITS + 128,
                RuleKey::new(table, client),
            ))
            .copied()
    }

    #[inline(always)]
    fn snat_count(config: &Config) -> u32 {
        config.snat_v6
    }

    #[inline(always)]
    fn snat(index: u32) -> Option<&'static V6> {
        SNAT_V6.get(index)
    }

    #[inline(always)]
    fn fill(lookup: &mut FibLookup, source: V6, destination: V6) {
        lookup.family = AF_INET6;
        lookup.__bindgen_anon_3.ipv6_src = source;
        lookup.__bindgen_anon_4.ipv6_dst = destination;
    }
}

/// The settings, if user space has made any that this program understands.
#[inline(always)]
pub fn config() -> Result<&'static Config, Counter> {
    match CONFIG.get(0) {
        Some(config) if config.schema == SCHEMA && config.hz != 0 => Ok(config),
        _ => Err(Counter::PassNotConfigured),
    }
}

/// A pool.
#[inline(always)]
pub fn pool(number: u32) -> Option<&'static Pool> {
    POOLS.get(number)
}

/// The server in a slot of a pool's ring.
#[inline(always)]
pub fn ring_server(pool: u32, half: u32, slot: usize) -> Option<u16> {
    RINGS.get(ring_index(pool, half))?.get(slot).copied()
}

/// A server.
#[inline(always)]
pub fn server(index: u16) -> Option<&'static Server> {
    SERVERS.get(index.into())
}

/// The entry of a flow. Another CPU may write to it or the LRU may reuse it meanwhile: a packet then goes astray, as
/// packets may.
#[inline(always)]
pub fn flow<I: Family>(key: &Key<I::Address>) -> Option<&'static mut Flow<I::Address>> {
    // SAFETY: the kernel keeps the memory of a map until the program has returned; integers only, no torn value is
    // invalid.
    I::flows()
        .get_ptr_mut(&key.0)
        .map(|entry| unsafe { &mut *entry })
}

/// What copies of flows are good for: this tick, and as long as this number stands.
#[inline(always)]
pub fn epoch() -> u64 {
    EPOCH.get(0).copied().unwrap_or(0)
}

/// Ends the use of all copies of flows made so far, on every CPU.
#[inline(always)]
pub fn end_epoch() {
    if let Some(epoch) = EPOCH.get_ptr_mut(0) {
        // SAFETY: an aligned word of a map. A time that this CPU reads now is none that was there before: no need to
        // add atomically, which this target cannot.
        unsafe { *epoch = bpf_ktime_get_ns() }
    }
}

/// What a copy that says that there is no flow of this key is good for, beside this tick: as long as this number
/// stands.
#[inline(always)]
pub fn opened<A: Address>(key: &Key<A>) -> u64 {
    OPENED.get(recent_slot(&key.0)).copied().unwrap_or(0)
}

/// Ends the use of all copies, on every CPU, that say that there is no flow of this key.
#[inline(always)]
pub fn note_opened<A: Address>(key: &FlowKey<A>) {
    if let Some(opened) = OPENED.get_ptr_mut(recent_slot(key)) {
        // SAFETY: an aligned word of a map, as in `end_epoch`.
        unsafe { *opened = bpf_ktime_get_ns() }
    }
}

/// What this CPU has found of this key in this tick, if it is still so.
#[inline(always)]
pub fn recent<I: Family>(
    key: &Key<I::Address>,
    (tick, epoch): (u32, u64),
) -> Option<Copied<'static, I::Address>> {
    let copied = I::recent().get(recent_slot(&key.0))?.get(&key.0, tick)?;
    let stands = match copied {
        Copied::Flow(_, stamp) => stamp == epoch,
        Copied::NoFlow(stamp) => stamp == opened(key),
    };
    stands.then_some(copied)
}

/// Keeps a copy of a flow for the rest of the tick.
#[inline(always)]
pub fn keep_recent<I: Family>(
    key: &Key<I::Address>,
    flow: &Flow<I::Address>,
    (tick, epoch): (u32, u64),
) {
    if let Some(slot) = I::recent().get_ptr_mut(recent_slot(&key.0)) {
        // SAFETY: this CPU's own value, as in `count`; nothing borrowed from it is in use.
        unsafe { slot.write(Recent::new(key.0, *flow, tick, epoch)) }
    }
}

/// Keeps for the rest of the tick that there is no flow of this key.
#[inline(always)]
pub fn keep_no_flow<I: Family>(key: &Key<I::Address>, (tick, opened): (u32, u64)) {
    if let Some(slot) = I::recent().get_ptr_mut(recent_slot(&key.0)) {
        // SAFETY: as in `keep_recent`.
        unsafe { (*slot).keep_none(&key.0, tick, opened) }
    }
}

/// Gives up this CPU's copy of a flow.
#[inline(always)]
pub fn forget_recent<I: Family>(key: &Key<I::Address>) {
    if let Some(slot) = I::recent().get_ptr_mut(recent_slot(&key.0)) {
        // SAFETY: as in `keep_recent`.
        unsafe { (*slot).forget() }
    }
}

/// Makes an entry unless there is one. Says whether it did.
#[inline(always)]
pub fn claim_flow<I: Family>(key: &Key<I::Address>, flow: &Flow<I::Address>) -> bool {
    I::flows().insert(&key.0, flow, NO_ENTRY).is_ok()
}

/// Makes or replaces an entry. Says whether it did.
#[inline(always)]
pub fn put_flow<I: Family>(key: &Key<I::Address>, flow: &Flow<I::Address>) -> bool {
    I::flows().insert(&key.0, flow, ANY).is_ok()
}

/// Removes an entry if there is one.
#[inline(always)]
pub fn remove_flow<I: Family>(key: &Key<I::Address>) {
    // The only error is that there was none.
    let _ = I::flows().remove(&key.0);
}

/// Counts an event.
#[inline(always)]
pub fn count(counter: Counter) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: this CPU's own value; programs on one CPU do not interrupt each other here.
        unsafe { *value += 1 }
    }
}

/// Counts a packet of a server.
#[inline(always)]
pub fn count_packet(server: u16, bytes: u32) {
    if let Some(stats) = SERVER_STATS.get_ptr_mut(server.into()) {
        // SAFETY: as in `count`.
        let stats = unsafe { &mut *stats };
        stats.packets += 1;
        stats.bytes += u64::from(bytes);
    }
}

/// Counts a flow of a server.
#[inline(always)]
pub fn count_flow(server: u16) {
    if let Some(stats) = SERVER_STATS.get_ptr_mut(server.into()) {
        // SAFETY: as in `count`.
        unsafe { (*stats).flows += 1 }
    }
}

/// The time.
#[inline(always)]
pub fn clock(config: &Config) -> Clock {
    // SAFETY: no arguments, no preconditions.
    Clock::new(unsafe { bpf_jiffies64() }, config.hz)
}

/// Asks the kernel for the route of a packet as its flow rewrites it, `length` bytes long (0: whatever the MTU), and
/// the next neighbour there. `BPF_FIB_LKUP_RET_*`, or a negative errno as u32.
#[inline(always)]
pub fn fib<I: Family>(frame: &Frame<I>, flow: &Flow<I::Address>, length: u16) -> (u32, Hop) {
    // SAFETY: a C struct and unions of integers, for which zero is valid.
    let mut lookup: FibLookup = unsafe { core::mem::zeroed() };
    lookup.ifindex = frame.ifindex;
    lookup.l4_protocol = PROTOCOL_TCP;
    lookup.__bindgen_anon_1.tot_len = length;
    I::fill(&mut lookup, flow.source, flow.destination);
    let size = size_of::<FibLookup>() as i32;
    // SAFETY: context and struct are valid for the call, and the size is the struct's.
    let result = unsafe { bpf_fib_lookup(frame.context().cast(), &mut lookup, size, 0) };
    let hop = Hop::new(lookup.ifindex, mac(&lookup.dmac), mac(&lookup.smac));
    (result as u32, hop)
}

/// A MAC address on the stack, read by halves: merged into words they would lie across the stack's alignment, which the
/// verifier refuses.
#[inline(always)]
fn mac(octets: &[u8; 6]) -> Mac {
    let halves: *const [u8; 2] = octets.as_ptr().cast();
    // SAFETY: the three halves of six bytes.
    let [[a, b], [c, d], [e, f]] = [0, 1, 2].map(|n| unsafe { halves.add(n).read_volatile() });
    Mac([a, b, c, d, e, f])
}

/// Sends the frame out by another device.
#[inline(always)]
pub fn redirect(ifindex: u32) -> u32 {
    // SAFETY: no pointers; a wrong device is counted by the kernel as a failed redirect.
    unsafe { bpf_redirect(ifindex, 0) as u32 }
}
