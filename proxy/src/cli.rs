//! The command line: which command, with what, and its exit code.
//!
//! `weir` alone runs the proxy. Exit codes: 0 done, 1 it could not be done (one line per reason on standard error),
//! 2 the command line itself was wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Check, Sources, StaticConfig};
use crate::{app, steering};

mod arguments;
mod certs;
mod check;
mod reload;
mod server;

/// An edge proxy: XDP steering by client address, TLS and routing on io_uring, weighted round robin.
#[derive(Parser)]
#[command(name = "weir", disable_version_flag = true, max_term_width = 100, after_help = CONFIGURES)]
struct Arguments {
    /// The static configuration file, YAML or TOML [default: /etc/weir/weir.yml, .yaml or .toml].
    #[arg(long = "configFile", value_name = "FILE", global = true)]
    config_file: Option<PathBuf>,
    /// As `weir version`.
    #[arg(long, short = 'V')]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

const CONFIGURES: &str = "Every key of the static configuration is a flag too, --entryPoints.web.address=:80, and a \
                          variable, WEIR_ENTRYPOINTS_WEB_ADDRESS=:80. Flags count more than variables, these more than \
                          the file.";

#[derive(Subcommand)]
enum Command {
    /// Says which version this is and whether the XDP program is built in.
    Version,
    /// Shows what the running proxy does: listeners, rules left out and why, steering. Exits 1 if something is wrong.
    Status {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Makes the running proxy read its rule files now, and says what changed. Exits 1 if something is left out.
    Reload {
        /// Only says what would change.
        #[arg(long)]
        dry_run: bool,
        /// As lines of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Checks the static configuration and rule files, with templates expanded, and prints every problem. Exits 1 on
    /// errors, 3 on warnings with --strict.
    Check {
        /// Names are not resolved, and files that rules name may be missing here.
        #[arg(long)]
        offline: bool,
        /// Warnings count too.
        #[arg(long)]
        strict: bool,
        /// How problems are printed.
        #[arg(long, value_enum, default_value = "text")]
        format: check::Format,
        /// Rule files and directories; without any, those of the static configuration.
        paths: Vec<PathBuf>,
    },
    /// Certificates of `certificatesResolvers`: what is there, what is planned, and Traefik's acme.json.
    #[command(subcommand)]
    Certs(certs::Command),
    /// Servers: how they are, and what they are to do.
    #[command(subcommand)]
    Server(server::Server),
    /// Services: which share their servers get.
    #[command(subcommand)]
    Service(server::Service),
    /// The XDP plane, whether the proxy runs or not.
    #[command(subcommand)]
    Steer(Steer),
}

#[derive(Subcommand)]
enum Steer {
    /// Shows mode, rules, pools, servers and counters.
    Status {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// New connections are steered in the NIC again.
    On,
    /// New connections are steered in user space; those in the NIC go on.
    Off,
    /// Takes the XDP program off every interface. Connections steered in the NIC end.
    Detach,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let (own, flags) = arguments::split(std::env::args_os());
    let arguments = Arguments::parse_from(own);
    let sources = &Sources::of_process(arguments.config_file, flags);
    match arguments.command {
        None if !arguments.version => app::run(sources),
        None | Some(Command::Version) => {
            println!("{}", version());
            ExitCode::SUCCESS
        }
        Some(Command::Status { json }) => status(sources, json),
        Some(Command::Check {
            offline,
            strict,
            format,
            paths,
        }) => check::run(
            &Check {
                sources: sources.clone(),
                paths,
                offline,
            },
            strict,
            format,
        ),
        Some(Command::Reload { dry_run, json }) => reload::run(sources, dry_run, json),
        Some(Command::Certs(command)) => certs::run(sources, &command),
        Some(Command::Server(command)) => server::run(sources, &command),
        Some(Command::Service(command)) => server::service(sources, &command),
        Some(Command::Steer(command)) => steer(sources, &command),
    }
}

fn version() -> String {
    let object = match steering::OBJECT {
        Some(object) => format!("built in, {} bytes", object.len()),
        None => "not built in: steered connections take the user-space path (`cargo xtask build-ebpf`, then build again)"
            .to_owned(),
    };
    format!("weir {}\nXDP program: {object}", env!("CARGO_PKG_VERSION"))
}

fn status(sources: &Sources, json: bool) -> ExitCode {
    with_config(sources, |config| app::status::show(&config, json))
}

fn steer(sources: &Sources, command: &Steer) -> ExitCode {
    with_config(sources, |config| {
        let pin_path = &config.steering.pin_path;
        let text = match command {
            Steer::Status { json } => {
                let status = steering::status(pin_path, &config.runtime_dir)
                    .map_err(|error| error.to_string())?;
                if *json {
                    serde_json::to_string_pretty(&status).map_err(|error| error.to_string())?
                } else {
                    status.to_string()
                }
            }
            Steer::On | Steer::Off => {
                let on = matches!(command, Steer::On);
                steering::set_enabled(pin_path, on).map_err(|error| error.to_string())?;
                let plane = if on {
                    "the NIC"
                } else {
                    "user space; those in the NIC go on"
                };
                format!("new connections are now steered in {plane}")
            }
            Steer::Detach => {
                let detached = steering::detach(pin_path).map_err(|error| error.to_string())?;
                format!(
                    "detached from {}; {} steered connections end",
                    detached.interfaces.join(", "),
                    detached.connections
                )
            }
        };
        println!("{text}");
        Ok(ExitCode::SUCCESS)
    })
}

fn with_config(
    sources: &Sources,
    command: impl FnOnce(StaticConfig) -> Result<ExitCode, String>,
) -> ExitCode {
    let problems = match StaticConfig::load(sources) {
        Ok((config, _warnings)) => match command(config) {
            Ok(code) => return code,
            Err(message) => vec![message],
        },
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    };
    for problem in problems {
        eprintln!("weir: {problem}");
    }
    ExitCode::FAILURE
}
