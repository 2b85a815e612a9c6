//! Whether a 101 answers the upgrade that was asked for (RFC 9110 section 7.8, RFC 6455 section 4.1).
//!
//! Checked because what follows is no longer HTTP for weir: a server that changes protocols where the client does not
//! believe so, or the other way round, would let one side's bytes be read as requests by the other.

use super::{Reason, websocket};
use crate::http::{Name, RequestHead, ResponseHead, hop, name};

const KEY: Name<'static> = Name::literal("Sec-WebSocket-Key");
const ACCEPT: Name<'static> = Name::literal("Sec-WebSocket-Accept");
const SUB_PROTOCOL: Name<'static> = Name::literal("Sec-WebSocket-Protocol");

/// Checks a 101 against the request it answers.
///
/// # Errors
/// The server is at fault: 502.
pub fn check(request: &RequestHead, response: &ResponseHead) -> Result<(), Reason> {
    let asked = request.upgrade.as_deref().ok_or(Reason::UpgradeUnasked)?;
    let chosen = response.upgrade.as_deref().ok_or(Reason::UpgradeOther)?;
    if !all_among(
        chosen.as_bytes(),
        asked.as_bytes(),
        <[u8]>::eq_ignore_ascii_case,
    ) {
        return Err(Reason::UpgradeOther);
    }
    if is_websocket(chosen) {
        check_websocket(request, response)?;
    }
    Ok(())
}

/// Whether these protocols are WebSocket alone.
pub fn is_websocket(protocols: &str) -> bool {
    protocols.eq_ignore_ascii_case("websocket")
}

/// Whether this is a protocol's name, with or without a version (RFC 9110 section 7.8).
pub fn is_protocol(text: &[u8]) -> bool {
    let (protocol, version) = split_version(text);
    name::is_token(protocol) && version.is_none_or(name::is_token)
}

/// Whether the protocol is HTTP or TLS: what is routed and checked request by request must not become a stream of
/// requests that nobody looks at (h2c smuggling).
pub fn is_http(protocol: &[u8]) -> bool {
    [&b"h2c"[..], b"h2", b"h3", b"http", b"tls"]
        .iter()
        .any(|http| split_version(protocol).0.eq_ignore_ascii_case(http))
}

fn split_version(protocol: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'/', protocol) {
        Some(at) => (&protocol[..at], Some(&protocol[at + 1..])),
        None => (protocol, None),
    }
}

fn check_websocket(request: &RequestHead, response: &ResponseHead) -> Result<(), Reason> {
    let mut accepts = response.headers.get_all(ACCEPT);
    let expected = request.headers.get(KEY).map(websocket::accept);
    match (expected, accepts.next(), accepts.next()) {
        (Some(expected), Some(accept), None) if expected == *accept => {}
        _ => return Err(Reason::UpgradeAccept),
    }
    let offered: Vec<u8> = request
        .headers
        .get_all(SUB_PROTOCOL)
        .flat_map(|value| value.iter().copied().chain([b',']))
        .collect();
    let mut chosen = response.headers.get_all(SUB_PROTOCOL);
    match (chosen.next(), chosen.next()) {
        (None, _) => Ok(()),
        (Some(one), None) if all_among(one, &offered, <[u8]>::eq) => Ok(()),
        _ => Err(Reason::UpgradeOther),
    }
}

fn all_among(chosen: &[u8], offered: &[u8], same: fn(&[u8], &[u8]) -> bool) -> bool {
    hop::list(chosen).all(|one| hop::list(offered).any(|other| same(one, other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(
        asked: Option<&str>,
        key: Option<&str>,
        chosen: Option<&str>,
        fields: &[(&'static str, &str)],
    ) -> Result<(), Reason> {
        let (mut request, mut response) = (RequestHead::default(), ResponseHead::default());
        request.upgrade = asked.map(Into::into);
        if let Some(key) = key {
            request.headers.append(KEY, key.as_bytes());
        }
        request.headers.append(SUB_PROTOCOL, b"chat, mqtt");
        response.upgrade = chosen.map(Into::into);
        for (name, value) in fields {
            response
                .headers
                .append(Name::literal(name), value.as_bytes());
        }
        check(&request, &response)
    }

    #[test]
    fn only_what_was_asked_for_is_accepted() {
        const KEY: Option<&str> = Some("dGhlIHNhbXBsZSBub25jZQ==");
        const GOOD: (&str, &str) = ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let (ws, chat) = (Some("websocket"), ("Sec-WebSocket-Protocol", "chat"));
        let (other, accept) = (Err(Reason::UpgradeOther), Err(Reason::UpgradeAccept));
        let cases = [
            (verdict(ws, KEY, Some("WebSocket"), &[GOOD]), Ok(())),
            (verdict(ws, KEY, ws, &[GOOD, chat]), Ok(())),
            (verdict(Some("a/1, b"), None, Some("A/1"), &[]), Ok(())),
            (verdict(None, KEY, ws, &[GOOD]), Err(Reason::UpgradeUnasked)),
            (verdict(ws, KEY, None, &[GOOD]), other),
            (verdict(ws, KEY, Some("foo"), &[GOOD]), other),
            (
                verdict(ws, KEY, ws, &[GOOD, ("Sec-WebSocket-Protocol", "soap")]),
                other,
            ),
            (verdict(ws, KEY, ws, &[GOOD, chat, chat]), other),
            (verdict(ws, KEY, ws, &[]), accept),
            (verdict(ws, None, ws, &[GOOD]), accept),
            (verdict(ws, KEY, ws, &[GOOD, GOOD]), accept),
            (verdict(ws, Some("x"), ws, &[GOOD]), accept),
        ];
        for (index, (found, expected)) in cases.into_iter().enumerate() {
            assert_eq!(found, expected, "case {index}");
        }
    }
}
