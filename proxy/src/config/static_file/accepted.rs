//! Static keys of Traefik that are taken without effect, so that its flags and files start weir unchanged: features
//! that are not built yet, and what means nothing on bare metal. One warning for each; a key that Traefik has not
//! either stays an error.
//!
//! A feature that is built loses its line here and gets keys of its own.

use std::collections::BTreeSet;

use super::keys;
use crate::config::node::{Entry, Node, Value, quoted};
use crate::config::walker::nearest_of;
use crate::config::{Lint, Problem};

/// Something of Traefik that has no effect.
struct Accepted {
    /// Where it is; `*` stands for a name.
    path: &'static str,
    /// Its keys below, to the leaves; `*` stands for a name, and `**` for whatever is there.
    leaves: &'static [&'static str],
    /// Why it has none.
    why: &'static str,
}

const NOT_YET: &str = "Traefik has it, weir not yet: it has no effect";
const NO_PROVIDER: &str = "it means nothing on bare metal, where rules are files: remove it";
const NO_CALLS_HOME: &str = "weir tells nobody about itself: remove it";

const ACCEPTED: &[Accepted] = &[
    Accepted {
        path: "accessLog",
        leaves: &[
            "addInternals",
            "bufferingSize",
            "fields.defaultMode",
            "fields.headers.defaultMode",
            "fields.headers.names.*",
            "fields.names.*",
            "fields.queryParameters.**",
            "filePath",
            "filters.minDuration",
            "filters.retryAttempts",
            "filters.statusCodes",
            "format",
            "otlp.**",
        ],
        why: NOT_YET,
    },
    Accepted {
        path: "api",
        leaves: &[
            "basePath",
            "dashboard",
            "dashboardName",
            "debug",
            "disableDashboardAd",
            "insecure",
        ],
        why: NOT_YET,
    },
    Accepted {
        path: "certificatesResolvers.*.acme.caServerName",
        leaves: &[],
        why: NOT_YET,
    },
    Accepted {
        path: "certificatesResolvers.*.acme.certificatesDuration",
        leaves: &[],
        why: "weir reads the life of a certificate from itself: remove it",
    },
    Accepted {
        path: "certificatesResolvers.*.acme.clientResponseHeaderTimeout",
        leaves: &[],
        why: "clientTimeout is for the whole answer: remove it",
    },
    Accepted {
        path: "entryPoints.*.http3",
        leaves: &["advertisedPort"],
        why: "Traefik has it, weir not yet: clients use HTTP/2",
    },
    Accepted {
        path: "entryPoints.*.observability",
        leaves: &["accessLogs", "metrics", "traceVerbosity", "tracing"],
        why: NOT_YET,
    },
    Accepted {
        path: "entryPoints.*.udp",
        leaves: &["timeout"],
        why: NOT_YET,
    },
    Accepted {
        path: "experimental",
        leaves: &["**"],
        why: NOT_YET,
    },
    Accepted {
        path: "metrics",
        leaves: &[
            "addInternals",
            "datadog.**",
            "influxDB2.**",
            "otlp.**",
            "prometheus.addEntryPointsLabels",
            "prometheus.addRoutersLabels",
            "prometheus.addServicesLabels",
            "prometheus.buckets",
            "prometheus.entryPoint",
            "prometheus.headerLabels.*",
            "prometheus.manualRouting",
            "statsD.**",
        ],
        why: NOT_YET,
    },
    Accepted {
        path: "ocsp",
        leaves: &["responderOverrides.*"],
        why: NOT_YET,
    },
    Accepted {
        path: "ping",
        leaves: &["entryPoint", "manualRouting", "terminatingStatusCode"],
        why: NOT_YET,
    },
    Accepted {
        path: "tracing",
        leaves: &["**"],
        why: NOT_YET,
    },
    Accepted {
        path: "global",
        leaves: &["checkNewVersion", "sendAnonymousUsage"],
        why: NO_CALLS_HOME,
    },
    provider("providers.consul"),
    provider("providers.consulCatalog"),
    provider("providers.docker"),
    provider("providers.ecs"),
    provider("providers.etcd"),
    provider("providers.knative"),
    provider("providers.kubernetesCRD"),
    provider("providers.kubernetesGateway"),
    provider("providers.kubernetesIngress"),
    provider("providers.kubernetesIngressNGINX"),
    provider("providers.nomad"),
    provider("providers.redis"),
    provider("providers.swarm"),
    provider("providers.zooKeeper"),
    Accepted {
        path: "providers.providersThrottleDuration",
        leaves: &[],
        why: "weir waits until the directory is quiet: remove it",
    },
];

const fn provider(path: &'static str) -> Accepted {
    Accepted {
        path,
        leaves: &["**"],
        why: NO_PROVIDER,
    }
}

/// Takes what is accepted out of the tree, and says what that is.
pub(super) fn take(root: &mut Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    for accepted in ACCEPTED {
        let path: Vec<&str> = accepted.path.split('.').collect();
        descend(root, &path, &mut Vec::new(), accepted, &mut problems);
    }
    problems
}

fn descend(
    node: &mut Node,
    path: &[&str],
    way: &mut Vec<String>,
    accepted: &Accepted,
    problems: &mut Vec<Problem>,
) {
    let (Some((first, rest)), Value::Map(entries)) = (path.split_first(), &mut node.value) else {
        return;
    };
    for index in (0..entries.len()).rev() {
        let entry = &mut entries[index];
        if *first != "*" && !first.eq_ignore_ascii_case(&entry.key) {
            continue;
        }
        way.push(if *first == "*" {
            entry.key.clone()
        } else {
            (*first).to_owned()
        });
        if rest.is_empty() {
            let entry = entries.remove(index);
            report(&entry, way, accepted, problems);
        } else {
            descend(&mut entry.node, rest, way, accepted, problems);
        }
        way.pop();
    }
    // What only leads there must not be left behind as a key that nobody knows.
    entries.retain(|entry| {
        let emptied = entry.node.value == Value::Map(Vec::new());
        !(emptied
            && path.len() > 1
            && !keys::ROOT.known.contains(first)
            && first.eq_ignore_ascii_case(&entry.key))
    });
}

fn report(entry: &Entry, way: &[String], accepted: &Accepted, problems: &mut Vec<Problem>) {
    let path = way.join(".");
    let leaves: Vec<Vec<&str>> = accepted
        .leaves
        .iter()
        .map(|leaf| leaf.split('.').collect())
        .collect();
    let before = problems.len();
    let leaves: Vec<&[&str]> = leaves.iter().map(Vec::as_slice).collect();
    let count = check(&entry.node, &path, &leaves, problems);
    if problems.len() > before || is_false(&entry.node) {
        return;
    }
    let found = match count {
        0 | 1 => format!("the key {}", quoted(&entry.key)),
        count => format!("the key {} with {count} settings", quoted(&entry.key)),
    };
    let origin = entry.origin.clone();
    problems.extend(labels(entry, &path));
    problems.push(
        Problem::warning(origin, found)
            .at(path)
            .remedy(accepted.why),
    );
}

/// Labels of metrics that take their values from headers, which clients write.
fn labels(entry: &Entry, path: &str) -> Option<Problem> {
    let below = |node: &Node, key: &str| {
        let Value::Map(entries) = &node.value else {
            return None;
        };
        entries
            .iter()
            .find(|entry| entry.key.eq_ignore_ascii_case(key))
            .cloned()
    };
    let labels = below(&below(&entry.node, "prometheus")?.node, "headerLabels")?;
    let found = format!("metric labels from headers ({})", labels.node.describe());
    let problem =
        Problem::warning(labels.origin, found).at(format!("{path}.prometheus.headerLabels"));
    Some(
        problem
            .lint(Lint::ClientControlledLabel)
            .remedy("clients choose their values: each new one is a time series more; remove them"),
    )
}

/// How many leaves there are; a key that Traefik has not is a problem.
fn check(node: &Node, path: &str, leaves: &[&[&str]], problems: &mut Vec<Problem>) -> usize {
    let Value::Map(entries) = &node.value else {
        return 1;
    };
    let mut count = 0;
    for entry in entries {
        let fits = |name: &str| matches!(name, "*" | "**") || name.eq_ignore_ascii_case(&entry.key);
        let below: Vec<&[&str]> = leaves
            .iter()
            .filter(|leaf| leaf.first().is_some_and(|name| fits(name)))
            .map(|leaf| if leaf[0] == "**" { leaf } else { &leaf[1..] })
            .collect();
        if below.is_empty() {
            let known: BTreeSet<&str> = leaves
                .iter()
                .filter_map(|leaf| leaf.first().copied())
                .collect();
            problems.push(unknown(entry, path, &known));
        } else {
            count += check(
                &entry.node,
                &format!("{path}.{}", entry.key),
                &below,
                problems,
            );
        }
    }
    count
}

fn unknown(entry: &Entry, path: &str, known: &BTreeSet<&str>) -> Problem {
    let remedy = match nearest_of(&entry.key, known.iter().copied()) {
        Some(key) => format!("did you mean {key}?"),
        None => "remove it".to_owned(),
    };
    let allowed: Vec<&str> = known.iter().copied().collect();
    Problem::error(
        entry.origin.clone(),
        format!("unknown key {}", quoted(&entry.key)),
    )
    .at(format!("{path}.{}", entry.key))
    .allowed(allowed.join(", "))
    .remedy(remedy)
}

/// Turned off in Traefik too.
fn is_false(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.text == "false")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::assignment;

    fn taken(arguments: &[&str]) -> (Node, Vec<String>) {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let mut root = assignment::flags(&arguments).unwrap();
        let problems = take(&mut root).iter().map(Problem::to_string).collect();
        (root, problems)
    }

    #[test]
    fn one_warning_for_each_and_nothing_is_left() {
        let (root, problems) = taken(&[
            "--ping",
            "--ping.entryPoint=websecure",
            "--metrics.prometheus.addrouterslabels=true",
            "--metrics.prometheus.headerlabels.origin=Origin",
            "--providers.swarm.endpoint=unix:///x",
            "--providers.swarm.exposedByDefault=false",
            "--accesslog=false",
            "--entrypoints.web.http3.advertisedport=443",
            "--entrypoints.web.observability.accesslogs=false",
        ]);
        assert_eq!(problems.len(), 6, "{problems:#?}");
        let Value::Map(entries) = &root.value else {
            panic!()
        };
        let left: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(left, ["providers", "entrypoints"]);
        assert!(
            problems.contains(
                &"--ping: ping: found the key \"ping\"; Traefik has it, weir not yet: it has no effect".to_owned()
            ),
            "{problems:#?}"
        );
    }

    #[test]
    fn a_key_that_traefik_has_not_is_an_error() {
        let (_, problems) = taken(&["--metrics.prometheus.bucket=1"]);
        assert_eq!(
            problems,
            [
                "--metrics.prometheus.bucket=1: metrics.prometheus.bucket: found unknown key \"bucket\"; allowed \
              addEntryPointsLabels, addRoutersLabels, addServicesLabels, buckets, entryPoint, headerLabels, \
              manualRouting; did you mean buckets?"
            ]
        );
    }
}
