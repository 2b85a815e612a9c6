//! The matchers of TCP routers, and the view of a connection they look at.

use std::net::IpAddr;

use ipnet::IpNet;

use super::arguments::{client_network, is_named, regexp, single};
use super::host::HostPattern;
use super::nearest::meant;
use super::{Call, Matcher, Regexp, Rule, RuleError, Tree};

/// The protocol of the TLS-ALPN-01 challenge, which no rule may take (RFC 8737).
const ACME_TLS: &str = "acme-tls/1";
/// All that there are.
const NAMES: [&str; 4] = ["HostSNI", "HostSNIRegexp", "ClientIP", "ALPN"];

/// One matcher of a TCP rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpMatcher {
    /// ``HostSNI(`*`)``: every connection, also one without TLS.
    AnyHost,
    /// ``HostSNI(`a.example`)``: the server name of the ClientHello.
    HostSni(HostPattern),
    /// ``HostSNIRegexp(`^.+\.a\.example$`)``: the same, empty where there is none.
    HostSniRegexp(Regexp),
    /// ``ClientIP(`10.0.0.0/8`)``: the address of the peer.
    ClientIp(IpNet),
    /// ``ALPN(`mqtt`)``: one of the protocols that the client offers.
    Alpn(Box<str>),
}

/// What rules may look at in a connection.
#[derive(Clone, Debug)]
pub struct ConnectionView<'a> {
    client: IpAddr,
    server_name: &'a str,
    protocols: Vec<&'a [u8]>,
}

impl<'a> ConnectionView<'a> {
    /// A connection from `client`, of which nothing else is known.
    pub fn plain(client: IpAddr) -> Self {
        Self::tls(client, "", Vec::new())
    }

    /// A connection whose ClientHello asks for this name (lower case; empty if for none) and these protocols.
    pub fn tls(client: IpAddr, server_name: &'a str, protocols: Vec<&'a [u8]>) -> Self {
        Self {
            client: client.to_canonical(),
            server_name,
            protocols,
        }
    }

    /// The server name; empty if there is none.
    pub fn server_name(&self) -> &'a str {
        self.server_name
    }
}

impl TcpMatcher {
    /// Whether the connection is one this matcher means.
    pub fn matches(&self, connection: &ConnectionView<'_>) -> bool {
        let name = connection.server_name;
        match self {
            TcpMatcher::AnyHost => true,
            TcpMatcher::HostSni(pattern) => !name.is_empty() && pattern.matches(name),
            TcpMatcher::HostSniRegexp(regexp) => regexp.is_match(name.as_bytes()),
            TcpMatcher::ClientIp(network) => network.contains(&connection.client),
            TcpMatcher::Alpn(protocol) => connection.protocols.contains(&protocol.as_bytes()),
        }
    }

    /// Whether only a ClientHello can hold what it asks for.
    fn needs_tls(&self) -> bool {
        matches!(self, TcpMatcher::HostSni(_))
    }
}

impl Rule<TcpMatcher> {
    /// Whether the rule is ``HostSNI(`*`)`` and nothing else, to which Traefik gives the lowest priority.
    pub fn is_catch_all(&self) -> bool {
        matches!(self.tree(), Tree::Is(TcpMatcher::AnyHost))
    }

    /// Whether it names a server, which only a router with `tls` can: without, Traefik refuses it.
    pub fn names_servers(&self) -> bool {
        self.tree().any_leaf(&TcpMatcher::needs_tls)
    }
}

impl Matcher for TcpMatcher {
    fn from_call(call: &Call) -> Result<Self, RuleError> {
        if is_named(&call.name, "HostSNI") {
            return Ok(match HostPattern::from_call(call)? {
                HostPattern::Any => TcpMatcher::AnyHost,
                pattern => TcpMatcher::HostSni(pattern),
            });
        }
        if is_named(&call.name, "HostSNIRegexp") {
            return regexp(single(call)?).map(TcpMatcher::HostSniRegexp);
        }
        if is_named(&call.name, "ClientIP") {
            return client_network(call).map(TcpMatcher::ClientIp);
        }
        if is_named(&call.name, "ALPN") {
            return alpn(call);
        }
        let error = RuleError::new(
            call.offset,
            format!("matcher {}", call.name),
            NAMES.join(", "),
        );
        let of_http = ["Host", "PathPrefix", "Path", "Method", "Header"];
        let named = of_http.iter().any(|name| is_named(&call.name, name));
        Err(match call.name.as_str() {
            name if named => error.remedy(format!(
                "a tcp router sees no HTTP; use {name} in an http router"
            )),
            name => meant(error, name, &NAMES),
        })
    }
}

fn alpn(call: &Call) -> Result<TcpMatcher, RuleError> {
    let argument = single(call)?;
    if argument.text == ACME_TLS {
        let found = format!("{ACME_TLS:?}");
        return Err(RuleError::new(argument.offset, found, "another protocol")
            .remedy("it is for the challenges of certificate authorities"));
    }
    Ok(TcpMatcher::Alpn(argument.text.as_str().into()))
}
