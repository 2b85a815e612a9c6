//! Much traffic through the NIC: bodies arrive whole in both directions, and bursts of short connections find source
//! ports that the server takes at once.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::backend::{pattern, pattern_sha256, sha256};

use super::site::Site;
use crate::support::DEADLINE;

const BODY: u64 = 20 << 20;
const BURST: u32 = 5_000;
/// Connections open at once; below the backlog of the servers' listeners.
const AT_ONCE: usize = 32;

#[test]
fn twenty_megabytes_arrive_whole_both_ways_in_every_mode() {
    for mode in ["native", "generic"] {
        let Some(site) = Site::new(mode) else { return };
        let weir = site.start();
        let client = Site::DOWNLOADER;
        let before = steered(&site.status(&weir));
        let down = site.fetch(client, &format!("/bytes/{BODY}"), &[]);
        assert_eq!(sha256(&down), pattern_sha256(BODY), "down, {mode}");
        let mut body = vec![0; BODY as usize];
        pattern(0, &mut body);
        let file = tempfile::NamedTempFile::new().expect("a scratch file");
        std::fs::write(&file, &body).expect("the scratch file");
        let data = format!("@{}", file.path().display());
        let up = site.fetch(client, "/upload", &["--data-binary", &data]);
        let up: Value = serde_json::from_slice(&up).expect("JSON");
        assert_eq!(up["length"], BODY, "up, {mode}");
        assert_eq!(up["sha256"], *pattern_sha256(BODY), "up, {mode}");
        assert_eq!(steered(&site.status(&weir)), before + 2, "{mode}");
    }
}

#[test]
fn two_bursts_of_five_thousand_connections_need_no_syn_retry() {
    let Some(site) = Site::new("native") else {
        return;
    };
    let weir = site.start();
    let before = steered(&site.status(&weir));
    for burst in ["first", "second"] {
        let client = site.within_client(tcp_counters);
        let servers = site.within_servers(tcp_counters);
        let started = Instant::now();
        let ended = site.within_client(short_connections);
        let took = started.elapsed();
        let client = grown(&client, &site.within_client(tcp_counters));
        let servers: Vec<_> = servers
            .iter()
            .zip(site.within_servers(tcp_counters))
            .map(|(before, after)| grown(before, &after))
            .collect();
        println!("{burst} burst: {ended} of {BURST} connections in {took:?}");
        println!("  client {client:?}, servers {servers:?}");
        assert_eq!(ended, BURST, "{burst} burst");
        assert_eq!(client["TCPSynRetrans"], 0, "{burst} burst: {client:?}");
        // The second burst finds the first one's ports in TIME_WAIT at the server.
        thread::sleep(Duration::from_secs(1));
    }
    let status = site.status(&weir);
    assert_eq!(steered(&status), before + u64::from(2 * BURST));
    assert_eq!(status["counters"]["pass_no_port"], 0);
}

fn steered(status: &Value) -> u64 {
    status["counters"]["flow_new"].as_u64().expect("a count")
}

/// Opens [`BURST`] connections, [`AT_ONCE`] at a time, and says how many the server ended in order.
fn short_connections() -> u32 {
    let (left, ended) = (AtomicU32::new(BURST), AtomicU32::new(0));
    let next = || {
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        })
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while next().is_ok() {
                    match short_connection() {
                        Ok(()) => drop(ended.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => println!("a connection failed: {error}"),
                    }
                }
            });
        }
    });
    ended.into_inner()
}

/// What is no TLS makes the server close, so that TIME_WAIT is the server's: the case that port reuse can hurt.
fn short_connection() -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&Site::entry(), DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(b"no TLS\r\n")?;
    stream.read_to_end(&mut Vec::new())?;
    stream.shutdown(Shutdown::Write)
}

/// This namespace's counters of segments sent again, and of those a TIME_WAIT refused; those the kernel has.
fn tcp_counters() -> BTreeMap<String, u64> {
    const NAMES: [&str; 6] = [
        "RetransSegs",
        "TCPLossProbes",
        "TCPTimeouts",
        "TCPSynRetrans",
        "PAWSTimewait",
        "PAWSActive",
    ];
    let mut counters = BTreeMap::new();
    for file in ["snmp", "netstat"] {
        let text =
            std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).expect("procfs");
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.chunks_exact(2) {
            let columns = pair[0].split_whitespace().zip(pair[1].split_whitespace());
            for (name, value) in columns.filter(|(name, _)| NAMES.contains(name)) {
                counters.insert(name.to_owned(), value.parse().expect("a count"));
            }
        }
    }
    counters
}

fn grown(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let names = after.keys();
    names
        .map(|name| (name.clone(), after[name] - before[name]))
        .collect()
}
