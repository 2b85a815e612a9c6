//! Servers: `url` of an HTTP server, `address` of a TCP server.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::config::walker::{Cost, Place, Walker};
use crate::config::{Origin, Problem};
use crate::service::Scheme;

/// A server whose name is not resolved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerDraft {
    /// As written.
    pub name: Arc<str>,
    /// How to talk to it.
    pub scheme: Scheme,
    /// Host and port as in the URL, for the Host header.
    pub authority: Arc<str>,
    /// Who it is.
    pub host: Host,
    /// Its port; the scheme's default where the URL has none.
    pub port: u16,
    /// TLS to it: `https`, or `tls: true` of a TCP server.
    pub tls: bool,
    /// What goes before the path of a request (`preservePath`); empty where nothing does.
    pub base_path: Arc<str>,
    /// May be 0: then it is out.
    pub weight: u32,
    /// `backup`
    pub backup: bool,
    /// `maxConnections`
    pub max_connections: Option<u32>,
    /// Where it is written.
    pub origin: Origin,
}

/// The host of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A name to resolve.
    Name(String),
}

/// A URL `scheme://host[:port][/path]`; its path counts if it is to be preserved.
pub(super) fn http(
    walker: &mut Walker,
    place: &Place<'_>,
    weight: u32,
    preserve_path: bool,
) -> Option<ServerDraft> {
    const ALLOWED: &str =
        "a URL such as http://192.0.2.10:8080, https://a.example or h2c://192.0.2.10";
    let name = walker.string(place)?;
    let url = name.split_once("://");
    let url =
        url.and_then(|(scheme, rest)| Some((Scheme::of_url(&scheme.to_ascii_lowercase())?, rest)));
    let Some((scheme, rest)) = url else {
        walker.wrong(place, ALLOWED);
        return None;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((host, port)) = parse_authority(authority) else {
        walker.wrong(place, ALLOWED);
        return None;
    };
    let path = &rest[authority.len()..];
    if preserve_path && !is_path(path) {
        walker.wrong(
            place,
            "a URL whose path is of letters, digits, escapes and /-._~!$&'()*+,;=:@",
        );
        return None;
    }
    if !preserve_path && !matches!(path, "" | "/") {
        let problem = Problem::warning(place.origin().clone(), format!("{name:?}")).remedy(
            "the path of a server's URL is not used without preservePath: a server gets the path of the request",
        );
        walker.report(Cost::Element, place, problem);
    }
    Some(ServerDraft {
        authority: authority.to_ascii_lowercase().into(),
        scheme,
        tls: scheme == Scheme::Https,
        base_path: if preserve_path {
            path.into()
        } else {
            Arc::default()
        },
        host,
        port: port.or(scheme.default_port())?,
        weight,
        backup: false,
        max_connections: None,
        origin: place.origin().clone(),
        name: name.into(),
    })
}

/// A `host:port` address.
pub(super) fn tcp(
    walker: &mut Walker,
    place: &Place<'_>,
    weight: u32,
    tls: bool,
) -> Option<ServerDraft> {
    let name = walker.string(place)?;
    let Some((host, Some(port))) = parse_authority(&name) else {
        walker.wrong(
            place,
            "host:port such as 192.0.2.10:443 or [2001:db8::10]:443",
        );
        return None;
    };
    Some(ServerDraft {
        authority: name.to_ascii_lowercase().into(),
        name: name.into(),
        scheme: Scheme::Tcp,
        tls,
        base_path: Arc::default(),
        host,
        port,
        weight,
        backup: false,
        max_connections: None,
        origin: place.origin().clone(),
    })
}

/// Nothing, or an absolute path without query (RFC 3986 section 3.3).
fn is_path(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte);
    (text.is_empty() || text.starts_with('/')) && text.bytes().all(allowed)
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`; the host an address or a name of letters, digits, `-`, `_` and `.`.
fn parse_authority(text: &str) -> Option<(Host, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        return Some((
            Host::Address(IpAddr::V6(address).to_canonical()),
            parse_port(port)?,
        ));
    }
    let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
    let port = parse_port(port)?;
    if let Ok(address) = host.parse() {
        return Some((Host::Address(address), port));
    }
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let like_an_address = host.ends_with(|c: char| c.is_ascii_digit())
        && host.contains('.')
        && host.chars().all(|c| c == '.' || c.is_ascii_digit());
    let valid = (1..=253).contains(&host.len()) && host.chars().all(named) && !like_an_address;
    valid.then(|| (Host::Name(host.to_ascii_lowercase()), port))
}

/// Nothing, or `:port`. `None` where it is neither.
fn parse_port(text: &str) -> Option<Option<u16>> {
    match text.strip_prefix(':') {
        None => text.is_empty().then_some(None),
        Some(port) => {
            let port = port.parse().ok().filter(|port: &u16| *port > 0)?;
            Some(Some(port))
        }
    }
}
