//! http2jp/hpack-test-case: header blocks of many encoders, in stories that share one table. Those of requests are sent
//! to weir on one connection each. Most have a `connection` field, which HTTP/2 forbids (RFC 9113 section 8.2.2): these
//! are refused, and the table goes on; of the others, what reaches the origin is what the story says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::require_suites;
use crate::http1::origin::{Origin, Recorded, Reply};
use crate::http2::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PROTOCOL_ERROR, RST_STREAM, Raw, frame,
};

type Fields = BTreeMap<String, Vec<String>>;

#[test]
fn each_story_of_requests_arrives_as_it_was_told() {
    let Some(suites) = require_suites() else {
        return;
    };
    let origin = Origin::new(|_| Reply::new("HTTP/1.1 204 No Content\r\n\r\n"));
    let table = "    http2:\n      maxDecoderHeaderTableSize: 16384\n";
    let url = format!("http://{}", origin.address());
    let (_weir, address) = crate::http2::before(&url, table);
    let (mut stories, mut cases, mut compared) = (0, 0, 0);
    for path in files(&suites.join("vendor/httlib-hpack/fixtures")) {
        let text = fs::read_to_string(&path).expect("the suite");
        let story: Value = serde_json::from_str(&text).expect("JSON");
        let told: Vec<&Value> = story["cases"].as_array().expect("cases").iter().collect();
        if fields(told[0]).contains_key(":status") {
            continue;
        }
        let mut raw = Raw::open(address);
        raw.greet();
        let mut refused = 0;
        for (index, case) in told.iter().enumerate() {
            // One more is taken for abuse.
            if refused == weir::limits::HTTP2_MADE_RESETS.0 {
                break;
            }
            let wire = bytes(case["wire"].as_str().expect("a block"));
            let stream = 2 * index as u32 + 1;
            let before = origin.requests().len();
            raw.send(block(stream, &wire));
            let answer = raw
                .read_until(|frame| {
                    frame.kind == GOAWAY
                        || frame.stream == stream && matches!(frame.kind, HEADERS | RST_STREAM)
                })
                .unwrap_or_else(|| panic!("{path:?} {index}: the connection ended"));
            let expected = fields(case);
            cases += 1;
            if expected.contains_key("connection") {
                let code = (answer.kind == RST_STREAM).then(|| answer.code());
                assert_eq!(code, Some(PROTOCOL_ERROR), "{path:?} {index}: {answer:?}");
                refused += 1;
                continue;
            }
            assert_eq!(answer.kind, HEADERS, "{path:?} {index}");
            let arrived = origin.requests().split_off(before);
            let [request] = &arrived[..] else {
                panic!("{path:?} {index}: {answer:?}");
            };
            assert_eq!(received(request, &expected), expected, "{path:?} {index}");
            compared += 1;
        }
        stories += 1;
    }
    println!("{cases} blocks in {stories} stories, {compared} of them allowed in HTTP/2");
    assert!(
        cases > 3_500 && compared >= 70,
        "{cases} blocks, {compared} allowed"
    );
}

/// The block in frames of the usual size.
fn block(stream: u32, wire: &[u8]) -> Vec<u8> {
    let pieces: Vec<&[u8]> = wire.chunks(16 << 10).collect();
    let mut frames = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let (kind, first) = match index {
            0 => (HEADERS, END_STREAM),
            _ => (CONTINUATION, 0),
        };
        let last = if index + 1 == pieces.len() {
            END_HEADERS
        } else {
            0
        };
        frames.extend(frame(kind, first | last, stream, piece));
    }
    frames
}

/// What the story says of a case.
fn fields(case: &Value) -> Fields {
    let mut fields = Fields::new();
    for field in case["headers"].as_array().expect("fields") {
        for (name, value) in field.as_object().expect("a field") {
            let value = value.as_str().expect("text").to_owned();
            fields.entry(name.clone()).or_default().push(value);
        }
    }
    // RFC 9113 section 8.2.3: cookie crumbs are put together for HTTP/1.1.
    if let Some(crumbs) = fields.get_mut("cookie") {
        *crumbs = vec![crumbs.join("; ")];
    }
    fields
}

/// The same fields of what arrived; weir adds others.
fn received(request: &Recorded, expected: &Fields) -> Fields {
    let mut words = request.line().split(' ');
    let (method, target) = (words.next(), words.next());
    let value = |name: &str| -> Vec<String> {
        match name {
            ":method" => method.map(str::to_owned).into_iter().collect(),
            ":path" => target.map(str::to_owned).into_iter().collect(),
            ":authority" => request
                .fields("host")
                .iter()
                .map(|&v| v.to_owned())
                .collect(),
            // A request in HTTP/1.1 does not say.
            ":scheme" => expected[name].clone(),
            _ => request.fields(name).iter().map(|&v| v.to_owned()).collect(),
        }
    };
    expected
        .keys()
        .map(|name| (name.clone(), value(name)))
        .collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).expect("the suite");
        entries
            .map(|entry| entry.expect("an entry").path())
            .collect()
    };
    let directories = entries(directory).into_iter().filter(|path| path.is_dir());
    let mut files: Vec<PathBuf> = directories.flat_map(|path| entries(&path)).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    files
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks(2);
    digits
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("digits");
            u8::from_str_radix(pair, 16).expect("a byte")
        })
        .collect()
}
