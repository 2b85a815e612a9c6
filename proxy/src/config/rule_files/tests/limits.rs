//! What a rule file may hold: as much as a limit says is taken, one more is not.

use super::*;
use crate::limits::{
    HOLD_TIME_MAX, MIDDLEWARE_CHAIN_DEPTH_MAX, MIDDLEWARES_MAX, PAGE_BYTES_MAX, QUEUE_LENGTH_MAX,
    SERVER_CONNECTIONS_MAX, SERVICE_DEPTH_MAX, SERVICE_TREE_MAX, SERVICE_WEIGHT_MAX,
};

const LEAF: &str = "    leaf: {loadBalancer: {servers: [{url: 'http://192.0.2.1'}]}}\n";

/// Nothing is said at `most`, and something that holds `told` one over it.
fn holds(most: usize, told: &str, file: impl Fn(usize) -> String) {
    assert_eq!(messages(&[("a.yml", &file(most))]), Vec::<String>::new());
    let found = messages(&[("a.yml", &file(most + 1))]);
    assert!(found.iter().any(|line| line.contains(told)), "{found:?}");
}

#[test]
fn weights() {
    holds(SERVICE_WEIGHT_MAX as usize, "to 1000000", |weight| {
        format!(
            "http:\n  services:\n{LEAF}    w: {{weighted: {{services: [{{name: leaf, weight: {weight}}}]}}}}\n"
        )
    });
    holds(SERVICE_WEIGHT_MAX as usize, "to 1000000", |weight| {
        format!(
            "http: {{services: {{s: {{loadBalancer: {{servers: [{{url: 'http://192.0.2.1', weight: {weight}}}]}}}}}}}}"
        )
    });
}

#[test]
fn services_inside_each_other() {
    let told = format!("at most {SERVICE_DEPTH_MAX}");
    holds(SERVICE_DEPTH_MAX, &told, |depth| {
        let chain = (1..depth).map(|level| {
            let child = match level {
                1 => "leaf".to_owned(),
                _ => format!("s{}", level - 1),
            };
            format!("    s{level}: {{weighted: {{services: [{{name: {child}}}]}}}}\n")
        });
        format!("http:\n  services:\n{LEAF}{}", chain.collect::<String>())
    });
}

#[test]
fn services_and_servers_below_one() {
    // A load balancer of 255 servers counts 256; 255 of those and one of 254 servers are as many as may be below one.
    let told = format!("at most {}", SERVICE_TREE_MAX - 1);
    holds(254, &told, |rest| {
        let balancer = |name: &str, servers: usize| {
            let servers = (0..servers).map(|at| format!("{{url: 'http://192.0.2.{at}'}}"));
            let servers = servers.collect::<Vec<_>>().join(", ");
            format!("    {name}: {{loadBalancer: {{servers: [{servers}]}}}}\n")
        };
        let entries = ["{name: many}"; 255].join(", ");
        format!(
            "http:\n  services:\n{}{}    tree: {{weighted: {{services: [{entries}, {{name: rest}}]}}}}\n",
            balancer("many", 255),
            balancer("rest", rest),
        )
    });
}

fn routed(middlewares: &str, chain: &str) -> String {
    format!(
        "http:\n  routers: {{r: {{rule: Host(`a`), service: leaf, middlewares: [{chain}]}}}}\n  services:\n{LEAF}  \
         middlewares: {{p: {{compress: }}, {middlewares}}}\n"
    )
}

#[test]
fn middlewares_of_one_router() {
    let told = format!("at most {MIDDLEWARES_MAX} on one router");
    holds(MIDDLEWARES_MAX, &told, |count| {
        let chain = vec!["p"; count].join(", ");
        routed("", &chain)
    });
}

#[test]
fn chains_inside_each_other() {
    let told = format!("at most {MIDDLEWARE_CHAIN_DEPTH_MAX} chains");
    holds(MIDDLEWARE_CHAIN_DEPTH_MAX, &told, |depth| {
        let chains = (1..=depth).map(|level| {
            let inner = match level {
                1 => "p".to_owned(),
                _ => format!("c{}", level - 1),
            };
            format!("c{level}: {{chain: {{middlewares: [{inner}]}}}}")
        });
        let chains = chains.collect::<Vec<_>>().join(", ");
        routed(&chains, &format!("c{depth}"))
    });
}

/// A service with these keys of its load balancer and of its server.
fn balanced(keys: &str, server: &str) -> String {
    format!(
        "http: {{services: {{s: {{loadBalancer: {{servers: [{{url: 'http://192.0.2.1'{server}}}]{keys}}}}}}}}}"
    )
}

#[test]
fn connections_of_a_server_and_who_waits_for_them() {
    let most = SERVER_CONNECTIONS_MAX as usize;
    holds(most, "to 1000000", |count| {
        balanced("", &format!(", maxConnections: {count}"))
    });
    holds(QUEUE_LENGTH_MAX as usize, "to 65536", |count| {
        balanced(
            &format!(", queue: {{length: {count}}}"),
            ", maxConnections: 1",
        )
    });
}

#[test]
fn time_that_requests_are_held() {
    holds(HOLD_TIME_MAX.as_millis() as usize, "at most 5m", |time| {
        balanced(&format!(", holdTime: {time}ms"), "")
    });
}

#[test]
fn a_page() {
    let page = tempfile::NamedTempFile::new().unwrap();
    let told = format!("at most {PAGE_BYTES_MAX} bytes");
    holds(PAGE_BYTES_MAX, &told, |bytes| {
        fs::write(page.path(), vec![b'x'; bytes]).unwrap();
        balanced(
            &format!(", unavailablePage: '{}'", page.path().display()),
            "",
        )
    });
}

#[test]
fn rule_files_of_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let file = |number: usize| directory.path().join(format!("{number:05}.yml"));
    let found = || {
        let mut problems = Vec::new();
        let files = find(directory.path(), &mut problems).unwrap();
        (files.last().cloned(), files.len(), problems.len())
    };
    for number in 0..RULE_FILES_MAX {
        fs::File::create(file(number)).unwrap();
    }
    let last = Some(Arc::from(file(RULE_FILES_MAX - 1)));
    assert_eq!(found(), (last.clone(), RULE_FILES_MAX, 0));
    fs::File::create(file(RULE_FILES_MAX)).unwrap();
    assert_eq!(found(), (last, RULE_FILES_MAX, 1), "the last is lost");
}

#[test]
fn directories_inside_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let deep = |depth: usize| {
        let path = (0..depth).fold(directory.path().to_owned(), |path, _| path.join("d"));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("a.yml"), "").unwrap();
        let mut problems = Vec::new();
        let files = find(directory.path(), &mut problems).unwrap();
        (files.len(), problems.len())
    };
    assert_eq!(deep(RULE_DIRECTORY_DEPTH_MAX), (1, 0));
    assert_eq!(deep(RULE_DIRECTORY_DEPTH_MAX + 1), (1, 1));
}
