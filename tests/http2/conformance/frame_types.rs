//! RFC 9113 sections 6 and 7: each type of frame, its sizes and where it may stand; error codes.

use super::*;

pub fn cases() -> Vec<Case> {
    let open = post(1, &[]);
    vec![
        case(
            "6.1 DATA on stream 0",
            &[frame(DATA, 1, 0, b"x")],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.1 DATA on no open stream",
            &[get(1), frame(DATA, 1, 3, b"x")],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.1 DATA of padding beyond it",
            &[open.clone(), frame(DATA, 1 | PADDED, 1, b"\x09body")],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.2 HEADERS on stream 0",
            &[get(0)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.2 HEADERS of padding beyond it",
            &[frame(HEADERS, 5 | PADDED, 1, b"\xff\x82\x86\x84")],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.3 PRIORITY on stream 0",
            &[frame(PRIORITY, 0, 0, &[0, 0, 0, 1, 9])],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.3 PRIORITY of another length",
            &[frame(PRIORITY, 0, 1, &[0; 4])],
            StreamError(SIZE),
        ),
        case(
            "6.4 RST_STREAM on stream 0",
            &[reset(0)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.4 RST_STREAM of another length",
            &[open.clone(), frame(RST_STREAM, 0, 1, &[0; 3])],
            ConnectionError(SIZE),
        ),
        case(
            "6.5 SETTINGS ACK with a payload",
            &[frame(SETTINGS, ACK, 0, &[0; 6])],
            ConnectionError(SIZE),
        ),
        case(
            "6.5 SETTINGS on a stream",
            &[frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 9])],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.5 SETTINGS of another length",
            &[frame(SETTINGS, 0, 0, &[0; 3])],
            ConnectionError(SIZE),
        ),
        case(
            "6.5.2 ENABLE_PUSH 2",
            &[settings(2, 2)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.5.2 INITIAL_WINDOW_SIZE too large",
            &[settings(4, 1 << 31)],
            ConnectionError(FLOW),
        ),
        case(
            "6.5.2 MAX_FRAME_SIZE too small",
            &[settings(5, (1 << 14) - 1)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.5.2 MAX_FRAME_SIZE too large",
            &[settings(5, 1 << 24)],
            ConnectionError(PROTOCOL),
        ),
        case("6.5.2 an unknown setting", &[settings(0xff, 1)], Serves(1)),
        case(
            "6.5.3 several values of one setting",
            &[[settings(4, 100), settings(4, 1)].concat()],
            Serves(1),
        ),
        case(
            "6.6 PUSH_PROMISE of a client",
            &[frame(
                PUSH_PROMISE,
                4,
                1,
                &[&[0, 0, 0, 2][..], &request("GET", &[])].concat(),
            )],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.7 PING on a stream",
            &[frame(PING, 0, 1, &[0; 8])],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.7 PING of another length",
            &[frame(PING, 0, 0, &[0; 6])],
            ConnectionError(SIZE),
        ),
        case(
            "6.7 PING ACK is not answered",
            &[
                frame(PING, ACK, 0, b"unasked!"),
                frame(PING, 0, 0, b"abcdefgh"),
            ],
            Pongs,
        ),
        case(
            "6.8 GOAWAY on a stream",
            &[frame(GOAWAY, 0, 1, &[0; 8])],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.9 WINDOW_UPDATE 0 of the connection",
            &[widen(0, 0)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.9 WINDOW_UPDATE 0 of a stream",
            &[open.clone(), widen(1, 0)],
            StreamError(PROTOCOL),
        ),
        case(
            "6.9 WINDOW_UPDATE of another length",
            &[frame(WINDOW_UPDATE, 0, 0, &[0; 3])],
            ConnectionError(SIZE),
        ),
        case(
            "6.9.1 the connection's window overflows",
            &[widen(0, 0x7fff_ffff), widen(0, 0x7fff_ffff)],
            ConnectionError(FLOW),
        ),
        case(
            "6.9.1 a stream's window overflows",
            &[open.clone(), widen(1, 0x7fff_ffff), widen(1, 0x7fff_ffff)],
            StreamError(FLOW),
        ),
        case(
            "6.10 CONTINUATION on stream 0",
            &[
                frame(HEADERS, 1, 1, &request("GET", &[])),
                frame(CONTINUATION, 4, 0, b""),
            ],
            ConnectionError(PROTOCOL),
        ),
        case(
            "6.10 CONTINUATION after END_HEADERS",
            &[get(1), frame(CONTINUATION, 4, 1, b"")],
            ConnectionError(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        case(
            "6.10 CONTINUATION after DATA",
            &[
                open.clone(),
                frame(DATA, 0, 1, b"x"),
                frame(CONTINUATION, 4, 1, b""),
            ],
            ConnectionError(PROTOCOL),
        ),
        case(
            "7 GOAWAY with an unknown code",
            &[frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff])],
            Ends,
        ),
        case(
            "7 RST_STREAM with an unknown code",
            &[open, frame(RST_STREAM, 0, 1, &[0, 0, 0, 0xff])],
            Serves(3),
        ),
    ]
}
