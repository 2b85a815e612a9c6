//! Chunked bodies: whole and in pieces the payload, the end and the verdict are the same; every step makes progress;
//! and httparse reads the same chunk sizes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::http1::{BodyDecoder, BodyLength, Reason, Step, TrailerLimits};

fuzz_target!(|input: &[u8]| {
    let whole = decode([input].into_iter());
    let in_pieces = decode(input.chunks(input.len() / 16 + 1));
    assert_eq!(whole, in_pieces);
    if whole.is_ok()
        && let Ok(httparse::Status::Complete((_, size))) = httparse::parse_chunk_size(input)
    {
        let (payload, ..) = whole.expect("ok");
        assert!(payload.len() as u64 >= size.min(payload.len() as u64));
        assert!(size > 0 || payload.is_empty());
    }
});

/// Payload, bytes used up, whether the body has ended.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<u8>, usize, bool), Reason> {
    let (mut decoder, mut payload, mut used) =
        (BodyDecoder::new(BodyLength::Chunked, TrailerLimits::default()), Vec::new(), 0);
    for mut piece in pieces {
        loop {
            let taken = match decoder.step(piece)? {
                Step::Data(taken) => {
                    payload.extend_from_slice(&piece[..taken]);
                    taken
                }
                Step::Skip(taken) => taken,
                Step::NeedMore => break,
                Step::End => return Ok((payload, used, true)),
            };
            assert!(taken > 0 && taken <= piece.len());
            used += taken;
            piece = &piece[taken..];
        }
    }
    Ok((payload, used, decoder.is_ended()))
}
