//! Whether the configuration fits the host: asked once, before anything is attached.

use std::collections::BTreeMap;
use std::fs;

use super::network::Interfaces;
use super::snat::{self, PortsInUse, SourcePorts};
use crate::config::static_file::{EntryPoint, EntryPointSteering, SteeringMode};
use crate::config::{Origin, Problem, StaticConfig};

/// The interfaces of all steered entry points, each with its mode.
pub fn interfaces(
    steered: &[&EntryPoint],
    held: &Interfaces,
) -> Result<BTreeMap<String, SteeringMode>, Vec<Problem>> {
    let mut modes: BTreeMap<String, SteeringMode> = BTreeMap::new();
    let mut problems = Vec::new();
    for entry_point in steered {
        let Some(steering) = &entry_point.steering else {
            continue;
        };
        for name in &steering.interfaces {
            let before = *modes.entry(name.clone()).or_insert(steering.mode);
            problems.extend(interface(entry_point, steering, name, before, held));
        }
    }
    if problems.is_empty() {
        Ok(modes)
    } else {
        Err(problems)
    }
}

fn interface(
    entry_point: &EntryPoint,
    steering: &EntryPointSteering,
    name: &str,
    before: SteeringMode,
    held: &Interfaces,
) -> Option<Problem> {
    let problem = |found: String, allowed: String, remedy: &str| {
        let problem = Problem::error(steering.origin.clone(), found)
            .allowed(allowed)
            .remedy(remedy);
        Some(problem.at(format!(
            "entryPoints.{}.steering.interfaces",
            entry_point.name
        )))
    };
    if name == "lo" {
        let allowed = "interfaces that clients come in by".into();
        return problem(
            "lo".into(),
            allowed,
            "steering there would cut off the host's own connections; remove it",
        );
    }
    if !held.contains_key(name) {
        let mut names: Vec<&str> = held
            .keys()
            .map(String::as_str)
            .filter(|name| *name != "lo")
            .collect();
        names.sort_unstable();
        let found = format!("{name}, which this host does not have");
        return problem(
            found,
            names.join(", "),
            "name an interface that is there, or set mode: off",
        );
    }
    if before != steering.mode {
        let found = format!("{name} with two modes");
        return problem(
            found,
            "one mode for an interface".into(),
            "give all entry points on it the same mode",
        );
    }
    None
}

/// Whether this process may load and attach an XDP program (capabilities(7)).
pub fn privileged() -> bool {
    const NET_ADMIN: u64 = 1 << 12;
    const SYS_ADMIN: u64 = 1 << 21;
    const PERFMON_AND_BPF: u64 = 0b11 << 38;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = effective
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or_default();
    held & NET_ADMIN != 0 && (held & SYS_ADMIN != 0 || held & PERFMON_AND_BPF == PERFMON_AND_BPF)
}

/// Source ports against the host's other users of ports, and against every entry point.
pub fn source_ports(config: &StaticConfig, at: &Origin) -> Result<(), Vec<Problem>> {
    let ports = SourcePorts::configured(&config.steering);
    if let Some(snat) = &config.steering.snat
        && *ports.range().end() != snat.last_port
    {
        tracing::warn!(
            "steering.snat.ports: of {}-{} the ports {}-{} are used: their number must be a power of two",
            snat.first_port,
            snat.last_port,
            ports.range().start(),
            ports.range().end()
        );
    }
    let clashes = [
        PortsInUse::read().clash(ports, &config.steering, at),
        snat::entry_point_clash(ports, &config.steering, &config.entry_points),
    ];
    let problems: Vec<Problem> = clashes.into_iter().flatten().collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// Warns of configured source addresses that no interface has: servers would answer to nobody. They may come later, as
/// an address that moves between hosts does.
pub fn source_addresses(config: &StaticConfig, held: &Interfaces) {
    let configured = config.steering.snat.iter().flat_map(|snat| &snat.addresses);
    for address in configured {
        if !held
            .values()
            .any(|interface| interface.addresses.contains(address))
        {
            tracing::warn!(%address, "steering.snat.addresses: no interface of this host has this address now");
        }
    }
}
