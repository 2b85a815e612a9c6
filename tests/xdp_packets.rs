//! The real XDP program, fed with crafted packets through BPF_PROG_TEST_RUN: every rewritten packet is read by a reader
//! that checks its checksums, every packet passed must come out as it went in.

mod cost;
mod flows;
mod hops;
mod missing;
mod object;
pub mod packet;
mod passed;
mod plane;
mod ports;
mod recent;
mod steered;

use std::net::SocketAddr;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use weir_common::Counter;

use packet::Segment;
use plane::{Plane, XDP_PASS, XDP_TX};

const EDGE: &str = "10.0.0.100:443";
const EDGE_V6: &str = "[fd00::100]:443";
const SERVER_A: &str = "10.0.0.11:8443";
const SERVER_B: &str = "10.0.0.12:8443";
const SERVER_V6: &str = "[fd00::11]:8443";
const POOL: u32 = 1;
const POOL_V6: u32 = 2;

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address and port")
}

/// A program that steers 192.0.2.0/24 to A and B, 2001:db8:1::/48 to the IPv6 server.
fn steering() -> Option<Plane> {
    let mut plane = Plane::new()?;
    fill(&mut plane);
    Some(plane)
}

fn fill(plane: &mut Plane) {
    plane.listener(at(EDGE));
    plane.listener(at(EDGE_V6));
    plane.server(1, at(SERVER_A));
    plane.server(2, at(SERVER_B));
    plane.server(3, at(SERVER_V6));
    plane.pool(POOL, &[(1, at(SERVER_A)), (2, at(SERVER_B))]);
    plane.pool(POOL_V6, &[(3, at(SERVER_V6))]);
    plane.rule("192.0.2.0/24", Some(POOL));
    plane.rule("2001:db8:1::/48", Some(POOL_V6));
}

/// Runs a segment that must be forwarded, and reads what became of it.
fn forwarded(plane: &Plane, segment: &Segment) -> Segment {
    let (action, frame) = plane.run(&segment.frame());
    assert_eq!(
        action,
        XDP_TX,
        "{segment:?} is to be forwarded, counters {:?}",
        plane.counters()
    );
    let result = Segment::read(&frame, segment.vlans.len());
    assert_eq!(result.ttl, segment.ttl - 1);
    assert_eq!(
        (&result.payload, result.flags),
        (&segment.payload, segment.flags)
    );
    assert_eq!(result.vlans, segment.vlans);
    result
}

/// Runs a frame that must be passed untouched for this reason, and for no other.
fn passed(plane: &Plane, frame: &[u8], reason: Counter) {
    let before = plane.counters();
    let (action, after) = plane.run(frame);
    assert_eq!(action, XDP_PASS, "to be passed: {}", reason.name());
    assert_eq!(after, frame, "passed untouched: {}", reason.name());
    for (counter, before) in Counter::ALL.iter().zip(before) {
        let counted = plane.counter(*counter) - before;
        assert_eq!(
            counted,
            u64::from(*counter == reason),
            "{} while expecting {}",
            counter.name(),
            reason.name()
        );
    }
}

/// The CPUs this thread may run on.
fn cpus() -> Vec<usize> {
    let cpus = sched_getaffinity(Pid::from_raw(0)).expect("the CPUs");
    (0..CpuSet::count())
        .filter(|cpu| cpus.is_set(*cpu).unwrap_or(false))
        .collect()
}

/// Moves this thread, and the programs it runs, to a CPU.
fn run_on(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu).expect("a CPU");
    sched_setaffinity(Pid::from_raw(0), &set).expect("to run on one CPU");
}
