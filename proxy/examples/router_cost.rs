//! What finding a router costs: 10,000 `Host` rules, 1,000 `HostRegexp` rules, and the memory of 10,000 routers.
//!
//! `cargo run --release --package weir --example router_cost`. Printed, never asserted.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use weir::router::{Router, RouterTable};
use weir::rule::{HttpRule, RequestView};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ROUNDS: usize = 200_000;

fn main() {
    let before = resident_kib();
    let exact = table(10_000, |n| format!("Host(`app-{n}.site.example.org`)"));
    println!(
        "10,000 Host routers: {} KiB resident",
        resident_kib() - before
    );
    cost("Host among 10,000", &exact, |n| {
        format!("app-{}.site.example.org", n * 7919 % 10_000)
    });
    cost("no router among 10,000", &exact, |n| {
        format!("other-{n}.site.example.org")
    });
    let mixed = table(10_000, |n| match n % 4 {
        0 => format!("Host(`*.w{n}.example.org`) && PathPrefix(`/api`)"),
        1 => format!("Host(`a{n}.example.org`) || Host(`b{n}.example.org`)"),
        _ => format!("Host(`c{n}.example.org`) && (PathPrefix(`/x`) || Method(`GET`))"),
    });
    cost("boolean rules among 10,000", &mixed, |n| {
        format!("c{}.example.org", n * 7919 % 2_500 * 4 + 2)
    });
    let before = resident_kib();
    let regexps = table(1_000, |n| {
        format!("HostRegexp(`^.+\\.t{n}\\.example\\.org$`)")
    });
    println!(
        "1,000 HostRegexp routers: {} KiB resident",
        resident_kib() - before
    );
    cost("HostRegexp among 1,000", &regexps, |n| {
        format!("x.t{}.example.org", n * 7919 % 1_000)
    });
    let bare = table(1_000, |n| {
        format!("HostRegexp(`^[a-z]{{{}}}[0-9]$`)", n % 50 + 1)
    });
    cost(
        "HostRegexp without any text, scanned, among 1,000",
        &bare,
        |_| "nothing.here".to_owned(),
    );
}

fn table(count: usize, rule: impl Fn(usize) -> String) -> RouterTable {
    let router = |n: usize| {
        let rule = HttpRule::parse(&rule(n)).expect("a rule");
        let priority = rule.text().len() as i64;
        Arc::new(Router {
            name: format!("r{n}@file").into(),
            priority,
            rule,
            service: None,
            middlewares: Box::default(),
        })
    };
    let start = Instant::now();
    let table = RouterTable::new((0..count).map(router).collect());
    println!(
        "{count} routers compiled in {:.1} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    table
}

fn cost(what: &str, table: &RouterTable, host: impl Fn(usize) -> String) {
    let hosts: Vec<String> = (0..1_024).map(host).collect();
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        for n in 0..ROUNDS {
            let request = RequestView::new(&hosts[n % hosts.len()], "/", CLIENT);
            black_box(table.find(black_box(&request)));
        }
        best = best.min(start.elapsed().as_secs_f64() / ROUNDS as f64);
    }
    println!("{what}: {:.0} ns", best * 1e9);
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}
