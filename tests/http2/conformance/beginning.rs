//! RFC 9113 sections 3 and 4, and what any peer must take: the beginning of a connection, frames, header blocks.

use super::*;

pub fn cases() -> Vec<Case> {
    let ping = frame(PING, 0, 0, b"abcdefgh");
    let block = request("GET", &[]);
    let (first, rest) = block.split_at(5);
    let padded = [&[3][..], &block, &[0; 3]].concat();
    vec![
        case("3.4 a client's connection preface", &[], Serves(1)),
        case(
            "4.1 a frame of an unknown type",
            &[frame(0xff, 0, 0, &[0; 8])],
            Serves(1),
        ),
        case(
            "4.1 undefined flags",
            &[frame(PING, 0xfe, 0, b"abcdefgh")],
            Pongs,
        ),
        case(
            "4.1 the reserved bit",
            &[frame(PING, 0, 1 << 31, b"abcdefgh")],
            Pongs,
        ),
        case(
            "4.2 a DATA frame of 2^14 bytes",
            &[post(1, &[]), frame(DATA, 1, 1, &[0; 1 << 14])],
            Answers(1),
        ),
        case(
            "4.2 a larger DATA frame",
            &[post(1, &[]), frame(DATA, 1, 1, &[0; (1 << 14) + 1])],
            StreamError(SIZE),
        ),
        case(
            "4.2 a larger HEADERS frame",
            &[frame(HEADERS, 5, 1, &[0; (1 << 14) + 1])],
            ConnectionError(SIZE),
        ),
        case(
            "4.3 a block that cannot be decoded",
            &[frame(
                HEADERS,
                5,
                1,
                &[0x82, 0x86, 0x84, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            )],
            ConnectionError(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
        case(
            "4.3 another frame within a block",
            &[
                frame(HEADERS, 1, 1, first),
                frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]),
                frame(CONTINUATION, 4, 1, rest),
            ],
            ConnectionError(PROTOCOL),
        ),
        case(
            "4.3 another stream within a block",
            &[frame(HEADERS, 1, 1, first), get(3)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.2 padding and a priority",
            &[frame(HEADERS, 5 | PADDED, 1, &padded)],
            Answers(1),
        ),
        case(
            "6.10 a block in pieces",
            &[
                frame(HEADERS, 1, 1, first),
                frame(CONTINUATION, 0, 1, b""),
                frame(CONTINUATION, 4, 1, rest),
            ],
            Answers(1),
        ),
        case("a PING", &[ping], Pongs),
        case(
            "a PRIORITY",
            &[frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])],
            Serves(1),
        ),
        case(
            "a GET with a priority",
            &[with_priority(1, 0, END_HEADERS)],
            Answers(1),
        ),
        case(
            "a HEAD",
            &[frame(HEADERS, 5, 1, &request("HEAD", &[]))],
            Answers(1),
        ),
        case(
            "a POST with padding",
            &[post(1, &[]), frame(DATA, 1 | PADDED, 1, b"\x03body\0\0\0")],
            Answers(1),
        ),
        case(
            "a POST with trailers",
            &[
                post(1, &[("trailer", "x-t")]),
                frame(DATA, 0, 1, b"x"),
                fields(1, &[("x-t", "1")]),
            ],
            Answers(1),
        ),
        case(
            "a GOAWAY",
            &[frame(GOAWAY, 0, 0, &[0; 8]), frame(PING, 0, 0, b"abcdefgh")],
            Ends,
        ),
    ]
}
