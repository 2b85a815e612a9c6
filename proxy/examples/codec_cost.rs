//! What the HTTP/1.1 codec costs: a usual request and response, read and written anew, in nanoseconds.
//!
//! `cargo run --release --package weir --example codec_cost`. Printed, never asserted.

use std::hint::black_box;
use std::time::Instant;

use weir::http::{Method, RequestHead, ResponseHead};
use weir::http1::{
    ConnectionField, HeadLimits, RequestParser, ResponseParser, encode_request, encode_response,
};

/// Ten fields, as a browser sends them.
const REQUEST: &[u8] =
    b"GET /api/histories/f2db41e1fa331b3e/contents?v=dev&limit=1000 HTTP/1.1\r\n\
    Host: usegalaxy.eu\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: application/json, text/plain, */*\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://usegalaxy.eu/\r\n\
    Connection: keep-alive\r\n\
    Cookie: galaxysession=c6ca0ddb55be603a8dc1f2a3d6d8b3b0c9a7f64b; session_csrf=9f2a7c\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Site: same-origin\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: nginx/1.22.1\r\n\
    Date: Sun, 22 Nov 2026 15:00:00 GMT\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 1024\r\n\
    Last-Modified: Sun, 22 Nov 2026 14:00:00 GMT\r\n\
    Connection: keep-alive\r\n\
    ETag: \"5f3e1a2b-400\"\r\n\
    Accept-Ranges: bytes\r\n\r\n";

/// Unless another number is given as the argument: valgrind needs far fewer.
const ROUNDS: u32 = 10_000;
const REPEATS: usize = 500;

fn main() {
    let mut out = Vec::with_capacity(4096);
    let (mut head, mut parser) = (
        RequestHead::default(),
        RequestParser::new(HeadLimits::default()),
    );
    report("parse request", || {
        black_box(parser.parse(black_box(REQUEST), &mut head))
            .expect("valid")
            .expect("whole");
    });
    let request = parser
        .parse(REQUEST, &mut head)
        .expect("valid")
        .expect("whole");
    report("encode request", || {
        out.clear();
        encode_request(
            &head,
            None,
            request.body.announce(),
            ConnectionField::Omit,
            &mut out,
        );
        black_box(&out);
    });
    let (mut head, mut parser) = (
        ResponseHead::default(),
        ResponseParser::new(HeadLimits::default()),
    );
    report("parse response", || {
        let parsed = parser.parse(black_box(RESPONSE), &Method::Get, &mut head);
        black_box(parsed).expect("valid").expect("whole");
    });
    let parsed = parser
        .parse(RESPONSE, &Method::Get, &mut head)
        .expect("valid");
    let announce = parsed.expect("whole").announce;
    report("encode response", || {
        out.clear();
        encode_response(&head, announce, ConnectionField::Omit, &mut out);
        black_box(&out);
    });
}

/// The best of several runs: what disturbs a run only makes it longer.
fn report(what: &str, mut round: impl FnMut()) {
    let rounds = std::env::args()
        .nth(1)
        .map_or(ROUNDS, |text| text.parse().expect("a number"));
    let mut run = || {
        let start = Instant::now();
        (0..rounds).for_each(|_| round());
        start.elapsed().as_nanos() as f64 / f64::from(rounds)
    };
    let best = (0..REPEATS).map(|_| run()).fold(f64::INFINITY, f64::min);
    println!("{what:16} {best:6.0} ns");
}
