//! The matchers of HTTP routers, and the view of a request they look at.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;

use super::arguments::{is_named, network, single};
use super::host::HostPattern;
use super::{Call, Matcher, RuleError};

/// One matcher of an HTTP rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpMatcher {
    /// ``Host(`a.example`)``: the host name, never the port.
    Host(HostPattern),
    /// ``PathPrefix(`/a`)``: a plain prefix of the decoded path, as in Traefik: `/a` also holds for `/ab`.
    PathPrefix(Box<str>),
    /// ``ClientIP(`10.0.0.0/8`)``: the address of the peer, never a header.
    ClientIp(IpNet),
}

impl HttpMatcher {
    /// Whether the request is one this matcher means.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        match self {
            HttpMatcher::Host(pattern) => pattern.matches(request.host),
            HttpMatcher::PathPrefix(prefix) => request.path.starts_with(&**prefix),
            HttpMatcher::ClientIp(net) => net.contains(&request.client),
        }
    }
}

impl Matcher for HttpMatcher {
    fn from_call(call: &Call) -> Result<Self, RuleError> {
        if is_named(&call.name, "Host") {
            return HostPattern::from_call(call).map(HttpMatcher::Host);
        }
        if is_named(&call.name, "PathPrefix") {
            return path_prefix(call).map(HttpMatcher::PathPrefix);
        }
        if is_named(&call.name, "ClientIP") {
            return network(call).map(HttpMatcher::ClientIp);
        }
        Err(unknown(call))
    }
}

const ALLOWED: &str = "Host, PathPrefix, ClientIP";

/// Matchers Traefik has in HTTP rules and weir not yet.
const LATER: [&str; 8] = [
    "HostRegexp",
    "Path",
    "PathRegexp",
    "Method",
    "Header",
    "HeaderRegexp",
    "Query",
    "QueryRegexp",
];

/// Matchers of Traefik v2, and what v3 calls them.
const RENAMED: [(&str, &str); 3] = [
    ("Headers", "Header"),
    ("HeadersRegexp", "HeaderRegexp"),
    ("HostHeader", "Host"),
];

fn unknown(call: &Call) -> RuleError {
    let error = RuleError::new(call.offset, format!("matcher {}", call.name), ALLOWED);
    if let Some(name) = LATER.iter().find(|name| is_named(&call.name, name)) {
        return error.remedy(format!("Traefik has {name}, weir not yet"));
    }
    if let Some((_, name)) = RENAMED.iter().find(|(old, _)| is_named(&call.name, old)) {
        return error.remedy(format!("that is Traefik v2; v3 calls it {name}"));
    }
    if is_named(&call.name, "HostSNI") {
        return error.remedy("HostSNI is for tcp routers; write Host");
    }
    error
}

fn path_prefix(call: &Call) -> Result<Box<str>, RuleError> {
    let argument = single(call)?;
    if !argument.text.starts_with('/') {
        return Err(RuleError::new(
            argument.offset,
            format!("{:?}", argument.text),
            "a path that starts with /",
        ));
    }
    Ok(argument.text.as_str().into())
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
            host: without_port(host),
            path: decoded(path),
            client: client.to_canonical(),
        }
    }

    /// The host without port and trailing dot, in the case it was sent in.
    pub fn host(&self) -> &str {
        self.host
    }

    /// The path with escapes decoded, save those of reserved characters.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The client's address; IPv4-mapped IPv6 is IPv4.
    pub fn client(&self) -> IpAddr {
        self.client
    }
}

fn without_port(host: &str) -> &str {
    let name = match host.rfind(':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// Decodes `%XX` of every character that means nothing in a path; reserved characters (RFC 3986 section 2.2) and `%`
/// stay encoded, so that `%2F` is never taken for a separator. What is then not UTF-8 stays as it was sent.
fn decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        match escaped(rest).filter(|byte| !b":/?#[]@!$&'()*+,;=%".contains(byte)) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(path), Cow::Owned)
}

fn escaped(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match bytes {
        [b'%', high, low, ..] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    }
}
