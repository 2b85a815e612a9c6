//! `weir server`: what administrators say of servers, and what they are told of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use crate::admin::{self, Answer, Request, ServerState};
use crate::app::status::ago;
use crate::config::{Sources, StaticConfig};
use crate::limits::ADMIN_WAIT_LOOK;
use crate::service::Protocol;
use crate::service::standing::Standing;
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
    /// Returns when the server has no request or connection left, in the NIC neither; exits 1 if it has after the time.
    #[arg(long)]
    wait: bool,
    /// Waits also until none of the users that its cookie keeps has come for five to ten minutes.
    #[arg(long, requires = "wait")]
    users: bool,
    /// How long that may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "wait")]
    timeout: u64,
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
    let wait = wait.filter(|wait| wait.wait);
    let end = Instant::now() + Duration::from_secs(wait.map_or(0, |wait| wait.timeout));
    loop {
        let states = states(config, service, server)?;
        let in_flight: u32 = states.iter().map(|state| state.in_flight).sum();
        let in_nic: u64 = states.iter().map(|state| flows(config, state)).sum();
        let users: u32 = states.iter().filter_map(|state| state.users).sum();
        let users = wait.filter(|wait| wait.users).map_or(0, |_| users);
        let left = u64::from(in_flight) + in_nic + u64::from(users);
        if wait.is_some() && left > 0 && Instant::now() < end {
            std::thread::sleep(ADMIN_WAIT_LOOK);
            continue;
        }
        for state in &states {
            println!("{}", line(state, flows(config, state)));
        }
        return match left {
            1.. if users > 0 => Err(format!(
                "{} requests or connections and about {users} users are left",
                left - u64::from(users)
            )),
            1.. if wait.is_some() => Err(format!("{left} requests or connections are left")),
            _ => Ok(ExitCode::SUCCESS),
        };
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
