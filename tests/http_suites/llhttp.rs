//! llhttp's messages: Markdown files in which each case has its bytes and the log of a strict parser.

use std::fs;
use std::path::Path;

use super::{Outcome, Verdict, differ_as_documented, require_suites, with_host};
use crate::http1::before;
use crate::http1::origin::{Origin, Reply};
use crate::support::client::Connection;

const REQUESTS: &[&str] = &[
    "sample",
    "method",
    "uri",
    "connection",
    "content-length",
    "transfer-encoding",
    "invalid",
    "finish",
    "pipelining",
];

const RESPONSES: &[&str] = &[
    "sample",
    "connection",
    "content-length",
    "transfer-encoding",
    "invalid",
    "finish",
    "pipelining",
];

/// A case of the strict parser.
struct Case {
    name: String,
    bytes: Vec<u8>,
    log: String,
}

impl Case {
    /// The log stops with an error. Bytes after the last message of a connection (5), which weir never reads, and
    /// after a request for an upgrade (22) are none.
    fn is_error(&self) -> bool {
        let mut codes = self.log.split(" error code=").skip(1);
        codes.any(|rest| !rest.starts_with("5 ") && !rest.starts_with("22 "))
    }

    /// Messages that are whole.
    fn messages(&self) -> usize {
        self.log.matches(" message complete").count()
    }

    /// The last message is not, and nothing is wrong with it so far.
    fn is_unfinished(&self) -> bool {
        !self.is_error() && self.log.matches(" message begin").count() > self.messages()
    }
}

#[test]
fn requests_are_taken_or_refused_as_llhttp_says() {
    let Some(suites) = require_suites() else {
        return;
    };
    let origin = Origin::new(|_| Reply::new("HTTP/1.1 204 No Content\r\n\r\n"));
    let (_weir, address) = before(&origin);
    let (mut differing, mut cases) = (Vec::new(), 0);
    for case in REQUESTS
        .iter()
        .flat_map(|file| read(&suites, "request", file))
    {
        let outcome = Outcome::of(address, &origin, &with_host(&case.bytes));
        cases += 1;
        let taken = |status: &&u16| **status == 204;
        let agrees = if case.is_error() {
            outcome.verdict(|_| String::new()) == Verdict::Refused
        } else if case.is_unfinished() {
            outcome.statuses.iter().filter(taken).count() == case.messages()
        } else {
            outcome.statuses == vec![204; case.messages()]
        };
        if !agrees {
            let error = case.log.lines().find(|line| line.contains("error code="));
            let said = format!(
                "{} messages, {error:?}, found {:?}, {} at the origin: {:?}",
                case.messages(),
                outcome.statuses,
                outcome.requests.len(),
                String::from_utf8_lossy(&case.bytes)
            );
            differing.push((case.name, said));
        }
    }
    println!("{cases} cases, {} come out otherwise", differing.len());
    assert!(cases >= 100, "{cases} cases");
    differ_as_documented("llhttp-request", &differing);
}

#[test]
fn responses_are_taken_or_refused_as_llhttp_says() {
    let Some(suites) = require_suites() else {
        return;
    };
    let (mut differing, mut cases) = (Vec::new(), 0);
    for case in RESPONSES
        .iter()
        .flat_map(|file| read(&suites, "response", file))
    {
        let bytes = case.bytes.clone();
        let origin = Origin::new(move |_| Reply::new(bytes.clone()).close());
        let (_weir, address) = before(&origin);
        let mut client = Connection::open(address);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = client.rest();
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.get(9..12).unwrap_or_default();
        let refused = status == "502";
        cases += 1;
        // What comes after the first message is not weir's to read.
        let first_is_whole = case.messages() > 0;
        if refused == first_is_whole && (case.is_error() || first_is_whole) {
            let error = case.log.lines().find(|line| line.contains("error code="));
            let said = format!(
                "{error:?}, found {status}: {:?}",
                String::from_utf8_lossy(&case.bytes)
            );
            differing.push((case.name, said));
        }
    }
    println!("{cases} cases, {} come out otherwise", differing.len());
    assert!(cases >= 30, "{cases} cases");
    differ_as_documented("llhttp-response", &differing);
}

/// The cases for the strict parser in one file.
fn read(suites: &Path, kind: &str, file: &str) -> Vec<Case> {
    let path = suites.join(format!(
        "aiohttp-3.14.5/vendor/llhttp/test/{kind}/{file}.md"
    ));
    let text = fs::read_to_string(&path).expect("the suite");
    let (mut cases, mut title, mut strict) = (Vec::<Case>::new(), String::new(), false);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix('#') {
            title = heading.trim_start_matches('#').trim().to_owned();
        } else if line.starts_with("<!-- meta=") {
            strict = line.contains(&format!("\"type\": \"{kind}\""))
                && !line.contains("\"pause\"")
                && !line.contains("\"skipBody\"");
        } else if line == "```http" && strict {
            let block = block(&mut lines);
            let same = cases
                .iter()
                .filter(|case| case.name.starts_with(&*title))
                .count();
            let name = match same {
                0 => title.clone(),
                more => format!("{title} ({})", more + 1),
            };
            // One is written in JavaScript: a target of 9,000 letters and the like.
            strict = !block.contains("${");
            if strict {
                cases.push(Case {
                    name,
                    bytes: bytes(&block),
                    log: String::new(),
                });
            }
        } else if line == "```log" {
            let log = block(&mut lines);
            if strict && let Some(case) = cases.last_mut() {
                case.log = log;
            }
        }
    }
    for case in &mut cases {
        case.name = format!("{file}: {}", case.name.replace('`', ""));
    }
    cases
}

fn block<'a>(lines: &mut impl Iterator<Item = &'a str>) -> String {
    let block: Vec<&str> = lines.take_while(|line| *line != "```").collect();
    block.join("\n")
}

/// As llhttp's own runner does it: a backslash before a line's end joins lines, other line ends are CR LF, and what is
/// escaped is meant.
fn bytes(block: &str) -> Vec<u8> {
    let text = block.replace("\\\n", "").replace('\n', "\r\n");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, used) = match (first, after) {
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'f', ..]) => (0x0c, 2),
            (b'\\', [b'x', digits @ ..]) => number(digits, 16, 2),
            (b'\\', digits @ [b'0'..=b'7', ..]) => {
                let (byte, used) = number(digits, 8, 3);
                (byte, used - 1)
            }
            _ => (first, 1),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    bytes
}

/// A number of at most so many digits, and the length of its escape with two characters before it.
fn number(digits: &[u8], radix: u32, most: usize) -> (u8, usize) {
    let digits = digits.iter().take(most);
    let digits: String = digits
        .map(|digit| char::from(*digit))
        .take_while(|digit| digit.is_digit(radix))
        .collect();
    let number = u32::from_str_radix(&digits, radix).unwrap_or_default();
    (number as u8, digits.len() + 2)
}
