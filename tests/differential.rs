//! What weir forwards reads the same everywhere: a short run of `cargo xtask differential`, and what longer ones found.

use std::path::Path;

use xtask::differential::generate::Case;
use xtask::differential::{self, Report};

/// Cases of the short run.
const CASES: u64 = 3000;

fn weir() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_weir"))
}

fn judge(report: Report) {
    assert!(
        report.disagreements.is_empty(),
        "{}",
        report.disagreements.join("\n")
    );
    if report.readers.len() < 2 {
        println!("skipped: needs nginx and haproxy");
    }
}

#[test]
fn weir_and_real_servers_agree_on_where_requests_end() {
    let report = differential::run(weir(), 0..CASES).expect("everything starts");
    assert!(report.forwarded > CASES / 4, "{report:?}");
    judge(report);
}

/// Cases that once were read in two ways, or are known from attacks on others.
#[test]
fn nothing_that_was_ambiguous_is_forwarded() {
    let known: &[(&str, &[u8])] = &[
        (
            "CL.TE",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        ),
        (
            "TE.CL by a space",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE.TE by a second coding",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        ),
        (
            "TERM.EXT: a line feed within an extension",
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n0\r\n\r\n",
        ),
        (
            "a framing field that Connection names",
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello",
        ),
    ];
    let cases = known.iter().map(|(_, bytes)| Case::from_bytes(bytes));
    judge(differential::run_cases(weir(), cases).expect("everything starts"));
}
