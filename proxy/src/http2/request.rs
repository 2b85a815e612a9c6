//! Requests: from the `h2` crate's messages to ours, and back.

use ::http::header::{COOKIE, HOST, TE};
use ::http::request::Parts;
use ::http::{HeaderMap, Uri, header, uri};
use h2::ext::Protocol;

use super::response::{content_length, fields, header_map};
use crate::http::{Headers, Method, Name, RequestHead, hop, name};
use crate::http1::{self, Announce, BodyLength, HeadLimits, Reason, upgrade};
use crate::limits::METHOD_BYTES_MAX;

const KEY: Name<'static> = Name::literal("Sec-WebSocket-Key");

/// What a request says beside what goes on to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The body that follows.
    pub body: BodyLength,
    /// Extended CONNECT (RFC 8441): the protocol that the stream is to carry.
    pub protocol: Option<Box<str>>,
}

/// A request that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// RFC 9113 section 8.1.1: a stream error of type PROTOCOL_ERROR.
    Stream,
    /// It is answered.
    Answered(Reason),
}

impl From<Reason> for Malformed {
    fn from(reason: Reason) -> Self {
        Self::Answered(reason)
    }
}

/// Reads a request whose pseudo-header fields the `h2` crate has found well-formed, into `head`, whose former content
/// is lost. `ended`: nothing follows its head.
///
/// # Errors
/// It is malformed, or over a limit, as the same request in HTTP/1.1 would be.
pub fn read_request(
    parts: &Parts,
    ended: bool,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Opened, Malformed> {
    head.clear();
    let method = parts.method.as_str();
    if method.len() > METHOD_BYTES_MAX {
        return Err(Reason::MethodTooLong.into());
    }
    head.method = Method::from_token(method);
    let protocol = parts.extensions.get::<Protocol>();
    let protocol: Option<Box<str>> = protocol.map(|protocol| protocol.as_str().into());
    if head.method == Method::Connect {
        check_protocol(protocol.as_deref())?;
    }
    take_target(&parts.uri, limits, head)?;
    take_authority(&parts.uri, &parts.headers, head)?;
    take_fields(&parts.headers, limits, &mut head.headers)?;
    let body = match protocol {
        Some(_) => BodyLength::Empty,
        None => body_length(&parts.headers, &head.method, ended)?,
    };
    check_expectation(&mut head.headers, body)?;
    Ok(Opened { body, protocol })
}

/// `:protocol` becomes `Upgrade`. The `h2` crate lets anything in that is UTF-8, line ends too.
fn check_protocol(protocol: Option<&str>) -> Result<(), Malformed> {
    let Some(protocol) = protocol.map(str::as_bytes) else {
        return Err(Reason::ConnectRefused.into());
    };
    if !upgrade::is_protocol(protocol) {
        return Err(Malformed::Stream);
    }
    if upgrade::is_http(protocol) {
        return Err(Reason::ConnectRefused.into());
    }
    Ok(())
}

fn take_target(uri: &Uri, limits: &HeadLimits, head: &mut RequestHead) -> Result<(), Malformed> {
    let target = uri.path_and_query().map_or("", uri::PathAndQuery::as_str);
    if target.len() > limits.request_line {
        return Err(Reason::TargetTooLong.into());
    }
    if !target.starts_with('/') && target != "*" {
        return Err(Malformed::Stream);
    }
    Ok(http1::read_target(target, head)?)
}

/// RFC 9113 section 8.3.1: `:authority`, which `Host` must not contradict, or `Host`.
fn take_authority(uri: &Uri, headers: &HeaderMap, head: &mut RequestHead) -> Result<(), Malformed> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Reason::HostDuplicate.into());
    }
    let authority = match (uri.authority(), host) {
        (Some(authority), Some(host))
            if !authority
                .as_str()
                .as_bytes()
                .eq_ignore_ascii_case(host.as_bytes()) =>
        {
            return Err(Malformed::Stream);
        }
        (Some(authority), _) => authority.as_str().as_bytes(),
        (None, Some(host)) => host.as_bytes(),
        (None, None) => return Err(Reason::HostMissing.into()),
    };
    head.set_authority(http1::parse_authority(authority).ok_or(Reason::HostInvalid)?);
    Ok(())
}

fn take_fields(
    map: &HeaderMap,
    limits: &HeadLimits,
    headers: &mut Headers,
) -> Result<(), Malformed> {
    if map.len() > limits.fields + map.get_all(COOKIE).iter().count() {
        return Err(Reason::TooManyFields.into());
    }
    // RFC 9113 section 8.2.1: a value neither begins nor ends with whitespace.
    let padded = |value: &header::HeaderValue| value.as_bytes().trim_ascii() != value.as_bytes();
    if map.values().any(padded) {
        return Err(Malformed::Stream);
    }
    if map
        .get_all(TE)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"trailers"))
    {
        return Err(Malformed::Stream);
    }
    fields(map, headers);
    headers.remove(name::HOST);
    headers.remove(name::CONTENT_LENGTH);
    hop::strip(headers);
    join_cookies(headers);
    Ok(())
}

/// RFC 9113 section 8.2.3: a cookie may come in crumbs, which an HTTP/1.1 server must get as one field.
fn join_cookies(headers: &mut Headers) {
    if headers.get_all(name::COOKIE).nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(name::COOKIE).collect();
    let whole = crumbs.join(&b"; "[..]);
    headers.remove(name::COOKIE);
    headers.append(name::COOKIE, &whole);
}

fn body_length(map: &HeaderMap, method: &Method, ended: bool) -> Result<BodyLength, Malformed> {
    let expects_body = matches!(method, Method::Post | Method::Put | Method::Patch);
    match (content_length(map).map_err(|_| Malformed::Stream)?, ended) {
        (Some(1..), true) => Err(Malformed::Stream),
        (Some(0), true) => Ok(BodyLength::Length(0)),
        (None, true) if expects_body => Ok(BodyLength::Length(0)),
        (None, true) => Ok(BodyLength::Empty),
        (Some(length), false) => Ok(BodyLength::Length(length)),
        (None, false) => Ok(BodyLength::Chunked),
    }
}

fn check_expectation(headers: &mut Headers, body: BodyLength) -> Result<(), Malformed> {
    let odd = |value: &[u8]| !value.eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(name::EXPECT).any(odd) {
        return Err(Reason::Expectation.into());
    }
    if body.is_empty() {
        headers.remove(name::EXPECT);
    }
    Ok(())
}

/// Makes an extended CONNECT (RFC 8441 section 5) the HTTP/1.1 request that asks for the same. `random` becomes the
/// key that WebSocket servers must be given.
pub fn upgrade(head: &mut RequestHead, protocol: Box<str>, random: [u64; 2]) {
    head.method = Method::Get;
    if http1::upgrade::is_websocket(&protocol) {
        let key = http1::websocket::key(random);
        head.headers.remove(KEY);
        head.headers.append(KEY, key.as_bytes());
    }
    head.upgrade = Some(protocol);
}

/// A request to a server, with its own authority, unless `host` is another one (`passHostHeader: false`).
///
/// # Errors
/// It cannot be said in HTTP/2: the reason.
pub fn outgoing_request(
    head: &RequestHead,
    host: Option<&str>,
    body: Announce,
    scheme: uri::Scheme,
) -> Result<::http::Request<()>, ::http::Error> {
    let mut target = String::from(head.path());
    if let Some(query) = head.query() {
        target.push('?');
        target.push_str(query);
    }
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(host.unwrap_or(head.authority()))
        .path_and_query(target)
        .build()?;
    let mut request = ::http::Request::builder()
        .method(head.method.as_str())
        .uri(uri)
        .version(::http::Version::HTTP_2)
        .body(())?;
    let mut map = header_map(&head.headers)?;
    if let Announce::Length(length) = body {
        map.insert(header::CONTENT_LENGTH, length.into());
    }
    if is_grpc(&head.headers) {
        // gRPC servers ask for this, and what follows the body is forwarded.
        map.insert(TE, header::HeaderValue::from_static("trailers"));
    }
    *request.headers_mut() = map;
    Ok(request)
}

fn is_grpc(headers: &Headers) -> bool {
    let content_type = headers.get(Name::literal("Content-Type"));
    content_type.is_some_and(|value| value.starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Reject;

    fn read(
        method: &str,
        uri: &str,
        fields: &[(&'static str, &'static str)],
        ended: bool,
    ) -> Result<(Opened, RequestHead), Malformed> {
        let mut request = ::http::Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let mut head = RequestHead::default();
        Ok((
            read_request(&parts, ended, &HeadLimits::default(), &mut head)?,
            head,
        ))
    }

    #[test]
    fn a_request_is_what_it_would_be_in_http1() {
        let (opened, head) = read(
            "POST",
            "https://a.example:8443/a%2fb?c=d",
            &[
                ("cookie", "a=1"),
                ("x-one", "1"),
                ("cookie", "b=2"),
                ("host", "A.example:8443"),
                ("content-length", "5"),
                ("te", "trailers"),
            ],
            false,
        )
        .expect("good");
        assert_eq!(opened.body, BodyLength::Length(5));
        assert_eq!((head.path(), head.query()), ("/a%2fb", Some("c=d")));
        assert_eq!(head.authority(), "a.example:8443");
        let fields: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value))
            .collect();
        assert_eq!(
            fields,
            [(&b"x-one"[..], &b"1"[..]), (b"Cookie", b"a=1; b=2")]
        );
    }

    #[test]
    fn bodies() {
        let length = |method, fields: &[_], ended| {
            read(method, "http://a/", fields, ended).map(|(opened, _)| opened.body)
        };
        let five = [("content-length", "5")];
        assert_eq!(length("GET", &[], true), Ok(BodyLength::Empty));
        assert_eq!(length("POST", &[], true), Ok(BodyLength::Length(0)));
        assert_eq!(length("POST", &[], false), Ok(BodyLength::Chunked));
        assert_eq!(length("POST", &five, true), Err(Malformed::Stream));
        for bad in ["+5", "", "5, 5", "x"] {
            let bad = [("content-length", bad)];
            assert_eq!(length("POST", &bad, false), Err(Malformed::Stream));
        }
        let twice = [("content-length", "5"), ("content-length", "6")];
        assert_eq!(length("POST", &twice, false), Err(Malformed::Stream));
    }

    #[test]
    fn a_protocol_is_a_name_and_no_kind_of_http() {
        let of = |protocol: Option<&str>| match check_protocol(protocol) {
            Ok(()) => None,
            Err(Malformed::Stream) => Some(0),
            Err(Malformed::Answered(reason)) => Some(Reject::request(reason).status.code()),
        };
        for good in ["websocket", "connect-udp", "foo/1.0"] {
            assert_eq!(of(Some(good)), None, "{good}");
        }
        for bad in [
            "",
            "a b",
            "a,b",
            "x\r\nEvil: 1",
            "x\0",
            "a/",
            "/1",
            "a/b/c",
            "\u{e4}",
        ] {
            assert_eq!(of(Some(bad)), Some(0), "{bad}");
        }
        for http in ["h2c", "H2", "h3", "HTTP/2.0", "TLS/1.2"] {
            assert_eq!(of(Some(http)), Some(501), "{http}");
        }
        assert_eq!(of(None), Some(501));
    }

    #[test]
    fn what_may_be_understood_in_two_ways_is_refused() {
        let refused = |method, uri, fields: &[_]| match read(method, uri, fields, true) {
            Ok(_) => None,
            Err(Malformed::Stream) => Some(0),
            Err(Malformed::Answered(reason)) => Some(Reject::request(reason).status.code()),
        };
        for (uri, fields, outcome) in [
            ("http://a/", [("host", "b")], Some(0)),
            ("http://a/", [("te", "gzip")], Some(0)),
            ("http://a/", [("x", " padded")], Some(0)),
            ("http://user@a/", [("x", "")], Some(400)),
            ("http://a/%zz", [("x", "")], Some(400)),
            ("/", [("x", "")], Some(400)),
            ("/", [("host", "a")], None),
            ("http://a/", [("expect", "a miracle")], Some(417)),
        ] {
            assert_eq!(refused("GET", uri, &fields), outcome, "{uri} {fields:?}");
        }
        assert_eq!(refused("CONNECT", "a:443", &[]), Some(501));
    }
}
