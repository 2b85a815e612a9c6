//! What a packet costs: printed, never asserted, because the machine is shared. Asserted is that the path measured is
//! the path meant.

use std::net::SocketAddr;
use std::path::PathBuf;

use weir_common::Counter;
use weir_common::address::{FAMILY_V4, FAMILY_V6, ports, v4, v6};
use weir_common::map::{self, Bench, program};

use super::packet::{ACK, SYN, Segment};
use super::plane::Plane;
use super::{EDGE, EDGE_V6, at, fill};
use crate::support::require_root;

/// Short rounds, a few milliseconds, so that most of them are not interrupted.
const REPEATS: u32 = 50_000;
const ROUNDS: usize = 31;

struct Case {
    name: &'static str,
    source: &'static str,
    destination: &'static str,
    /// So many source ports in turn, a power of two.
    flows: u16,
    flags: u8,
    counter: Counter,
    bar: u32,
}

const CASES: [Case; 10] = [
    Case {
        name: "established, IPv4, one flow",
        source: "192.0.2.5:40000",
        destination: EDGE,
        flows: 1,
        flags: ACK,
        counter: Counter::Forward,
        bar: 40,
    },
    Case {
        name: "established, IPv4, 1024 flows in turn",
        source: "192.0.2.6:20000",
        destination: EDGE,
        flows: 1024,
        flags: ACK,
        counter: Counter::Forward,
        bar: 40,
    },
    Case {
        name: "established, IPv6, one flow",
        source: "[2001:db8:1::7]:40000",
        destination: EDGE_V6,
        flows: 1,
        flags: ACK,
        counter: Counter::Forward,
        bar: 40,
    },
    Case {
        name: "established, IPv6, 1024 flows in turn",
        source: "[2001:db8:1::8]:20000",
        destination: EDGE_V6,
        flows: 1024,
        flags: ACK,
        counter: Counter::Forward,
        bar: 40,
    },
    Case {
        name: "unmatched TCP, IPv4, one source",
        source: "198.51.100.1:40000",
        destination: EDGE,
        flows: 1,
        flags: ACK,
        counter: Counter::PassNoFlow,
        bar: 30,
    },
    Case {
        name: "unmatched TCP, IPv4, 1024 sources in turn",
        source: "198.51.100.1:40000",
        destination: EDGE,
        flows: 1024,
        flags: ACK,
        counter: Counter::PassNoFlow,
        bar: 30,
    },
    Case {
        name: "unmatched TCP, IPv6, one source",
        source: "[2001:db8:2::7]:40000",
        destination: EDGE_V6,
        flows: 1,
        flags: ACK,
        counter: Counter::PassNoFlow,
        bar: 30,
    },
    Case {
        name: "unmatched TCP, IPv6, 1024 sources in turn",
        source: "[2001:db8:2::7]:40000",
        destination: EDGE_V6,
        flows: 1024,
        flags: ACK,
        counter: Counter::PassNoFlow,
        bar: 30,
    },
    Case {
        name: "SYN to another port, IPv4",
        source: "198.51.100.1:40000",
        destination: "10.0.0.100:22",
        flows: 1,
        flags: SYN,
        counter: Counter::PassNotSteered,
        bar: 60,
    },
    Case {
        name: "SYN without a rule, IPv4",
        source: "198.51.100.1:40000",
        destination: EDGE,
        flows: 1,
        flags: SYN,
        counter: Counter::PassNoRule,
        bar: 60,
    },
];

#[test]
fn cost_of_a_packet() {
    if !require_root("BPF_PROG_TEST_RUN") {
        return;
    }
    let Some(object) = bench_object() else {
        println!("skipped: needs the bench object (cargo xtask build-ebpf)");
        return;
    };
    println!(
        "cost: one flow or source goes by this CPU's copy nearly always; of 1024 in turn many share a slot and are \
         looked up"
    );
    let mut rebuilding = Plane::load(&object, program::BENCH_REBUILD);
    let mut steering = Plane::load(&object, program::BENCH_STEER);
    fill(&mut steering);
    for case in &CASES {
        let bench = case.bench();
        let frame = Segment::new(at(case.source), at(case.destination), case.flags).frame();
        let rebuild = measure(&mut rebuilding, bench, &frame);
        if case.counter == Counter::Forward {
            case.open(&mut steering);
        }
        let before = steering.counter(case.counter);
        let whole = measure(&mut steering, bench, &frame);
        assert_eq!(
            steering.counter(case.counter) - before,
            u64::from(REPEATS) * ROUNDS as u64,
            "{}",
            case.name
        );
        println!(
            "cost: {}: {} ns, least {} ns (bar {} ns; {} and {} ns for rebuilding the packet subtracted)",
            case.name,
            whole.median.saturating_sub(rebuild.median),
            whole.least.saturating_sub(rebuild.least),
            case.bar,
            rebuild.median,
            rebuild.least,
        );
    }
}

impl Case {
    /// Opens the flows, with frames as long as the segments'.
    fn open(&self, plane: &mut Plane) {
        let bench = Bench {
            tcp_flags: SYN,
            ..self.bench()
        };
        let before = plane.counter(Counter::FlowNew);
        plane.array(map::BENCH).set(0, bench, 0).unwrap();
        let frame = Segment::new(at(self.source), at(self.destination), SYN).frame();
        plane.repeat(&frame, self.flows.into());
        let opened = plane.counter(Counter::FlowNew) - before;
        assert_eq!(opened, u64::from(self.flows), "{}", self.name);
    }

    fn bench(&self) -> Bench {
        let (source, destination) = (at(self.source), at(self.destination));
        Bench {
            source: words(source),
            destination: words(destination),
            ports: ports(source.port().to_be(), destination.port().to_be()),
            mask: self.flows - 1,
            family: if source.is_ipv4() {
                FAMILY_V4
            } else {
                FAMILY_V6
            },
            tcp_flags: self.flags,
            count: 0,
        }
    }
}

fn words(address: SocketAddr) -> [u32; 4] {
    match address {
        SocketAddr::V4(address) => [v4(*address.ip()), 0, 0, 0],
        SocketAddr::V6(address) => v6(*address.ip()),
    }
}

/// Times of one run in many short rounds. The median is the figure; the least is what it would be on an idle machine.
struct Times {
    median: u128,
    least: u128,
}

fn measure(plane: &mut Plane, bench: Bench, frame: &[u8]) -> Times {
    plane.array(map::BENCH).set(0, bench, 0).unwrap();
    let mut times: Vec<u128> = (0..ROUNDS)
        .map(|_| plane.repeat(frame, REPEATS).2.as_nanos())
        .collect();
    times.sort_unstable();
    Times {
        median: times[ROUNDS / 2],
        least: times[0],
    }
}

/// The test object, beside the product's in the target directory this test binary was built into.
fn bench_object() -> Option<Vec<u8>> {
    let executable = std::env::current_exe().ok()?;
    let target: PathBuf = executable
        .ancestors()
        .find(|directory| directory.join("xdp").is_dir())?
        .into();
    std::fs::read(target.join("xdp/weir-bench.o")).ok()
}
