//! The composition root: reads the configuration, binds, starts workers and the control thread, waits, ends.
//!
//! Owns: the order in which things start and stop. Never: work of its own on a connection. Invariants: nothing serves
//! before everything that can be wrong with the static configuration has been looked at; one line per problem on
//! standard error and exit code 1 if anything was; a rule file never stops a start.

mod control;
mod descriptors;
mod lane;
mod listen;
mod logging;
mod own;
mod rules;
mod servers;
mod standings;
pub mod status;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;

use tracing::{info, warn};

use self::control::Control;
use self::own::Own;
use self::status::StatusFile;
use self::worker::Workers;
use crate::config::{Problem, Sources, StaticConfig};
use crate::uring;

/// Why weir did not start: lines to show, one per reason.
type Refusal = Vec<String>;

/// Runs the proxy until it is told to stop.
pub fn run(sources: &Sources) -> ExitCode {
    match start(sources) {
        Ok(()) => ExitCode::SUCCESS,
        Err(lines) => {
            for line in lines {
                eprintln!("weir: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn start(sources: &Sources) -> Result<(), Refusal> {
    let (config, warnings) = StaticConfig::load(sources).map_err(lines)?;
    uring::probe().map_err(|error| vec![error.to_string()])?;
    logging::start(&config.log).map_err(|error| vec![error])?;
    for warning in &warnings {
        warn!("{warning}");
    }
    let _own = Own::take(&config).map_err(|line| vec![line])?;
    let config = Arc::new(config);
    let descriptors = descriptors::take_all();
    let held = descriptors.connections;
    let connections_max = config.connections.map_or(held, |most| most.min(held));
    if config.connections.is_some_and(|most| most > held) {
        warn!("limits.connections: the file descriptors allow {held} connections only");
    }
    let reserved = listen::reserve(&config.entry_points).map_err(lines)?;
    let count = config
        .workers
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let status = StatusFile::new(&config, &reserved, count).map_err(|error| vec![error])?;
    let control = Control::new(&config, status)?;
    let workers = Workers::start(&config, &reserved, control.rules(), count, connections_max)
        .map_err(|error| vec![error])?;
    drop(reserved);
    info!(
        version = env!("CARGO_PKG_VERSION"),
        workers = count,
        descriptors = descriptors.allowed,
        connections_max,
        "weir serves"
    );
    control.run(workers)
}

fn lines(problems: Vec<Problem>) -> Refusal {
    problems.iter().map(ToString::to_string).collect()
}
