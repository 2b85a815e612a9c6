//! Every key of Traefik is known by name: it has its effect, or is refused or taken without effect in words that say
//! so. A key that only looks like one is unknown.

use serde_json::{Value, json};

use super::super::Problem;
use super::tree::{rule_file, set, static_file};

const KEYS: &str = include_str!("traefik_keys.txt");

/// The paths of one section of the list.
fn paths(section: &str) -> impl Iterator<Item = String> {
    let text = KEYS
        .split("\n# ")
        .find_map(|part| part.strip_prefix(section));
    let lines = text.expect("the section").lines().skip(1);
    lines
        .filter_map(|line| line.split_once(": "))
        .flat_map(|(prefix, keys)| keys.split(' ').map(move |key| format!("{prefix}.{key}")))
}

/// What else is needed for weir to look at all.
fn base(path: &str) -> Value {
    let mut root = json!({});
    let mut needs = |at: &str, key: &str, value: Value| {
        if path.starts_with(at) && !path.starts_with(key) {
            set(&mut root, key, value);
        }
    };
    let any = "PathPrefix(`/`)";
    needs("http.routers.X", "http.routers.X.rule", any.into());
    needs("http.routers.X", "http.routers.X.service", "s".into());
    needs("tcp.routers.X", "tcp.routers.X.rule", "HostSNI(`*`)".into());
    needs("tcp.routers.X", "tcp.routers.X.service", "s".into());
    let of = "http.services.X.loadBalancer";
    needs(
        of,
        "http.services.X.loadBalancer.servers[].url",
        "http://192.0.2.1".into(),
    );
    let of = "tcp.services.X.loadBalancer";
    needs(
        of,
        "tcp.services.X.loadBalancer.servers[].address",
        "192.0.2.1:1".into(),
    );
    let of = "http.services.X.weighted";
    needs(of, "http.services.X.weighted.services[].name", "s".into());
    let of = "http.services.X.failover";
    needs(of, "http.services.X.failover.service", "s".into());
    needs(of, "http.services.X.failover.fallback", "s".into());
    let of = "http.middlewares.X.ipAllowList";
    needs(
        of,
        "http.middlewares.X.ipAllowList.sourceRange",
        "192.0.2.1".into(),
    );
    let of = "tls.stores.X.defaultGeneratedCert";
    needs(of, "tls.stores.X.defaultGeneratedCert.resolver", "r".into());
    let of = "certificatesResolvers.X.acme.dnsChallenge";
    needs(
        of,
        "certificatesResolvers.X.acme.dnsChallenge.provider",
        "exec".into(),
    );
    needs("entryPoints.X", "entryPoints.X.address", ":80".into());
    let tls = "certificatesResolvers.X.acme.tlsChallenge";
    if !path.contains("Challenge") {
        needs("certificatesResolvers.X.acme", tls, json!({}));
    }
    root
}

/// All that is said about a document with this key.
fn said(path: &str, is_static: bool) -> Vec<String> {
    let mut root = base(path);
    let (path, value) = match path.strip_suffix("{}") {
        Some(path) => (path, json!({})),
        None => (path, json!("1")),
    };
    set(&mut root, path, value);
    if !is_static {
        return rule_file(&root).iter().map(Problem::to_string).collect();
    }
    if !path.starts_with("entryPoints") {
        set(&mut root, "entryPoints.web.address", ":80".into());
    }
    static_file(&root)
        .1
        .iter()
        .map(Problem::to_string)
        .collect()
}

#[test]
fn every_key_of_traefik_is_known_and_nothing_that_looks_like_one() {
    let mut wrong = Vec::new();
    for (section, is_static) in [("Rule files", false), ("Static configuration", true)] {
        let mut count = 0;
        for path in paths(section) {
            count += 1;
            let about = said(&path, is_static);
            if about.iter().any(|line| line.contains("unknown key")) {
                wrong.push(format!("{path}: {about:?}"));
            }
            // Names may be any; below what weir has not yet, it does not look.
            let plain = path.trim_end_matches("{}").trim_end_matches("[]");
            let known = |line: &String| {
                line.contains("unknown key")
                    || line.contains("weir not yet")
                    || line.contains("no effect")
                    || line.contains("bare metal")
            };
            let about = said(&format!("{plain}Zq"), is_static);
            if !plain.ends_with(".X") && !about.iter().any(known) {
                wrong.push(format!("{plain}Zq: {about:?}"));
            }
        }
        assert!(count > 150, "{section}: {count}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
