//! Each lint by what sets it off and what does not, and its paragraph.

use std::fs;

use super::Lint;
use crate::config::{Check, Checked, Problem, Severity, Sources};

const DOCUMENT: &str = include_str!("../../../../docs/LINTS.md");

fn check(files: &[(&str, &str)], flags: &[&str]) -> (Checked, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let sources = Sources {
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        ..Sources::default()
    };
    let check = Check {
        sources,
        paths: vec![directory.path().to_owned()],
        offline: true,
    };
    (check.run().unwrap(), directory)
}

/// The lints of HTTP routers, each as `name rule [tls] [more keys]`.
fn of_routers(routers: &[(&str, &str, &str)]) -> Vec<String> {
    let routers: Vec<String> = routers
        .iter()
        .map(|(name, rule, more)| {
            format!("    {name}: {{rule: '{rule}', service: s, entryPoints: [web]{more}}}\n")
        })
        .collect();
    let text = format!(
        "http:\n  services: {{s: {{loadBalancer: {{servers: [{{url: 'http://h'}}]}}}}}}\n  routers:\n{}",
        routers.concat()
    );
    named(&check(&[("a.yml", &text)], &[]).0)
}

fn named(checked: &Checked) -> Vec<String> {
    let lint = |problem: &Problem| Some(format!("{} {}", problem.lint?.name(), problem.path));
    let mut named: Vec<String> = checked.problems.iter().filter_map(lint).collect();
    named.sort();
    named
}

#[test]
fn every_lint_has_a_paragraph_and_every_paragraph_a_lint() {
    let documented: Vec<&str> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    assert_eq!(documented, Lint::ALL.map(Lint::name));
}

#[test]
fn hosts() {
    assert_eq!(
        of_routers(&[
            ("never", r"HostRegexp(`^.+\\.a\\.example$`)", ""),
            ("open", r"HostRegexp(`^.+\.a\.example`)", ""),
            ("good", r"HostRegexp(`^.+\.bb\.example$`)", ""),
        ]),
        [
            "regexp-never-matches http.routers.never",
            "unanchored-regexp http.routers.open"
        ]
    );
}

#[test]
fn routers_beside_each_other() {
    assert_eq!(
        of_routers(&[
            ("a", "Host(`a.example`)", ", tls: {}"),
            ("b", "Host(`bb.example`)", ", tls: {}"),
            ("plain", "Host(`c.example`)", ""),
        ]),
        ["router-without-tls http.routers.plain"]
    );
    assert_eq!(
        of_routers(&[
            ("a", "Host(`a.example`)", ""),
            ("b", "Host(`b.example`)", "")
        ]),
        [""; 0]
    );
    assert_eq!(
        of_routers(&[
            ("a", "Host(`a.example`)", ", priority: 5"),
            ("b", "Host(`a.example`) && Method(`GET`)", ", priority: 5"),
            (
                "c",
                "Host(`a.example`) && PathPrefix(`/x`)",
                ", priority: 7"
            ),
            (
                "d",
                "Host(`a.example`) && PathPrefix(`/y`)",
                ", priority: 7"
            ),
            ("e", "Host(`e.example`)", ", priority: 9"),
            ("f", r"HostRegexp(`^.\.example$`)", ", priority: 9"),
        ]),
        ["priority-tie http.routers.b", "priority-tie http.routers.f"]
    );
}

#[test]
fn references_labels_and_steering() {
    let text = "
http:
  routers:
    a: {rule: 'Host(`a.example`)', service: nowhere, entryPoints: [web]}
    b: {rule: 'ClientIP(`192.0.2.7`)', service: s, entryPoints: [web]}
  services:
    s: {loadBalancer: {servers: [{url: 'http://h'}]}}
    lonely: {loadBalancer: {servers: [{url: 'http://h'}]}}
tcp:
  routers:
    some: {rule: 'ClientIP(`192.0.2.0/24`)', service: t, entryPoints: [web], steer: true}
    all: {rule: 'ClientIP(`0.0.0.0/0`)', service: t, entryPoints: [web], steer: true}
  services: {t: {loadBalancer: {servers: [{address: '192.0.2.1:80'}]}}}
";
    let flags = [
        "--entryPoints.web.address=:80",
        "--metrics.prometheus.headerlabels.origin=Origin",
    ];
    let (checked, _directory) = check(&[("a.yml", text)], &flags);
    assert_eq!(
        named(&checked),
        [
            "client-controlled-label metrics.prometheus.headerLabels",
            "dangling-reference http.routers.a",
            "steered-shadows tcp.routers.all",
            "steered-shadows tcp.routers.some",
            "unused-service http.services.lonely",
        ]
    );
    assert_eq!(checked.count(Severity::Error), 1, "{:#?}", checked.problems);
}

#[test]
fn certificates_that_others_cover() {
    let domains = |name: &str, domains: &str| {
        format!(
            "    {name}: {{rule: 'Host(`{name}.example`)', service: s, entryPoints: [web], tls: {{certResolver: r, domains: {domains}}}}}\n"
        )
    };
    let text = [
        "http:\n  services: {s: {loadBalancer: {servers: [{url: 'http://h'}]}}}\n  routers:\n"
            .to_owned(),
        domains("wide", "[{main: a.example, sans: ['*.a.example']}]"),
        domains("again", "[{main: a.example, sans: '*.a.example'}]"),
        domains("narrow", "[{main: x.a.example}]"),
        domains("deeper", "[{main: x.y.a.example}]"),
        domains("partly", "[{main: z.a.example, sans: [b.example]}]"),
    ];
    let (checked, _directory) = check(&[("a.yml", &text.concat())], &[]);
    let found = named(&checked);
    assert_eq!(
        found,
        ["covered-certificate http.routers.narrow.tls.domains"],
        "{:#?}",
        checked.problems
    );
}

#[test]
fn what_is_missing_here_is_a_warning_offline() {
    let text = "tls: {certificates: [{certFile: /nonexistent.pem, keyFile: /nonexistent.key}]}";
    let (checked, directory) = check(&[("a.yml", text)], &[]);
    assert_eq!(
        (
            checked.count(Severity::Error),
            checked.count(Severity::Warning)
        ),
        (0, 1),
        "{checked:#?}"
    );
    let check = Check {
        paths: vec![directory.path().to_owned()],
        ..Check::default()
    };
    assert_eq!(check.run().unwrap().count(Severity::Error), 1);
    let check = Check {
        paths: vec![directory.path().join("none.yml")],
        offline: true,
        ..Check::default()
    };
    assert_eq!(
        check.run().unwrap().count(Severity::Error),
        1,
        "a path that was asked for"
    );
}

#[test]
fn what_needs_a_file_that_is_missing_here_is_a_warning_offline() {
    let text = "http:
  routers:
    plain: {rule: Host(`a.example`), service: s}
    shared: {rule: Host(`b.example`), service: w}
    broken: {rule: Host(`c.example`), service: s, middlewares: [nowhere]}
  services:
    s: {loadBalancer: {servers: [{url: 'https://192.0.2.1'}], serversTransport: t}}
    w: {weighted: {services: [{name: s, weight: 1}]}}
    x: {loadBalancer: {servers: [{url: 'https://192.0.2.1'}], serversTransport: nowhere}}
  serversTransports: {t: {rootCAs: [/nonexistent.pem]}}
";
    let (checked, _directory) = check(&[("a.yml", text)], &[]);
    let errors = checked.problems.iter();
    let errors = errors.filter(|problem| problem.severity == Severity::Error);
    let mut errors: Vec<(&str, &str)> = errors
        .map(|problem| (&*problem.path, &*problem.found))
        .collect();
    errors.sort_unstable();
    assert_eq!(
        errors,
        [
            ("http.routers.broken", "middleware \"nowhere\""),
            (
                "http.services.x.loadBalancer",
                "serversTransport \"nowhere\""
            ),
        ]
    );
}
