//! Who gets which coding, and that what comes out can be decoded at every flush.

use std::io::Read;

use super::*;
use crate::middleware::tests::{Sent, complaints, read, response_to};

type List = [(&'static str, &'static str)];

/// The coding chosen, and the fields of the response.
fn chosen(
    settings: &List,
    sent: &Sent<'_>,
    fields: &List,
    length: Option<u64>,
) -> (Option<Coding>, Vec<String>) {
    let middleware = read("compress", settings).expect("settings");
    response_to(&middleware, sent, fields, length)
}

fn accepting(value: &str) -> Option<&'static str> {
    let fields = [("Accept-Encoding", value)];
    let sent = Sent {
        fields: &fields,
        ..Sent::get("/")
    };
    chosen(&[], &sent, &[("Content-Type", "text/html")], None)
        .0
        .map(Coding::name)
}

#[test]
fn clients_are_given_what_they_prefer() {
    for (value, expected) in [
        ("", None),
        ("gzip", Some("gzip")),
        ("zstd, br, gzip", Some("gzip")),
        ("br;q=1.0, gzip;q=0.5", Some("br")),
        ("br;q=0, gzip;q=0", None),
        ("*", Some("gzip")),
        ("identity, gzip", Some("gzip")),
        ("identity, gzip;q=0.9", None),
        ("deflate", None),
        ("gzip;q=x", None),
        ("zstd;q=0.9 , br ; q=0.2", Some("zstd")),
    ] {
        assert_eq!(accepting(value), expected, "{value}");
    }
    let silent = chosen(&[], &Sent::get("/"), &[], None);
    assert_eq!(silent, (None, vec![]));
    let default = chosen(&[("defaultEncoding", "zstd")], &Sent::get("/"), &[], None);
    assert_eq!(default.0, Some(Coding::Zstd));
    let order = [("encodings", "br,gzip")];
    let sent = Sent {
        fields: &[("Accept-Encoding", "gzip, br, zstd")],
        ..Sent::get("/")
    };
    assert_eq!(chosen(&order, &sent, &[], None).0, Some(Coding::Brotli));
}

const GZIP: Sent<'static> = Sent {
    fields: &[("Accept-Encoding", "gzip")],
    ..Sent::get("/")
};

#[test]
fn some_responses_stay_as_they_are() {
    let encoded = |settings: &List, fields: &List, length| {
        chosen(settings, &GZIP, fields, length).0.is_some()
    };
    assert!(encoded(&[], &[], Some(1_024)) && !encoded(&[], &[], Some(1_023)));
    assert!(encoded(&[("minResponseBodyBytes", "10")], &[], Some(10)));
    for fields in [
        [("Content-Encoding", "br")],
        [("Content-Range", "bytes 0-1/2")],
        [("Cache-Control", "private, No-Transform")],
        [("Content-Type", "application/grpc")],
        [("Content-Type", "nonsense")],
    ] {
        assert!(!encoded(&[], &fields, None), "{fields:?}");
    }
    let png = [("Content-Type", "image/PNG; a=b")];
    assert!(encoded(&[], &png, None));
    assert!(!encoded(
        &[("excludedContentTypes", "image/png")],
        &png,
        None
    ));
    assert!(!encoded(
        &[("includedContentTypes", "text/html")],
        &png,
        None
    ));
    assert!(encoded(
        &[("includedContentTypes", "image/png")],
        &png,
        None
    ));
    let head = Sent {
        method: "HEAD",
        ..GZIP
    };
    assert_eq!(chosen(&[], &head, &[], None), (None, vec![]));
}

#[test]
fn fields_say_what_was_done() {
    let (_, fields) = chosen(
        &[],
        &GZIP,
        &[("Accept-Ranges", "bytes"), ("Vary", "Origin")],
        None,
    );
    assert_eq!(
        fields,
        [
            "Vary: Origin",
            "Vary: Accept-Encoding",
            "Content-Encoding: gzip"
        ]
    );
    let (_, fields) = chosen(&[], &GZIP, &[("Vary", "accept-encoding")], Some(1));
    assert_eq!(fields, ["Vary: accept-encoding"]);
}

#[test]
fn what_no_coding_is_is_refused() {
    for settings in [
        vec![("encodings", "deflate")],
        vec![("defaultEncoding", "identity")],
        vec![("encodings", "gzip"), ("defaultEncoding", "br")],
        vec![("excludedContentTypes", "png")],
        vec![
            ("excludedContentTypes", "a/b"),
            ("includedContentTypes", "c/d"),
        ],
    ] {
        assert_eq!(complaints("compress", &settings).len(), 1, "{settings:?}");
    }
}

fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // What was flushed but not ended is an error only after all of it.
    let _ = match coding {
        Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        Coding::Brotli => brotli::Decompressor::new(bytes, 4_096).read_to_end(&mut out),
        Coding::Zstd => zstd::stream::read::Decoder::new(bytes)
            .expect("a decoder")
            .read_to_end(&mut out),
    };
    out
}

#[test]
fn every_flush_can_be_decoded_at_once() {
    for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
        let mut encoder = Encoder::new(coding).unwrap();
        let (mut wire, mut plain) = (Vec::new(), Vec::new());
        for round in 0..20_usize {
            let event = format!("data: {round}\n\n").repeat(1 + round * 97);
            plain.extend_from_slice(event.as_bytes());
            encoder.write(event.as_bytes(), &mut wire).unwrap();
            encoder.flush(&mut wire).unwrap();
            assert!(decoded(coding, &wire) == plain, "{coding:?} {round}");
        }
        encoder.finish(&mut wire).unwrap();
        assert!(
            decoded(coding, &wire) == plain && wire.len() < plain.len() / 4,
            "{coding:?}"
        );
    }
}
