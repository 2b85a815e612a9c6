//! What reading 10,000 routers from one YAML file costs: three crates, and weir's own tree on top of one of them.
//! The figures are in docs/decisions/0002-yaml-crate.md.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

const ROUTERS: usize = 10_000;
const ROUNDS: usize = 9;

fn main() {
    let text = document();
    println!(
        "{ROUTERS} routers, {:.2} MB, best and median CPU time of {ROUNDS} runs",
        text.len() as f64 / 1e6
    );
    measure("saphyr-parser: events", || {
        let mut parser = saphyr_parser::Parser::new_from_str(&text);
        std::iter::from_fn(|| parser.next_event())
            .map(|event| event.expect("yaml"))
            .count()
    });
    measure("granit-parser: events", || {
        granit_parser::Parser::new_from_str(&text)
            .map(|event| event.expect("yaml"))
            .count()
    });
    measure("serde-saphyr: serde_json::Value, no places", || {
        let value: serde_json::Value = serde_saphyr::from_str(&text).expect("yaml");
        value["http"]["routers"]
            .as_object()
            .map_or(0, serde_json::Map::len)
    });
    let file = Path::new("rules.yml");
    measure("weir: tree with the place of every node", || {
        weir::config::yaml::read(&weir::config::Source::file(file), &text).expect("yaml").size()
    });
    measure("weir: decoded and checked", || {
        let (document, problems) = weir::config::document::decode(file, &text);
        assert_eq!(problems, []);
        document.expect("no problem").http.routers.len()
    });
}

/// Routers in the shape that Galaxy's rule files have.
fn document() -> String {
    let mut text = "http:\n  routers:\n".to_owned();
    for number in 0..ROUTERS {
        write!(
            text,
            "    router-{number}:\n      rule: \"Host(`site-{number}.example.org`) && PathPrefix(`/data`)\"\n      \
             service: site-{}\n      entryPoints:\n        - websecure\n      tls: {{}}\n",
            number % 500,
        )
        .expect("a string");
    }
    text + "  services: {}\n"
}

fn measure(what: &str, mut run: impl FnMut() -> usize) {
    let mut times: Vec<Duration> = Vec::new();
    let mut result = 0;
    for _ in 0..ROUNDS {
        let start = cpu_time();
        result = run();
        times.push(cpu_time() - start);
    }
    times.sort();
    println!(
        "{what:44} {:7.1?} {:7.1?}   ({result})",
        times[0],
        times[ROUNDS / 2]
    );
}

/// Of this thread: the machine may have other things to do.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("Linux has this clock")
        .into()
}
