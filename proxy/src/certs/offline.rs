//! What the command line does with the store by itself, whether weir runs or not.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::deploy::Deployment;
use super::keeper::DIRECTORY;
use super::overview::{Overview, overview};
use super::queue::Queue;
use super::store::{Record, Store};
use super::traefik;
use crate::config::{Deploy, Needs, StaticConfig};

/// How certificates stand, for rules that need this.
///
/// # Errors
/// One line if the store cannot be read.
pub fn look(config: &StaticConfig, needs: &Needs, now: i64) -> Result<Overview, String> {
    let (store, lines) = open(config)?;
    lines.iter().for_each(|line| eprintln!("weir: {line}"));
    let directory = config.state_dir.join(DIRECTORY);
    let queue = Queue::open(&directory.join("queue.json"));
    let told = |resolver: Option<&str>, deploy: &Deploy| {
        Deployment::open(resolver, &deploy.directory, &directory).told()
    };
    let of_resolvers = config.resolvers.iter().filter_map(|resolver| {
        let deploy = resolver.deploy.as_ref()?;
        Some(told(Some(&resolver.name), deploy))
    });
    let of_files = needs.deploys.iter();
    let of_files = of_files.map(|files| told(None, &files.deploy));
    Ok(Overview {
        deployments: of_files.chain(of_resolvers).collect(),
        ..overview(&store, &queue, needs, now)
    })
}

/// Takes the certificates of a Traefik acme.json into the store; lines that say what came of it.
///
/// # Errors
/// One line if the file or the store cannot be used.
pub fn import(config: &StaticConfig, file: &Path) -> Result<Vec<String>, String> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (records, mut lines) =
        traefik::read(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let (mut store, damaged) = open(config)?;
    lines.extend(damaged);
    let known: HashSet<&str> = config
        .resolvers
        .iter()
        .map(|resolver| &*resolver.name)
        .collect();
    for record in records {
        let (names, resolver) = (record.names.join(" "), record.resolver.clone());
        let later = |held: &Record| held.names == record.names && held.resolver == record.resolver;
        if store.all().any(|(_, held)| later(&held.record)) {
            lines.push(format!(
                "{names} by {resolver}: left out, as the store has one"
            ));
            continue;
        }
        store.put(record)?;
        let unknown = if known.contains(&*resolver) {
            ""
        } else {
            "; no such resolver is configured, so it is not renewed"
        };
        lines.push(format!("{names} by {resolver}: imported{unknown}"));
    }
    Ok(lines)
}

/// The text of an acme.json with all certificates of the store.
///
/// # Errors
/// One line if the store cannot be read.
pub fn export(config: &StaticConfig) -> Result<String, String> {
    let (store, lines) = open(config)?;
    lines.iter().for_each(|line| eprintln!("weir: {line}"));
    traefik::write(store.all().map(|(_, held)| &held.record))
}

fn open(config: &StaticConfig) -> Result<(Store, Vec<String>), String> {
    Store::open(&config.state_dir).map_err(|error: io::Error| {
        format!(
            "stateDir: {} cannot be used: {error}; ask as root, or as the user that weir runs as",
            config.state_dir.display()
        )
    })
}
