//! `weir reload`: asks the running process.

use std::process::ExitCode;

use crate::admin::{self, Answer, Request};
use crate::config::Sources;
use crate::config::inventory::Change;

pub(super) fn run(sources: &Sources, dry_run: bool, json: bool) -> ExitCode {
    super::with_config(sources, |config| {
        let mut code = ExitCode::SUCCESS;
        admin::ask(
            &config.runtime_dir,
            &Request::Reload { dry_run },
            |answer| {
                if matches!(answer, Answer::Done { errors, .. } if errors > 0) {
                    code = ExitCode::FAILURE;
                }
                match json {
                    true => println!("{}", serde_json::to_string(&answer).unwrap_or_default()),
                    false => println!("{}", line(&answer)),
                }
            },
        )?;
        Ok(code)
    })
}

fn line(answer: &Answer) -> String {
    match answer {
        Answer::Change { change, name } => {
            let sign = match change {
                Change::Added => '+',
                Change::Removed => '-',
                Change::Changed => '~',
            };
            format!("{sign} {name}")
        }
        Answer::MoreChanges(count) => format!("  and {count} more"),
        Answer::Problem { error: true, line } => format!("error: {line}"),
        Answer::Problem { error: false, line } => format!("warning: {line}"),
        Answer::Done {
            generation,
            errors,
            dry_run: true,
        } => {
            format!(
                "nothing done: rules {generation} stay in force; a reload would leave out {errors}"
            )
        }
        Answer::Done {
            generation,
            errors,
            dry_run: false,
        } => {
            format!("rules {generation} are in force; left out: {errors}")
        }
        // Not of a reload.
        Answer::Server(state) => state.server.clone(),
        Answer::Refused(reason) => reason.clone(),
    }
}
