//! The meter before HTTP/2: whole and in pieces the verdict is the same, on what comes and on what goes.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use weir::http2::{Allowed, Meter, PREFACE, Verdict};

fuzz_target!(|input: &[u8]| {
    let now = Instant::now();
    let whole = measure([input].into_iter(), now);
    let in_pieces = measure(input.chunks(input.len() / 16 + 1), now);
    let byte_by_byte = measure(input.chunks(1), now);
    assert_eq!(whole, in_pieces);
    assert_eq!(whole, byte_by_byte);
});

fn measure<'a>(
    pieces: impl Iterator<Item = &'a [u8]> + Clone,
    now: Instant,
) -> (Result<(), Verdict>, Result<(), Verdict>) {
    let mut meter = Meter::new(Allowed::default(), now);
    assert_eq!(meter.received(PREFACE, now), Ok(()));
    let mut outgoing = meter.clone();
    (
        pieces
            .clone()
            .try_for_each(|piece| meter.received(piece, now)),
        pieces.into_iter().try_for_each(|piece| outgoing.sent(piece, now)),
    )
}
