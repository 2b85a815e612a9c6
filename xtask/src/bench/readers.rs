//! Readers that never read: 256 connections ask for 64 MiB each and read nothing, while one does requests of 1 KiB.

use xtask::daemon::free_address;

use super::load::{figures, load_binary};
use super::pinned;
use super::proxies::{Kind, Proxy};
use crate::shell::{Outcome, output};

const READERS: usize = 256;
/// Requests are counted for so long; the kernel's buffers are full well before the end.
const SECONDS: usize = 10;

pub fn run() -> Outcome {
    println!(
        "\nreaders ({READERS} never read the 64 MiB they asked for; one connection does requests of 1 KiB for \
         {SECONDS} s)\n\
         {:10} {:12} {:>10} {:>9} {:>9} {:>9} {:>22}",
        "", "", "requests/s", "p50 us", "p99 us", "max us", "p99 of its worst second"
    );
    for kind in Kind::installed().filter(|kind| *kind != Kind::Haproxy) {
        row(kind, "alone", &lines(kind, 0)?)?;
        row(kind, "beside them", &lines(kind, READERS)?)?;
    }
    Ok(())
}

/// What the load side says of each second and of all.
fn lines(kind: Kind, readers: usize) -> Outcome<String> {
    let backend = free_address();
    let proxy = Proxy::start(kind, backend, 1)?;
    let mut command = pinned(1, &load_binary());
    command
        .args(["--listen", &backend.to_string()])
        .args(["--to", &proxy.plain.to_string()])
        .args(["--connections", "1", "--unread", &readers.to_string()])
        .args(["--seconds", &SECONDS.to_string()]);
    output(&mut command)
}

fn row(kind: Kind, what: &str, text: &str) -> Outcome {
    let said = |start| text.lines().filter(move |line| line.starts_with(start));
    let total = said("total: ").find_map(figures);
    let total = total.ok_or_else(|| format!("the load side says {text:?}"))?;
    let seconds = said("second ").filter_map(figures);
    // Of a second in which nothing was answered it says 0.
    let p99 = seconds.map(|second| match second.requests {
        0 => 1e6,
        _ => second.p99,
    });
    let worst = p99.fold(0.0, f64::max);
    println!(
        "{:10} {what:12} {:10.0} {:9.0} {:9.0} {:9.0} {worst:22.0}",
        kind.name(),
        total.requests as f64 / SECONDS as f64,
        total.p50,
        total.p99,
        total.max,
    );
    Ok(())
}
