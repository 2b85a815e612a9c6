//! The matchers of HTTP routers, and the view of a request they look at.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Call, Matcher, RuleError};

/// One matcher of an HTTP rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpMatcher {
    /// ``Host(`a.example`)``: the host name, lower case, without port or trailing dot.
    Host(Box<str>),
    /// ``PathPrefix(`/a`)``: a plain prefix of the decoded path, as in Traefik: `/a` also holds for `/ab`.
    PathPrefix(Box<str>),
    /// ``ClientIP(`10.0.0.0/8`)``: the address of the peer, never a header.
    ClientIp(IpNet),
}

impl HttpMatcher {
    /// Whether the request is one this matcher means.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        match self {
            HttpMatcher::Host(name) => request.host.eq_ignore_ascii_case(name),
            HttpMatcher::PathPrefix(prefix) => request.path.starts_with(&**prefix),
            HttpMatcher::ClientIp(net) => net.contains(&request.client),
        }
    }
}

impl Matcher for HttpMatcher {
    fn from_call(_call: &Call) -> Result<Self, RuleError> {
        todo!()
    }
}

/// What rules may look at in a request. Borrows; built once per request.
#[derive(Clone, Debug)]
pub struct RequestView<'a> {
    host: &'a str,
    path: Cow<'a, str>,
    client: IpAddr,
}

impl<'a> RequestView<'a> {
    /// `host`: the Host header or the authority as sent (port and trailing dot are taken off here; empty if absent).
    /// `path`: the path of the request target as sent, without the query. `client`: the peer's address.
    pub fn new(host: &'a str, path: &'a str, client: IpAddr) -> Self {
        Self {
            host,
            path: Cow::Borrowed(path),
            client: client.to_canonical(),
        }
    }

    /// The host without port and trailing dot, in the case it was sent in.
    pub fn host(&self) -> &str {
        self.host
    }

    /// The path with unreserved escapes decoded.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The client's address; IPv4-mapped IPv6 is IPv4.
    pub fn client(&self) -> IpAddr {
        self.client
    }
}
