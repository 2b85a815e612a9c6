//! The matchers of TCP routers. They look at nothing but the peer's address.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Call, Matcher, RuleError};

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

impl Matcher for TcpMatcher {
    fn from_call(_call: &Call) -> Result<Self, RuleError> {
        todo!()
    }
}
