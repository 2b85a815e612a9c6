//! The fields by which a server learns about the client (Traefik, "Forwarded Headers"): what the client sent under
//! these names is dropped, as nobody vouches for it, and weir says what it knows.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::http::{Headers, Name, RequestHead, name};

/// All names by which Traefik and its servers speak about the client; compared without case.
const CLAIMED: [Name<'static>; 12] = [
    name::X_FORWARDED_FOR,
    name::X_FORWARDED_HOST,
    name::X_FORWARDED_PORT,
    name::X_FORWARDED_PROTO,
    name::X_FORWARDED_SERVER,
    name::X_FORWARDED_URI,
    name::X_REAL_IP,
    Name::literal("X-Forwarded-Method"),
    Name::literal("X-Forwarded-Prefix"),
    Name::literal("X-Forwarded-Scheme"),
    Name::literal("X-Forwarded-Tls-Client-Cert"),
    Name::literal("X-Forwarded-Tls-Client-Cert-Info"),
];

/// Replaces what the client claims by what is so.
pub fn set(head: &mut RequestHead, client: SocketAddr, tls: bool, hostname: &str) {
    strip(&mut head.headers);
    let mut text = String::with_capacity(64);
    let _ = write!(text, "{}", client.ip());
    head.headers.append(name::X_FORWARDED_FOR, text.as_bytes());
    head.headers.append(name::X_REAL_IP, text.as_bytes());
    text.clear();
    text.push_str(head.authority());
    let port = port_of(&text).unwrap_or(if tls { 443 } else { 80 });
    head.headers.append(name::X_FORWARDED_HOST, text.as_bytes());
    text.clear();
    let _ = write!(text, "{port}");
    head.headers.append(name::X_FORWARDED_PORT, text.as_bytes());
    head.headers.append(
        name::X_FORWARDED_PROTO,
        if tls { b"https" } else { b"http" },
    );
    head.headers
        .append(name::X_FORWARDED_SERVER, hostname.as_bytes());
}

/// Drops the claimed names, and those that a server which maps `-` to `_` would take for them.
fn strip(headers: &mut Headers) {
    headers.retain(|name, _| !is_claimed(name));
}

fn is_claimed(name: Name<'_>) -> bool {
    let text = name.as_bytes();
    if text.len() < 9 || !text[0].eq_ignore_ascii_case(&b'x') || !matches!(text[1], b'-' | b'_') {
        return false;
    }
    CLAIMED
        .iter()
        .any(|claimed| same_but_for_underscores(claimed.as_bytes(), text))
}

fn same_but_for_underscores(a: &[u8], b: &[u8]) -> bool {
    let fold = |byte: &u8| {
        if *byte == b'_' {
            b'-'
        } else {
            byte.to_ascii_lowercase()
        }
    };
    a.len() == b.len() && a.iter().map(fold).eq(b.iter().map(fold))
}

fn port_of(authority: &str) -> Option<u16> {
    authority.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(sent: &[(&'static str, &str)], tls: bool) -> Vec<(String, String)> {
        let mut head = RequestHead::default();
        head.set_authority("a.example:8443");
        for (name, value) in sent {
            head.headers.append(Name::literal(name), value.as_bytes());
        }
        set(
            &mut head,
            "192.0.2.7:40000".parse().expect("an address"),
            tls,
            "edge",
        );
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        head.headers
            .iter()
            .map(|(name, value)| (text(name.as_bytes()), text(value)))
            .collect()
    }

    #[test]
    fn what_the_client_claims_is_replaced() {
        let fields = forwarded(
            &[
                ("x-forwarded-for", "6.6.6.6"),
                ("X_Forwarded_For", "6.6.6.6"),
                ("X-Real-IP", "6.6.6.6"),
                ("X-Other", "1"),
            ],
            true,
        );
        let expected = [
            ("X-Other", "1"),
            ("X-Forwarded-For", "192.0.2.7"),
            ("X-Real-Ip", "192.0.2.7"),
            ("X-Forwarded-Host", "a.example:8443"),
            ("X-Forwarded-Port", "8443"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Server", "edge"),
        ];
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(fields, expected);
    }
}
