//! `cargo xtask test`: every test of the workspace, and an honest count. A test that could not do its work prints
//! `skipped: <why>` on a line and returns; libtest calls that a pass, this module does not.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::num::NonZero;
use std::process::Stdio;
use std::thread;

use crate::ebpf;
use crate::setup::{AS_ROOT, Need, ensure};
use crate::shell::{Outcome, cargo, is_root};

/// Sets up what the tests need, builds the XDP object and runs them all; an argument selects tests by name.
pub fn run(arguments: &[String]) -> Outcome {
    ensure(&[
        Need::Compiler,
        Need::Clients,
        Need::Python,
        Need::HttpSuites,
    ])?;
    if is_root() {
        ensure(AS_ROOT)?;
    }
    ebpf::build_if_possible()?;
    let mut tally = Tally::default();
    // Documentation examples are another run of cargo's: `--all-targets` and `--doc` exclude each other.
    for kind in ["--all-targets", "--doc"] {
        let mut command = cargo(&["test", "--workspace", "--no-fail-fast", kind, "--"]);
        command
            .arg("--show-output")
            .args(threads(arguments))
            .args(arguments)
            .stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().expect("stdout is piped");
        for line in BufReader::new(stdout).lines() {
            if let Some(line) = tally.read(&line?) {
                println!("{line}");
            }
        }
        tally.broken |= !child.wait()?.success();
    }
    println!("{}", tally.summary());
    if tally.failed > 0 || tally.broken {
        Err("not everything passed".into())
    } else {
        Ok(())
    }
}

/// Most tests wait for timeouts, so that more of them run at once than there are processors; `--test-threads` in
/// `arguments` wins.
fn threads(arguments: &[String]) -> Option<String> {
    let is_given = arguments
        .iter()
        .any(|argument| argument.starts_with("--test-threads"));
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    (!is_given).then(|| format!("--test-threads={}", TESTS_PER_PROCESSOR * processors))
}

/// Tests that run at once for each processor: with four a processor is busy most of the time.
const TESTS_PER_PROCESSOR: usize = 4;

/// What libtest's output comes to.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: usize,
    /// How many tests gave which reason.
    skipped: BTreeMap<String, usize>,
    /// Cargo itself reported a failure: a test that did not compile, or a failed one.
    broken: bool,
    section: Section,
}

/// Where in the output of one test binary we are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Section {
    #[default]
    Progress,
    /// What tests wrote that passed, as libtest sees it.
    Successes,
    Failures,
}

impl Tally {
    /// Takes the next line and gives it back if it is for the reader: failures and measured costs are, the rest is
    /// counted.
    fn read<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.section = Section::Progress;
            self.count(counts);
            return None;
        }
        match line {
            "successes:" => self.section = Section::Successes,
            "failures:" => self.section = Section::Failures,
            _ => {}
        }
        match self.section {
            Section::Failures => Some(line),
            Section::Successes => {
                if let Some(reason) = line.strip_prefix("skipped: ") {
                    *self.skipped.entry(reason.to_owned()).or_default() += 1;
                }
                line.starts_with("cost: ").then_some(line)
            }
            // `test name has been running for over 60 seconds` and `test name ... FAILED` are news.
            Section::Progress => line.contains("has been running").then_some(line),
        }
    }

    /// Adds `ok. 5 passed; 0 failed; 1 ignored; ...`.
    fn count(&mut self, counts: &str) {
        let mut words = counts
            .split([' ', ';', '.'])
            .filter(|word| !word.is_empty())
            .peekable();
        while let Some(word) = words.next() {
            let (Ok(number), Some(&what)) = (word.parse::<usize>(), words.peek()) else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" if number > 0 => {
                    *self.skipped.entry("ignored".to_owned()).or_default() += number
                }
                _ => {}
            }
        }
    }

    fn summary(&self) -> String {
        let ignored = self.skipped.get("ignored").copied().unwrap_or_default();
        let skipped: usize = self.skipped.values().sum();
        // libtest has counted a test that skipped itself among the passed ones, an ignored one not.
        let passed = self.passed.saturating_sub(skipped - ignored);
        let reasons: Vec<String> = self
            .skipped
            .iter()
            .map(|(reason, times)| format!("{times} {reason}"))
            .collect();
        let why = if reasons.is_empty() {
            String::new()
        } else {
            format!(" ({})", reasons.join(", "))
        };
        format!(
            "test: {passed} passed, {skipped} skipped{why}, {} failed",
            self.failed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> (Tally, Vec<&str>) {
        let mut tally = Tally::default();
        let shown = output.lines().filter_map(|line| tally.read(line)).collect();
        (tally, shown)
    }

    const OUTPUT: &str = "\
running 4 tests
test a ... ok
test b ... FAILED

successes:

---- a stdout ----
skipped: needs root (network namespaces)

---- c stdout ----
cost: established v4: 30 ns

successes:
    a
    c

failures:

---- b stdout ----
skipped: a failing test does not get away with it

failures:
    b

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.04s
";

    #[test]
    fn a_skipped_test_is_not_a_passed_one() {
        let (tally, _) = tally(OUTPUT);
        let expected =
            "test: 1 passed, 2 skipped (1 ignored, 1 needs root (network namespaces)), 1 failed";
        assert_eq!(tally.summary(), expected);
    }

    #[test]
    fn only_failures_and_costs_are_shown() {
        let (_, shown) = tally(OUTPUT);
        assert!(shown.contains(&"---- b stdout ----"), "{shown:?}");
        assert_eq!(shown[0], "cost: established v4: 30 ns");
        assert!(
            !shown.iter().any(|line| line.contains("---- a")),
            "{shown:?}"
        );
    }

    #[test]
    fn as_many_tests_at_once_as_asked_for() {
        assert_eq!(threads(&["--test-threads=1".to_owned()]), None);
        let several = threads(&["health::".to_owned()]).expect("a number");
        assert!(several.starts_with("--test-threads="), "{several}");
    }

    #[test]
    fn adds_up_several_binaries() {
        let two = format!("{OUTPUT}{OUTPUT}");
        let (tally, _) = tally(&two);
        assert_eq!((tally.passed, tally.failed), (4, 2));
    }
}
