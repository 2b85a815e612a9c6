//! The fields by which a server learns about the client, as Traefik has them ("Forwarded Headers"): what a peer that is
//! not trusted sent under these names is dropped, and weir adds what it knows. `Forwarded` (RFC 7239) is left alone.
//!
//! Source: <https://doc.traefik.io/traefik/reference/install-configuration/entrypoints/#forwardedheaders>, and
//! `pkg/middlewares/forwardedheaders` of Traefik v3.

use std::net::{IpAddr, SocketAddr};

use super::decision::Visitor;
use crate::config::static_file::ForwardedHeaders;
use crate::http::text::{push_address, push_decimal};
use crate::http::{Headers, Name, RequestHead, name};
use crate::http1::upgrade;

const X_FORWARDED_SCHEME: Name<'static> = Name::literal("X-Forwarded-Scheme");
const X_SCHEME: Name<'static> = Name::literal("X-Scheme");

/// All names by which Traefik and its servers speak about the client; compared without case.
const CLAIMED: [Name<'static>; 14] = [
    name::X_FORWARDED_FOR,
    name::X_FORWARDED_HOST,
    name::X_FORWARDED_PORT,
    name::X_FORWARDED_PROTO,
    name::X_FORWARDED_SERVER,
    name::X_FORWARDED_URI,
    name::X_REAL_IP,
    name::X_REQUEST_ID,
    X_FORWARDED_SCHEME,
    X_SCHEME,
    Name::literal("X-Forwarded-Method"),
    Name::literal("X-Forwarded-Prefix"),
    Name::literal("X-Forwarded-Tls-Client-Cert"),
    Name::literal("X-Forwarded-Tls-Client-Cert-Info"),
];

/// The peer of a connection, as far as servers are told.
pub struct Peer<'a> {
    /// Its address.
    pub address: SocketAddr,
    /// Whether it came through TLS.
    pub tls: bool,
    /// This host.
    pub hostname: &'a str,
}

impl<'a> Peer<'a> {
    /// The peer that a request comes from.
    pub fn of(visitor: &Visitor<'a>) -> Self {
        Self {
            address: visitor.address,
            tls: visitor.tls,
            hostname: &visitor.worker.hostname,
        }
    }
}

/// Adds the client's address to those it came through, unless the entry point or a middleware says otherwise.
pub fn add_address(head: &mut RequestHead, options: &ForwardedHeaders, client: IpAddr) {
    if !options.not_append_for {
        append_for(&mut head.headers, client);
    }
}

/// Drops what nobody vouches for and adds what is so, but for [`add_address`].
pub fn set(head: &mut RequestHead, options: &ForwardedHeaders, peer: &Peer<'_>) {
    if !options.trust.covers(peer.address.ip()) {
        // The request's id is weir's own by now.
        head.headers
            .retain(|name, _| name.is(name::X_REQUEST_ID) || !is_claimed(name));
    }
    let mut text = Vec::with_capacity(64);
    push_address(peer.address.ip(), &mut text);
    offer(&mut head.headers, name::X_REAL_IP, &text);
    let named = port_of(head.authority());
    text.clear();
    text.extend_from_slice(head.authority().as_bytes());
    if !text.is_empty() {
        offer(&mut head.headers, name::X_FORWARDED_HOST, &text);
    }
    let websocket = head.upgrade.as_deref().is_some_and(upgrade::is_websocket);
    let proto = scheme(websocket, peer.tls);
    offer(&mut head.headers, name::X_FORWARDED_PROTO, proto);
    let port = named.unwrap_or_else(|| default_port(&head.headers, peer.tls));
    text.clear();
    push_decimal(port.into(), &mut text);
    offer(&mut head.headers, name::X_FORWARDED_PORT, &text);
    if options.add_scheme {
        let scheme = head.headers.get(name::X_FORWARDED_PROTO);
        let scheme = scheme.unwrap_or_default().to_vec();
        replace(&mut head.headers, X_FORWARDED_SCHEME, &scheme);
        replace(&mut head.headers, X_SCHEME, &scheme);
    }
    if !peer.hostname.is_empty() {
        let hostname = peer.hostname.as_bytes();
        replace(&mut head.headers, name::X_FORWARDED_SERVER, hostname);
    }
}

/// One field with what came, in order, and the address at its end.
fn append_for(headers: &mut Headers, address: IpAddr) {
    let mut list = Vec::with_capacity(64);
    for value in headers.get_all(name::X_FORWARDED_FOR) {
        list.extend_from_slice(value);
        list.extend_from_slice(b", ");
    }
    push_address(address, &mut list);
    replace(headers, name::X_FORWARDED_FOR, &list);
}

/// Sets a field that is missing, or there with nothing in it.
fn offer(headers: &mut Headers, name: Name<'_>, value: &[u8]) {
    if headers.get(name).is_none_or(<[u8]>::is_empty) {
        replace(headers, name, value);
    }
}

fn replace(headers: &mut Headers, name: Name<'_>, value: &[u8]) {
    headers.remove(name);
    headers.append(name, value);
}

fn scheme(websocket: bool, tls: bool) -> &'static [u8] {
    match (websocket, tls) {
        (false, false) => b"http",
        (false, true) => b"https",
        (true, false) => b"ws",
        (true, true) => b"wss",
    }
}

/// Where the client named no port.
fn default_port(headers: &Headers, tls: bool) -> u16 {
    let proto = headers.get(name::X_FORWARDED_PROTO);
    let secure = proto.is_some_and(|proto| proto == b"https" || proto == b"wss");
    if secure || tls { 443 } else { 80 }
}

/// Whether a field is one of them, or one that a server which maps `-` to `_` would take for it.
fn is_claimed(name: Name<'_>) -> bool {
    let text = name.as_bytes();
    if text.len() < 8 || !text[0].eq_ignore_ascii_case(&b'x') || !matches!(text[1], b'-' | b'_') {
        return false;
    }
    CLAIMED
        .iter()
        .any(|claimed| same_but_for_underscores(claimed.as_bytes(), text))
}

fn same_but_for_underscores(a: &[u8], b: &[u8]) -> bool {
    let fold = |byte: &u8| match *byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    a.len() == b.len() && a.iter().map(fold).eq(b.iter().map(fold))
}

fn port_of(authority: &str) -> Option<u16> {
    let (host, port) = authority.rsplit_once(':')?;
    // Within brackets it is a part of an IPv6 address.
    let whole = !host.starts_with('[') || host.ends_with(']');
    port.parse().ok().filter(|_| whole)
}

#[cfg(test)]
mod tests;
