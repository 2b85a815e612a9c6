//! The host's network as the XDP plane needs it: interfaces with their addresses, the way to a server, neighbours;
//! and word when any of it changes. Asks rtnetlink; keeps nothing but the socket.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope,
};
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia,
};
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder};
use weir_common::address::Mac;

/// An interface of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's number for it; another one after it was deleted and made again.
    pub index: u32,
    /// Its hardware address, where it is Ethernet.
    pub mac: Option<Mac>,
    /// Its addresses of more than link scope, in the kernel's order.
    pub addresses: Vec<IpAddr>,
}

/// Interfaces by name.
pub type Interfaces = HashMap<String, Interface>;

/// A neighbour whose hardware address the kernel holds for usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its hardware address.
    pub mac: Mac,
    /// Confirmed of late, or entered by hand: there is nothing to ask.
    pub sure: bool,
}

/// Neighbours by interface and address.
pub type Neighbours = HashMap<(u32, IpAddr), Neighbour>;

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// The interface it leaves by.
    pub interface: u32,
    /// Whose hardware address the frame bears: a gateway, or the address itself.
    pub neighbour: IpAddr,
}

type Event = (
    rtnetlink::packet_core::NetlinkMessage<rtnetlink::packet_route::RouteNetlinkMessage>,
    rtnetlink::sys::SocketAddr,
);

/// A netlink socket that listens for changes.
pub struct Network {
    handle: Handle,
    events: Option<futures_util::stream::BoxStream<'static, Event>>,
    connection: tokio::task::JoinHandle<()>,
}

impl Network {
    /// Opens the socket in the network namespace of this thread; needs a tokio runtime and no privilege.
    pub fn open() -> io::Result<Self> {
        let (connection, handle, events) = rtnetlink::new_multicast_connection(&[
            MulticastGroup::Link,
            MulticastGroup::Neigh,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ])?;
        let connection = tokio::spawn(connection);
        Ok(Self {
            handle,
            events: Some(events.boxed()),
            connection,
        })
    }

    /// Returns when anything of it has changed since the last call. Never again once the socket is broken: the caller
    /// has a timer besides. Safe to cancel.
    pub async fn changed(&mut self) {
        let Some(events) = &mut self.events else {
            return std::future::pending().await;
        };
        if events.next().await.is_none() {
            tracing::warn!(
                "netlink closed its event socket: changes of the network are seen at the next interval"
            );
            self.events = None;
        }
    }

    /// Forgets the events that have come in already: what is asked from now on includes them.
    pub fn caught_up(&mut self) {
        while let Some(events) = &mut self.events
            && let Some(Some(_)) = futures_util::FutureExt::now_or_never(events.next())
        {}
    }

    /// Every interface with its addresses.
    pub async fn interfaces(&self) -> Result<Interfaces, rtnetlink::Error> {
        let links: Vec<LinkMessage> = self.handle.link().get().execute().try_collect().await?;
        let addresses: Vec<AddressMessage> =
            self.handle.address().get().execute().try_collect().await?;
        let mut held: HashMap<u32, Vec<IpAddr>> = HashMap::new();
        for (index, address) in addresses.iter().filter_map(usable_address) {
            held.entry(index).or_default().push(address);
        }
        Ok(links
            .iter()
            .filter_map(|link| interface(link, &mut held))
            .collect())
    }

    /// The way the kernel would send a packet to `server`; `None` where there is none, or where the server is an
    /// address of this host.
    pub async fn route(&self, server: IpAddr) -> Option<Route> {
        let question = match server {
            IpAddr::V4(server) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .destination_prefix(server, 32)
                .build(),
            IpAddr::V6(server) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                .destination_prefix(server, 128)
                .build(),
        };
        let answers: Vec<RouteMessage> = self
            .handle
            .route()
            .get(question)
            .execute()
            .try_collect()
            .await
            .ok()?;
        let answer = answers
            .first()
            .filter(|answer| answer.header.kind == RouteType::Unicast)?;
        let interface = answer
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            })?;
        let gateway = answer
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                RouteAttribute::Gateway(RouteAddress::Inet(gateway))
                | RouteAttribute::Via(RouteVia::Inet(gateway)) => Some(IpAddr::from(*gateway)),
                RouteAttribute::Gateway(RouteAddress::Inet6(gateway))
                | RouteAttribute::Via(RouteVia::Inet6(gateway)) => Some(IpAddr::from(*gateway)),
                _ => None,
            });
        Some(Route {
            interface,
            neighbour: gateway.unwrap_or(server),
        })
    }

    /// The kernel's neighbour tables.
    pub async fn neighbours(&self) -> Result<Neighbours, rtnetlink::Error> {
        let entries: Vec<NeighbourMessage> = self
            .handle
            .neighbours()
            .get()
            .execute()
            .try_collect()
            .await?;
        Ok(entries.iter().filter_map(usable_neighbour).collect())
    }

    /// Makes the kernel ask for the neighbour's hardware address, as a packet to it would (NTF_USE): resolves an
    /// unknown one, and confirms a stale one. The answer comes as a change. Not for one entered by hand: NTF_USE takes
    /// the kernel's word from it that it is permanent.
    pub async fn resolve(&self, route: Route) {
        let request = self
            .handle
            .neighbours()
            .add(route.interface, route.neighbour);
        let request = request
            .replace()
            .state(NeighbourState::None)
            .flags(NeighbourFlags::Use);
        if let Err(error) = request.execute().await {
            tracing::debug!(neighbour = %route.neighbour, %error, "the kernel does not ask for this neighbour");
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn interface(
    link: &LinkMessage,
    held: &mut HashMap<u32, Vec<IpAddr>>,
) -> Option<(String, Interface)> {
    let index = link.header.index;
    let name = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        })?;
    let mac = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Address(bytes) => <[u8; 6]>::try_from(&bytes[..]).ok().map(Mac::from),
            _ => None,
        });
    Some((
        name,
        Interface {
            index,
            mac,
            addresses: held.remove(&index).unwrap_or_default(),
        },
    ))
}

fn usable_address(message: &AddressMessage) -> Option<(u32, IpAddr)> {
    let tentative = AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed;
    if message.header.flags.intersects(tentative) || message.header.scope == AddressScope::Link {
        return None;
    }
    // IFA_LOCAL is the interface's own address; IFA_ADDRESS is the peer's on a point-to-point link (rtnetlink(7)).
    let local = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
    let address = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
    Some((message.header.index, local.or(address)?))
}

fn usable_neighbour(message: &NeighbourMessage) -> Option<((u32, IpAddr), Neighbour)> {
    use NeighbourState::{Delay, Permanent, Probe, Reachable, Stale};
    let usable = matches!(
        message.header.state,
        Reachable | Stale | Delay | Probe | Permanent
    );
    let routed = matches!(
        message.header.family,
        AddressFamily::Inet | AddressFamily::Inet6
    );
    if !(usable && routed) {
        return None;
    }
    let address = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => {
                Some(IpAddr::from(*address))
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
                Some(IpAddr::from(*address))
            }
            _ => None,
        })?;
    let mac = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                <[u8; 6]>::try_from(&bytes[..]).ok().map(Mac::from)
            }
            _ => None,
        })?;
    let sure = matches!(message.header.state, Reachable | Permanent);
    Some(((message.header.ifindex, address), Neighbour { mac, sure }))
}
