use proptest::prelude::*;

use super::*;
use crate::http2::PREFACE;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn begun(now: Instant) -> Meter {
    let mut meter = Meter::new(now);
    assert_eq!(meter.received(PREFACE, now), Ok(()));
    meter
}

/// After how many of these frames the meter has had enough, of 100,000 in one second.
fn stopped_after(frame: &[u8]) -> Option<(usize, Verdict)> {
    let now = Instant::now();
    let mut meter = begun(now);
    (0..100_000).find_map(|count| meter.received(frame, now).err().map(|why| (count, why)))
}

#[test]
fn floods_are_stopped_each_under_its_name() {
    for (flood, shape, most) in [
        (
            frame(3, 0, 1, &[0, 0, 0, 8]),
            Abuse::RapidReset,
            limits::HTTP2_RESETS,
        ),
        (frame(4, 0, 0, &[]), Abuse::Settings, limits::HTTP2_SETTINGS),
        (frame(6, 0, 0, &[0; 8]), Abuse::Ping, limits::HTTP2_PINGS),
        (
            frame(2, 0, 3, &[0; 5]),
            Abuse::Priority,
            limits::HTTP2_PRIORITIES,
        ),
        (
            frame(16, 0, 0, &[0; 6]),
            Abuse::Priority,
            limits::HTTP2_PRIORITIES,
        ),
        (
            frame(0, 0, 1, &[]),
            Abuse::EmptyData,
            limits::HTTP2_EMPTY_DATA,
        ),
        (
            frame(0, 8, 1, &[3, 0, 0, 0]),
            Abuse::EmptyData,
            limits::HTTP2_EMPTY_DATA,
        ),
        (
            frame(8, 0, 0, &[0, 0, 0, 1]),
            Abuse::WindowUpdate,
            limits::HTTP2_WINDOW_UPDATES,
        ),
        (
            frame(99, 0, 0, &[]),
            Abuse::Unknown,
            limits::HTTP2_UNKNOWN_FRAMES,
        ),
    ] {
        let expected = Some((most.0 as usize, Verdict::Abuse(shape)));
        assert_eq!(stopped_after(&flood), expected);
    }
    let ends = frame(0, 1, 1, &[]);
    assert_eq!(stopped_after(&ends), None);
    assert_eq!(stopped_after(&frame(0, 8, 1, &[0, 1])), None);
}

#[test]
fn a_header_block_has_few_pieces_and_few_bytes() {
    let now = Instant::now();
    let outcome = |pieces: usize, length: usize| {
        let mut meter = begun(now);
        let mut bytes = frame(1, 0, 1, b"x");
        (0..pieces).for_each(|_| bytes.extend(frame(9, 0, 1, &vec![0; length])));
        bytes.extend(frame(9, 4, 1, b"x"));
        meter.received(&bytes, now)
    };
    let (many, empty) = (
        limits::HTTP2_CONTINUATIONS_MAX as usize,
        limits::HTTP2_EMPTY_CONTINUATIONS_MAX as usize,
    );
    assert_eq!(outcome(many - 1, 1), Ok(()));
    assert_eq!(outcome(many, 1), Err(Verdict::Abuse(Abuse::Continuation)));
    assert_eq!(outcome(empty, 0), Ok(()));
    assert_eq!(
        outcome(empty + 1, 0),
        Err(Verdict::Abuse(Abuse::EmptyContinuation))
    );
    let bytes = limits::HTTP2_HEADER_BLOCK_BYTES_MAX;
    assert_eq!(outcome(1, bytes - 2), Ok(()));
    assert_eq!(
        outcome(1, bytes - 1),
        Err(Verdict::Abuse(Abuse::Continuation))
    );
}

#[test]
fn what_is_begun_must_end_in_time() {
    let now = Instant::now();
    let late = now + limits::HTTP2_HEADER_BLOCK;
    let after = |bytes: &[u8]| {
        let mut meter = begun(now);
        assert_eq!(meter.received(bytes, now), Ok(()));
        meter.expired(late)
    };
    assert!(
        Meter::new(now).expired(late),
        "a connection without a preface"
    );
    assert!(!after(b""), "an idle connection");
    assert!(after(b"\0"), "the first byte of a frame");
    assert!(
        after(&frame(1, 4, 1, b"block")[..10]),
        "half a HEADERS frame"
    );
    assert!(after(&frame(1, 0, 1, b"block")), "a block without its end");
    assert!(!after(&frame(1, 4, 1, b"block")), "a whole block");
    assert!(!after(&frame(0, 0, 1, b"body")[..10]), "a slow body");
}

#[test]
fn resets_that_weir_is_made_to_send_are_counted() {
    let now = Instant::now();
    let mut meter = begun(now);
    let (cancelled, refused) = (frame(3, 0, 1, &[0, 0, 0, 8]), frame(3, 0, 1, &[0, 0, 0, 1]));
    for _ in 0..10_000 {
        assert_eq!(meter.sent(&cancelled, now), Ok(()));
    }
    for _ in 0..limits::HTTP2_MADE_RESETS.0 {
        assert_eq!(meter.sent(&refused, now), Ok(()));
    }
    let outcome = meter.sent(&refused, now);
    assert_eq!(outcome, Err(Verdict::Abuse(Abuse::MadeYouReset)));
}

#[test]
fn streams_that_are_begun_and_never_ended_are_counted() {
    let now = Instant::now();
    let begin = |meter: &mut Meter, count: usize| {
        meter.received(&frame(1, 4, 2 * count as u32 + 1, b"x"), now)
    };
    let mut meter = begun(now);
    for count in 0..limits::HTTP2_UNENDED_STREAMS_MAX {
        assert_eq!(begin(&mut meter, count), Ok(()), "{count}");
    }
    let mut other = meter.clone();
    let over = begin(&mut meter, limits::HTTP2_UNENDED_STREAMS_MAX);
    assert_eq!(over, Err(Verdict::Abuse(Abuse::MadeYouReset)));
    assert_eq!(
        other.received(&frame(0, 1, 1, b""), now),
        Ok(()),
        "one ends"
    );
    assert_eq!(begin(&mut other, limits::HTTP2_UNENDED_STREAMS_MAX), Ok(()));
}

#[test]
fn each_second_allows_more() {
    let now = Instant::now();
    for (shape, (most, more)) in [
        (Abuse::ZeroWindow, limits::HTTP2_ZERO_WINDOWS),
        (Abuse::RapidReset, limits::HTTP2_RESETS),
        (Abuse::Settings, limits::HTTP2_SETTINGS),
    ] {
        let mut meter = begun(now);
        let mut take = |count: u32, now: Instant| {
            (0..count).for_each(|_| assert_eq!(meter.count(shape, now), Ok(())));
            assert_eq!(meter.count(shape, now), Err(Verdict::Abuse(shape)));
        };
        take(most, now);
        take(more, now + Duration::from_secs(1));
        // Never more at once than at the start.
        take(most, now + Duration::from_secs(1_000_000));
    }
}

#[test]
fn who_gets_much_may_ask_much() {
    let now = Instant::now();
    let mut meter = begun(now);
    let (ping, data) = (frame(6, 0, 0, &[0; 8]), frame(0, 0, 1, b"payload"));
    for _ in 0..100_000 {
        assert_eq!(meter.sent(&data, now), Ok(()));
        assert_eq!(meter.received(&ping, now), Ok(()));
    }
}

#[test]
fn frames_of_a_wrong_length_are_found() {
    let now = Instant::now();
    for (kind, flags, length) in [
        (2, 0, 4),
        (3, 0, 5),
        (4, 0, 5),
        (4, 1, 6),
        (6, 0, 7),
        (7, 0, 7),
        (8, 0, 3),
    ] {
        let outcome = begun(now).received(&frame(kind, flags, 1, &vec![0; length]), now);
        assert_eq!(outcome, Err(Verdict::FrameSize), "type {kind}");
    }
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        frames in proptest::collection::vec((0u8..18, any::<u8>(), 0usize..40), 1..300),
        cut in 1usize..50,
    ) {
        let now = Instant::now();
        let stream: Vec<u8> = frames
            .into_iter()
            .flat_map(|(kind, flags, length)| frame(kind, flags, 1, &vec![flags; length]))
            .collect();
        let (mut whole, mut pieces) = (begun(now), begun(now));
        let at_once = whole.received(&stream, now);
        let by_pieces = stream.chunks(cut).try_for_each(|piece| pieces.received(piece, now));
        prop_assert_eq!(at_once, by_pieces);
        if at_once.is_ok() {
            prop_assert_eq!(whole.deadline(), pieces.deadline());
        }
    }
}
