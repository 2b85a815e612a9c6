//! RFC 9113 section 8, RFC 8441 and RFC 7541: requests that are well formed, and header compression.

use super::*;

pub fn cases() -> Vec<Case> {
    let usual = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.example"),
    ];
    let and = |more: &[(&'static str, &'static str)]| fields(1, &[&usual[..], more].concat());
    let without = |name: &str| {
        let left: Vec<_> = usual
            .iter()
            .copied()
            .filter(|(field, _)| *field != name)
            .collect();
        fields(1, &left)
    };
    let with = |name: &str, value: &'static str| {
        let changed = usual.map(|(field, old)| (field, if field == name { value } else { old }));
        fields(1, &changed)
    };
    let bad = StreamError(PROTOCOL);
    vec![
        case("8.2 a name in upper case", &[and(&[("X-Test", "ok")])], bad),
        case(
            "8.2.1 a value with a line feed",
            &[and(&[("x", "a\nb: c")])],
            bad,
        ),
        case("8.2.1 a value with a NUL", &[and(&[("x", "a\0b")])], bad),
        case(
            "8.2.1 a value that begins with a space",
            &[and(&[("x", " a")])],
            bad,
        ),
        case("8.2.1 a name with a space", &[and(&[("x y", "a")])], bad),
        case("8.2.1 an empty name", &[and(&[("", "a")])], bad),
        case(
            "8.3 an unknown pseudo-header field",
            &[and(&[(":test", "ok")])],
            bad,
        ),
        case("8.3 one of a response", &[and(&[(":status", "200")])], bad),
        case(
            "8.3 one after other fields",
            &[fields(
                1,
                &[("x", "y"), usual[0], usual[1], usual[2], usual[3]],
            )],
            bad,
        ),
        case(
            "8.2.2 connection",
            &[and(&[("connection", "keep-alive")])],
            bad,
        ),
        case("8.2.2 keep-alive", &[and(&[("keep-alive", "1")])], bad),
        case(
            "8.2.2 proxy-connection",
            &[and(&[("proxy-connection", "close")])],
            bad,
        ),
        case(
            "8.2.2 transfer-encoding",
            &[and(&[("transfer-encoding", "chunked")])],
            bad,
        ),
        case("8.2.2 upgrade", &[and(&[("upgrade", "h2c")])], bad),
        case(
            "8.2.2 te: gzip",
            &[and(&[("te", "trailers, deflate")])],
            bad,
        ),
        case(
            "8.2.2 te: trailers",
            &[and(&[("te", "trailers")])],
            Answers(1),
        ),
        case("8.3.1 an empty path", &[with(":path", "")], bad),
        case("8.3.1 a path without a slash", &[with(":path", "a")], bad),
        case("8.3.1 no method", &[without(":method")], bad),
        case("8.3.1 no scheme", &[without(":scheme")], bad),
        case("8.3.1 no path", &[without(":path")], bad),
        case(
            "8.3.1 no authority and no host",
            &[without(":authority")],
            Answers(1),
        ),
        case("8.3.1 two methods", &[and(&[(":method", "GET")])], bad),
        case("8.3.1 two schemes", &[and(&[(":scheme", "http")])], bad),
        case("8.3.1 two paths", &[and(&[(":path", "/")])], bad),
        case("8.3.1 two authorities", &[and(&[(":authority", "b")])], bad),
        case(
            "8.3.1 a host that differs",
            &[and(&[("host", "b.example")])],
            bad,
        ),
        case(
            "8.3.1 userinfo",
            &[with(":authority", "user@a.example")],
            Answers(1),
        ),
        case(
            "8.5 CONNECT with a path",
            &[with(":method", "CONNECT")],
            bad,
        ),
        case(
            "8441 :protocol on a GET",
            &[and(&[(":protocol", "websocket")])],
            bad,
        ),
        case(
            "8.1.1 content-length above the DATA",
            &[post(1, &[("content-length", "2")]), frame(DATA, 1, 1, b"x")],
            bad,
        ),
        case(
            "8.1.1 content-length below the DATA",
            &[
                post(1, &[("content-length", "1")]),
                frame(DATA, 1, 1, b"xy"),
            ],
            bad,
        ),
        case(
            "8.1.1 content-length and several DATA",
            &[
                post(1, &[("content-length", "1")]),
                frame(DATA, 0, 1, b"x"),
                frame(DATA, 1, 1, b"y"),
            ],
            bad,
        ),
        case(
            "8.1.1 content-length and no DATA",
            &[and(&[("content-length", "5")])],
            bad,
        ),
        case(
            "8.1.1 two content-lengths",
            &[
                post(1, &[("content-length", "1"), ("content-length", "2")]),
                frame(DATA, 1, 1, b"x"),
            ],
            bad,
        ),
        case(
            "7541 2.3.3 an index beyond the table",
            &[frame(HEADERS, 5, 1, &[0x82, 0x86, 0x84, 0xc6])],
            ConnectionError(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
        case(
            "7541 6.1 the index 0",
            &[frame(HEADERS, 5, 1, &[0x82, 0x86, 0x84, 0x80])],
            ConnectionError(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
        case(
            "7541 4.2 a late table size",
            &[frame(HEADERS, 5, 1, &[0x82, 0x86, 0x84, 0x20])],
            ConnectionError(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
        case(
            "7541 6.3 a table size beyond the limit",
            &[frame(
                HEADERS,
                5,
                1,
                &[0x3f, 0xe2, 0xff, 0x03, 0x82, 0x86, 0x84],
            )],
            ConnectionError(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
        case(
            "7541 5.2 Huffman padding too long",
            &[frame(
                HEADERS,
                5,
                1,
                &[0x82, 0x86, 0x84, 0, 0x81, 0xf8, 0x82, 0xff, 0xff],
            )],
            ConnectionError(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
        case(
            "7541 5.2 Huffman EOS",
            &[frame(
                HEADERS,
                5,
                1,
                &[
                    0x82, 0x86, 0x84, 0, 0x81, 0xf8, 0x84, 0xff, 0xff, 0xff, 0xff,
                ],
            )],
            ConnectionError(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
    ]
}
