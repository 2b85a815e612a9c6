//! `weir server`: what administrators say of servers, and what they are told of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use crate::admin::{self, Answer, Request, ServerState};
use crate::app::status::ago;
use crate::config::{Sources, StaticConfig};
use crate::limits::{ADMIN_WAIT_LOOK, ADMIN_WAIT_TELL};
use crate::service::Protocol;
use crate::service::standing::{Said, Standing};
use crate::steering;

/// What is wanted of servers.
#[derive(Subcommand)]
pub(super) enum Server {
    /// Shows the servers of a service, or of all.
    List {
        /// A load balancer, as in the rule files.
        service: Option<String>,
        /// As lines of JSON.
        #[arg(long)]
        json: bool,
    },
    /// The server keeps the users that its cookie names and what runs, and gets nothing else.
    Drain {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        wait: Wait,
    },
    /// The server gets requests again.
    Ready {
        #[command(flatten)]
        which: Which,
    },
    /// The server gets nothing, not even from its users; what runs goes on.
    Maint {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Args)]
pub(super) struct Which {
    /// A load balancer, as in the rule files.
    service: String,
    /// The server's url or address, as in the rule files.
    server: String,
}

#[derive(Args)]
pub(super) struct Wait {
    /// Returns when nothing is left there: no request, no connection, in the NIC neither, and of a drained server no
    /// user that its cookie has brought in the last five to ten minutes.
    #[arg(long)]
    wait: bool,
    /// Waits for requests and connections only, not for the users that its cookie keeps.
    #[arg(long, requires = "wait")]
    requests_only: bool,
    /// How long that may take, in seconds, before it exits 1 and says what is left; without it as long as it takes.
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    timeout: Option<u64>,
}

pub(super) fn run(sources: &Sources, command: &Server) -> ExitCode {
    super::with_config(sources, |config| match command {
        Server::List { service, json } => list(&config, service.clone(), *json),
        Server::Drain { which, wait } => stand(&config, which, Standing::Drain, Some(wait)),
        Server::Ready { which } => stand(&config, which, Standing::Ready, None),
        Server::Maint { which, wait } => stand(&config, which, Standing::Maint, Some(wait)),
    })
}

/// What is wanted of services.
#[derive(Subcommand)]
pub(super) enum Service {
    /// The server gets this share of the requests, in both planes, until the rule file changes it.
    Weight {
        /// A load balancer or weighted service, as in the rule files.
        service: String,
        /// The server's url or address, as in the rule files; of a weighted service the name of an entry.
        server: String,
        /// From 1 to 1,000,000; or `file`: what the rule files say.
        #[arg(value_parser = weight)]
        weight: Weight,
    },
}

/// A weight; `None`: that of the rule files.
#[derive(Clone, Copy)]
pub(super) struct Weight(Option<u32>);

fn weight(text: &str) -> Result<Weight, String> {
    if text == "file" {
        return Ok(Weight(None));
    }
    let weight = text.parse().ok();
    weight
        .map(|weight| Weight(Some(weight)))
        .ok_or_else(|| "a whole number, or `file`".to_owned())
}

pub(super) fn service(sources: &Sources, command: &Service) -> ExitCode {
    super::with_config(sources, |config| {
        let Service::Weight {
            service,
            server,
            weight: Weight(weight),
        } = command;
        let request = Request::Weigh {
            service: service.clone(),
            server: server.clone(),
            weight: *weight,
        };
        admin::ask(&config.runtime_dir, &request, |_| {})?;
        match weight {
            Some(weight) => println!("{server} of {service} has the weight {weight}"),
            None => println!("{server} of {service} has the weight of the rule files"),
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn list(config: &StaticConfig, service: Option<String>, json: bool) -> Result<ExitCode, String> {
    let request = Request::Servers { service };
    admin::ask(&config.runtime_dir, &request, |answer| match answer {
        Answer::Server(_) if json => {
            println!("{}", serde_json::to_string(&answer).unwrap_or_default());
        }
        Answer::Server(state) => println!("{}", line(&state, flows(config, &state))),
        _ => {}
    })?;
    Ok(ExitCode::SUCCESS)
}

fn stand(
    config: &StaticConfig,
    Which { service, server }: &Which,
    standing: Standing,
    wait: Option<&Wait>,
) -> Result<ExitCode, String> {
    let request = Request::Stand {
        service: service.clone(),
        server: server.clone(),
        standing,
    };
    admin::ask(&config.runtime_dir, &request, |_| {})?;
    let states = || states(config, service, server);
    let ended = match wait.filter(|wait| wait.wait) {
        Some(wait) => wait.until_nothing_is_left(config, &states),
        None => Ok(()),
    };
    match states() {
        Ok(states) if !states.is_empty() => {
            let line = |state| line(state, flows(config, state));
            states.iter().for_each(|state| println!("{}", line(state)));
        }
        Err(error) if standing != Standing::Ready => return Err(error),
        // What was said is done: all that was left of a server or service that is gone.
        _ => println!(
            "{} {server} of {service}: no rule names it",
            standing.as_str()
        ),
    }
    ended.map(|()| ExitCode::SUCCESS)
}

impl Wait {
    fn until_nothing_is_left(
        &self,
        config: &StaticConfig,
        states: &dyn Fn() -> Result<Vec<ServerState>, String>,
    ) -> Result<(), String> {
        let begun = Instant::now();
        let is_over = |timeout: u64| begun.elapsed() >= Duration::from_secs(timeout);
        let mut told = begun;
        loop {
            let states = states()?;
            if states.is_empty() {
                return Err(
                    "it is no longer in the rules: what it still has cannot be told".into(),
                );
            }
            let left = Left::of(config, &states, !self.requests_only);
            if left == Left::default() {
                return Ok(());
            }
            if self.timeout.is_some_and(is_over) {
                return Err(left.to_string());
            }
            if told.elapsed() >= ADMIN_WAIT_TELL {
                told = Instant::now();
                eprintln!("{left}");
            }
            std::thread::sleep(ADMIN_WAIT_LOOK);
        }
    }
}

/// What a server still has that is to stop.
#[derive(Default, PartialEq, Eq)]
struct Left {
    /// Through workers, waiting for its turn, and in the NIC.
    connections: u64,
    users: u32,
    /// In how many seconds it is known that there are no more users.
    unsure: u64,
}

impl Left {
    fn of(config: &StaticConfig, states: &[ServerState], with_users: bool) -> Self {
        let connections = |state: &ServerState| {
            u64::from(state.in_flight + state.waiting.unwrap_or(0)) + flows(config, state)
        };
        // In maintenance its users have gone to others.
        let is_drained = |said: &Said| said.standing == Standing::Drain;
        let stay = |state: &&ServerState| {
            with_users && state.users.is_some() && state.said.as_ref().is_some_and(is_drained)
        };
        let kept: Vec<_> = states.iter().filter(stay).collect();
        let unsure = kept.iter().map(|state| state.users_known_in).max();
        Self {
            connections: states.iter().map(connections).sum(),
            users: kept.iter().filter_map(|state| state.users).sum(),
            unsure: unsure.unwrap_or(0),
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} requests or connections", self.connections)?;
        if self.users > 0 {
            write!(out, " and about {} users", self.users)?;
        }
        out.write_str(" are left")?;
        if self.unsure > 0 {
            let unsure = self.unsure;
            write!(
                out,
                "; how many users were there before weir started, is known in {unsure} s"
            )?;
        }
        Ok(())
    }
}

/// How the server is now; two where a TCP service has the same name and server.
fn states(config: &StaticConfig, service: &str, server: &str) -> Result<Vec<ServerState>, String> {
    let mut states = Vec::new();
    let request = Request::Servers {
        service: Some(service.to_owned()),
    };
    admin::ask(&config.runtime_dir, &request, |answer| {
        if let Answer::Server(state) = answer
            && state.server.trim_end_matches('/') == server.trim_end_matches('/')
        {
            states.push(*state);
        }
    })?;
    Ok(states)
}

/// Steered connections that a server has in the NIC; none where that cannot be read.
fn flows(config: &StaticConfig, state: &ServerState) -> u64 {
    if state.protocol != Protocol::Tcp {
        return 0;
    }
    let status = steering::status(&config.steering.pin_path, &config.runtime_dir);
    let status = status.unwrap_or_default();
    let pools = status.pools.iter().flat_map(|pool| &pool.servers);
    // A server is in as many pools as name it, each time with all its connections.
    let by_address: BTreeMap<SocketAddr, u64> = pools
        .chain(&status.retired)
        .map(|server| (server.address, server.connections))
        .collect();
    let of = |address| by_address.get(address).copied().unwrap_or_default();
    state.addresses.iter().map(of).sum()
}

fn line(state: &ServerState, flows: u64) -> String {
    let ServerState {
        service,
        server,
        said,
        health,
        in_flight,
        waiting,
        suspicion,
        weight,
        users,
        ..
    } = state;
    let standing = said.as_ref().map_or(Standing::Ready, |said| said.standing);
    let mut line = format!(
        "{:<6} {server} of {service}: {in_flight} in flight",
        standing.as_str()
    );
    if let Some(waiting) = waiting.filter(|waiting| *waiting > 0) {
        line.push_str(&format!(", {waiting} waiting"));
    }
    if flows > 0 {
        line.push_str(&format!(", {flows} connections in the NIC"));
    }
    if let Some(users) = users {
        line.push_str(&format!(", about {users} users lately"));
    }
    if let Some(said) = said {
        if said.weight.is_some() {
            line.push_str(&format!(", weight {weight}"));
        }
        line.push_str(&format!(", said by {} {}", said.by, ago(said.at)));
    }
    if let Some(suspicion) = suspicion {
        let left = suspicion.left.div_ceil(1_000);
        line.push_str(&format!(", out for {left} s more: {}", suspicion.reason));
    }
    match health {
        None => line.push_str(", not checked"),
        Some(health) => {
            let word = if health.up { "up" } else { "down" };
            line.push_str(&format!(
                ", {word} {}: {}",
                ago(health.since),
                health.reason
            ));
        }
    }
    line
}
