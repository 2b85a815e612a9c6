//! What a packet costs: printed, never asserted, because the machine is shared. Asserted is that the path measured is
//! the path meant.

use std::net::SocketAddr;
use std::path::PathBuf;

use weir_common::Counter;
use weir_common::address::{FAMILY_V4, FAMILY_V6, ports, v4, v6};
use weir_common::map::{self, Bench, program};

use super::packet::{ACK, SYN, Segment};
use super::plane::Plane;
use super::{EDGE, EDGE_V6, at, fill, forwarded};
use crate::support::require_root;

/// Short rounds, a few milliseconds, so that most of them are not interrupted.
const REPEATS: u32 = 50_000;
const ROUNDS: usize = 31;

struct Case {
    name: &'static str,
    source: &'static str,
    destination: &'static str,
    flags: u8,
    counter: Counter,
    bar: u32,
}

const CASES: [Case; 6] = [
    Case {
        name: "established, IPv4, one flow",
        source: "192.0.2.5:40000",
        destination: EDGE,
        flags: ACK,
        counter: Counter::Forward,
        bar: 40,
    },
    Case {
        name: "established, IPv6, one flow",
        source: "[2001:db8:1::7]:40000",
        destination: EDGE_V6,
        flags: ACK,
        counter: Counter::Forward,
        bar: 40,
    },
    Case {
        name: "unmatched TCP, IPv4",
        source: "198.51.100.1:40000",
        destination: EDGE,
        flags: ACK,
        counter: Counter::PassNoFlow,
        bar: 30,
    },
    Case {
        name: "unmatched TCP, IPv6",
        source: "[2001:db8:2::7]:40000",
        destination: EDGE_V6,
        flags: ACK,
        counter: Counter::PassNoFlow,
        bar: 30,
    },
    Case {
        name: "SYN to another port, IPv4",
        source: "198.51.100.1:40000",
        destination: "10.0.0.100:22",
        flags: SYN,
        counter: Counter::PassNotSteered,
        bar: 60,
    },
    Case {
        name: "SYN without a rule, IPv4",
        source: "198.51.100.1:40000",
        destination: EDGE,
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
    let mut rebuilding = Plane::load(&object, program::BENCH_REBUILD);
    let mut steering = Plane::load(&object, program::BENCH_STEER);
    fill(&mut steering);
    for case in &CASES {
        let bench = case.bench();
        let frame = Segment::new(at(case.source), at(case.destination), case.flags).frame();
        let rebuild = measure(&mut rebuilding, bench, &frame);
        if case.counter == Counter::Forward {
            steering
                .array(map::BENCH)
                .set(
                    0,
                    Bench {
                        tcp_flags: SYN,
                        ..bench
                    },
                    0,
                )
                .unwrap();
            forwarded(
                &steering,
                &Segment::new(at(case.source), at(case.destination), SYN),
            );
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
    fn bench(&self) -> Bench {
        let (source, destination) = (at(self.source), at(self.destination));
        Bench {
            source: words(source),
            destination: words(destination),
            ports: ports(source.port().to_be(), destination.port().to_be()),
            mask: 0,
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
