//! What middlewares that change paths share. A request's path stays percent-encoded; texts from settings are not.

use std::borrow::Cow;

use super::{Answer, Request};
use crate::http::path::PathPolicy;
use crate::http::{Name, Status};

/// The path a request had before it was replaced.
pub(super) const X_REPLACED_PATH: Name<'static> = Name::literal("X-Replaced-Path");
/// What was taken off its beginning.
pub(super) const X_FORWARDED_PREFIX: Name<'static> = Name::literal("X-Forwarded-Prefix");

/// Gives the request another path, the query kept. An empty one is `/`, and any begins with `/`.
///
/// # Errors
/// 400 where it is not in the clean form that rules were asked about: a server might read another path out of it.
pub(super) fn set(request: &mut Request<'_>, path: &str) -> Result<(), Answer> {
    let path = begun(escaped(path));
    if PathPolicy::default().clean(&path) != *path {
        return Err(Answer::text(Status::BAD_REQUEST, "Bad Request\n"));
    }
    put(request, &path);
    Ok(())
}

/// Gives the request another path, whatever it is, the query kept.
pub(super) fn put(request: &mut Request<'_>, path: &str) {
    let query = request.head.query().map(str::to_owned);
    request.head.set_target(path, query.as_deref());
}

/// The path with the slash that every path begins with.
pub(super) fn begun(path: Cow<'_, str>) -> Cow<'_, str> {
    if path.starts_with('/') {
        path
    } else {
        Cow::Owned(format!("/{path}"))
    }
}

/// How many bytes of an encoded path stand for `prefix`; `None` where it does not begin with it.
pub(super) fn encoded_prefix(path: &str, prefix: &[u8]) -> Option<usize> {
    let bytes = path.as_bytes();
    let mut at = 0;
    for wanted in prefix {
        let (byte, length) = decoded_at(bytes, at)?;
        if byte != *wanted {
            return None;
        }
        at += length;
    }
    Some(at)
}

/// The path with every escape decoded.
pub(super) fn decoded(path: &str) -> Vec<u8> {
    let bytes = path.as_bytes();
    let (mut at, mut out) = (0, Vec::with_capacity(path.len()));
    while let Some((byte, length)) = decoded_at(bytes, at) {
        out.push(byte);
        at += length;
    }
    out
}

fn decoded_at(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match bytes.get(at..)? {
        [b'%', high, low, ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => Some(((high * 16 + low) as u8, 3)),
            _ => Some((b'%', 1)),
        },
        [byte, ..] => Some((*byte, 1)),
        [] => None,
    }
}

/// A text as a path: what may not stand in one (RFC 3986 section 3.3) is escaped, escapes stay.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    const ALSO: &[u8] = b"-._~!$&'()*+,;=:@/%";
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || ALSO.contains(&byte);
    escape(text, plain)
}

/// A text as a URL in a `Location`: blanks, controls and what is not ASCII are escaped.
pub(super) fn location(text: &str) -> Cow<'_, str> {
    escape(text, |byte| byte.is_ascii_graphic())
}

fn escape(text: &str, plain: impl Fn(u8) -> bool) -> Cow<'_, str> {
    if text.bytes().all(&plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_compared_decoded() {
        for (path, prefix, length) in [
            ("/a%20b/c", "/a b", Some(6)),
            ("/a/b", "/a", Some(2)),
            ("/a", "/a/b", None),
            ("/a%2Fb", "/a/b", Some(6)),
            ("/a%", "/a%", Some(3)),
        ] {
            assert_eq!(encoded_prefix(path, prefix.as_bytes()), length, "{path}");
        }
        assert_eq!(decoded("/a%20%41%"), b"/a A%");
    }

    #[test]
    fn texts_become_paths_and_locations() {
        assert_eq!(escaped("/a b?c#ü%20"), "/a%20b%3Fc%23%C3%BC%20");
        assert_eq!(
            location("https://a/b c?d#e\r\n"),
            "https://a/b%20c?d#e%0D%0A"
        );
        assert!(matches!(escaped("/a/b"), Cow::Borrowed(_)));
    }
}
