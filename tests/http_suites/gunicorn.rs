//! gunicorn's requests: `tests/requests/valid` and `invalid`, each a text of bytes beside what it is to be read as.

use std::fs;
use std::path::Path;

use super::{Outcome, Verdict, differ_as_documented, require_suites, with_host};
use crate::http1::before;
use crate::http1::origin::{Origin, Recorded, Reply};

#[test]
fn each_request_is_read_as_gunicorn_says_or_refused() {
    let Some(suites) = require_suites() else {
        return;
    };
    let origin = Origin::new(|_| Reply::new("HTTP/1.1 204 No Content\r\n\r\n"));
    let (_weir, address) = before(&origin);
    let (mut differing, mut cases) = (Vec::new(), 0);
    for kind in ["valid", "invalid"] {
        let directory = suites.join("gunicorn-27.0.1/tests/requests").join(kind);
        for name in names(&directory) {
            let text = |extension: &str| {
                fs::read(directory.join(format!("{name}.{extension}"))).expect("a pair of files")
            };
            let expected = match kind {
                "valid" => Verdict::Taken(messages(&String::from_utf8_lossy(&text("py")))),
                _ => Verdict::Refused,
            };
            let bytes = with_host(&bytes(&text("http")));
            let found = Outcome::of(address, &origin, &bytes).verdict(told);
            cases += 1;
            if found != expected {
                let said = format!("expected {expected:?}, found {found:?}");
                differing.push((format!("{kind}/{name}"), said));
            }
        }
    }
    println!("{cases} cases, {} come out otherwise", differing.len());
    assert!(cases >= 140, "{cases} cases");
    differ_as_documented("gunicorn", &differing);
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the suite");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.filter_map(|name| Some(name.to_str()?.strip_suffix(".http")?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Line ends are written out in these files, and mean nothing themselves.
fn bytes(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let (byte, used) = match (first, after) {
            (b'\n', _) => (None, 1),
            (b'\\', [b'r', ..]) => (Some(b'\r'), 2),
            (b'\\', [b'n', ..]) => (Some(b'\n'), 2),
            (b'\\', [b't', ..]) => (Some(b'\t'), 2),
            (b'\\', [b'0', ..]) => (Some(0), 2),
            (b'\\', [b'x', high, low, ..]) => (hexadecimal(*high, *low), 4),
            _ => (Some(first), 1),
        };
        bytes.extend(byte);
        rest = &rest[used..];
    }
    bytes
}

fn hexadecimal(high: u8, low: u8) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(&[high, low]).ok()?, 16).ok()
}

/// Method and target of each request, out of `"method": "GET"` and `"uri": uri("/")`.
fn messages(python: &str) -> Vec<String> {
    let methods = python.split("\"method\": \"").skip(1);
    let methods = methods.map(|rest| rest.split('"').next().unwrap_or_default());
    let targets = python.split("uri(").skip(1);
    let targets = targets.map(|rest| {
        let text = rest.trim_start_matches('b');
        let quote = text.chars().next().unwrap_or('"');
        origin_form(text[1..].split(quote).next().unwrap_or_default())
    });
    methods
        .zip(targets)
        .map(|(method, target)| format!("{method} {target}"))
        .collect()
}

/// What an origin server gets (RFC 9112 section 3.2.1): no authority, and no fragment.
fn origin_form(target: &str) -> &str {
    let target = target.split('#').next().unwrap_or_default();
    let absolute = target
        .split_once("://")
        .filter(|_| !target.starts_with('/'));
    absolute.map_or(target, |(_, rest)| {
        &rest[rest.find('/').unwrap_or_default()..]
    })
}

/// The same of a request that arrived.
fn told(request: &Recorded) -> String {
    let line = request.line();
    line.strip_suffix(" HTTP/1.1").unwrap_or(line).to_owned()
}
