//! Flags and variables, one a line (`NAME=value` is a variable): no text panics or grows without bound, and every
//! refusal is one line.
#![no_main]

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use weir::config::{Sources, StaticConfig};

fuzz_target!(|text: &str| {
    let (flags, variables): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("--"));
    let variables = variables
        .into_iter()
        .filter_map(|line| line.split_once('='));
    let sources = Sources {
        file: Some(PathBuf::from("/dev/null")),
        flags: flags.into_iter().map(str::to_owned).collect(),
        variables: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    };
    let problems = match StaticConfig::load(&sources) {
        Ok((_, problems)) | Err(problems) => problems,
    };
    for problem in problems {
        assert!(!problem.to_string().contains('\n'));
    }
});
