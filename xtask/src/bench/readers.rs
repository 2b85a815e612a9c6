//! Readers that never read: 256 connections ask for 64 MiB each and read nothing, while one does requests of 1 KiB.

use super::load::{Measured, figures, free_address, load_binary};
use super::pinned;
use super::proxies::{Kind, Proxy};
use crate::shell::{Outcome, output};

const READERS: usize = 256;
/// Requests are counted for so long; the kernel's buffers are full well before the end.
const SECONDS: usize = 20;
/// The first seconds, while they fill.
const FILLING: usize = 5;

pub fn run() -> Outcome {
    println!(
        "\nreaders ({READERS} never read the 64 MiB they asked for; one connection does requests of 1 KiB)\n\
         {:10} {:18} {:>10} {:>9} {:>9} {:>9}",
        "", "", "requests/s", "p50 us", "p99 us", "max us"
    );
    for kind in Kind::installed().filter(|kind| *kind != Kind::Haproxy) {
        let alone = seconds(kind, 0, FILLING)?;
        row(kind, "alone", &alone);
        let beside = seconds(kind, READERS, SECONDS)?;
        let (filling, after) = beside.split_at(FILLING.min(beside.len()));
        row(kind, "buffers fill (5 s)", filling);
        row(kind, "afterwards", after);
    }
    Ok(())
}

fn seconds(kind: Kind, readers: usize, seconds: usize) -> Outcome<Vec<Measured>> {
    let backend = free_address()?;
    let proxy = Proxy::start(kind, backend, 1)?;
    let mut command = pinned(1, &load_binary());
    command
        .args(["--listen", &backend.to_string()])
        .args(["--to", &proxy.plain.to_string()])
        .args(["--connections", "1", "--unread", &readers.to_string()])
        .args(["--seconds", &seconds.to_string()]);
    let text = output(&mut command)?;
    let lines = text.lines().filter(|line| line.starts_with("second "));
    Ok(lines.filter_map(figures).collect())
}

/// The median of the seconds' medians, and the worst of what is worst.
fn row(kind: Kind, what: &str, seconds: &[Measured]) {
    let requests: u64 = seconds.iter().map(|one| one.requests).sum();
    let p50 = super::sorted(seconds.iter().map(|one| one.p50));
    let worst = |value: fn(&Measured) -> f64| seconds.iter().map(value).fold(0.0, f64::max);
    println!(
        "{:10} {what:18} {:10.0} {:9.0} {:9.0} {:9.0}",
        kind.name(),
        requests as f64 / seconds.len().max(1) as f64,
        p50.get(p50.len() / 2).copied().unwrap_or_default(),
        worst(|one| one.p99),
        worst(|one| one.max),
    );
}
