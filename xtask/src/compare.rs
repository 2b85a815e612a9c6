//! `cargo xtask differential`: the comparison of [`xtask::differential`], on as many lanes as there are CPUs.

use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::Instant;

use xtask::differential::{self, Report};

use crate::setup::{self, Need};
use crate::shell::{Outcome, cargo, run as run_command, target};

/// Unless `--cases` says another number.
const CASES: u64 = 10_000;
/// Cases of one weir and one set of real servers before fresh ones take over, and progress is told.
const STRETCH: u64 = 50_000;

struct Options {
    cases: u64,
    seed: u64,
    release: bool,
}

/// Compares cases of consecutive seeds; a disagreement fails the command and names the seed.
pub fn run(arguments: &[String]) -> Outcome {
    let options = parse(arguments)?;
    setup::ensure(&[Need::Compiler, Need::Peers])?;
    let mut build = vec!["build", "--quiet", "-p", "weir", "--bin", "weir"];
    if options.release {
        build.push("--release");
    }
    run_command(&mut cargo(&build))?;
    let profile = if options.release { "release" } else { "debug" };
    let weir = target().join(profile).join("weir");
    let lanes = thread::available_parallelism().map_or(1, usize::from) as u64;
    let each = options.cases.div_ceil(lanes);
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let lanes = (0..lanes).map(|lane| {
            let start = options.seed + lane * each;
            let weir = &weir;
            scope.spawn(move || stretches(weir, start..start + each))
        });
        let lanes: Vec<_> = lanes.collect();
        lanes
            .into_iter()
            .map(|lane| {
                lane.join()
                    .unwrap_or_else(|_| Err("a lane panicked".into()))
            })
            .collect()
    });
    outcomes.into_iter().collect()
}

fn stretches(weir: &Path, seeds: Range<u64>) -> Outcome {
    let mut disagreements = Vec::new();
    for start in seeds.clone().step_by(STRETCH as usize) {
        let begun = Instant::now();
        let end = seeds.end.min(start + STRETCH);
        let report = differential::run(weir, start..end)?;
        tell(start, &report, begun);
        disagreements.extend(report.disagreements);
    }
    match disagreements.is_empty() {
        true => Ok(()),
        false => Err(disagreements.join("\n").into()),
    }
}

fn tell(start: u64, report: &Report, begun: Instant) {
    println!(
        "differential: seeds {start}..{}: {} requests forwarded, the same for {}, {} refused there, \
         {} connections closed early, \
         {} disagreements ({} s)",
        start + report.cases,
        report.forwarded,
        report.readers.join(" and "),
        report.refused,
        report.closed,
        report.disagreements.len(),
        begun.elapsed().as_secs(),
    );
    for text in &report.disagreements {
        println!("    {text}");
    }
}

fn parse(arguments: &[String]) -> Outcome<Options> {
    let mut options = Options {
        cases: CASES,
        seed: 0,
        release: false,
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().and_then(|value| value.parse().ok());
            value.ok_or_else(|| format!("{word} takes a number"))
        };
        match word.as_str() {
            "--cases" => options.cases = number()?,
            "--seed" => options.seed = number()?,
            "--release" => options.release = true,
            _ => return Err(format!("{word:?} is none of --cases, --seed, --release").into()),
        }
    }
    Ok(options)
}
