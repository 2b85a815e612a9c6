//! Which addresses each steered entry point has in the NIC: those whose connections the kernel would give its listener.
//!
//! Pure. Both planes must agree on whose connection it is, so an entry point that names its address takes it from the
//! wildcard on the same port whether it steers or not.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::network::Interfaces;
use super::tables::Wanted;
use crate::config::static_file::{EntryPoint, SteeringMode};
use crate::router::steered::SteeredTable;

/// The NIC takes part in this entry point's steering.
pub fn steers(entry_point: &EntryPoint) -> bool {
    entry_point
        .steering
        .as_ref()
        .is_some_and(|steering| steering.mode != SteeringMode::Off)
}

/// What the steered entry points want; `tables` by entry point, same index.
pub fn wanted<'p>(
    entry_points: &'p [EntryPoint],
    tables: &'p [Arc<SteeredTable>],
    interfaces: &Interfaces,
) -> Vec<Wanted<'p>> {
    let named: Vec<SocketAddr> = entry_points
        .iter()
        .map(address)
        .filter(|address| !address.ip().is_unspecified())
        .collect();
    let both = entry_points.iter().zip(tables);
    both.filter(|(entry_point, _)| steers(entry_point))
        .map(|(entry_point, table)| Wanted {
            entry_point: &entry_point.name,
            listens: listens(entry_point, &named, interfaces),
            table,
        })
        .collect()
}

/// The addresses whose connections come to this entry point: its own, or those its interfaces hold now that no entry
/// point names.
fn listens(
    entry_point: &EntryPoint,
    named: &[SocketAddr],
    interfaces: &Interfaces,
) -> Vec<SocketAddr> {
    let own = address(entry_point);
    if !own.ip().is_unspecified() {
        return vec![own];
    }
    let steered = entry_point
        .steering
        .iter()
        .flat_map(|steering| &steering.interfaces);
    let held = steered
        .filter_map(|name| interfaces.get(name))
        .flat_map(|interface| &interface.addresses);
    // [::] is bound for both families, 0.0.0.0 for one (net.ipv6.bindv6only is not asked: the listener clears it).
    held.filter(|held| own.is_ipv6() || held.is_ipv4())
        .map(|held: &IpAddr| SocketAddr::new(*held, own.port()))
        .filter(|held| !named.contains(held))
        .collect()
}

fn address(entry_point: &EntryPoint) -> SocketAddr {
    let address = entry_point.address;
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::StaticConfig;
    use crate::steering::network::Interface;

    /// Where each steered entry point listens, on a host with two addresses of one interface.
    fn listens_of(entry_points: &str) -> Vec<(String, Vec<String>)> {
        let text = format!("entryPoints:\n{entry_points}");
        let (config, _) = StaticConfig::parse(Path::new("weir.yml"), &text).expect("it fits");
        let tables: Vec<_> = config
            .entry_points
            .iter()
            .map(|_| Arc::new(SteeredTable::compile(Vec::new()).expect("no prefixes")))
            .collect();
        let eth0 = Interface {
            index: 2,
            mac: None,
            addresses: vec![[10, 0, 0, 1].into(), [10, 0, 0, 2].into()],
        };
        let interfaces = Interfaces::from([("eth0".to_owned(), eth0)]);
        let wanted = wanted(&config.entry_points, &tables, &interfaces);
        let texts = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect();
        let listens = |wanted: &Wanted<'_>| (wanted.entry_point.to_owned(), texts(&wanted.listens));
        wanted.iter().map(listens).collect()
    }

    #[test]
    fn a_named_address_is_no_wildcards_whether_it_is_steered_or_not() {
        let steering = "steering: {interfaces: [eth0]}";
        for named in ["", "steering: {interfaces: [eth0], mode: off}", steering] {
            let listens = listens_of(&format!(
                "  all: {{address: ':443', {steering}}}\n  one: {{address: '10.0.0.2:443', {named}}}\n  \
                 other: {{address: '10.0.0.1:80'}}\n"
            ));
            let all = ("all".to_owned(), vec!["10.0.0.1:443".to_owned()]);
            let one = ("one".to_owned(), vec!["10.0.0.2:443".to_owned()]);
            let wanted = if named == steering {
                vec![all, one]
            } else {
                vec![all]
            };
            assert_eq!(listens, wanted, "{named:?}");
        }
    }
}
