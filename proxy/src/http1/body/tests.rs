//! Bodies: valid, malformed, at each limit and one over it, and in any split.

use proptest::prelude::*;

use super::*;
use crate::{http::Name, limits};

/// Payload, bytes used up, the decoder.
fn decode(length: BodyLength, pieces: &[&[u8]]) -> Result<(Vec<u8>, usize, BodyDecoder), Reason> {
    let (mut decoder, mut payload, mut used) = (
        BodyDecoder::new(length, TrailerLimits::default()),
        Vec::new(),
        0,
    );
    for piece in pieces {
        let mut input = *piece;
        loop {
            let taken = match decoder.step(input)? {
                Step::Data(taken) => {
                    payload.extend_from_slice(&input[..taken]);
                    taken
                }
                Step::Skip(taken) => taken,
                Step::End => return Ok((payload, used, decoder)),
                Step::NeedMore => break,
            };
            assert!(taken > 0, "every step makes progress");
            used += taken;
            input = &input[taken..];
        }
    }
    Ok((payload, used, decoder))
}

fn chunked(input: &str) -> Result<(String, usize, BodyDecoder), Reason> {
    let (payload, used, decoder) = decode(BodyLength::Chunked, &[input.as_bytes()])?;
    Ok((String::from_utf8_lossy(&payload).into(), used, decoder))
}

#[track_caller]
fn accept(input: &str, payload: &str) -> BodyDecoder {
    let (found, used, decoder) =
        chunked(&format!("{input}NEXT")).unwrap_or_else(|reason| panic!("{input:?}: {reason:?}"));
    assert_eq!(
        (found.as_str(), used, decoder.is_ended()),
        (payload, input.len(), true),
        "{input:?}"
    );
    decoder
}

#[test]
fn plain_lengths() {
    let (payload, used, mut decoder) = decode(BodyLength::Length(5), &[b"he", b"llo!"]).unwrap();
    assert_eq!(
        (&payload[..], used, decoder.end_of_input()),
        (&b"hello"[..], 5, Ok(()))
    );
    let (_, _, mut decoder) = decode(BodyLength::Length(5), &[b"he"]).unwrap();
    assert_eq!(decoder.end_of_input(), Err(Reason::BodyTruncated));
    for empty in [BodyLength::Empty, BodyLength::Length(0)] {
        assert_eq!(
            BodyDecoder::new(empty, TrailerLimits::default()).step(b"x"),
            Ok(Step::End)
        );
    }
    let (payload, _, mut decoder) = decode(BodyLength::UntilClose, &[b"a", b"b"]).unwrap();
    assert!(payload == b"ab" && !decoder.is_ended());
    assert_eq!(
        (decoder.end_of_input(), decoder.step(b"")),
        (Ok(()), Ok(Step::End))
    );
}

#[test]
fn chunks() {
    accept("0\r\n\r\n", "");
    accept("5\r\nhello\r\n0\r\n\r\n", "hello");
    accept(
        "0000000000000001\r\na\r\nA\r\n0123456789\r\n00\r\n\r\n",
        "a0123456789",
    );
    accept(
        "1;a\r\nx\r\n1;a=b;c=\"d;\\\"\t\"\r\ny\r\n1 ; a = b\r\nz\r\n0;e\r\n\r\n",
        "xyz",
    );
    let (payload, _, mut decoder) = chunked("5\r\nhel").unwrap();
    assert_eq!(
        (payload.as_str(), decoder.end_of_input()),
        ("hel", Err(Reason::BodyTruncated))
    );
}

#[test]
fn bad_chunks() {
    for (input, reason) in [
        ("\r\n", Reason::ChunkSize),
        ("g\r\n", Reason::ChunkSize),
        ("-1\r\n", Reason::ChunkSize),
        ("+1\r\n", Reason::ChunkSize),
        ("0x1\r\n", Reason::ChunkSize),
        (" 1\r\n", Reason::ChunkSize),
        ("1_\r\n", Reason::ChunkSize),
        ("1\n", Reason::ChunkSize),
        ("1\rx", Reason::ChunkSize),
        ("10000000000000000\r\n", Reason::ChunkSize),
        ("00000000000000001\r\n", Reason::ChunkSize),
        ("1 \r\n", Reason::ChunkExtension),
        ("1;\r\n", Reason::ChunkExtension),
        ("1;;a\r\n", Reason::ChunkExtension),
        ("1;a=\r\n", Reason::ChunkExtension),
        ("1;a=\"\r\n", Reason::ChunkExtension),
        ("1;a\n", Reason::ChunkExtension),
        ("1;a\rb\r\n", Reason::ChunkExtension),
        ("1;a=\"b\nc\"\r\n", Reason::ChunkExtension),
        ("1;a\0\r\n", Reason::ChunkExtension),
        ("1\r\nab\r\n", Reason::ChunkEnd),
        ("1\r\na\n", Reason::ChunkEnd),
        ("1\r\na\r\r\n", Reason::ChunkEnd),
        ("0\r\nX: 1\n\r\n", Reason::TrailerSyntax),
        ("0\r\nX : 1\r\n\r\n", Reason::TrailerSyntax),
        ("0\r\nX: 1\r\n y\r\n\r\n", Reason::TrailerSyntax),
        ("0\r\nX\r\n\r\n", Reason::TrailerSyntax),
        ("0\r\n\n", Reason::TrailerSyntax),
    ] {
        assert_eq!(chunked(input).map(|_| ()), Err(reason), "{input:?}");
    }
}

#[test]
fn trailers_are_kept_but_not_those_that_decide() {
    let input = "0\r\nGrpc-Status: 0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nCookie: a\r\nX-Sum: 1\r\n\r\n";
    let decoder = accept(input, "");
    let trailers = decoder.trailers().expect("two are left");
    assert_eq!(
        (trailers.len(), trailers.get(Name::literal("x-sum"))),
        (2, Some(&b"1"[..]))
    );
    assert!(accept("0\r\n\r\n", "").trailers().is_none());
    assert!(accept("0\r\nHost: a\r\n\r\n", "").trailers().is_none());
}

/// At each limit a body passes, one over it does not.
#[test]
fn limits_hold_exactly() {
    let line = |bytes: usize| format!("0;{}\r\n\r\n", "a".repeat(bytes - 3));
    accept(&line(limits::CHUNK_LINE_BYTES_MAX), "");
    assert_eq!(
        chunked(&line(limits::CHUNK_LINE_BYTES_MAX + 1)).map(drop),
        Err(Reason::ChunkExtension)
    );

    let extension = format!("1;{}\r\nx\r\n", "a".repeat(127));
    let chunks = limits::CHUNK_EXTENSION_BYTES_MAX / 128;
    accept(
        &(extension.repeat(chunks) + "0\r\n\r\n"),
        &"x".repeat(chunks),
    );
    assert_eq!(
        chunked(&(extension.repeat(chunks) + "0;a\r\n\r\n")).map(drop),
        Err(Reason::ChunkExtension)
    );

    let trailer = |bytes: usize| format!("0\r\nX: {}\r\n\r\n", "a".repeat(bytes - 7));
    accept(&trailer(limits::TRAILER_BYTES_MAX), "");
    assert_eq!(
        chunked(&trailer(limits::TRAILER_BYTES_MAX + 1)).map(drop),
        Err(Reason::TrailersTooLarge)
    );
    let trailers = |count: usize| format!("0\r\n{}\r\n", "X: 1\r\n".repeat(count));
    accept(&trailers(limits::TRAILER_FIELDS_MAX), "");
    assert_eq!(
        chunked(&trailers(limits::TRAILER_FIELDS_MAX + 1)).map(drop),
        Err(Reason::TrailersTooLarge)
    );
}

proptest! {
    /// However the bytes are cut, payload, end and verdict are the same.
    #[test]
    fn any_split_gives_the_same(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "3\r\nabc\r\n", "1;x=\"y\"\r\nz\r\n", "0\r\n\r\n", "0\r\nT: 1\r\n\r\n", "\r\n", "f", "\n", ";a", "12\r\n",
        ]), 0..8),
        cut in 0usize..64,
        second in 0usize..64,
    ) {
        let input = pieces.concat().into_bytes();
        let (first, rest) = input.split_at(cut.min(input.len()));
        let (second, third) = rest.split_at(second.min(rest.len()));
        let view = |result: Result<(Vec<u8>, usize, BodyDecoder), Reason>| {
            result.map(|(payload, used, decoder)| {
                (payload, used, decoder.is_ended(), decoder.trailers().map(Headers::len))
            })
        };
        let whole = view(decode(BodyLength::Chunked, &[&input]));
        prop_assert_eq!(&whole, &view(decode(BodyLength::Chunked, &[first, second, third])));
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(&whole, &view(decode(BodyLength::Chunked, &bytes)));
    }

    /// What the encoder writes, the decoder reads.
    #[test]
    fn encoded_chunks_come_back(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..5)) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            crate::http1::chunk_head(chunk.len(), &mut wire);
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        crate::http1::last_chunk(None, &mut wire);
        let (payload, used, decoder) = decode(BodyLength::Chunked, &[&wire]).expect("valid");
        prop_assert_eq!((payload, used, decoder.is_ended()), (chunks.concat(), wire.len(), true));
    }
}
