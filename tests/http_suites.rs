//! Public suites, case by case through the real binary: the requests of gunicorn and the messages of llhttp
//! (HTTP/1.1), the stories of http2jp/hpack-test-case (RFC 7541). Where weir does otherwise than a suite expects,
//! docs/HTTP.md names the case and the clause; no other case may differ, and none that is named may agree.

mod gunicorn;
mod hpack;
mod llhttp;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;

use crate::http1::origin::{Origin, Recorded};
use crate::support::DEADLINE;

/// Where `cargo xtask setup` has put the suites, if it could; else the line by which the test counts as skipped.
fn require_suites() -> Option<PathBuf> {
    let target = PathBuf::from(env!("CARGO_BIN_EXE_weir"));
    let found = target
        .ancestors()
        .map(|directory| directory.join("http-suites"))
        .find(|suites| suites.join("complete").exists());
    if found.is_none() {
        println!("skipped: needs the HTTP suites (cargo xtask setup)");
    }
    found
}

/// What a suite says of a case, or what weir makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is refused before its end.
    Refused,
    /// These messages are in it, and nothing is wrong with them.
    Taken(Vec<String>),
}

/// What came of some bytes that were sent on one connection, to its end.
struct Outcome {
    /// The final statuses that the client got.
    statuses: Vec<u16>,
    /// What reached the origin.
    requests: Vec<Recorded>,
}

impl Outcome {
    /// Sends `bytes` and nothing more, and reads until weir closes. The origin answers with a 204.
    fn of(address: SocketAddr, origin: &Origin, bytes: &[u8]) -> Self {
        let before = origin.requests().len();
        let mut socket = TcpStream::connect(address).expect("connect to weir");
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let mut answer = Vec::new();
        // weir may have refused it by now; a reset after its answer is no news.
        let _ = socket.write_all(bytes);
        let _ = socket.shutdown(Shutdown::Write);
        if let Err(error) = socket.read_to_end(&mut answer) {
            assert!(
                error.kind() != std::io::ErrorKind::WouldBlock,
                "silence after {:?}",
                String::from_utf8_lossy(bytes)
            );
        }
        let answer = String::from_utf8_lossy(&answer);
        let statuses = answer.split("HTTP/1.1 ").skip(1);
        let statuses = statuses.filter_map(|rest| rest.get(..3)?.parse().ok());
        Self {
            statuses: statuses.filter(|status| *status >= 200).collect(),
            requests: origin.requests().split_off(before),
        }
    }

    /// All of it was answered by the origin, and `tell` says what that got; or not all of it.
    fn verdict(&self, tell: impl Fn(&Recorded) -> String) -> Verdict {
        let all = self.statuses.iter().all(|status| *status == 204);
        match all && self.statuses.len() == self.requests.len() && !self.statuses.is_empty() {
            true => Verdict::Taken(self.requests.iter().map(tell).collect()),
            false => Verdict::Refused,
        }
    }
}

/// Requests of the suites name no host, which RFC 9112 section 3.2 demands and which would hide what they are about:
/// one is put after each request line where there is none at all.
fn with_host(bytes: &[u8]) -> Vec<u8> {
    let text = bytes.to_vec();
    if text
        .to_ascii_lowercase()
        .windows(6)
        .any(|part| part == b"\nhost:")
    {
        return text;
    }
    let mut out = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(line);
        if line.ends_with(b" HTTP/1.1\r\n") {
            out.extend_from_slice(b"Host: a.example\r\n");
        }
    }
    out
}

/// Holds the cases that came out otherwise to those that docs/HTTP.md names.
fn differ_as_documented(suite: &str, differing: &[(String, String)]) {
    let document = include_str!("../docs/HTTP.md");
    let start = format!("| {suite} |");
    let rows = document
        .lines()
        .filter_map(|line| line.strip_prefix(&*start));
    let cases = rows.filter_map(|row| row.split('|').next());
    let named: BTreeSet<&str> = cases
        .flat_map(|cases| cases.split('`').skip(1).step_by(2))
        .collect();
    for (name, said) in differing {
        println!(
            "{suite} {name}: {}",
            said.chars().take(300).collect::<String>()
        );
    }
    let found: BTreeSet<&str> = differing.iter().map(|(name, _)| &**name).collect();
    let new: Vec<_> = found.difference(&named).collect();
    let gone: Vec<_> = named.difference(&found).collect();
    assert!(new.is_empty(), "not in docs/HTTP.md: {new:#?}");
    assert!(gone.is_empty(), "docs/HTTP.md names what agrees: {gone:#?}");
}
