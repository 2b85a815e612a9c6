//! The real program in the real kernel, without a device: loaded, filled, and fed by BPF_PROG_TEST_RUN.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aya::maps::lpm_trie::Key;
use aya::maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, PerCpuValues};
use aya::programs::Xdp;
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader, Pod, TestRun, TestRunOptions};
use weir::steering::maps::Maps;
use weir_common::address::{FAMILY_V4, FAMILY_V6, Mac, V4, V6, v4, v6};
use weir_common::flow::{Clock, Flow, FlowKey, Recent, recent_slot};
use weir_common::map::{self, Config, Hop, ListenerKey, Pool, RuleKey, Server, ServerStats};
use weir_common::ring::{self, Candidate, RING_SIZE};
use weir_common::{Counter, address};

use crate::support::require_root;

/// What the program answers.
pub const XDP_DROP: u32 = 1;
pub const XDP_PASS: u32 = 2;
pub const XDP_TX: u32 = 3;
pub const XDP_REDIRECT: u32 = 4;

/// The device frames of BPF_PROG_TEST_RUN come in by: the loopback device.
pub const IFINDEX: u32 = 1;
pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
pub const EDGE_SERVER_SIDE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 8];

/// Timer interrupts per second: not this kernel's, but enough to compute with.
pub const HZ: u32 = 250;

/// Flow entries per family: enough for the largest test, quick to allocate.
const FLOWS: u32 = 65536;
const FRAME_MAX: usize = 4096;
const TABLE: u32 = 5;

/// The object loaded, and its maps.
pub struct Plane {
    ebpf: Ebpf,
    program: &'static str,
}

impl Plane {
    /// The product's program, with a [`sensible`](Plane::configure) configuration; `None`, with the reason printed, if
    /// that cannot be had here.
    pub fn new() -> Option<Self> {
        if !require_root("BPF_PROG_TEST_RUN") {
            return None;
        }
        let Some(object) = weir::steering::OBJECT else {
            println!("skipped: needs the XDP object (cargo xtask build-ebpf)");
            return None;
        };
        Some(Self::load(object, map::program::STEER))
    }

    /// A program of an object.
    pub fn load(object: &[u8], program: &'static str) -> Self {
        let ebpf = EbpfLoader::new()
            .map_max_entries(map::FLOWS_V4, FLOWS)
            .map_max_entries(map::FLOWS_V6, FLOWS)
            .load(object)
            .expect("the object loads");
        let mut plane = Self { ebpf, program };
        plane.load_program(program);
        plane.configure(sensible());
        for (index, address) in ["10.0.0.2", "10.0.0.3"].into_iter().enumerate() {
            plane.snat(index as u32, address.parse().unwrap());
        }
        for (index, address) in ["fd00::2", "fd00::3"].into_iter().enumerate() {
            plane.snat(index as u32, address.parse().unwrap());
        }
        plane
    }

    pub fn load_program(&mut self, name: &'static str) {
        self.program = name;
        let program: &mut Xdp = self
            .ebpf
            .program_mut(name)
            .expect("the program")
            .try_into()
            .expect("an XDP program");
        program.load().expect("the kernel takes the program");
    }

    pub fn xdp(&self) -> &Xdp {
        self.ebpf
            .program(self.program)
            .expect("the program")
            .try_into()
            .expect("an XDP program")
    }

    /// Runs one frame through the program: what it answers, and the frame afterwards.
    pub fn run(&self, frame: &[u8]) -> (u32, Vec<u8>) {
        let (action, frame, _) = self.repeat(frame, 1);
        (action, frame)
    }

    /// Runs a frame several times, each time as the last run left it: the last answer, the frame, the time of one run.
    pub fn repeat(&self, frame: &[u8], times: u32) -> (u32, Vec<u8>, Duration) {
        let mut out = vec![0; FRAME_MAX];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            repeat: times,
            ..TestRunOptions::default()
        };
        let result = self.xdp().test_run(options).expect("BPF_PROG_TEST_RUN");
        out.truncate(result.data_size_out as usize);
        (result.return_value, out, result.duration)
    }

    pub fn configure(&mut self, config: Config) {
        self.array::<Config>(map::CONFIG).set(0, config, 0).unwrap();
    }

    pub fn snat(&mut self, index: u32, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self
                .array::<V4>(map::SNAT_V4)
                .set(index, v4(address), 0)
                .unwrap(),
            IpAddr::V6(address) => self
                .array::<V6>(map::SNAT_V6)
                .set(index, v6(address), 0)
                .unwrap(),
        }
    }

    /// Steers an address and port by the default table.
    pub fn listener(&mut self, listener: SocketAddr) {
        self.listener_of(TABLE, listener);
    }

    pub fn listener_of(&mut self, table: u32, listener: SocketAddr) {
        let port = listener.port().to_be();
        match listener.ip() {
            IpAddr::V4(address) => {
                let mut map: HashMap<_, ListenerKey<V4>, u32> = self.map(map::LISTENERS_V4);
                map.insert(ListenerKey::new(v4(address), port), table, 0)
                    .unwrap();
            }
            IpAddr::V6(address) => {
                let mut map: HashMap<_, ListenerKey<V6>, u32> = self.map(map::LISTENERS_V6);
                map.insert(ListenerKey::new(v6(address), port), table, 0)
                    .unwrap();
            }
        }
    }

    /// Sends a prefix of the default table to a pool; `None` removes the prefix.
    pub fn rule(&mut self, prefix: &str, pool: Option<u32>) {
        self.rule_of(TABLE, prefix, pool);
    }

    pub fn rule_of(&mut self, table: u32, prefix: &str, pool: Option<u32>) {
        let (address, length) = prefix.split_once('/').expect("a prefix");
        let bits = map::RULE_TABLE_BITS + length.parse::<u32>().unwrap();
        match address.parse().unwrap() {
            IpAddr::V4(address) => {
                self.write_rule(
                    map::RULES_V4,
                    &Key::new(bits, RuleKey::new(table, v4(address))),
                    pool,
                );
            }
            IpAddr::V6(address) => {
                self.write_rule(
                    map::RULES_V6,
                    &Key::new(bits, RuleKey::new(table, v6(address))),
                    pool,
                );
            }
        }
    }

    fn write_rule<A>(&mut self, name: &str, key: &Key<RuleKey<A>>, pool: Option<u32>)
    where
        RuleKey<A>: Pod,
    {
        let mut trie: LpmTrie<_, RuleKey<A>, u32> = self.map(name);
        match pool {
            Some(pool) => trie.insert(key, pool, 0).unwrap(),
            None => trie.remove(key).unwrap(),
        }
    }

    /// Writes a server with a known next hop.
    pub fn server(&mut self, index: u16, address: SocketAddr) {
        let hop = Hop::new(IFINDEX, Mac(SERVER_MAC), Mac(EDGE_SERVER_SIDE_MAC));
        self.server_by(index, address, hop);
    }

    pub fn server_by(&mut self, index: u16, address: SocketAddr, hop: Hop) {
        let (address_words, family) = match address.ip() {
            IpAddr::V4(ip) => (address::Address::words(v4(ip)), FAMILY_V4),
            IpAddr::V6(ip) => (v6(ip), FAMILY_V6),
        };
        let server = Server {
            address: address_words,
            port: address.port().to_be(),
            family,
            _pad: [0; 5],
            hop,
        };
        self.array(map::SERVERS)
            .set(index.into(), server, 0)
            .unwrap();
    }

    /// Fills a pool with servers, as the loader does: the idle half first, then the switch.
    pub fn pool(&mut self, number: u32, servers: &[(u16, SocketAddr)]) {
        let candidates = servers
            .iter()
            .map(|(index, address)| Candidate::new(*address, *index, 1));
        let mut ring = [0; RING_SIZE];
        let count = ring::fill(&mut ring, &mut candidates.collect::<Vec<_>>());
        let active = 1 - self
            .array::<Pool>(map::POOLS)
            .get(&number, 0)
            .unwrap()
            .active;
        self.array::<map::Ring>(map::RINGS)
            .set(map::ring_index(number, active), ring, 0)
            .unwrap();
        let pool = Pool {
            active,
            servers: count as u32,
        };
        self.array(map::POOLS).set(number, pool, 0).unwrap();
    }

    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters()[counter as usize]
    }

    pub fn counters(&self) -> Vec<u64> {
        let map: PerCpuArray<_, u64> =
            PerCpuArray::try_from(self.ebpf.map(map::COUNTERS).unwrap()).unwrap();
        (0..Counter::ALL.len() as u32)
            .map(|index| map.get(&index, 0).unwrap().iter().sum())
            .collect()
    }

    pub fn server_stats(&self, index: u16) -> ServerStats {
        let map = self.ebpf.map(map::SERVER_STATS).unwrap();
        let map: PerCpuArray<_, ServerStats> = PerCpuArray::try_from(map).unwrap();
        map.get(&index.into(), 0)
            .unwrap()
            .iter()
            .fold(ServerStats::default(), |sum, one| ServerStats {
                packets: sum.packets + one.packets,
                bytes: sum.bytes + one.bytes,
                flows: sum.flows + one.flows,
            })
    }

    /// The IPv4 flow of packets from `source` to `destination`.
    pub fn flow(&mut self, source: SocketAddr, destination: SocketAddr) -> Option<Flow<V4>> {
        self.flows().get(&key(source, destination), 0).ok()
    }

    /// Rewrites an IPv4 flow in place, and ends the use of copies.
    pub fn change_flow(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        change: impl Fn(&mut Flow<V4>),
    ) {
        self.change_flow_unseen(source, destination, change);
        self.end_epoch();
    }

    /// Rewrites an IPv4 flow in place, and leaves copies in use.
    pub fn change_flow_unseen(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        change: impl Fn(&mut Flow<V4>),
    ) {
        let mut flow = self.flow(source, destination).expect("a flow");
        change(&mut flow);
        self.put_flow(source, destination, flow);
    }

    /// Writes an IPv4 flow, and leaves copies in use.
    pub fn put_flow(&mut self, source: SocketAddr, destination: SocketAddr, flow: Flow<V4>) {
        self.flows()
            .insert(key(source, destination), flow, 0)
            .unwrap();
    }

    pub fn remove_flow(&mut self, source: SocketAddr, destination: SocketAddr) {
        self.evict_flow(source, destination);
        self.end_epoch();
    }

    /// Removes an IPv4 flow as the kernel does for want of room: copies stay in use.
    pub fn evict_flow(&mut self, source: SocketAddr, destination: SocketAddr) {
        self.flows().remove(&key(source, destination)).unwrap();
    }

    /// The maps as user space opens them: pinned, here for as long as it takes to open them.
    pub fn opened(&self) -> Maps {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = format!("/sys/fs/bpf/weir-packets-{}-{number}", std::process::id());
        let directory = Path::new(&directory);
        std::fs::create_dir(directory).expect("a directory on a bpffs");
        for (name, map) in self.ebpf.maps() {
            map.pin(directory.join(name)).expect("a pin");
        }
        let maps = Maps::open(directory);
        std::fs::remove_dir_all(directory).expect("the pins gone");
        maps.expect("the maps")
    }

    /// Ends the use of all copies of flows.
    pub fn end_epoch(&mut self) {
        let mut map = self.array::<u64>(map::EPOCH);
        let epoch = map.get(&0, 0).unwrap();
        map.set(0, epoch + 1, 0).unwrap();
    }

    /// Takes the copy that any CPU has of an IPv4 flow, or of those that share its slot.
    pub fn take_copies(&mut self, source: SocketAddr, destination: SocketAddr) {
        let slot = recent_slot(&key(source, destination));
        let mut map: PerCpuArray<_, [u8; size_of::<Recent<V4>>()]> = self.map(map::RECENT_V4);
        let none = vec![[0; size_of::<Recent<V4>>()]; nr_cpus().expect("the CPUs")];
        let none = PerCpuValues::try_from(none).expect("one for each");
        map.set(slot, none, 0).unwrap();
    }

    /// Whether some CPU has ever kept a copy of an IPv6 flow.
    pub fn has_copies_v6(&self) -> bool {
        let map = self.ebpf.map(map::RECENT_V6).unwrap();
        let map: PerCpuArray<_, [u8; size_of::<Recent<V6>>()]> =
            PerCpuArray::try_from(map).unwrap();
        (0..map.len()).any(|slot| {
            let copies = map.get(&slot, 0).unwrap();
            copies.iter().flatten().any(|byte| *byte != 0)
        })
    }

    fn flows(&mut self) -> HashMap<&mut MapData, FlowKey<V4>, Flow<V4>> {
        self.map(map::FLOWS_V4)
    }

    pub fn array<T: Pod>(&mut self, name: &str) -> Array<&mut MapData, T> {
        self.map(name)
    }

    fn map<'a, M>(&'a mut self, name: &str) -> M
    where
        M: TryFrom<&'a mut aya::maps::Map, Error = aya::maps::MapError>,
    {
        self.ebpf
            .map_mut(name)
            .expect("the map")
            .try_into()
            .expect("a map of this type")
    }
}

/// On, with two source addresses per family and the usual 16384 ports.
pub fn sensible() -> Config {
    Config {
        schema: map::SCHEMA,
        flags: map::FLAG_STEER_NEW,
        seed: 7,
        snat_v4: 2,
        snat_v6: 2,
        port_base: 16384,
        port_mask: 0x3fff,
        hz: HZ,
    }
}

/// Seconds in the ticks of [`sensible`].
pub fn ticks(seconds: u32) -> u32 {
    Clock::new(0, HZ).ticks(seconds)
}

fn key(source: SocketAddr, destination: SocketAddr) -> FlowKey<V4> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (source.ip(), destination.ip()) else {
        panic!("IPv4")
    };
    let ports = address::ports(source.port().to_be(), destination.port().to_be());
    FlowKey {
        source: v4(from),
        destination: v4(to),
        ports,
    }
}
