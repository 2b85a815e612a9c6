//! Request lines, targets and hosts (RFC 9112 section 3).

use std::net::Ipv6Addr;

use super::Reason;
use crate::http::{Method, RequestHead, Version, name};
use crate::limits;

/// A request line cut into its parts, each checked for its characters but not yet for its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) version: Version,
}

impl<'a> RequestLine<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, Reason> {
        let (method, rest) = split_at_space(line).ok_or(Reason::RequestLine)?;
        let method = check_method(method)?;
        let (target, version) = split_at_space(rest).ok_or(Reason::RequestLine)?;
        if target.is_empty() {
            return Err(Reason::RequestLine);
        }
        let version = parse_version(version).ok_or(no_version(target, version))??;
        if !target.iter().all(|byte| TARGET_CHARS[usize::from(*byte)]) {
            return Err(Reason::TargetChars);
        }
        let target = std::str::from_utf8(target).map_err(|_| Reason::TargetChars)?;
        Ok(Self {
            method,
            target,
            version,
        })
    }

    /// Puts method, version, target and, from an absolute target, the authority into `head`.
    pub(super) fn apply(self, head: &mut RequestHead) -> Result<(), Reason> {
        head.method = Method::from_token(self.method);
        head.version = self.version;
        match self.target.as_bytes()[0] {
            _ if head.method == Method::Connect => Err(Reason::ConnectRefused),
            b'/' => set_path(head, self.target),
            b'*' if self.target.len() == 1 && head.method == Method::Options => {
                head.set_target("*", None);
                Ok(())
            }
            _ => apply_absolute(head, self.target),
        }
    }
}

/// Why a request line without a version is refused. Two bare words may be a wrong preface of HTTP/2, which ends the
/// connection without an answer (RFC 9113 section 3.4): its sender would misread one in HTTP/1.
fn no_version(target: &[u8], version: &[u8]) -> Reason {
    let bare = |word: &[u8]| word.iter().all(u8::is_ascii_uppercase);
    if bare(target) && bare(version) {
        Reason::NotHttp
    } else {
        Reason::RequestLine
    }
}

/// Whether the beginning of a request line, not yet whole, can still become one. Recognises at once what is not HTTP,
/// a TLS handshake for instance.
pub(super) fn check_beginning(line: &[u8]) -> Result<(), Reason> {
    let method = match split_at_space(line) {
        Some((method, _)) => method,
        None if line.is_empty() || line == b"\r" => return Ok(()),
        None => line.strip_suffix(b"\r").unwrap_or(line),
    };
    check_method(method).map(drop)
}

/// A version at the end of a request line or the beginning of a status line. The outer `None`: not a version at all.
/// A higher minor version is treated as 1.1 (RFC 9110 section 2.5).
pub(super) fn parse_version(text: &[u8]) -> Option<Result<Version, Reason>> {
    match text {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Some(match (major, minor) {
                (b'1', b'0') => Ok(Version::Http10),
                (b'1', _) => Ok(Version::Http11),
                _ => Err(Reason::Version),
            })
        }
        _ => None,
    }
}

/// `Host`, or the authority of an absolute target: `uri-host [ ":" port ]` (RFC 9110 section 7.2), host not empty.
pub fn parse_authority(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let (valid_host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (address.parse::<Ipv6Addr>().is_ok(), port)
        }
        None => {
            let end = memchr::memchr(b':', text.as_bytes()).unwrap_or(text.len());
            (is_reg_name(&text.as_bytes()[..end]), &text[end..])
        }
    };
    (valid_host && is_port(port)).then_some(text)
}

/// Puts a target in origin form, or the `*` of OPTIONS, into `head`, whose method is known.
///
/// # Errors
/// Its characters or its form.
pub fn read_target(target: &str, head: &mut RequestHead) -> Result<(), Reason> {
    if !target.bytes().all(|byte| TARGET_CHARS[usize::from(byte)]) {
        return Err(Reason::TargetChars);
    }
    match target {
        "*" if head.method == Method::Options => {
            head.set_target("*", None);
            Ok(())
        }
        path if path.starts_with('/') => set_path(head, path),
        _ => Err(Reason::TargetForm),
    }
}

/// What a target may consist of: what is printable ASCII without `"`, `<`, `>` and `#`. RFC 3986 allows less, but these
/// others (`|`, `{`, `[`, `^` ..) browsers send as they are (URL Standard, percent-encode sets of path and query).
const TARGET_CHARS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = !matches!(byte, b'"' | b'<' | b'>' | b'#');
        byte += 1;
    }
    table
};

fn split_at_space(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr::memchr(b' ', line)?;
    Some((&line[..space], &line[space + 1..]))
}

fn check_method(method: &[u8]) -> Result<&str, Reason> {
    let (checked, rest) = method.split_at(method.len().min(limits::METHOD_BYTES_MAX));
    if !name::is_token(checked) {
        return Err(Reason::MethodChars);
    }
    if !rest.is_empty() {
        return Err(Reason::MethodTooLong);
    }
    std::str::from_utf8(method).map_err(|_| Reason::MethodChars)
}

fn set_path(head: &mut RequestHead, target: &str) -> Result<(), Reason> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    if !escapes_are_whole(path.as_bytes()) {
        return Err(Reason::TargetEscape);
    }
    head.set_target(path, query);
    Ok(())
}

/// Absolute form (RFC 9112 section 3.2.2): its authority replaces `Host`. An empty path is `/`, or `*` for OPTIONS.
fn apply_absolute(head: &mut RequestHead, target: &str) -> Result<(), Reason> {
    let (scheme, rest) = target.split_once("://").ok_or(Reason::TargetForm)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Reason::TargetForm);
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = parse_authority(authority.as_bytes()).ok_or(Reason::TargetForm)?;
    head.set_authority(authority);
    match path.as_bytes().first() {
        Some(b'/') => set_path(head, path),
        Some(_) => set_path(head, &format!("/{path}")),
        None => {
            head.set_target(
                if head.method == Method::Options {
                    "*"
                } else {
                    "/"
                },
                None,
            );
            Ok(())
        }
    }
}

fn is_reg_name(host: &[u8]) -> bool {
    !host.is_empty()
        && host != b"."
        && host.iter().all(|byte| REG_NAME_CHARS[usize::from(*byte)])
        && escapes_are_whole(host)
}

/// `unreserved`, `sub-delims` and the `%` of `pct-encoded` (RFC 3986 section 3.2.2).
const REG_NAME_CHARS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'$'..=b'.' | b';' | b'=' | b'_' | b'~');
        byte += 1;
    }
    table
};

fn is_port(port: &str) -> bool {
    match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && (digits.is_empty() || digits.parse::<u16>().is_ok())
        }
    }
}

fn escapes_are_whole(text: &[u8]) -> bool {
    memchr::memchr_iter(b'%', text)
        .all(|at| matches!(text.get(at + 1..at + 3), Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}
