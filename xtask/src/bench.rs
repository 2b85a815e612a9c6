//! `cargo xtask bench`: weir beside nginx and HAProxy, each with one worker on CPU 0; clients and backend on CPU 1.
//!
//! `relay` measures the smallest relay there can be in the same way, on weir's driver, on tokio-uring and on tokio.
//!
//! Rounds are interleaved (every proxy once in each round), figures are medians, and what is compared is processor time
//! per request from the proxy's own accounting: it holds on a machine that is busy with other things, which requests
//! per second do not.

mod abuse;
mod idle;
mod load;
mod proxies;
mod readers;
mod reload;

use std::path::Path;
use std::time::{Duration, Instant};

use xtask::daemon::free_address;
use xtask::process;

use crate::setup::{self, Need};
use crate::shell::{Outcome, cargo, find, run as run_command};
use load::{Driver, Load, Measured};
use proxies::{Kind, Proxy};

/// What is measured of every proxy.
struct Scenario {
    name: &'static str,
    load: Load,
}

const SCENARIOS: &[Scenario] = &[
    scenario("keep-alive-64", Load::new(64, 1 << 10)),
    scenario("keep-alive-512", Load::new(512, 1 << 10)),
    scenario("bodies", Load::new(32, 1 << 20)),
    scenario("tls-keep-alive", Load::new(64, 1 << 10).tls()),
    scenario("tls-handshakes", Load::new(32, 1 << 10).tls().handshakes()),
    scenario(
        "tls-resumed",
        Load::new(32, 1 << 10).tls().handshakes().resumed(),
    ),
];

/// Of the relays, which know no TLS.
const RELAYS: &[Scenario] = &[
    scenario("relay-64", Load::new(64, 1 << 10)),
    scenario("relay-512", Load::new(512, 1 << 10)),
    scenario("relay-bodies", Load::new(32, 1 << 20)),
];
/// More than the proxies: what other scenarios are called.
const OTHERS: &[&str] = &["relay", "readers", "idle", "reload"];

const fn scenario(name: &'static str, load: Load) -> Scenario {
    Scenario { name, load }
}

struct Options {
    rounds: usize,
    seconds: u32,
    driver: Driver,
    /// Whether to build weir and the load side first.
    build: bool,
    wanted: Vec<String>,
}

/// Measures all scenarios, or those named; `abuse` is one by itself.
pub fn run(arguments: &[String]) -> Outcome {
    if let Some((_, more)) = arguments
        .split_first()
        .filter(|(first, _)| *first == "abuse")
    {
        return abuse::run(more);
    }
    let options = parse(arguments)?;
    let wants = |name: &str| {
        options.wanted.is_empty() || options.wanted.iter().any(|wanted| wanted == name)
    };
    // As root on Debian they are installed; elsewhere what is missing is left out, and said.
    if let Err(missing) = setup::ensure(&[Need::Peers]) {
        println!("bench: {missing}");
    }
    if options.driver == Driver::Wrk && find("wrk").is_none() {
        return Err("wrk is not installed".into());
    }
    if options.build {
        build()?;
    }
    println!("cargo xtask bench {}", arguments.join(" "));
    let proxies: Vec<Kind> = Kind::installed().collect();
    for scenario in SCENARIOS.iter().filter(|scenario| wants(scenario.name)) {
        measure(scenario, &proxies, &options)?;
    }
    if wants("relay") {
        if options.build {
            proxies::build_relays()?;
        }
        for scenario in RELAYS {
            measure(scenario, &Kind::RELAYS, &options)?;
        }
    }
    if wants("readers") {
        readers::run()?;
    }
    if wants("idle") {
        idle::run()?;
    }
    if wants("reload") {
        reload::run(options.rounds)?;
    }
    Ok(())
}

fn parse(arguments: &[String]) -> Outcome<Options> {
    let mut options = Options {
        rounds: 5,
        seconds: 2,
        driver: Driver::Own,
        build: true,
        wanted: Vec::new(),
    };
    let names = SCENARIOS.iter().map(|one| one.name);
    let names: Vec<&str> = names.chain(OTHERS.iter().copied()).collect();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().and_then(|value| value.parse::<u32>().ok());
            value
                .filter(|value| *value > 0)
                .ok_or_else(|| format!("{word} takes a number"))
        };
        match word.as_str() {
            "--rounds" => options.rounds = number()? as usize,
            "--seconds" => options.seconds = number()?,
            "--wrk" => options.driver = Driver::Wrk,
            "--no-build" => options.build = false,
            name if names.contains(&name) => options.wanted.push(name.to_owned()),
            _ => {
                let options = "--rounds, --seconds, --wrk, --no-build";
                return Err(format!("{word:?} is none of {options}, {}", names.join(", ")).into());
            }
        }
    }
    Ok(options)
}

fn build() -> Outcome {
    build_release(&["--bin", "weir"])?;
    build_load()
}

fn build_load() -> Outcome {
    build_release(&["--example", "load"])
}

fn build_release(target: &[&str]) -> Outcome {
    let build = ["build", "--release", "--quiet", "-p", "weir"];
    run_command(&mut cargo(&[&build, target].concat()))
}

fn measure(scenario: &Scenario, kinds: &[Kind], options: &Options) -> Outcome {
    let backend = free_address();
    let mut proxies = Vec::new();
    for kind in kinds {
        proxies.push(Proxy::start(*kind, backend, 1)?);
    }
    let standing = options.driver.backend(backend)?;
    let mut rounds: Vec<Vec<Measured>> = proxies.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for (proxy, measured) in proxies.iter().zip(&mut rounds) {
            measured.push(once(scenario, options, proxy, backend)?);
        }
    }
    drop(standing);
    println!(
        "\n{} ({} connections, {} bytes; medians of {} rounds of {} s)\n\
         {:11} {:>10} {:>14} {:>17} {:>9} {:>9} {:>7} {:>7} {:>6}",
        scenario.name,
        scenario.load.connections,
        scenario.load.bytes,
        options.rounds,
        options.seconds,
        "",
        "requests/s",
        "CPU us/request",
        "(least - most)",
        "p50 us",
        "p99 us",
        "errors",
        "proxy %",
        "CPU 0 %"
    );
    for (proxy, measured) in proxies.iter().zip(&rounds) {
        row(proxy.name(), measured);
    }
    Ok(())
}

fn once(
    scenario: &Scenario,
    options: &Options,
    proxy: &Proxy,
    backend: std::net::SocketAddr,
) -> Outcome<Measured> {
    let to = if scenario.load.tls {
        proxy.secure
    } else {
        proxy.plain
    };
    let before = process::processor_time(proxy.pid())?;
    let (cpu, begun) = (process::cpu(0)?, Instant::now());
    let mut measured =
        options
            .driver
            .drive(&scenario.load, to, backend, &proxy.chain(), options.seconds)?;
    measured.processor = process::processor_time(proxy.pid())?.saturating_sub(before);
    measured.proxy_busy = measured.processor.as_secs_f64() / begun.elapsed().as_secs_f64();
    measured.cpu_busy = process::cpu(0)?.busy_since(&cpu);
    Ok(measured)
}

fn row(name: &str, rounds: &[Measured]) {
    let cost = |one: &Measured| micros(one.processor) / one.requests.max(1) as f64;
    let costs = sorted(rounds.iter().map(cost));
    let of = |value: fn(&Measured) -> f64| median(&sorted(rounds.iter().map(value)));
    println!(
        "{name:11} {:10.0} {:14.2} {:>17} {:9.0} {:9.0} {:7.0} {:7.0} {:7.0}",
        of(|one| one.requests as f64 / one.seconds),
        median(&costs),
        format!("({:.2} - {:.2})", costs[0], costs[costs.len() - 1]),
        of(|one| one.p50),
        of(|one| one.p99),
        of(|one| one.errors as f64),
        of(|one| one.proxy_busy * 100.0),
        of(|one| one.cpu_busy * 100.0),
    );
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of at least one.
fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// The binary under measurement.
fn weir() -> std::path::PathBuf {
    crate::shell::target().join("release/weir")
}

/// Runs on this CPU alone.
fn pinned(cpu: usize, program: &Path) -> std::process::Command {
    let mut command = std::process::Command::new("taskset");
    command.args(["-c", &cpu.to_string()]).arg(program);
    command
}
