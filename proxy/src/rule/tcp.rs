//! The matchers of TCP routers. They look at nothing but the peer's address.

use std::net::IpAddr;

use ipnet::IpNet;

use super::arguments::{client_network, is_named, single};
use super::{Call, Matcher, Rule, RuleError, Tree};

/// One matcher of a TCP rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpMatcher {
    /// ``HostSNI(`*`)``: every connection.
    AnyHost,
    /// ``ClientIP(`10.0.0.0/8`)``: the address of the peer.
    ClientIp(IpNet),
}

impl TcpMatcher {
    /// Whether a connection from `client` (IPv4-mapped IPv6 already IPv4) is one this matcher means.
    pub fn matches(&self, client: IpAddr) -> bool {
        match self {
            TcpMatcher::AnyHost => true,
            TcpMatcher::ClientIp(net) => net.contains(&client),
        }
    }
}

impl Rule<TcpMatcher> {
    /// Whether the rule is ``HostSNI(`*`)`` and nothing else, to which Traefik gives the lowest priority.
    pub fn is_catch_all(&self) -> bool {
        matches!(self.tree(), Tree::Is(TcpMatcher::AnyHost))
    }
}

impl Matcher for TcpMatcher {
    fn from_call(call: &Call) -> Result<Self, RuleError> {
        if is_named(&call.name, "HostSNI") {
            let argument = single(call)?;
            return match argument.text.as_str() {
                "*" => Ok(TcpMatcher::AnyHost),
                name => Err(
                    RuleError::new(argument.offset, format!("{name:?}"), "HostSNI(`*`)")
                        .remedy("Traefik has server names in tcp rules, weir not yet"),
                ),
            };
        }
        if is_named(&call.name, "ClientIP") {
            return client_network(call).map(TcpMatcher::ClientIp);
        }
        let error = RuleError::new(
            call.offset,
            format!("matcher {}", call.name),
            "HostSNI(`*`), ClientIP",
        );
        Err(match call.name.as_str() {
            name if ["HostSNIRegexp", "ALPN"]
                .iter()
                .any(|later| is_named(name, later)) =>
            {
                error.remedy(format!("Traefik has {name}, weir not yet"))
            }
            name if ["Host", "PathPrefix", "Path", "Method", "Header"]
                .iter()
                .any(|http| is_named(name, http)) =>
            {
                error.remedy(format!(
                    "a tcp router sees no HTTP; use {name} in an http router"
                ))
            }
            _ => error,
        })
    }
}
