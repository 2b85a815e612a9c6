//! The program's own log: where it goes and in which form.

use std::fs::OpenOptions;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::static_file::{Log, LogFormat};

/// Starts logging for the whole process.
///
/// # Errors
/// One line if the log file cannot be written to.
pub fn start(log: &Log) -> Result<(), String> {
    let writer = match &log.file {
        None => BoxMakeWriter::new(std::io::stderr),
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
                format!("log.filePath: {} cannot be opened: {error}; choose a file that may be written", path.display())
            })?;
            BoxMakeWriter::new(file)
        }
    };
    let filter = EnvFilter::new(format!("warn,weir={}", log.level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_target(false);
    match log.format {
        LogFormat::Common => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
