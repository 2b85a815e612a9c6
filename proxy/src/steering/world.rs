//! The ways to the servers: by which interface, to which hardware address.
//!
//! The program knows a server's next hop from here, so that no packet waits for a neighbour: whoever is in use is
//! asked again before the kernel forgets it.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use weir_common::map::Hop;

use super::network::{Interface, Interfaces, Neighbours, Network, Route};
use super::tables::{Reach, Reaches};

/// What is known of the ways, over refreshes.
#[derive(Default)]
pub struct Ways {
    routes: HashMap<IpAddr, Option<Route>>,
    /// Servers that are left to user space: logged once.
    unreachable: HashSet<IpAddr>,
}

impl Ways {
    /// The way to each server now. Neighbours nothing is known of are asked; the answer comes as a change.
    pub async fn find(
        &mut self,
        network: &Network,
        interfaces: &Interfaces,
        attached: &[u32],
        servers: &[SocketAddr],
    ) -> Reaches {
        self.routes = routes(network, servers).await;
        let neighbours = network.neighbours().await.unwrap_or_default();
        ask(network, self.routes.values().flatten(), &neighbours).await;
        let by_index: HashMap<u32, (&String, &Interface)> = interfaces
            .iter()
            .map(|(name, interface)| (interface.index, (name, interface)))
            .collect();
        let mut reaches = Reaches::new();
        let mut unreachable = HashSet::new();
        for (server, route) in &self.routes {
            let by = route.and_then(|route| by_index.get(&route.interface).copied());
            let reach = match (route, by) {
                (Some(route), Some((_, interface))) if attached.contains(&route.interface) => {
                    hop(*route, interface, &neighbours)
                }
                _ => Reach::UserSpace,
            };
            if reach == Reach::UserSpace
                && unreachable.insert(*server)
                && !self.unreachable.contains(server)
            {
                warn_unreachable(*server, by.map(|(name, _)| name));
            }
            reaches.insert(*server, reach);
        }
        self.unreachable = unreachable;
        reaches
    }

    /// Asks for the neighbours of these servers; whether all are known.
    pub async fn all_known(&mut self, network: &Network, servers: &[SocketAddr]) -> bool {
        let routes = routes(network, servers).await;
        let neighbours = network.neighbours().await.unwrap_or_default();
        ask(network, routes.values().flatten(), &neighbours).await == 0
    }

    /// Confirms every neighbour in use.
    pub async fn keep_warm(&self, network: &Network) {
        ask(
            network,
            self.routes.values().flatten(),
            &Neighbours::default(),
        )
        .await;
    }
}

async fn routes(network: &Network, servers: &[SocketAddr]) -> HashMap<IpAddr, Option<Route>> {
    let servers: HashSet<IpAddr> = servers.iter().map(SocketAddr::ip).collect();
    let mut routes = HashMap::new();
    for server in servers {
        routes.insert(server, network.route(server).await);
    }
    routes
}

/// Asks for those that `known` lacks; how many.
async fn ask(network: &Network, routes: impl Iterator<Item = &Route>, known: &Neighbours) -> usize {
    let unknown: HashSet<Route> = routes
        .copied()
        .filter(|route| !known.contains_key(&(route.interface, route.neighbour)))
        .collect();
    for route in &unknown {
        network.resolve(*route).await;
    }
    unknown.len()
}

fn hop(route: Route, interface: &Interface, neighbours: &Neighbours) -> Reach {
    let Some(source) = interface.mac else {
        return Reach::UserSpace;
    };
    let destination = neighbours.get(&(route.interface, route.neighbour));
    let known = destination.map(|destination| Hop::new(route.interface, *destination, source));
    Reach::Hop(known.unwrap_or_default())
}

fn warn_unreachable(server: IpAddr, by: Option<&String>) {
    match by {
        Some(interface) => tracing::warn!(
            %server, interface,
            "connections to this server are forwarded in user space: its interface is not steered; add it to \
             entryPoints.*.steering.interfaces"
        ),
        None => {
            tracing::warn!(%server, "connections to this server are forwarded in user space: no route leads to it")
        }
    }
}
