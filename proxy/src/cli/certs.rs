//! `weir certs`: certificates of resolvers, in the store and to come.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;

use crate::admin::{self, Request};
use crate::certs::overview::Overview;
use crate::config::{Loader, Sources, StaticConfig};
use crate::{certs, clock};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Shows the certificates in the store, when they end and when they are renewed.
    List {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Shows what would be asked for by the rules as they are now. Exits 1 if a name has no certificate.
    Plan {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Makes the running proxy renew the certificates of these names now, or try again to obtain them.
    Renew {
        /// Names of hosts.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Takes certificates over from Traefik's acme.json.
    Import {
        /// The acme.json.
        file: PathBuf,
    },
    /// Writes all certificates as an acme.json for Traefik, which must not exist yet.
    Export {
        /// The acme.json, made with mode 0600.
        file: PathBuf,
    },
}

pub(super) fn run(sources: &Sources, command: &Command) -> ExitCode {
    super::with_config(sources, |config| {
        match command {
            Command::List { json } => show(&look(config)?, *json, Overview::listed),
            Command::Plan { json } => {
                let overview = look(config)?;
                show(&overview, *json, Overview::planned)?;
                let missing = !overview.missing(now()).is_empty();
                return Ok(if missing {
                    ExitCode::FAILURE
                } else {
                    ExitCode::SUCCESS
                });
            }
            Command::Renew { names } => {
                let request = Request::RenewCertificates {
                    names: names.clone(),
                };
                admin::ask(&config.runtime_dir, &request, drop)?;
                println!("asked for; see `weir certs list` and the log");
                Ok(())
            }
            Command::Import { file } => {
                certs::import(&config, file)?
                    .iter()
                    .for_each(|line| println!("{line}"));
                // Without a running proxy the next one reads them.
                let _ = admin::ask(&config.runtime_dir, &Request::ReadCertificates, drop);
                Ok(())
            }
            Command::Export { file } => export(&config, file),
        }?;
        Ok(ExitCode::SUCCESS)
    })
}

fn look(config: StaticConfig) -> Result<Overview, String> {
    let config = Arc::new(config);
    let mut loader = Loader::new(Arc::clone(&config)).map_err(|error| error.to_string())?;
    let snapshot = loader.load();
    snapshot
        .problems
        .iter()
        .for_each(|problem| eprintln!("weir: {problem}"));
    certs::look(&config, &snapshot.needs, now())
}

fn show(
    overview: &Overview,
    json: bool,
    lines: fn(&Overview, i64) -> Vec<String>,
) -> Result<(), String> {
    match json {
        true => println!(
            "{}",
            serde_json::to_string_pretty(overview).map_err(|error| error.to_string())?
        ),
        false => lines(overview, now())
            .iter()
            .for_each(|line| println!("{line}")),
    }
    Ok(())
}

fn export(config: &StaticConfig, file: &Path) -> Result<(), String> {
    let text = certs::export(config)?;
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("{}: {error}", file.display()))
}

fn now() -> i64 {
    i64::try_from(clock::unix_seconds()).unwrap_or(i64::MAX)
}
