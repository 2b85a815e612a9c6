//! `entryPoints.X`: where weir listens, whom it believes there, and how it reads what comes.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::{Http2Settings, Limits};
use crate::config::Origin;
use crate::config::document::WantedCertificate;
use crate::config::walker::Spanned;
use crate::http::path::PathPolicy;

/// A named address that weir listens on.
#[derive(Clone, Debug)]
pub struct EntryPoint {
    /// The key under `entryPoints`.
    pub name: String,
    /// Where it listens. `:443` is `[::]:443`, both address families.
    pub address: SocketAddr,
    /// Whether routers without `entryPoints` are on it; where none says so, they are on all.
    pub as_default: bool,
    /// `steering`: the NIC takes part.
    pub steering: Option<EntryPointSteering>,
    /// `transport.respondingTimeouts` and `transport.lifeCycle`.
    pub timeouts: Timeouts,
    /// `transport.keepAliveMaxRequests` and `transport.keepAliveMaxTime`.
    pub keep_alive: KeepAlive,
    /// `proxyProtocol`: whose PROXY headers are read; never together with steering in the NIC.
    pub proxy_protocol: Option<Trust>,
    /// `forwardedHeaders`.
    pub forwarded_headers: ForwardedHeaders,
    /// `http`.
    pub http: HttpOptions,
    /// `http2`.
    pub http2: Http2Settings,
    /// `limits`, and `http.maxHeaderBytes`: how much and how long.
    pub limits: Limits,
    /// `reasonHeader`: weir's own answers say why in `X-Weir-Reason`.
    pub reason_header: bool,
    /// Where its `address` is written, for problems found later (port in use, missing interface).
    pub origin: Origin,
}

/// `entryPoints.X.transport`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// `respondingTimeouts.idleTimeout`: how long a keep-alive connection may wait for its next request; 0 is none.
    pub idle: Option<Duration>,
    /// `respondingTimeouts.readTimeout`: for a whole request, from its first byte to the end of its body; 0 is none.
    pub read: Option<Duration>,
    /// `respondingTimeouts.writeTimeout`: from the end of a request's head to the end of its response; 0 is none.
    pub write: Option<Duration>,
    /// `lifeCycle.requestAcceptGraceTimeout`: how long a stop goes on accepting, so that a load balancer in front can
    /// notice.
    pub accept_grace: Duration,
    /// `lifeCycle.graceTimeOut`: how long a stop then waits for requests under way.
    pub grace: Duration,
}

/// After what a client's connection gets its last response, which says `Connection: close`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepAlive {
    /// `keepAliveMaxRequests`
    pub requests: Option<u64>,
    /// `keepAliveMaxTime`
    pub time: Option<Duration>,
}

/// Whom to believe what they say about the client they connect for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// `insecure`: everybody.
    pub everybody: bool,
    /// `trustedIPs`: peers with addresses in these.
    pub networks: Box<[IpNet]>,
}

/// `entryPoints.X.forwardedHeaders`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardedHeaders {
    /// Whose `X-Forwarded-*` and `X-Real-Ip` are kept.
    pub trust: Trust,
    /// `notAppendXForwardedFor`: the client's address is not added to `X-Forwarded-For`.
    pub not_append_for: bool,
    /// `addXForwardedSchemeHeaders`: `X-Forwarded-Scheme` and `X-Scheme` too.
    pub add_scheme: bool,
}

/// `entryPoints.X.http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOptions {
    /// `sanitizePath`, `encodedCharacters`.
    pub path: PathPolicy,
    /// `encodeQuerySemicolons`: `;` in a query becomes `%3B`; without, `&`.
    pub encode_query_semicolons: bool,
    /// `underscoreHeadersStrategy`.
    pub underscore_headers: UnderscoreHeaders,
    /// `middlewares`: names, before those of each router.
    pub middlewares: Vec<Spanned<String>>,
    /// `tls`: routers without are as if they had this.
    pub tls: Option<EntryPointTls>,
    /// `redirections.entryPoint`
    pub redirection: Option<Redirection>,
}

/// `entryPoints.X.http.tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryPointTls {
    /// `options`: the name of TLS options of the rule files; `None` is the default.
    pub options: Option<Spanned<String>>,
    /// `certResolver` and `domains`.
    pub wanted: Option<WantedCertificate>,
}

/// Where all requests of an entry point are redirected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// The name of an entry point, or `:port`.
    pub to: Spanned<String>,
    /// Default https.
    pub scheme: String,
    /// 301 and 308 rather than 302 and 307; default true.
    pub permanent: bool,
    /// Among the routers of the entry point; default the largest number but one.
    pub priority: i64,
}

impl Redirection {
    /// The port it leads to; `None` where `to` names neither a port nor one of these entry points.
    pub fn port(&self, entry_points: &[EntryPoint]) -> Option<u16> {
        match self.to.value.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port > 0),
            None => {
                let mut known = entry_points.iter();
                let named = known.find(|entry_point| entry_point.name == self.to.value);
                named.map(|entry_point| entry_point.address.port())
            }
        }
    }
}

/// What becomes of fields with `_` in their names, which many servers take for `-`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnderscoreHeaders {
    /// They are passed on.
    #[default]
    Keep,
    /// They are dropped.
    Delete,
    /// A request with one gets 400.
    Reject,
}

/// `entryPoints.X.steering`.
#[derive(Clone, Debug)]
pub struct EntryPointSteering {
    /// Names of the interfaces whose packets the XDP program sees; never empty.
    pub interfaces: Vec<String>,
    /// How to attach.
    pub mode: SteeringMode,
    /// Where `interfaces` is written.
    pub origin: Origin,
}

/// How the XDP program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SteeringMode {
    /// Native, else generic, else user space.
    Auto,
    /// In the driver, else user space.
    Native,
    /// Behind the driver, else user space.
    Generic,
    /// User space only.
    Off,
}

impl KeepAlive {
    /// Whether the `request`th request of a connection (from 1) opened then is its last.
    pub fn is_over(&self, request: u64, opened: Instant, now: Instant) -> bool {
        let age = now.saturating_duration_since(opened);
        self.requests.is_some_and(|most| request >= most)
            || self.time.is_some_and(|longest| age > longest)
    }
}

impl Trust {
    /// Whether a peer with this address (no IPv4-mapped one) is believed.
    pub fn covers(&self, peer: IpAddr) -> bool {
        self.everybody || self.networks.iter().any(|network| network.contains(&peer))
    }
}
