//! Source addresses and ports of forwarded packets: which, and whether anything else on the host wants them.
//!
//! The program owns its ports outright: a port that the kernel gives to a connection of this host, or that something
//! listens on, would lead packets astray. So a range that meets either is refused before anything starts.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use super::network::Interface;
use crate::config::static_file::{EntryPoint, SteeringSettings};
use crate::config::{Origin, Problem};
use crate::limits::SNAT_PORTS_DEFAULT;

/// The source ports of forwarded packets. Their number is a power of two (the program masks): of a configured range
/// the largest such part from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePorts {
    /// First port.
    pub base: u16,
    /// Number of ports less one.
    pub mask: u16,
}

impl SourcePorts {
    /// The part of a range that is used; `first` must not lie above `last`.
    pub fn of(first: u16, last: u16) -> Self {
        let count = u32::from(last - first) + 1;
        Self {
            base: first,
            mask: ((1u32 << count.ilog2()) - 1) as u16,
        }
    }

    /// What is configured, or the range below the kernel's default ephemeral ports.
    pub fn configured(settings: &SteeringSettings) -> Self {
        let (first, last) = match &settings.snat {
            Some(snat) => (snat.first_port, snat.last_port),
            None => (*SNAT_PORTS_DEFAULT.start(), *SNAT_PORTS_DEFAULT.end()),
        };
        Self::of(first, last)
    }

    /// From first to last.
    pub fn range(self) -> RangeInclusive<u16> {
        self.base..=self.base + self.mask
    }
}

/// What the kernel and the host's listeners use of the ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortsInUse {
    /// net.ipv4.ip_local_port_range, less net.ipv4.ip_local_reserved_ports.
    pub ephemeral: Vec<RangeInclusive<u16>>,
    /// Sockets that listen, by local address.
    pub listeners: Vec<SocketAddr>,
}

impl PortsInUse {
    /// Of this thread's network namespace. What cannot be read counts as unused: the check is a help, not a guard.
    pub fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let range = read("/proc/sys/net/ipv4/ip_local_port_range");
        let reserved = parse_ranges(&read("/proc/sys/net/ipv4/ip_local_reserved_ports"));
        let ephemeral = parse_range(&range, char::is_whitespace);
        Self {
            ephemeral: reserved
                .iter()
                .fold(ephemeral.into_iter().collect(), |left, hole| {
                    without(left, hole)
                }),
            listeners: [
                read("/proc/thread-self/net/tcp"),
                read("/proc/thread-self/net/tcp6"),
            ]
            .iter()
            .flat_map(|table| listeners(table))
            .collect(),
        }
    }

    /// The problem with these source ports, if there is one.
    pub fn clash(
        &self,
        ports: SourcePorts,
        settings: &SteeringSettings,
        at: &Origin,
    ) -> Option<Problem> {
        let range = ports.range();
        let (first, last) = (range.start(), range.end());
        let origin = settings.snat.as_ref().map_or(at, |snat| &snat.origin);
        let problem = |found: String, remedy: String| ports_problem(origin, found).remedy(remedy);
        if let Some(ephemeral) = self.ephemeral.iter().find(|used| meet(used, &range)) {
            let (from, to) = (ephemeral.start(), ephemeral.end());
            return Some(problem(
                format!(
                    "{first}-{last}, which meets the ports {from}-{to} the kernel gives to connections of this host"
                ),
                format!(
                    "choose other ports or run: sysctl -w net.ipv4.ip_local_reserved_ports={first}-{last}"
                ),
            ));
        }
        let listener = self
            .listeners
            .iter()
            .find(|listener| range.contains(&listener.port()) && reachable(listener))?;
        Some(problem(
            format!("{first}-{last}, in which something listens on {listener}"),
            "choose ports without a listener, or move the listener".into(),
        ))
    }
}

/// Entry points whose own port lies among the source ports.
pub fn entry_point_clash(
    ports: SourcePorts,
    settings: &SteeringSettings,
    entry_points: &[EntryPoint],
) -> Option<Problem> {
    let inside = entry_points
        .iter()
        .find(|entry_point| ports.range().contains(&entry_point.address.port()))?;
    let origin = settings
        .snat
        .as_ref()
        .map_or(&inside.origin, |snat| &snat.origin);
    let (first, last) = (ports.base, ports.range().into_inner().1);
    let found = format!(
        "{first}-{last}, in which entry point {} listens",
        inside.name
    );
    Some(ports_problem(origin, found).remedy("set steering.snat.ports to a range without it"))
}

fn ports_problem(origin: &Origin, found: String) -> Problem {
    let problem = Problem::error(origin.clone(), found).at("steering.snat.ports");
    problem.allowed("source ports nothing else on this host uses")
}

/// The source addresses: those configured, or [the default ones](default_addresses).
pub fn addresses(settings: &SteeringSettings, steered: &[&Interface]) -> Vec<IpAddr> {
    match &settings.snat {
        Some(snat) if !snat.addresses.is_empty() => snat.addresses.clone(),
        _ => default_addresses(settings, steered),
    }
}

/// Where none is configured: of each family the first address that a steered interface has. Nothing where one is.
pub fn default_addresses(settings: &SteeringSettings, steered: &[&Interface]) -> Vec<IpAddr> {
    let configured = settings.snat.as_ref().map(|snat| &snat.addresses);
    if configured.is_some_and(|configured| !configured.is_empty()) {
        return Vec::new();
    }
    let held = || steered.iter().flat_map(|interface| &interface.addresses);
    let first = [
        held().find(|ip| ip.is_ipv4()),
        held().find(|ip| ip.is_ipv6()),
    ];
    first.into_iter().flatten().copied().collect()
}

/// A loopback listener never sees a packet from a server.
fn reachable(listener: &SocketAddr) -> bool {
    !listener.ip().to_canonical().is_loopback()
}

fn meet(a: &RangeInclusive<u16>, b: &RangeInclusive<u16>) -> bool {
    a.start() <= b.end() && b.start() <= a.end()
}

fn without(
    ranges: Vec<RangeInclusive<u16>>,
    hole: &RangeInclusive<u16>,
) -> Vec<RangeInclusive<u16>> {
    let around = ranges.into_iter().flat_map(|range| {
        let (first, last) = range.into_inner();
        let below = hole.start().checked_sub(1).map(|end| first..=end.min(last));
        let above = hole
            .end()
            .checked_add(1)
            .map(|start| start.max(first)..=last);
        [below, above]
    });
    around.flatten().filter(|range| !range.is_empty()).collect()
}

fn parse_range(text: &str, separator: impl Fn(char) -> bool) -> Option<RangeInclusive<u16>> {
    let mut ends = text
        .trim()
        .split(separator)
        .filter(|part| !part.is_empty())
        .map(str::parse);
    let first = ends.next()?.ok()?;
    Some(first..=ends.next().unwrap_or(Ok(first)).ok()?)
}

/// `8080,9000-9010`
fn parse_ranges(text: &str) -> Vec<RangeInclusive<u16>> {
    text.split(',')
        .filter_map(|part| parse_range(part, |c| c == '-'))
        .collect()
}

/// Listening sockets of /proc/net/tcp or tcp6: the second column is the local address (proc_pid_net(5)), the fourth
/// is 0A for LISTEN. Addresses are the packet's words, printed as native numbers.
fn listeners(table: &str) -> Vec<SocketAddr> {
    let listening = table.lines().filter_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let local = columns.next()?;
        (columns.nth(1)? == "0A").then_some(local)
    });
    listening.filter_map(parse_local).collect()
}

fn parse_local(local: &str) -> Option<SocketAddr> {
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        Some(
            u32::from_str_radix(ip.get(at..at + 8)?, 16)
                .ok()?
                .to_ne_bytes(),
        )
    };
    let ip = match ip.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let mut octets = [0; 16];
            octets.as_chunks_mut().0.copy_from_slice(&words);
            IpAddr::from(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_a_power_of_two() {
        let used = |first, last| SourcePorts::of(first, last).range();
        assert_eq!(used(16_384, 32_767), 16_384..=32_767);
        assert_eq!(used(20_000, 20_999), 20_000..=20_511);
        assert_eq!(used(65_535, 65_535), 65_535..=65_535);
        assert_eq!(used(32_768, 65_535), 32_768..=65_535);
    }

    #[test]
    fn reserved_ports_are_not_ephemeral() {
        let reserved = parse_ranges("8080,16384-32767,40000-50000\n");
        let whole = parse_range("32000\t60999\n", char::is_whitespace);
        let left = reserved
            .iter()
            .fold(whole.into_iter().collect(), |left, hole| {
                without(left, hole)
            });
        assert_eq!(left, [32_768..=39_999, 50_001..=60_999]);
        assert_eq!(parse_ranges("\n"), []);
        assert_eq!(without(vec![0..=65_535], &(0..=65_535)), []);
    }

    #[test]
    fn listeners_are_read_from_both_tables() {
        let v4 = "  sl  local_address rem_address   st\n   \
                  0: 0100007F:0016 00000000:0000 0A 0\n   1: 6400000A:C350 0100007F:01BB 01 0\n";
        let v6 = "   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0\n";
        let local = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(listeners(v4), [local("127.0.0.1:22")]);
        assert_eq!(listeners(v6), [local("[::1]:8080")]);
        assert_eq!(listeners("no table"), []);
    }
}
