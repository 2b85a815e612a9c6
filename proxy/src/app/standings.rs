//! What administrators have said of servers, kept in the state directory.
//!
//! Owns the file `servers.json` there. Blocks: belongs on the control thread's pool, but for the first load.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::admin::Answer;
use crate::certs::durable;
use crate::clock;
use crate::config::Snapshot;
use crate::limits::STANDINGS_MAX;
use crate::service::standing::{Said, ServerName, Standing, Standings};
use crate::service::{Protocol, ServiceKind};

/// Below the state directory.
const FILE: &str = "servers.json";

/// What somebody says of a server.
#[derive(Debug)]
pub struct Saying {
    /// With or without `@file`.
    pub service: String,
    /// As written in the rule files.
    pub server: String,
    /// What it is to do.
    pub standing: Standing,
    /// Who says it.
    pub user: u32,
}

/// A server and what was said, in the file.
#[derive(Serialize, Deserialize)]
struct Kept {
    protocol: Protocol,
    service: String,
    server: String,
    #[serde(flatten)]
    said: Said,
}

/// Where they are kept.
pub fn file(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

/// What was said before this process. A file that cannot be read is left as it is, and said to be so.
pub fn load(file: &Path) -> Standings {
    let read = durable::read(file).and_then(|kept| {
        let Some(kept) = kept else {
            return Ok(Vec::new());
        };
        if let Some(instead) = kept.instead {
            warn!("{instead}");
        }
        serde_json::from_slice(&kept.body).map_err(|error| format!("{}: {error}", file.display()))
    });
    let kept: Vec<Kept> = read.unwrap_or_else(|problem| {
        warn!("{problem}: no server is drained or in maintenance because of it");
        Vec::new()
    });
    let named = |kept: Kept| {
        let name = (kept.protocol, kept.service.into(), kept.server.into());
        (name, kept.said)
    };
    kept.into_iter().take(STANDINGS_MAX).map(named).collect()
}

/// What is said from now on, kept in the file.
///
/// # Errors
/// One line: no such server, or the file cannot be written; nothing has changed then.
pub fn change(
    file: &Path,
    before: &Standings,
    rules: &Snapshot,
    saying: &Saying,
) -> Result<Standings, String> {
    let names = find(rules, saying)?;
    let mut standings = before.clone();
    let by = user(saying.user);
    for name in names {
        info!(
            service = &*name.1,
            server = &*name.2,
            by,
            "the server is to be: {}",
            saying.standing.as_str()
        );
        if saying.standing == Standing::Ready {
            standings.remove(&name);
            continue;
        }
        let said = Said {
            standing: saying.standing,
            by: by.clone(),
            at: clock::unix_seconds(),
        };
        standings.insert(name, said);
    }
    if standings.len() > STANDINGS_MAX {
        return Err(format!(
            "more than {STANDINGS_MAX} servers drained or in maintenance: make some ready first"
        ));
    }
    keep(file, &standings)
        .map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
    Ok(standings)
}

fn keep(file: &Path, standings: &Standings) -> std::io::Result<()> {
    let kept = standings
        .iter()
        .map(|((protocol, service, server), said)| Kept {
            protocol: *protocol,
            service: service.to_string(),
            server: server.to_string(),
            said: said.clone(),
        });
    let kept: Vec<Kept> = kept.collect();
    durable::write(file, &serde_json::to_vec(&kept)?)
}

/// The servers meant: as a rule one; two where an HTTP and a TCP service have the same name and server.
fn find(rules: &Snapshot, saying: &Saying) -> Result<Vec<ServerName>, String> {
    let service = short(&saying.service);
    let mut of_service = Vec::new();
    for (protocol, name, server) in servers(rules).filter(|(_, name, _)| short(name) == service) {
        of_service.push((protocol, Arc::from(short(name)), Arc::clone(server)));
    }
    let same =
        |name: &ServerName| name.2.trim_end_matches('/') == saying.server.trim_end_matches('/');
    let found: Vec<ServerName> = of_service
        .iter()
        .filter(|name| same(name))
        .cloned()
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    if of_service.is_empty() {
        return Err(format!(
            "there is no load balancer {service}: `weir server list` shows all"
        ));
    }
    let names: Vec<&str> = of_service.iter().map(|name| &*name.2).collect();
    Err(format!(
        "the service {service} has no server {:?}: its servers are {}",
        saying.server,
        names.join(", ")
    ))
}

/// Each server of each load balancer, with the full name of its service.
fn servers(rules: &Snapshot) -> impl Iterator<Item = (Protocol, &str, &Arc<str>)> {
    rules.services.iter().flat_map(|(protocol, service)| {
        let servers: &[_] = match &service.kind {
            ServiceKind::LoadBalancer(balancer) => &balancer.servers,
            ServiceKind::Weighted(_) | ServiceKind::Failover(_) => &[],
        };
        let each = move |server| -> (Protocol, &str, &Arc<str>) {
            let server: &Arc<crate::service::Server> = server;
            (*protocol, &service.name, &server.name)
        };
        servers.iter().map(each)
    })
}

/// A name without `@file`.
pub fn short(service: &str) -> &str {
    service.strip_suffix("@file").unwrap_or(service)
}

/// The name of a user, or the number of one who has none.
fn user(id: u32) -> String {
    let user = nix::unistd::User::from_uid(id.into()).ok().flatten();
    user.map_or_else(|| format!("user {id}"), |user| user.name)
}

/// What the one who said something is told.
pub fn done(rules: &Snapshot) -> Vec<Answer> {
    vec![Answer::Done {
        generation: rules.generation,
        errors: 0,
        dry_run: false,
    }]
}
