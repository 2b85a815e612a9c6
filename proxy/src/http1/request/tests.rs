//! Request heads: valid, malformed, at each limit and one over it, in any split, and beside httparse.

use proptest::prelude::*;

use super::*;
use crate::http::Method;

fn parse(input: &[u8]) -> Result<Option<(RequestHead, Request)>, Reject> {
    let mut head = RequestHead::default();
    let parsed = RequestParser::new(HeadLimits::default()).parse(input, &mut head)?;
    Ok(parsed.map(|request| (head, request)))
}

fn accept(input: &str) -> (RequestHead, Request) {
    match parse(input.as_bytes()) {
        Ok(Some(parsed)) => parsed,
        other => panic!("{input:?}: {other:?}"),
    }
}

fn refuse(input: impl AsRef<[u8]>, status: u16, reason: Reason) {
    let input = input.as_ref();
    match parse(input) {
        Err(reject) => {
            assert_eq!(
                (reject.status.code(), reject.reason),
                (status, reason),
                "{:?}",
                input.escape_ascii().to_string()
            );
        }
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

fn fields(head: &RequestHead) -> Vec<String> {
    let line = |(name, value): (crate::http::Name<'_>, &[u8])| {
        format!(
            "{}: {}",
            name.as_bytes().escape_ascii(),
            value.escape_ascii()
        )
    };
    head.headers.iter().map(line).collect()
}

/// A request of HTTP/1.1 with these field lines beside Host.
fn with(fields: &str) -> String {
    format!("POST /p HTTP/1.1\r\nHost: h.example\r\n{fields}\r\n")
}

#[test]
fn an_ordinary_request() {
    let input =
        "GET /a%20b?x=1?y HTTP/1.1\r\nHost: H.Example:81\r\nAccept:  */* \r\nX-Empty:\r\n\r\nrest";
    let (head, request) = accept(input);
    assert_eq!(
        (&head.method, head.path(), head.query()),
        (&Method::Get, "/a%20b", Some("x=1?y"))
    );
    assert_eq!(head.authority(), "H.Example:81");
    assert_eq!(fields(&head), ["Accept: */*", "X-Empty: "]);
    let expected = Request {
        consumed: input.len() - 4,
        body: BodyLength::Empty,
        keep_alive: true,
    };
    assert_eq!(request, expected);
}

#[test]
fn targets() {
    for (line, path, query, host) in [
        ("GET /", "/", None, "h.example"),
        ("GET //a//b/../c", "//a//b/../c", None, "h.example"),
        ("GET /?", "/", Some(""), "h.example"),
        ("GET /{a}|b^`\\[]", "/{a}|b^`\\[]", None, "h.example"),
        ("GET /a?100%", "/a", Some("100%"), "h.example"),
        ("OPTIONS *", "*", None, "h.example"),
        (
            "GET http://Other.example:80/x?y",
            "/x",
            Some("y"),
            "Other.example:80",
        ),
        ("GET HTTPS://other.example", "/", None, "other.example"),
        (
            "GET http://other.example?q",
            "/",
            Some("q"),
            "other.example",
        ),
        ("OPTIONS http://other.example", "*", None, "other.example"),
    ] {
        let (head, _) = accept(&format!("{line} HTTP/1.1\r\nHost: h.example\r\n\r\n"));
        assert_eq!(
            (head.path(), head.query(), head.authority()),
            (path, query, host),
            "{line}"
        );
    }
}

#[test]
fn bad_request_lines() {
    for (line, status, reason) in [
        ("GET /", 400, Reason::RequestLine),
        ("GET  / HTTP/1.1", 400, Reason::RequestLine),
        ("GET / HTTP/1.1 ", 400, Reason::RequestLine),
        ("GET / x HTTP/1.1", 400, Reason::RequestLine),
        ("GET /\tHTTP/1.1", 400, Reason::RequestLine),
        ("GET / HTTP/1", 400, Reason::RequestLine),
        ("GET / http/1.1", 400, Reason::RequestLine),
        ("GET / HTTP/1.10", 400, Reason::RequestLine),
        ("GET / HTTP/2.0", 505, Reason::Version),
        ("GET / HTTP/0.9", 505, Reason::Version),
        (" GET / HTTP/1.1", 400, Reason::MethodChars),
        ("G(T / HTTP/1.1", 400, Reason::MethodChars),
        ("GET\t/ HTTP/1.1", 400, Reason::MethodChars),
        (
            "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1",
            501,
            Reason::MethodTooLong,
        ),
        (
            "CONNECT h.example:443 HTTP/1.1",
            501,
            Reason::ConnectRefused,
        ),
        ("GET /# HTTP/1.1", 400, Reason::TargetChars),
        ("GET /\x01 HTTP/1.1", 400, Reason::TargetChars),
        ("GET /\x7f HTTP/1.1", 400, Reason::TargetChars),
        ("GET /\r HTTP/1.1", 400, Reason::TargetChars),
        ("GET /<a> HTTP/1.1", 400, Reason::TargetChars),
        ("GET /\u{e9} HTTP/1.1", 400, Reason::TargetChars),
        ("GET /%4 HTTP/1.1", 400, Reason::TargetEscape),
        ("GET /%zz HTTP/1.1", 400, Reason::TargetEscape),
        ("GET a HTTP/1.1", 400, Reason::TargetForm),
        ("GET / FOO", 400, Reason::RequestLine),
        ("GET http://h/ FOO", 400, Reason::RequestLine),
        ("GET a http/1.1", 400, Reason::RequestLine),
        ("GET a b HTTP/1.1", 400, Reason::RequestLine),
        ("GET a b", 400, Reason::RequestLine),
        (
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 80",
            400,
            Reason::RequestLine,
        ),
        ("INVALID CONNECTION PREFACE", 400, Reason::NotHttp),
        ("GET * HTTP/1.1", 400, Reason::TargetForm),
        ("GET ?a HTTP/1.1", 400, Reason::TargetForm),
        ("GET ftp://h.example/ HTTP/1.1", 400, Reason::TargetForm),
        ("GET http:///a HTTP/1.1", 400, Reason::TargetForm),
        (
            "GET http://user@h.example/ HTTP/1.1",
            400,
            Reason::TargetForm,
        ),
    ] {
        refuse(format!("{line}\r\nHost: h.example\r\n\r\n"), status, reason);
        let whole_line_alone = format!("{line}\r\n");
        if !matches!(
            reason,
            Reason::ConnectRefused | Reason::TargetForm | Reason::TargetEscape
        ) {
            refuse(whole_line_alone, status, reason);
        }
    }
}

#[test]
fn what_is_not_http_is_refused_at_its_first_bytes() {
    refuse(b"\x16\x03\x01\x02\x00\x01", 400, Reason::MethodChars);
    refuse(b"\r\n\r\n", 400, Reason::RequestLine);
    refuse("A".repeat(33), 501, Reason::MethodTooLong);
    accept(&format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(32)));
    assert!(matches!(parse(b"\r\nGET"), Ok(None)));
    assert!(matches!(parse(b""), Ok(None)));
    assert!(matches!(parse(b"\r"), Ok(None)));
}

#[test]
fn one_empty_line_may_come_first() {
    let (_, request) = accept("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(request.consumed, 29);
}

#[test]
fn bad_lines() {
    refuse("GET / HTTP/1.1\nHost: a\n\n", 400, Reason::BareLineFeed);
    refuse("GET / HTTP/1.1\r\nHost: a\n\r\n", 400, Reason::BareLineFeed);
    refuse("GET / HTTP/1.1\r\nHost: a\r\n\n", 400, Reason::BareLineFeed);
    for line in [
        "X : 1",
        "X\t: 1",
        " X: 1",
        "\tX: 1",
        ": 1",
        "X",
        "X\r: 1",
        "X: a\rb",
        "X: a\0b",
        "X: \x01",
        "X: \x7f",
        "(X): 1",
        "\u{e9}: 1",
        "X: 1\r\n folded",
        "X: 1\r\n\tfolded",
        "\r",
    ] {
        refuse(with(&format!("{line}\r\n")), 400, Reason::FieldSyntax);
    }
    accept(&with("X: \u{e9}\ta\r\n"));
}

#[test]
fn hosts() {
    refuse("GET / HTTP/1.1\r\n\r\n", 400, Reason::HostMissing);
    refuse("GET http://a/ HTTP/1.1\r\n\r\n", 400, Reason::HostMissing);
    refuse(
        "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
        400,
        Reason::HostDuplicate,
    );
    refuse(
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        400,
        Reason::HostDuplicate,
    );
    for host in [
        "", "a b", "a/b", "a@b", "http://a", "a:b", "a:1:2", "a:65536", "[::1", "[::1]x", "[g::]",
        "a%2", "a\"b", "\u{e9}", ".", ":80",
    ] {
        refuse(
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            400,
            Reason::HostInvalid,
        );
        refuse(
            format!("GET http://a/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            400,
            Reason::HostInvalid,
        );
    }
    for host in [
        "a",
        "a.",
        "a_b-c.example:",
        "a:80",
        "10.0.0.1:1",
        "[::1]",
        "[2001:db8::1]:443",
        "a%41",
    ] {
        assert_eq!(
            accept(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .0
                .authority(),
            host
        );
    }
    let (head, _) = accept("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(head.authority(), "");
}

#[test]
fn body_lengths() {
    for (lines, body) in [
        ("", BodyLength::Empty),
        ("Content-Length: 0\r\n", BodyLength::Length(0)),
        (
            "content-length: 018446744073709551615\r\n",
            BodyLength::Length(u64::MAX),
        ),
        ("Transfer-Encoding: Chunked\r\n", BodyLength::Chunked),
    ] {
        let (head, request) = accept(&with(lines));
        assert_eq!((request.body, head.headers.len()), (body, 0), "{lines}");
    }
    for (lines, status, reason) in [
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            400,
            Reason::LengthAndCoding,
        ),
        (
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            400,
            Reason::LengthDuplicate,
        ),
        ("Content-Length: 1, 1\r\n", 400, Reason::LengthInvalid),
        ("Content-Length: +1\r\n", 400, Reason::LengthInvalid),
        ("Content-Length: -1\r\n", 400, Reason::LengthInvalid),
        ("Content-Length: 0x1\r\n", 400, Reason::LengthInvalid),
        ("Content-Length: 1 2\r\n", 400, Reason::LengthInvalid),
        ("Content-Length:\r\n", 400, Reason::LengthInvalid),
        (
            "Content-Length: 18446744073709551616\r\n",
            400,
            Reason::LengthInvalid,
        ),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            501,
            Reason::CodingUnknown,
        ),
        (
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            501,
            Reason::CodingUnknown,
        ),
        ("Transfer-Encoding: gzip\r\n", 400, Reason::CodingNotLast),
        (
            "Transfer-Encoding: identity\r\n",
            400,
            Reason::CodingNotLast,
        ),
        (
            "Transfer-Encoding: chunked, gzip\r\n",
            400,
            Reason::CodingNotLast,
        ),
        (
            "Transfer-Encoding: chunked, chunked\r\n",
            400,
            Reason::CodingNotLast,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            400,
            Reason::CodingNotLast,
        ),
        (
            "Transfer-Encoding: , chunked\r\n",
            400,
            Reason::CodingNotLast,
        ),
        (
            "Transfer-Encoding: chunked;q=1\r\n",
            400,
            Reason::CodingNotLast,
        ),
        (
            "Transfer-Encoding: xchunked\r\n",
            400,
            Reason::CodingNotLast,
        ),
        (
            "Transfer-Encoding: \"chunked\"\r\n",
            400,
            Reason::CodingNotLast,
        ),
        ("Transfer-Encoding:\r\n", 400, Reason::CodingNotLast),
    ] {
        refuse(with(lines), status, reason);
    }
    refuse(
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        Reason::CodingInHttp10,
    );
}

#[test]
fn persistence() {
    for (version, connection, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, Close\r\n", false),
        ("1.2", "", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        (
            "1.0",
            "Connection: keep-alive\r\nConnection: close\r\n",
            false,
        ),
    ] {
        let (head, request) = accept(&format!(
            "GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n"
        ));
        assert_eq!(
            (request.keep_alive, head.headers.len()),
            (keep_alive, 0),
            "{version} {connection}"
        );
    }
}

#[test]
fn expectations() {
    let kept = |input: &str| accept(input).0.headers.contains(name::EXPECT);
    assert!(kept(&with("Expect: 100-Continue\r\nContent-Length: 1\r\n")));
    assert!(!kept(&with("Expect: 100-continue\r\n")));
    assert!(!kept(
        "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    ));
    refuse(with("Expect: a-miracle\r\n"), 417, Reason::Expectation);
}

#[test]
fn hop_by_hop_fields_never_get_in() {
    let (head, _) = accept(&with(
        "Connection: x-a, keep-alive, upgrade\r\nUpgrade: websocket\r\nX-A: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\nTrailer: x\r\nX-B: 2\r\n",
    ));
    assert_eq!(fields(&head), ["X-B: 2"]);
    let (head, _) = accept(&with("Trailer: x\r\nTransfer-Encoding: chunked\r\n"));
    assert_eq!(fields(&head), ["Trailer: x"]);
}

#[test]
fn an_upgrade_is_a_fact_and_never_one_to_http() {
    let upgrade = |fields: &str| accept(&with(fields)).0.upgrade;
    for (fields, protocols) in [
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            Some("websocket"),
        ),
        (
            "Connection: x, UPGRADE\r\nUpgrade: a/1,, b\r\nUpgrade: c\r\n",
            Some("a/1, b, c"),
        ),
        (
            "Connection: Upgrade\r\nUpgrade: h2c, websocket, TLS/1.2, HTTP/2.0\r\n",
            Some("websocket"),
        ),
        (
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n",
            None,
        ),
        (
            "Connection: Upgrade\r\nUpgrade: a b, c/d/e, \"f\"\r\n",
            None,
        ),
        ("Upgrade: websocket\r\n", None),
        ("Connection: Upgrade\r\n", None),
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n",
            None,
        ),
    ] {
        assert_eq!(upgrade(fields).as_deref(), protocols, "{fields}");
    }
    let old = "GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(accept(old).0.upgrade, None);
}

/// Each limit holds exactly: at it a head passes, one over it does not.
#[test]
fn limits() {
    let limits = HeadLimits {
        request_line: 40,
        fields: 3,
        bytes: 120,
    };
    let check = |input: String, expected: Result<bool, Reason>| {
        let result =
            RequestParser::new(limits).parse(input.as_bytes(), &mut RequestHead::default());
        assert_eq!(
            result
                .map(|parsed| parsed.is_some())
                .map_err(|reject| reject.reason),
            expected,
            "{input}"
        );
    };
    let line = |bytes: usize| format!("GET /{} HTTP/1.1\r\n", "a".repeat(bytes - 14));
    check(line(40) + "Host: a\r\n\r\n", Ok(true));
    check(line(41) + "Host: a\r\n\r\n", Err(Reason::TargetTooLong));
    check(line(41), Err(Reason::TargetTooLong));
    check(
        format!("GET /{}", "a".repeat(36)),
        Err(Reason::TargetTooLong),
    );
    check(line(20) + "Host: a\r\nX: 1\r\nX: 2\r\n\r\n", Ok(true));
    check(
        line(20) + "Host: a\r\nX: 1\r\nX: 2\r\nX: 3\r\n",
        Err(Reason::TooManyFields),
    );
    let head = |bytes: usize| {
        format!(
            "{}Host: a\r\nX: {}\r\n\r\n",
            line(20),
            "x".repeat(bytes - 22 - 9 - 7)
        )
    };
    check(head(120), Ok(true));
    check(head(121), Err(Reason::HeadTooLarge));
    check(head(125)[..119].into(), Ok(false));
    check(head(125)[..120].into(), Err(Reason::HeadTooLarge));
}

#[test]
fn many_fields_pass_too() {
    let lines: String = (0..100)
        .map(|index| format!("X-{index}: {index}\r\n"))
        .collect();
    assert_eq!(accept(&with(&lines)).0.headers.len(), 100);
}

/// Bytes that resemble requests closely enough to reach every check.
fn request_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "GET ",
        "POST ",
        "/a",
        "?b",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "\r\n",
        "\n",
        "\r",
        "Host: a\r\n",
        "Host: b\r\n",
        "X: 1\r\n",
        " ",
        ":",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "\r\n\r\n",
        "\0",
        "\u{e9}",
        "Upgrade: a\r\nConnection: upgrade\r\n",
    ]);
    let start = prop::sample::select(vec![
        "",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST /p HTTP/1.0\r\n",
    ]);
    (start, prop::collection::vec(piece, 0..12))
        .prop_map(|(start, pieces)| [start.into(), pieces.concat()].concat().into())
}

proptest! {
    /// However the bytes are cut, the outcome is the same; a refusal may come earlier than at the last byte.
    #[test]
    fn any_split_gives_the_same(input in request_like(), cuts in prop::collection::vec(0usize..200, 0..6)) {
        let whole = parse(&input);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).chain([input.len()]).collect();
        cuts.sort_unstable();
        let (mut parser, mut head) = (RequestParser::new(HeadLimits::default()), RequestHead::default());
        let mut outcome = Ok(None);
        for cut in cuts {
            outcome = parser.parse(&input[..cut], &mut head);
            if !matches!(outcome, Ok(None)) {
                break;
            }
        }
        match (&whole, &outcome) {
            (Ok(whole), Ok(pieces)) => {
                prop_assert_eq!(whole.as_ref().map(|(_, request)| request), pieces.as_ref());
                if let Some((whole, _)) = whole {
                    prop_assert_eq!(fields(whole), fields(&head));
                }
            }
            (whole, pieces) => prop_assert!(whole.is_err() && pieces.is_err(), "{:?} / {:?}", whole, pieces),
        }
    }

    /// Whatever passes here, httparse reads the same way: same end, same target, same number of field lines.
    #[test]
    fn what_passes_agrees_with_httparse(input in request_like()) {
        if let Ok(Some((head, request))) = parse(&input) {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut other = httparse::Request::new(&mut fields);
            prop_assert_eq!(other.parse(&input), Ok(httparse::Status::Complete(request.consumed)));
            let target = head.path().to_owned() + &head.query().map(|query| format!("?{query}")).unwrap_or_default();
            prop_assert_eq!(other.path, Some(target.as_str()));
            prop_assert!(head.headers.len() <= other.headers.len());
        }
    }
}
