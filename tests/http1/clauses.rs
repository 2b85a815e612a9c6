//! What RFC 9110 and RFC 9112 say of requests, clause by clause. Where the RFC leaves a choice, weir refuses;
//! docs/HTTP.md names the clauses where it does otherwise.

use super::origin::{Origin, Reply};
use super::{Connection, before};

/// A POST with these fields and this body.
macro_rules! post {
    ($rest:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: a\r\n", $rest)
    };
}

/// A POST with this body, chunks and all.
macro_rules! chunked {
    ($body:literal) => {
        concat!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            $body
        )
    };
}

/// Clause, request, and what weir answers: 200 where the request reaches the origin.
const CASES: &[(&str, &str, u16)] = &[
    (
        "9112-2.2 one empty line before a request",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        200,
    ),
    (
        "9112-2.2 more of them",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9112-2.2 bare LF ends a line",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9112-2.2 bare LF ends the head",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        400,
    ),
    (
        "9112-2.2 bare CR in a line",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        400,
    ),
    (
        "9112-2.2 bare CR before CR LF",
        "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        400,
    ),
    (
        "9112-2.2 white space before the first field",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        400,
    ),
    (
        "9112-2.3 version in lower case",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9112-2.3 two digits",
        "GET / HTTP/1.10\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9112-2.3 leading zero",
        "GET / HTTP/01.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9110-2.5 higher minor version",
        "GET / HTTP/1.9\r\nHost: a\r\n\r\n",
        200,
    ),
    (
        "9110-2.5 major version 0",
        "GET / HTTP/0.9\r\nHost: a\r\n\r\n",
        505,
    ),
    (
        "9110-2.5 major version 3",
        "GET / HTTP/3.0\r\nHost: a\r\n\r\n",
        505,
    ),
    ("9112-3 no version (HTTP/0.9)", "GET /\r\n\r\n", 400),
    (
        "9112-3 two spaces",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    ("9112-3 a tab", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (
        "9112-3 leading space",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9112-3 trailing space",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9112-3.1 method in lower case is another one",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        200,
    ),
    (
        "9112-3.1 method of token characters",
        "M-!#$%&'*+.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n",
        200,
    ),
    (
        "9112-3.1 method with a colon",
        "GE:T / HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9112-3.2 authority form without CONNECT",
        "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9112-3.2.1 no slash",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9112-3.2.2 absolute form",
        "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        200,
    ),
    (
        "9112-3.2.2 another Host beside it",
        "GET http://a/b HTTP/1.1\r\nHost: c\r\n\r\n",
        200,
    ),
    (
        "9112-3.2.2 no Host beside it",
        "GET http://a/b HTTP/1.1\r\n\r\n",
        400,
    ),
    (
        "9110-4.2.1 no host in it",
        "GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9110-4.2.4 user information",
        "GET http://u:p@a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9112-3.2.2 another scheme",
        "GET ftp://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9112-3.2.4 asterisk form",
        "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n",
        200,
    ),
    (
        "9112-3.2.4 asterisk without OPTIONS",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9112-3.2 Host twice",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9112-3.2 Host with a path",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        400,
    ),
    (
        "9112-3.2 Host with a user",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        400,
    ),
    (
        "9112-3.2 Host with a space",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        400,
    ),
    (
        "9112-3.2 Host a list",
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        400,
    ),
    (
        "9112-3.2 Host empty",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        400,
    ),
    (
        "9112-3.2 port of letters",
        "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
        400,
    ),
    (
        "9112-3.2 port too large",
        "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n",
        400,
    ),
    (
        "9112-3.2 IPv6",
        "GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n",
        200,
    ),
    (
        "9112-3.2 IPv6 that is none",
        "GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n",
        400,
    ),
    (
        "9112-5.1 space before the colon",
        "GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
        400,
    ),
    (
        "9112-5.1 tab before the colon",
        "GET / HTTP/1.1\r\nHost: a\r\nX\t: 1\r\n\r\n",
        400,
    ),
    (
        "9112-5.1 no name",
        "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n",
        400,
    ),
    (
        "9112-5.1 no colon",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        400,
    ),
    (
        "9112-5.2 obs-fold",
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
        400,
    ),
    (
        "9112-5.2 obs-fold of nothing",
        "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n \r\n\r\n",
        400,
    ),
    (
        "9110-5.5 obs-text in a value",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \u{e9}\r\n\r\n",
        200,
    ),
    (
        "9110-5.1 obs-text in a name",
        "GET / HTTP/1.1\r\nHost: a\r\n\u{e9}: 1\r\n\r\n",
        400,
    ),
    (
        "9110-5.5 NUL in a value",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        400,
    ),
    (
        "9110-5.5 DEL in a value",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
        400,
    ),
    (
        "9110-5.5 white space around a value",
        "GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n",
        200,
    ),
    (
        "9112-6.1 chunked and a length",
        post!("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        400,
    ),
    (
        "9112-6.1 chunked twice",
        post!("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        400,
    ),
    (
        "9112-6.1 chunked in two fields",
        post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        400,
    ),
    (
        "9112-6.1 chunked not last",
        post!("Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        400,
    ),
    (
        "9112-6.1 unknown coding",
        post!("Transfer-Encoding: foo, chunked\r\n\r\n0\r\n\r\n"),
        501,
    ),
    (
        "9112-6.1 identity",
        post!("Transfer-Encoding: identity\r\n\r\n"),
        400,
    ),
    (
        "9112-6.1 empty coding",
        post!("Transfer-Encoding:\r\n\r\n"),
        400,
    ),
    (
        "9112-6.1 quoted",
        post!("Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
        400,
    ),
    (
        "9112-6.1 in any case",
        post!("Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n"),
        200,
    ),
    (
        "9112-6.1 in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "9112-6.3 lengths that differ",
        post!("Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        400,
    ),
    (
        "9112-6.3 a list of equal lengths",
        post!("Content-Length: 1, 1\r\n\r\na"),
        400,
    ),
    (
        "9110-8.6 negative",
        post!("Content-Length: -1\r\n\r\n"),
        400,
    ),
    ("9110-8.6 a sign", post!("Content-Length: +1\r\n\r\na"), 400),
    (
        "9110-8.6 hexadecimal",
        post!("Content-Length: 0x1\r\n\r\na"),
        400,
    ),
    ("9110-8.6 empty", post!("Content-Length:\r\n\r\n"), 400),
    (
        "9110-8.6 larger than 64 bits",
        post!("Content-Length: 18446744073709551616\r\n\r\n"),
        400,
    ),
    (
        "9110-8.6 leading zeros",
        post!("Content-Length: 0001\r\n\r\na"),
        200,
    ),
    (
        "9110-8.6 a length of GET",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na",
        200,
    ),
    (
        "9112-7.1 size with 0x",
        chunked!("0x1\r\na\r\n0\r\n\r\n"),
        400,
    ),
    (
        "9112-7.1 size with a sign",
        chunked!("+1\r\na\r\n0\r\n\r\n"),
        400,
    ),
    (
        "9112-7.1 size with an underscore",
        chunked!("1_0\r\na\r\n0\r\n\r\n"),
        400,
    ),
    (
        "9112-7.1 size larger than 64 bits",
        chunked!("10000000000000001\r\na\r\n0\r\n\r\n"),
        400,
    ),
    ("9112-7.1 no size", chunked!("\r\na\r\n0\r\n\r\n"), 400),
    (
        "9112-7.1 space after the size",
        chunked!("1 \r\na\r\n0\r\n\r\n"),
        400,
    ),
    (
        "9112-7.1 bare LF after the size",
        chunked!("1\na\r\n0\r\n\r\n"),
        400,
    ),
    (
        "9112-7.1 no CR LF after the data",
        chunked!("1\r\nab\r\n0\r\n\r\n"),
        400,
    ),
    (
        "9112-7.1 bare LF after the data",
        chunked!("1\r\na\n0\r\n\r\n"),
        400,
    ),
    (
        "9112-7.1.1 extensions",
        chunked!("1;a;b=c;d=\"e\\\"f\"\r\na\r\n0;x\r\n\r\n"),
        200,
    ),
    (
        "9112-7.1.1 bare LF in an extension",
        chunked!("1;a\nb\r\na\r\n0\r\n\r\n"),
        400,
    ),
    (
        "9112-7.1.1 bare CR in an extension",
        chunked!("1;a\rb\r\na\r\n0\r\n\r\n"),
        400,
    ),
    (
        "9112-7.1.1 semicolon and nothing",
        chunked!("1;\r\na\r\n0\r\n\r\n"),
        400,
    ),
    ("9112-7.1.2 trailers", chunked!("0\r\nX: 1\r\n\r\n"), 200),
    (
        "9112-7.1.2 bare LF in trailers",
        chunked!("0\r\nX: 1\n\r\n"),
        400,
    ),
    (
        "9110-10.1.1 an unknown expectation",
        post!("Expect: 200-ok\r\nContent-Length: 1\r\n\r\na"),
        417,
    ),
    (
        "9110-10.1.1 expectation in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\na",
        200,
    ),
    (
        "9110-9.3.6 CONNECT",
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        501,
    ),
    (
        "9110-7.8 upgrade to h2c is ignored",
        concat!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n",
            "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
        ),
        200,
    ),
];

#[test]
fn each_clause() {
    let origin = Origin::new(|_| Reply::ok("reached"));
    let (_weir, address) = before(&origin);
    let mut reached = 0;
    for (clause, request, status) in CASES {
        let mut connection = Connection::open(address);
        connection.send(request);
        let response = connection.response();
        assert_eq!(response.status, *status, "{clause}: {request:?}");
        if *status == 200 {
            reached += 1;
            assert_eq!(response.text(), "reached", "{clause}");
        } else {
            assert_eq!(connection.rest(), b"", "{clause}: closed after a refusal");
        }
    }
    assert_eq!(origin.requests().len(), reached, "nothing that was refused");
}
