//! Services: servers, weights, and which server is next.
//!
//! Owns: the compiled services and the identities of servers over reloads ([`registry`]), the balancing arithmetic
//! ([`balance`]), which servers take requests now ([`readiness`]) and how many they have, and the cookies by which
//! clients stay with a server ([`sticky`]). Never: sockets, names to resolve (addresses are resolved while compiling),
//! why a server is down.
//! Invariants: a weight is at least 1 and at most [`crate::limits::SERVICE_WEIGHT_MAX`]; a service tree has no
//! cycle, is at most [`crate::limits::SERVICE_DEPTH_MAX`] deep and unfolds to at most
//! [`crate::limits::SERVICE_TREE_MAX`] services and servers; a load balancer may be empty (every server of it
//! was refused), which answers 503.

pub mod balance;
mod falls;
mod gate;
mod health_check;
mod id_map;
mod in_flight;
mod on_failure;
pub mod pool;
pub mod readiness;
pub mod registry;
mod servers_transport;
pub mod standing;
pub mod sticky;
mod suspicion;
mod tried;
mod users;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

pub use self::balance::{Balancer, Picked};
pub use self::falls::{Fallen, Falls};
pub use self::gate::{Cap, Entry, Gate, Ticket};
pub use self::health_check::{HealthCheck, HttpQuestion, Pace, Question, Target};
pub use self::id_map::IdMap;
pub use self::in_flight::{InFlight, Running};
pub use self::on_failure::{OnFailure, Passive};
pub use self::readiness::{Hindrance, Rank, Readiness};
pub use self::registry::{Lease, Protocol, Registry, ServerId, ServiceId};
pub use self::servers_transport::{
    HttpTransport, ServerTls, ServersTransport, TcpTransport, TransportId,
};
use self::sticky::Sticky;
pub use self::suspicion::{Cause, Suspicion, Suspicions};
pub use self::tried::Tried;
pub use self::users::Users;
use crate::tls::H2;

/// A service of an HTTP or of a TCP router.
#[derive(Debug)]
pub struct Service {
    /// The same over reloads as long as the name is in use.
    pub id: ServiceId,
    /// `name@file`.
    pub name: Arc<str>,
    /// What it does with a request.
    pub kind: ServiceKind,
    /// Changes with the children and their weights; equal means that balancing state fits as it is.
    shape: u64,
    /// The cookie by which clients stay with a child.
    pub(crate) sticky: Option<Sticky>,
    /// Children that take no part: their weight is 0, they have no server, or their host has no address and others
    /// have.
    pub resting: Vec<Resting>,
    /// Some server below it may be kept from requests.
    watched: bool,
    /// Keeps `id`.
    #[expect(dead_code, reason = "held for its count alone")]
    lease: Lease,
}

impl Service {
    /// The service of this identity. Children of a weighted service have servers.
    pub fn new((id, lease): (ServiceId, Lease), name: Arc<str>, kind: ServiceKind) -> Self {
        let mut shape = DefaultHasher::new();
        kind.children().for_each(|child| child.hash(&mut shape));
        Self {
            id,
            name,
            kind,
            shape: shape.finish(),
            sticky: None,
            resting: Vec::new(),
            watched: false,
            lease,
        }
    }

    /// The same, with this cookie, made for its children in their order.
    pub fn sticking(self, sticky: Option<Sticky>) -> Self {
        Self { sticky, ..self }
    }

    /// Its name in the rule files, without `@file`.
    pub fn short_name(&self) -> &str {
        short(&self.name)
    }

    /// Whether a server, or an entry whose service is called so without `@file`, is written in it.
    pub fn has_child(&self, name: &str) -> bool {
        let rests = self.resting.iter().any(|child| &*child.name == name);
        rests
            || match &self.kind {
                ServiceKind::LoadBalancer(balancer) => {
                    balancer.servers.iter().any(|server| &*server.name == name)
                }
                ServiceKind::Weighted(entries) => {
                    let mut names = entries.iter().map(|entry| entry.service.short_name());
                    names.any(|entry| entry == name)
                }
                ServiceKind::Failover(_) => false,
            }
    }

    /// The same, beside whose children these are written.
    pub fn beside(self, resting: Vec<Resting>) -> Self {
        Self { resting, ..self }
    }

    /// The same, whose picks look at the readiness of servers.
    pub fn watching(self, watched: bool) -> Self {
        Self { watched, ..self }
    }

    /// Whether a server below it is checked, administered, capped or a backup: only then is the readiness of its
    /// servers looked at.
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// What is answered where no server can: that of the first load balancer that has any.
    pub fn page(&self) -> Option<&Bytes> {
        match &self.kind {
            ServiceKind::LoadBalancer(balancer) => balancer.on_failure.page.as_ref(),
            ServiceKind::Weighted(services) => {
                services.iter().find_map(|entry| entry.service.page())
            }
            ServiceKind::Failover(services) => services.iter().find_map(|service| service.page()),
        }
    }

    /// Shows each server that it has, as often as it has it.
    pub fn each_server<'s>(&'s self, visit: &mut dyn FnMut(&'s Arc<Server>)) {
        match &self.kind {
            ServiceKind::LoadBalancer(balancer) => balancer.servers.iter().for_each(visit),
            ServiceKind::Weighted(services) => services
                .iter()
                .for_each(|entry| entry.service.each_server(visit)),
            ServiceKind::Failover(services) => services
                .iter()
                .for_each(|service| service.each_server(visit)),
        }
    }

    /// Whether no request can be served.
    pub fn is_empty(&self) -> bool {
        self.kind.children().next().is_none()
    }
}

/// A name without `@file`.
pub fn short(service: &str) -> &str {
    service.strip_suffix("@file").unwrap_or(service)
}

/// What a service does with a request.
#[derive(Debug)]
pub enum ServiceKind {
    /// Smooth weighted round robin over servers.
    LoadBalancer(LoadBalancer),
    /// Smooth weighted round robin over services.
    Weighted(Vec<WeightedService>),
    /// The first that can serve, in this order; each has servers.
    Failover(Vec<Arc<Service>>),
}

/// A server or service and its weight, as balancing sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Child {
    key: ChildKey,
    weight: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ChildKey {
    Server(ServerId),
    Service(ServiceId),
}

impl ServiceKind {
    /// Whether a service in it is watched ([`Service::is_watched`]).
    pub fn is_watched(&self) -> bool {
        match self {
            Self::LoadBalancer(_) => false,
            Self::Weighted(services) => services.iter().any(|entry| entry.service.watched),
            Self::Failover(_) => true,
        }
    }

    fn children(&self) -> impl Iterator<Item = Child> {
        let (servers, services, others): (&[_], &[_], &[_]) = match self {
            ServiceKind::LoadBalancer(balancer) => (&balancer.servers, &[], &[]),
            ServiceKind::Weighted(services) => (&[], services, &[]),
            ServiceKind::Failover(services) => (&[], &[], services),
        };
        let server = |server: &Arc<Server>| Child {
            key: ChildKey::Server(server.id),
            weight: server.weight,
        };
        let service = |entry: &WeightedService| Child {
            key: ChildKey::Service(entry.service.id),
            weight: entry.weight,
        };
        let other = |service: &Arc<Service>| Child {
            key: ChildKey::Service(service.id),
            weight: 1,
        };
        servers
            .iter()
            .map(server)
            .chain(services.iter().map(service))
            .chain(others.iter().map(other))
    }
}

/// `loadBalancer` of a service.
#[derive(Debug)]
pub struct LoadBalancer {
    /// Those that could be used, in the order of the file.
    pub servers: Vec<Arc<Server>>,
    /// Whether the server gets the client's Host header (`passHostHeader`, default true). HTTP only.
    pub pass_host_header: bool,
    /// What it does when they fail.
    pub on_failure: OnFailure,
}

/// An entry of `weighted.services`.
#[derive(Debug)]
pub struct WeightedService {
    /// The service named.
    pub service: Arc<Service>,
    /// At least 1.
    pub weight: u32,
    /// The entry as it is in the rule files, to tell whether it has changed.
    pub written: Arc<str>,
}

/// A server or entry that is written and takes no part.
#[derive(Clone, Debug)]
pub struct Resting {
    /// That of the server, or of the service named, without `@file`.
    pub name: Arc<str>,
    /// As it is in the rule files, to tell whether it has changed.
    pub written: Arc<str>,
}

/// One server of a load balancer.
#[derive(Debug)]
pub struct Server {
    /// The same over reloads as long as service and address as written stay.
    pub id: ServerId,
    /// As written: the URL of an HTTP server, `host:port` of a TCP server.
    pub name: Arc<str>,
    /// What is spoken with it.
    pub scheme: Scheme,
    /// TLS around that; `None` is in the clear.
    pub tls: Option<ServerTls>,
    /// How it is reached: that of its load balancer.
    pub transport: Arc<ServersTransport>,
    /// `host` or `host:port` for the Host header, as in the URL: the port is left out where it is the scheme's default.
    pub authority: Arc<str>,
    /// What goes before the path of a request (`preservePath`); empty where nothing does.
    pub base_path: Arc<str>,
    /// Where to connect to, in the order of preference; empty while its name does not resolve.
    pub addresses: Box<[SocketAddr]>,
    /// Why it has none.
    pub unresolved: Option<Arc<str>>,
    /// At least 1.
    pub weight: u32,
    /// It gets requests only while no other server of its load balancer can.
    pub backup: bool,
    /// How many requests and connections it may have at one time; `None`: any number.
    pub cap: Option<Cap>,
    /// Those that a sticky cookie keeps there; the same over reloads.
    pub users: Arc<Users>,
    /// The server as it is in the rule files, to tell whether it has changed.
    pub written: Arc<str>,
    /// Keeps `id`.
    pub lease: Lease,
}

impl Server {
    /// Where the XDP program sends to: of several addresses the lowest, IPv4 first. A ring must not depend on the order
    /// of an answer.
    pub fn steered_address(&self) -> Option<SocketAddr> {
        self.addresses.iter().min().copied()
    }

    /// Whether a new connection may turn out to speak HTTP/2: by its scheme, or by ALPN unless `disableHTTP2`.
    pub fn may_speak_http2(&self) -> bool {
        let offered = |tls: &ServerTls| tls.config.alpn_protocols.iter().any(|name| name == H2);
        match self.scheme {
            Scheme::H2c => true,
            Scheme::Https => self.tls.as_ref().is_some_and(offered),
            Scheme::Http | Scheme::Tcp => false,
        }
    }
}

/// What is spoken with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Bytes.
    Tcp,
    /// HTTP/1.1 in the clear.
    Http,
    /// HTTP over TLS, the version by ALPN.
    Https,
    /// HTTP/2 in the clear, with prior knowledge (RFC 9113 section 3.3).
    H2c,
}

impl Scheme {
    /// The scheme of a server's URL, in lower case.
    pub fn of_url(text: &str) -> Option<Self> {
        match text {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            "h2c" => Some(Self::H2c),
            _ => None,
        }
    }

    /// The port of a URL that names none.
    pub fn default_port(self) -> Option<u16> {
        match self {
            Self::Tcp => None,
            Self::Http | Self::H2c => Some(80),
            Self::Https => Some(443),
        }
    }
}
