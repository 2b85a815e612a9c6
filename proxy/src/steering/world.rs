//! The ways to the servers: by which interface, to which hardware address.
//!
//! The program knows a server's next hop from here, so that no packet waits for a neighbour: whoever is in use is
//! asked again before the kernel forgets it.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use weir_common::map::Hop;

use super::network::{Interface, Interfaces, Neighbours, Network, Route};
use super::tables::{Reach, Reaches};

/// The servers left to user space, over refreshes: each is logged once.
#[derive(Default)]
pub struct Ways {
    unreachable: HashSet<IpAddr>,
}

impl Ways {
    /// The way to each server now, by the interfaces with these indices alone. Neighbours that are not known for sure
    /// are asked; the answer comes as a change.
    pub async fn find(
        &mut self,
        network: &Network,
        interfaces: &Interfaces,
        attached: &[u32],
        servers: &[SocketAddr],
    ) -> Result<Reaches, rtnetlink::Error> {
        let routes = routes(network, servers).await;
        let neighbours = network.neighbours().await?;
        ask(network, &routes, &neighbours).await;
        let by_index: HashMap<u32, (&String, &Interface)> = interfaces
            .iter()
            .map(|(name, interface)| (interface.index, (name, interface)))
            .collect();
        let mut reaches = Reaches::new();
        let mut unreachable = HashSet::new();
        for (server, route) in routes {
            let by = route.and_then(|route| by_index.get(&route.interface).copied());
            let reach = match (route, by) {
                (Some(route), Some((_, interface))) if attached.contains(&route.interface) => {
                    hop(route, interface, &neighbours)
                }
                _ => Reach::UserSpace,
            };
            if reach == Reach::UserSpace
                && unreachable.insert(server)
                && !self.unreachable.contains(&server)
            {
                warn_unreachable(server, by.map(|(name, _)| name));
            }
            reaches.insert(server, reach);
        }
        self.unreachable = unreachable;
        Ok(reaches)
    }
}

/// Whether the neighbours of all these servers are known; asks for those that are not.
pub async fn all_known(
    network: &Network,
    servers: &[SocketAddr],
) -> Result<bool, rtnetlink::Error> {
    let routes = routes(network, servers).await;
    let neighbours = network.neighbours().await?;
    ask(network, &routes, &neighbours).await;
    let known = |route: &Route| neighbours.contains_key(&(route.interface, route.neighbour));
    Ok(routes.values().flatten().all(known))
}

async fn routes(network: &Network, servers: &[SocketAddr]) -> HashMap<IpAddr, Option<Route>> {
    let servers: HashSet<IpAddr> = servers.iter().map(SocketAddr::ip).collect();
    let mut routes = HashMap::new();
    for server in servers {
        routes.insert(server, network.route(server).await);
    }
    routes
}

/// Asks for the neighbours that are unknown, and for those that have not answered of late: none in use gets forgotten.
async fn ask(network: &Network, routes: &HashMap<IpAddr, Option<Route>>, known: &Neighbours) {
    let sure = |route: &Route| {
        known
            .get(&(route.interface, route.neighbour))
            .is_some_and(|neighbour| neighbour.sure)
    };
    let asked: HashSet<Route> = routes
        .values()
        .flatten()
        .copied()
        .filter(|route| !sure(route))
        .collect();
    for route in asked {
        network.resolve(route).await;
    }
}

fn hop(route: Route, interface: &Interface, neighbours: &Neighbours) -> Reach {
    let Some(source) = interface.mac else {
        return Reach::UserSpace;
    };
    let destination = neighbours.get(&(route.interface, route.neighbour));
    let known = destination.map(|destination| Hop::new(route.interface, destination.mac, source));
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
