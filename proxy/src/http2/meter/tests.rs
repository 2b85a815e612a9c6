use proptest::prelude::*;

use super::*;
use crate::http2::PREFACE;
use crate::limits;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What is allowed by default, and more and less of everything.
fn settings() -> [Allowed; 3] {
    let usual = Allowed::default();
    let scaled = |by: fn(u32) -> u32| {
        let mut allowed = usual;
        for shape in Abuse::ALL {
            let rate = allowed.rates.of_mut(shape);
            (rate.burst, rate.per_second) = (by(rate.burst), by(rate.per_second));
        }
        Allowed {
            continuations: by(usual.continuations),
            empty_continuations: by(usual.empty_continuations),
            block_bytes: by(usual.block_bytes as u32) as usize,
            unended_streams: by(usual.unended_streams as u32) as usize,
            unfinished: by(1) * usual.unfinished,
            ..allowed
        }
    };
    [
        usual,
        scaled(|number| number.div_ceil(2)),
        scaled(|number| 3 * number),
    ]
}

fn begun(now: Instant) -> Meter {
    begun_with(Allowed::default(), now)
}

fn begun_with(allowed: Allowed, now: Instant) -> Meter {
    let mut meter = Meter::new(allowed, now);
    assert_eq!(meter.received(PREFACE, now), Ok(()));
    meter
}

/// After how many of these frames the meter has had enough, of 100,000 in one second.
fn stopped_after(allowed: Allowed, frame: &[u8]) -> Option<(usize, Verdict)> {
    let now = Instant::now();
    let mut meter = begun_with(allowed, now);
    (0..100_000).find_map(|count| meter.received(frame, now).err().map(|why| (count, why)))
}

/// The page of limits names the constants.
#[test]
fn the_usual_rates_are_those_of_the_limits() {
    for (shape, (burst, per_second)) in [
        (Abuse::RapidReset, limits::HTTP2_RESETS),
        (Abuse::MadeYouReset, limits::HTTP2_MADE_RESETS),
        (Abuse::Settings, limits::HTTP2_SETTINGS),
        (Abuse::Ping, limits::HTTP2_PINGS),
        (Abuse::Priority, limits::HTTP2_PRIORITIES),
        (Abuse::EmptyData, limits::HTTP2_EMPTY_DATA),
        (Abuse::WindowUpdate, limits::HTTP2_WINDOW_UPDATES),
        (Abuse::Unknown, limits::HTTP2_UNKNOWN_FRAMES),
        (Abuse::ZeroWindow, limits::HTTP2_ZERO_WINDOWS),
    ] {
        let expected = Allowance { burst, per_second };
        assert_eq!(Allowed::default().rates.of(shape), expected, "{shape:?}");
    }
}

#[test]
fn floods_are_stopped_each_under_its_name() {
    for (flood, shape) in [
        (frame(3, 0, 1, &[0, 0, 0, 8]), Abuse::RapidReset),
        (frame(4, 0, 0, &[]), Abuse::Settings),
        (frame(6, 0, 0, &[0; 8]), Abuse::Ping),
        (frame(2, 0, 3, &[0; 5]), Abuse::Priority),
        (frame(16, 0, 0, &[0; 6]), Abuse::Priority),
        (frame(0, 0, 1, &[]), Abuse::EmptyData),
        (frame(0, 8, 1, &[3, 0, 0, 0]), Abuse::EmptyData),
        (frame(8, 0, 0, &[0, 0, 0, 1]), Abuse::WindowUpdate),
        (frame(99, 0, 0, &[]), Abuse::Unknown),
    ] {
        for allowed in settings() {
            let most = allowed.rates.of(shape).burst as usize;
            let expected = Some((most, Verdict::Abuse(shape)));
            assert_eq!(stopped_after(allowed, &flood), expected);
        }
    }
    for harmless in [frame(0, 1, 1, &[]), frame(0, 8, 1, &[0, 1])] {
        assert_eq!(stopped_after(Allowed::default(), &harmless), None);
    }
}

#[test]
fn a_header_block_has_few_pieces_and_few_bytes() {
    let now = Instant::now();
    for allowed in settings() {
        let outcome = |pieces: usize, length: usize| {
            let mut meter = begun_with(allowed, now);
            let mut bytes = frame(1, 0, 1, b"x");
            (0..pieces).for_each(|_| bytes.extend(frame(9, 0, 1, &vec![0; length])));
            bytes.extend(frame(9, 4, 1, b"x"));
            meter.received(&bytes, now)
        };
        let (many, empty) = (
            allowed.continuations as usize,
            allowed.empty_continuations as usize,
        );
        let too_many = Err(Verdict::Abuse(Abuse::Continuation));
        assert_eq!(outcome(many - 1, 1), Ok(()));
        assert_eq!(outcome(many, 1), too_many);
        assert_eq!(outcome(empty, 0), Ok(()));
        assert_eq!(
            outcome(empty + 1, 0),
            Err(Verdict::Abuse(Abuse::EmptyContinuation))
        );
        assert_eq!(outcome(1, allowed.block_bytes - 2), Ok(()));
        assert_eq!(outcome(1, allowed.block_bytes - 1), too_many);
    }
}

/// The `h2` crate's own bound is what makes the difference beyond the first five (its `calc_max_continuation_frames`).
#[test]
fn longer_heads_may_have_more_pieces() {
    for (bytes, most) in [
        (1 << 10, 5),
        (64 << 10, 5),
        (80 << 10, 6),
        (256 << 10, 20),
        (16 << 20, 1280),
    ] {
        assert_eq!(most_continuations(bytes), most, "{bytes}");
    }
    assert_eq!(
        most_continuations(limits::HEAD_BYTES_MAX),
        limits::HTTP2_CONTINUATIONS_MAX
    );
}

#[test]
fn what_is_begun_must_end_in_time() {
    let now = Instant::now();
    for allowed in settings() {
        let late = now + allowed.unfinished;
        let after = |bytes: &[u8]| {
            let mut meter = begun_with(allowed, now);
            assert_eq!(meter.received(bytes, now), Ok(()));
            assert!(!meter.expired(late - Duration::from_millis(1)));
            meter.expired(late)
        };
        assert!(
            Meter::new(allowed, now).expired(late),
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
}

#[test]
fn resets_that_weir_is_made_to_send_are_counted() {
    let now = Instant::now();
    let (cancelled, refused) = (frame(3, 0, 1, &[0, 0, 0, 8]), frame(3, 0, 1, &[0, 0, 0, 1]));
    for allowed in settings() {
        let mut meter = begun_with(allowed, now);
        for _ in 0..10_000 {
            assert_eq!(meter.sent(&cancelled, now), Ok(()));
        }
        for _ in 0..allowed.rates.of(Abuse::MadeYouReset).burst {
            assert_eq!(meter.sent(&refused, now), Ok(()));
        }
        let outcome = meter.sent(&refused, now);
        assert_eq!(outcome, Err(Verdict::Abuse(Abuse::MadeYouReset)));
    }
}

#[test]
fn streams_that_are_begun_and_never_ended_are_counted() {
    let now = Instant::now();
    let begin = |meter: &mut Meter, count: usize| {
        meter.received(&frame(1, 4, 2 * count as u32 + 1, b"x"), now)
    };
    for allowed in settings() {
        let most = allowed.unended_streams;
        let mut meter = begun_with(allowed, now);
        for count in 0..most {
            assert_eq!(begin(&mut meter, count), Ok(()), "{count}");
        }
        let mut other = meter.clone();
        let over = begin(&mut meter, most);
        assert_eq!(over, Err(Verdict::Abuse(Abuse::MadeYouReset)));
        let ended = other.received(&frame(0, 1, 1, b""), now);
        assert_eq!(ended, Ok(()), "one ends");
        assert_eq!(begin(&mut other, most), Ok(()));
    }
}

#[test]
fn each_second_allows_more() {
    let now = Instant::now();
    let shapes = Abuse::ALL
        .into_iter()
        .filter(|shape| Rates::default().of(*shape).burst > 0);
    for (shape, allowed) in shapes.flat_map(|shape| settings().map(|allowed| (shape, allowed))) {
        let Allowance { burst, per_second } = allowed.rates.of(shape);
        let mut meter = begun_with(allowed, now);
        let mut take = |count: u32, now: Instant| {
            (0..count).for_each(|_| assert_eq!(meter.count(shape, now), Ok(())));
            assert_eq!(meter.count(shape, now), Err(Verdict::Abuse(shape)));
        };
        take(burst, now);
        take(per_second, now + Duration::from_secs(1));
        // Never more at once than at the start.
        take(burst, now + Duration::from_secs(1_000_000));
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

#[test]
fn windows_are_followed_whatever_pieces_frames_come_in() {
    let now = Instant::now();
    let fields = frame(1, 0x5, 1, &[0x82]);
    let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 9, 0, 4, 0, 0, 0, 10]);
    let widened = frame(8, 0, 1, &[0x80, 0, 0, 5]);
    let received = [fields, settings, widened].concat();
    let data = |length: usize| frame(0, 0, 1, &vec![b'x'; length]);
    for piece in [1, 3, received.len()] {
        let mut meter = begun(now);
        for part in received.chunks(piece) {
            assert_eq!(meter.received(part, now), Ok(()));
        }
        assert_eq!(meter.sent(&data(14), now), Ok(()));
        assert!(!meter.is_closed(1));
        for part in data(1).chunks(piece) {
            assert_eq!(meter.sent(part, now), Ok(()));
        }
        assert!(meter.is_closed(1));
        assert_eq!(meter.sent(&frame(0, 1, 1, &[]), now), Ok(()));
        assert!(!meter.is_closed(1), "it is over");
    }
}

#[test]
fn a_window_too_large_is_told_from_a_frame_of_another_length() {
    let now = Instant::now();
    // As a header, this would be one of PRIORITY.
    let settings = frame(4, 0, 0, &[0, 4, 0x80, 2, 0, 0]);
    let outcome = begun(now).received(&settings, now);
    assert_eq!(outcome, Err(Verdict::WindowSize));
}
