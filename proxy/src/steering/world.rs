//! The ways to the servers: by which interface, to which hardware address.
//!
//! The program knows a server's next hop from here, so that no packet waits for a neighbour: whoever is in use is
//! asked again before the kernel forgets it.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use weir_common::map::Hop;

use super::network::{Interface, Interfaces, Neighbours, Network, Route};
use super::tables::{Reach, Reaches};

/// The servers left to user space, over refreshes: each is logged once for each reason.
#[derive(Default)]
pub struct Ways {
    obstacles: HashMap<IpAddr, Obstacle>,
}

/// How packets may leave.
pub struct Exits {
    /// By which interfaces: those that run the program.
    pub interfaces: Vec<u32>,
    /// From these addresses, at most one of a family, unless the configuration names others: an answer to one comes
    /// back only to the interface that has it.
    pub sources: Vec<IpAddr>,
}

/// Why the program does not reach a server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Obstacle {
    NoRoute,
    NotSteered { interface: String },
    NotItsAddress { interface: String, source: IpAddr },
}

impl Ways {
    /// The way to each server now, by these exits alone. Neighbours that are not known for sure are asked; the answer
    /// comes as a change.
    pub async fn find(
        &mut self,
        network: &Network,
        interfaces: &Interfaces,
        exits: &Exits,
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
        let mut obstacles = HashMap::new();
        for (server, route) in routes {
            let by = route.and_then(|route| Some((route, *by_index.get(&route.interface)?)));
            let reach = match exit(server, by, exits) {
                Ok((route, interface)) => hop(route, interface, &neighbours),
                Err(obstacle) => {
                    if self.obstacles.get(&server) != Some(&obstacle) {
                        obstacle.warn(server);
                    }
                    obstacles.insert(server, obstacle);
                    Reach::UserSpace
                }
            };
            reaches.insert(server, reach);
        }
        self.obstacles = obstacles;
        Ok(reaches)
    }
}

fn exit<'i>(
    server: IpAddr,
    by: Option<(Route, (&String, &'i Interface))>,
    exits: &Exits,
) -> Result<(Route, &'i Interface), Obstacle> {
    let (route, (name, interface)) = by.ok_or(Obstacle::NoRoute)?;
    if !exits.interfaces.contains(&interface.index) {
        return Err(Obstacle::NotSteered {
            interface: name.clone(),
        });
    }
    let mut sources = exits.sources.iter();
    let source = sources.find(|source| source.is_ipv4() == server.is_ipv4());
    match source.filter(|source| !interface.addresses.contains(source)) {
        Some(source) => Err(Obstacle::NotItsAddress {
            interface: name.clone(),
            source: *source,
        }),
        None => Ok((route, interface)),
    }
}

impl Obstacle {
    fn warn(&self, server: IpAddr) {
        match self {
            Self::NoRoute => tracing::warn!(
                %server, "connections to this server are forwarded in user space: no route leads to it"
            ),
            Self::NotSteered { interface } => tracing::warn!(
                %server, interface,
                "connections to this server are forwarded in user space: the XDP program does not run on its interface; \
                 see entryPoints.*.steering.interfaces"
            ),
            Self::NotItsAddress { interface, source } => tracing::warn!(
                %server, interface, %source,
                "connections to this server are forwarded in user space: the default source address is not one of its \
                 interface; set steering.snat.addresses to addresses that the servers can answer"
            ),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_source_is_for_servers_behind_its_own_interface() {
        let inside = Interface {
            index: 3,
            mac: None,
            addresses: vec![[10, 0, 0, 1].into()],
        };
        let (name, server) = ("inside".to_owned(), IpAddr::from([10, 0, 0, 9]));
        let route = Route {
            interface: 3,
            neighbour: server,
        };
        let found = |interfaces: &[u32], sources: &[[u8; 4]]| {
            let exits = Exits {
                interfaces: interfaces.to_vec(),
                sources: sources.iter().map(|source| (*source).into()).collect(),
            };
            exit(server, Some((route, (&name, &inside))), &exits).map(|(route, _)| route)
        };
        let interface = name.clone();
        let foreign = Obstacle::NotItsAddress {
            interface: interface.clone(),
            source: [192, 0, 2, 1].into(),
        };
        assert_eq!(found(&[2, 3], &[[192, 0, 2, 1]]), Err(foreign));
        assert_eq!(found(&[2, 3], &[[10, 0, 0, 1]]), Ok(route));
        assert_eq!(found(&[2, 3], &[]), Ok(route), "configured by hand");
        assert_eq!(found(&[2], &[]), Err(Obstacle::NotSteered { interface }));
    }
}
