//! What rules may look at in a request.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::http::{Headers, Name, RequestHead, name};

/// A request as rules see it. Borrows; built once per request.
#[derive(Clone, Debug)]
pub struct RequestView<'a> {
    /// Lower case, without port; with the trailing dot, if one was sent.
    host: Cow<'a, str>,
    path: Cow<'a, str>,
    query: &'a str,
    method: &'a str,
    headers: &'a Headers,
    upgrade: Option<&'a str>,
    client: IpAddr,
}

static NO_HEADERS: Headers = Headers::new();

impl<'a> RequestView<'a> {
    /// The request with this head, from a client at this address.
    pub fn of(head: &'a RequestHead, client: IpAddr) -> Self {
        Self {
            query: head.query().unwrap_or_default(),
            method: head.method.as_str(),
            headers: &head.headers,
            upgrade: head.upgrade.as_deref(),
            ..Self::new(head.authority(), head.path(), client)
        }
    }

    /// A GET without query and fields. `host`: the Host header or the authority as sent (the port is taken off here;
    /// empty if absent). `path`: the path of the request target as sent, without the query. `client`: the peer's
    /// address.
    pub fn new(host: &'a str, path: &'a str, client: IpAddr) -> Self {
        Self {
            host: lower_case(without_port(host)),
            path: decoded(path),
            query: "",
            method: "GET",
            headers: &NO_HEADERS,
            upgrade: None,
            client: client.to_canonical(),
        }
    }

    /// The host in lower case, without port and trailing dot; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.host.strip_suffix('.').unwrap_or(&self.host)
    }

    /// The host with the trailing dot it may have been sent with: what regular expressions see, as in Traefik.
    pub fn host_with_dot(&self) -> &str {
        &self.host
    }

    /// The path with escapes decoded, save those of reserved characters.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query as sent; empty if there is none.
    pub fn query(&self) -> &str {
        self.query
    }

    /// The method as sent.
    pub fn method(&self) -> &str {
        self.method
    }

    /// Whether `test` holds for the value of one field of this name, which is a token.
    pub(super) fn has_header(&self, field: &str, test: impl Fn(&[u8]) -> bool) -> bool {
        let field = Name::from_token(field.as_bytes());
        // These two are facts about the connection by now, not fields.
        if let Some(protocols) = self.upgrade {
            if field.is(name::UPGRADE) {
                return test(protocols.as_bytes());
            }
            if field.is(name::CONNECTION) {
                return test(b"Upgrade");
            }
        }
        self.headers.get_all(field).any(test)
    }

    /// The client's address; IPv4-mapped IPv6 is IPv4.
    pub fn client(&self) -> IpAddr {
        self.client
    }
}

fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[')
        && let Some((address, _)) = rest.split_once(']')
    {
        return address;
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn lower_case(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
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
