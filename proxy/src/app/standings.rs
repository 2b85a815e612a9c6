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
use crate::config::walker::nearest_of;
use crate::limits::{SERVICE_WEIGHT_MAX, STANDINGS_MAX};
use crate::service::standing::{Said, ServerName, Standing, Standings};
use crate::service::{Protocol, Service, ServiceKind, short};

/// Servers named in an error.
const SERVERS_NAMED: usize = 10;

/// Below the state directory.
const FILE: &str = "servers.json";

/// What somebody says of a server.
#[derive(Debug)]
pub struct Saying {
    /// With or without `@file`.
    pub service: String,
    /// As written in the rule files.
    pub server: String,
    /// What.
    pub what: Word,
    /// Who says it.
    pub user: u32,
}

/// What is said.
#[derive(Clone, Copy, Debug)]
pub enum Word {
    /// What the server is to do.
    Stand(Standing),
    /// Which weight it has; `None`: that of the rule files.
    Weigh(Option<u32>),
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
    let found = find(rules, saying).or_else(|error| match gone(before, saying) {
        found if found.is_empty() => Err(error),
        found => Ok(found),
    })?;
    if let Word::Weigh(weight) = saying.what {
        for (name, written) in &found {
            // An entry is written by its weight.
            can_weigh(
                rules,
                name,
                weight.or_else(|| written.parse().ok()).unwrap_or(1),
            )?;
        }
    }
    let mut standings = before.clone();
    let by = user(saying.user);
    for (name, written) in found {
        let before = standings.remove(&name);
        let mut said = Said {
            standing: before
                .as_ref()
                .map_or(Standing::Ready, |said| said.standing),
            weight: before.and_then(|said| said.weight),
            written: written.to_string(),
            by: by.clone(),
            at: clock::unix_seconds(),
        };
        let (service, server) = (&*name.1, &*name.2);
        match saying.what {
            Word::Stand(standing) => {
                said.standing = standing;
                let standing = standing.as_str();
                info!(service, server, by, "the server is to be: {standing}");
            }
            Word::Weigh(weight) => {
                said.weight = weight;
                info!(service, server, by, weight, "the server's weight is said");
            }
        }
        if !said.is_nothing() {
            standings.insert(name, said);
        }
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

/// Whether it may have that weight. An entry of a weighted service may have 0 while another one has more; a server is
/// drained instead, which does not forget what runs there.
fn can_weigh(
    rules: &Snapshot,
    (protocol, service, child): &ServerName,
    weight: u32,
) -> Result<(), String> {
    let mut services = rules.services.iter();
    let found = services
        .find(|(one, found)| one == protocol && found.short_name() == &**service)
        .map(|(_, found)| &found.kind);
    match (found, weight) {
        (_, 1..=SERVICE_WEIGHT_MAX) => Ok(()),
        (Some(ServiceKind::Weighted(entries)), 0) => {
            let is_other = |name: &str| name != &**child;
            let mut names = entries.iter().map(|entry| entry.service.short_name());
            names.any(is_other).then_some(()).ok_or_else(|| {
                format!("no other entry of {service} has a weight: with 0 for {child} nothing would serve it")
            })
        }
        (Some(ServiceKind::Weighted(_)), _) => Err(format!(
            "the weight of an entry is from 0 to {SERVICE_WEIGHT_MAX}"
        )),
        _ => Err(format!(
            "the weight of a server is from 1 to {SERVICE_WEIGHT_MAX}: `weir server drain` or `maint` takes one out"
        )),
    }
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

/// What the files have changed is no longer kept, and said to be so.
pub fn forgotten(file: &Path, standings: &Standings, outdated: &[ServerName]) {
    if outdated.is_empty() {
        return;
    }
    for (_, service, server) in outdated {
        info!(
            service = &**service,
            server = &**server,
            "the rule files have changed the server or removed it: what was said of it no longer holds"
        );
    }
    if let Err(error) = keep(file, standings) {
        warn!(
            "{} cannot be written: {error}: after a restart it is looked at again",
            file.display()
        );
    }
}

/// The servers meant, and how they are written: as a rule one; two where an HTTP and a TCP service have the same name
/// and server. Weights are those of entries of weighted services, too.
fn find(rules: &Snapshot, saying: &Saying) -> Result<Vec<(ServerName, Arc<str>)>, String> {
    let service = short(&saying.service);
    let entries = matches!(saying.what, Word::Weigh(_));
    let of_service: Vec<(ServerName, Arc<str>)> = rules
        .services
        .iter()
        .filter(|(_, one)| short(&one.name) == service)
        .flat_map(|(protocol, one)| children(*protocol, one, entries))
        .collect();
    let same = |(name, _): &&(ServerName, Arc<str>)| {
        let is_entry = entries && *name.2 == *short(&saying.server);
        is_entry || name.2.trim_end_matches('/') == saying.server.trim_end_matches('/')
    };
    let found: Vec<_> = of_service.iter().filter(same).cloned().collect();
    if !found.is_empty() {
        return Ok(found);
    }
    if of_service.is_empty() {
        return Err(unknown(rules, service));
    }
    let names: Vec<&str> = of_service.iter().map(|(name, _)| &*name.2).collect();
    let meant = match nearest_of(&saying.server, names.iter().copied()) {
        Some(name) => format!("did you mean {name}? "),
        None => String::new(),
    };
    let more = match names.len().checked_sub(SERVERS_NAMED) {
        None | Some(0) => String::new(),
        Some(more) => format!(" and {more} more, which `weir server list {service}` shows"),
    };
    Err(format!(
        "the service {service} has no server {:?}: {meant}its servers are {}{more}",
        saying.server,
        names[..names.len().min(SERVERS_NAMED)].join(", ")
    ))
}

/// Whether a rule has a server or entry of this name.
pub fn is_named(rules: &Snapshot, name: &ServerName) -> bool {
    let of_service = |(protocol, one): &(Protocol, Arc<Service>)| {
        *protocol == name.0 && one.short_name() == &*name.1 && one.has_child(&name.2)
    };
    rules.services.iter().any(of_service)
}

/// The servers that something is still said of although no rule names them: it holds should they come back, and can
/// be taken back.
fn gone(before: &Standings, saying: &Saying) -> Vec<(ServerName, Arc<str>)> {
    let takes_back = matches!(
        saying.what,
        Word::Stand(Standing::Ready) | Word::Weigh(None)
    );
    let named = |(_, service, server): &&ServerName| {
        &**service == short(&saying.service)
            && server.trim_end_matches('/') == saying.server.trim_end_matches('/')
    };
    let names = before.keys().filter(|_| takes_back).filter(named);
    names
        .map(|name| (name.clone(), Arc::from(&*before[name].written)))
        .collect()
}

/// What is said of a load balancer that is not there.
pub fn unknown(rules: &Snapshot, service: &str) -> String {
    let balancers = rules
        .services
        .iter()
        .filter(|(_, one)| matches!(one.kind, ServiceKind::LoadBalancer(_)));
    let meant = match nearest_of(short(service), balancers.map(|(_, one)| short(&one.name))) {
        Some(name) => format!("did you mean {name}? "),
        None => String::new(),
    };
    let weighted = |(_, one): &(Protocol, Arc<Service>)| {
        matches!(one.kind, ServiceKind::Weighted(_)) && short(&one.name) == short(service)
    };
    if rules.services.iter().any(weighted) {
        return format!(
            "there is no load balancer {service}, but a weighted service: drain servers of the services it names, \
             or set an entry's weight (`weir service weight {service} ENTRY 0`)"
        );
    }
    format!("there is no load balancer {service}: {meant}`weir server list` shows all")
}

/// The servers of a load balancer; where `entries` are meant, those of a weighted service.
fn children(protocol: Protocol, service: &Service, entries: bool) -> Vec<(ServerName, Arc<str>)> {
    let parent: Arc<str> = short(&service.name).into();
    let child = |name: &str, written: &Arc<str>| {
        let name = (protocol, Arc::clone(&parent), name.into());
        (name, Arc::clone(written))
    };
    let resting = service.resting.iter();
    let resting = resting.map(|resting| child(&resting.name, &resting.written));
    match &service.kind {
        ServiceKind::LoadBalancer(balancer) => {
            let servers = balancer.servers.iter();
            let servers = servers.map(|server| child(&server.name, &server.written));
            servers.chain(resting).collect()
        }
        ServiceKind::Weighted(services) if entries => {
            let entries = services.iter();
            let entries = entries.map(|entry| child(short(&entry.service.name), &entry.written));
            entries.chain(resting).collect()
        }
        ServiceKind::Weighted(_) | ServiceKind::Failover(_) => Vec::new(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_rules::{loaded, service};

    #[test]
    fn so_much_is_said_of_servers_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        let rules = loaded(&service([1, 2], ""));
        let drain = |before: &Standings, port: u16| {
            let saying = Saying {
                service: "s".to_owned(),
                server: format!("http://127.0.0.1:{port}"),
                what: Word::Stand(Standing::Drain),
                user: 0,
            };
            change(&file, before, &rules, &saying)
        };
        let said = drain(&Standings::new(), 1).unwrap();
        let said = said.values().next().unwrap();
        let others = (1..STANDINGS_MAX).map(|number| {
            let name = (Protocol::Http, "t".into(), number.to_string().into());
            (name, said.clone())
        });
        let full = drain(&others.collect(), 1).unwrap();
        assert_eq!(full.len(), STANDINGS_MAX);
        let told = drain(&full, 2).unwrap_err();
        assert!(told.contains("more than 4096 servers"), "{told}");
        assert_eq!(load(&file), full, "kept, and nothing beside");
    }
}
