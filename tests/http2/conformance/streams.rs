//! RFC 9113 section 5: the states of streams, their names and number, priorities, extensions.

use super::*;

pub fn cases() -> Vec<Case> {
    let ended = post(1, &[]);
    let end = frame(DATA, 1, 1, b"x");
    vec![
        case(
            "5.1 idle: DATA",
            &[frame(DATA, 1, 1, b"x")],
            ConnectionError(PROTOCOL),
        ),
        case(
            "5.1 idle: RST_STREAM",
            &[reset(1)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "5.1 idle: WINDOW_UPDATE",
            &[widen(1, 100)],
            ConnectionError(PROTOCOL),
        ),
        case(
            "5.1 idle: CONTINUATION",
            &[frame(CONTINUATION, 4, 1, &request("GET", &[]))],
            ConnectionError(PROTOCOL),
        ),
        case(
            "5.1 half-closed: DATA",
            &[get(1), frame(DATA, 1, 1, b"x")],
            StreamError(CLOSED),
        ),
        case(
            "5.1 half-closed: HEADERS",
            &[get(1), get(1)],
            StreamError(CLOSED),
        ),
        case(
            "5.1 half-closed: CONTINUATION",
            &[get(1), frame(CONTINUATION, 4, 1, &request("GET", &[]))],
            ConnectionError(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        case(
            "5.1 reset: DATA",
            &[ended.clone(), reset(1), frame(DATA, 1, 1, b"x")],
            StreamError(CLOSED),
        ),
        case(
            "5.1 reset: HEADERS",
            &[ended.clone(), reset(1), fields(1, &[("x", "y")])],
            StreamError(CLOSED),
        ),
        case(
            "5.1 reset: CONTINUATION",
            &[ended.clone(), reset(1), frame(CONTINUATION, 4, 1, b"")],
            ConnectionError(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        case(
            "5.1 closed: DATA",
            &[ended.clone(), end.clone(), frame(DATA, 1, 1, b"x")],
            StreamError(CLOSED),
        ),
        case(
            "5.1 closed: HEADERS",
            &[ended.clone(), end.clone(), fields(1, &[("x", "y")])],
            StreamError(CLOSED),
        ),
        case("5.1.1 an even stream", &[get(2)], ConnectionError(PROTOCOL)),
        case(
            "5.1.1 a smaller stream",
            &[get(5), get(3)],
            ConnectionError(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        case(
            "5.1.2 too many streams",
            &(0..260).map(|n| post(2 * n + 1, &[])).collect::<Vec<_>>(),
            StreamError(&[REFUSED_STREAM, PROTOCOL_ERROR]),
        ),
        case(
            "5.3.1 HEADERS depend on themselves",
            &[with_priority(1, 1, END_HEADERS)],
            StreamError(PROTOCOL),
        ),
        case(
            "5.3.1 PRIORITY depends on itself",
            &[frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 9])],
            StreamError(PROTOCOL),
        ),
        case(
            "5.5 an unknown frame within a block",
            &[
                frame(HEADERS, 1, 1, &request("GET", &[])),
                frame(0xff, 0, 0, &[0; 8]),
                frame(CONTINUATION, 4, 1, b""),
            ],
            ConnectionError(PROTOCOL),
        ),
        case(
            "5.5 an unknown frame elsewhere",
            &[frame(0xff, 9, 7, &[1; 30])],
            Serves(1),
        ),
        case(
            "8.1 a second HEADERS without END_STREAM",
            &[post(1, &[]), frame(HEADERS, 4, 1, &block(&[("x", "y")]))],
            StreamError(PROTOCOL),
        ),
    ]
}
