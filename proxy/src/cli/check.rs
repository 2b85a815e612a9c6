//! `weir check`: judges configuration without serving it, for people and for programs.

use std::process::ExitCode;

use serde::Serialize;

use crate::config::{Check, Checked, Problem, Severity};

/// How problems are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A line for each.
    Text,
    /// One JSON object.
    Json,
}

/// Warnings, where they count.
const WARNINGS: u8 = 3;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'p> {
    errors: usize,
    warnings: usize,
    problems: Vec<Line<'p>>,
}

/// A problem; what is not known is `null`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'p> {
    severity: &'static str,
    source: String,
    line: Option<u32>,
    column: Option<u32>,
    template_line: Option<u32>,
    path: &'p str,
    found: &'p str,
    allowed: &'p str,
    remedy: &'p str,
    lost: &'p str,
    lint: Option<&'static str>,
}

pub(super) fn run(check: &Check, strict: bool, format: Format) -> ExitCode {
    let checked = match check.run() {
        Ok(checked) => checked,
        Err(error) => {
            eprintln!("weir: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (errors, warnings) = (
        checked.count(Severity::Error),
        checked.count(Severity::Warning),
    );
    match format {
        Format::Text => text(&checked, errors, warnings),
        Format::Json => {
            let report = Report {
                errors,
                warnings,
                problems: checked.problems.iter().map(line).collect(),
            };
            println!(
                "{}",
                serde_json::to_string_pretty(&report).unwrap_or_default()
            );
        }
    }
    match (errors, warnings) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) if strict => ExitCode::from(WARNINGS),
        (0, _) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn text(checked: &Checked, errors: usize, warnings: usize) {
    for problem in &checked.problems {
        let lint = problem
            .lint
            .map(|lint| format!(" [{}]", lint.name()))
            .unwrap_or_default();
        println!("{}: {problem}{lint}", severity(problem));
    }
    println!("{}, {}", count(errors, "error"), count(warnings, "warning"));
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn severity(problem: &Problem) -> &'static str {
    match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn line(problem: &Problem) -> Line<'_> {
    let origin = &problem.origin;
    let known = |number: u32| (number > 0).then_some(number);
    Line {
        severity: severity(problem),
        source: origin.source.to_string(),
        line: known(origin.line),
        column: known(origin.column),
        template_line: known(origin.template_line),
        path: &problem.path,
        found: &problem.found,
        allowed: &problem.allowed,
        remedy: &problem.remedy,
        lost: &problem.lost,
        lint: problem.lint.map(crate::config::Lint::name),
    }
}
