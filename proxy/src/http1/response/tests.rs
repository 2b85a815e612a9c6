//! Response heads as servers send them, and as they must not.

use super::*;

fn parse(input: &str, method: Method) -> Result<Option<(ResponseHead, Response)>, Reason> {
    let mut head = ResponseHead::default();
    let parsed =
        ResponseParser::new(HeadLimits::default()).parse(input.as_bytes(), &method, &mut head);
    match parsed {
        Ok(parsed) => Ok(parsed.map(|response| (head, response))),
        Err(Reject { status, reason }) => {
            assert_eq!(status, Status::BAD_GATEWAY);
            Err(reason)
        }
    }
}

fn verdict(input: &str) -> Result<bool, Reason> {
    parse(input, Method::Get).map(|parsed| parsed.is_some())
}

fn accept(input: &str, method: Method) -> (ResponseHead, Response) {
    parse(input, method)
        .unwrap_or_else(|reason| panic!("{input:?}: {reason:?}"))
        .expect("whole")
}

#[test]
fn status_lines() {
    for (line, status, version) in [
        ("HTTP/1.1 200 OK", 200, Version::Http11),
        ("HTTP/1.1 299 ", 299, Version::Http11),
        ("HTTP/1.0 404", 404, Version::Http10),
        ("HTTP/1.1 500 caf\u{e9} au lait", 500, Version::Http11),
    ] {
        let (head, _) = accept(&format!("{line}\r\n\r\n"), Method::Get);
        assert_eq!(
            (head.status.code(), head.version),
            (status, version),
            "{line}"
        );
    }
    for line in [
        "HTTP/2 200",
        "HTTP/2.0 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000",
        "HTTP/1.1 600 X",
        "HTTP/1.1 099 X",
        "HTTP/1.1 200 \x01",
        "ICY 200 OK",
        "",
    ] {
        assert_eq!(
            verdict(&format!("{line}\r\n\r\n")),
            Err(Reason::StatusLine),
            "{line}"
        );
    }
    assert_eq!(verdict("SSH-2.0-x"), Err(Reason::StatusLine));
    assert_eq!(verdict("HTTP"), Ok(false));
    assert_eq!(verdict("HTTP/1.1 200 OK\r\nA: b\r\n"), Ok(false));
}

#[test]
fn bodies() {
    use Announce as A;
    use BodyLength as B;
    for (method, status, lines, body, announce, keep_alive) in [
        (
            Method::Get,
            200,
            "Content-Length: 5\r\n",
            B::Length(5),
            A::Length(5),
            true,
        ),
        (
            Method::Get,
            200,
            "Transfer-Encoding: chunked\r\n",
            B::Chunked,
            A::Chunked,
            true,
        ),
        (Method::Get, 200, "", B::UntilClose, A::Chunked, false),
        (
            Method::Get,
            200,
            "Connection: close\r\nContent-Length: 0\r\n",
            B::Length(0),
            A::Length(0),
            false,
        ),
        (
            Method::Head,
            200,
            "Content-Length: 5\r\n",
            B::Empty,
            A::Length(5),
            true,
        ),
        (
            Method::Head,
            200,
            "Transfer-Encoding: chunked\r\n",
            B::Empty,
            A::Chunked,
            true,
        ),
        (Method::Head, 200, "", B::Empty, A::Nothing, true),
        (
            Method::Get,
            304,
            "Content-Length: 5\r\n",
            B::Empty,
            A::Length(5),
            true,
        ),
        (Method::Get, 304, "", B::Empty, A::Nothing, true),
        (
            Method::Get,
            204,
            "Content-Length: 5\r\n",
            B::Empty,
            A::Nothing,
            true,
        ),
        (
            Method::Get,
            103,
            "Content-Length: 5\r\n",
            B::Empty,
            A::Nothing,
            true,
        ),
    ] {
        let (_, response) = accept(&format!("HTTP/1.1 {status} X\r\n{lines}\r\n"), method);
        assert_eq!(
            (response.body, response.announce, response.keep_alive),
            (body, announce, keep_alive),
            "{status} {lines}"
        );
    }
    let (_, response) = accept("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", Method::Get);
    assert!(!response.keep_alive);
}

#[test]
fn ambiguous_responses_are_refused() {
    for (lines, reason) in [
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Reason::LengthAndCoding,
        ),
        (
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            Reason::LengthDuplicate,
        ),
        ("Content-Length: five\r\n", Reason::LengthInvalid),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            Reason::CodingUnknown,
        ),
        ("X: 1\r\n folded\r\n", Reason::FieldSyntax),
        ("X : 1\r\n", Reason::FieldSyntax),
        ("X: 1\n", Reason::BareLineFeed),
    ] {
        assert_eq!(
            verdict(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n")),
            Err(reason),
            "{lines}"
        );
    }
    let chunked10 = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(verdict(chunked10), Err(Reason::CodingInHttp10));
}

#[test]
fn switching_protocols_says_which() {
    let upgrade = |fields: &str| {
        let input = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
        let (head, response) = accept(&input, Method::Get);
        assert_eq!(response.body, BodyLength::Empty);
        assert!(head.headers.is_empty());
        head.upgrade
    };
    let websocket = upgrade("Connection: Upgrade\r\nUpgrade: WebSocket\r\n");
    assert_eq!(websocket.as_deref(), Some("WebSocket"));
    for none in ["Upgrade: websocket\r\n", "Connection: upgrade\r\n", ""] {
        assert_eq!(upgrade(none), None, "{none}");
    }
}

#[test]
fn a_parser_reads_interim_and_final_response() {
    let input =
        b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (mut parser, mut head) = (
        ResponseParser::new(HeadLimits::default()),
        ResponseHead::default(),
    );
    let first = parser
        .parse(input, &Method::Get, &mut head)
        .unwrap()
        .unwrap();
    assert!(head.status.is_informational());
    let rest = &input[first.consumed..];
    let second = parser
        .parse(rest, &Method::Get, &mut head)
        .unwrap()
        .unwrap();
    assert_eq!((head.status, second.consumed), (Status::OK, rest.len()));
}
