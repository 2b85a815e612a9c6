//! Every rule file that is shipped loads without a problem, so that examples cannot rot.

use super::*;
use crate::router::RouterTable;

/// The rules of `rules/NAME` on one entry point, `websecure`.
fn load(name: &str) -> Snapshot {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../rules")
        .join(name);
    let text = "entryPoints: {websecure: {address: ':443'}}";
    let (mut config, _) = StaticConfig::parse(Path::new("weir.yml"), text).unwrap();
    config.rules.path = Some(rules);
    Loader::new(Arc::new(config)).unwrap().load()
}

#[test]
fn the_demo_decides_as_it_says() {
    let snapshot = load("demo");
    let lines: Vec<String> = snapshot.problems.iter().map(ToString::to_string).collect();
    assert_eq!(snapshot.errors(), 0, "{lines:#?}");
    assert!(
        lines
            .iter()
            .all(|line| line.contains("NAT hides the client's address")),
        "{lines:#?}"
    );
    let table = &snapshot.entry_points[0];
    let steered = |address: &str| {
        table
            .steered
            .lookup(client(address))
            .map(|rule| rule.router.to_string())
    };
    let router = |table: &RouterTable, address: &str| {
        let request = RequestView::new("demo.example", "/", client(address));
        table.find(&request).map(|router| router.name.to_string())
    };
    for (address, expected) in [
        ("10.77.30.7", Some("testers@file")),
        ("10.77.20.9", Some("partners@file")),
        ("10.77.10.9", None),
        ("fd77::30:7", Some("testers-v6@file")),
        ("fd77::20:9", Some("partners-v6@file")),
        ("fd77::10:9", None),
    ] {
        assert_eq!(steered(address).as_deref(), expected, "{address}");
    }
    assert_eq!(
        router(&table.https, "10.77.10.9").as_deref(),
        Some("everyone@file")
    );
}

/// What checking `rules/galaxy` says: each line without the directory, and the names of its lints.
fn checked_galaxy() -> (Vec<String>, Vec<&'static str>) {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/galaxy");
    let flags = "--entryPoints.web.address=:80 --entryPoints.websecure.address=:443 --entryPoints.amqps.address=:5671 \
                 --entryPoints.ftp.address=:21 --entryPoints.influxdb.address=:8086";
    let flags = flags.split_whitespace().map(str::to_owned).collect();
    let sources = crate::config::Sources {
        flags,
        ..Default::default()
    };
    let check = crate::config::Check {
        sources,
        paths: vec![rules.clone()],
        offline: true,
    };
    let problems = check.run().unwrap().problems;
    let directory = format!("{}/", rules.display());
    let lines = problems
        .iter()
        .map(|problem| problem.to_string().replace(&directory, ""));
    let lints = problems
        .iter()
        .filter_map(|problem| Some(problem.lint?.name()));
    (lines.collect(), lints.collect())
}

#[test]
fn the_shapes_of_galaxy_load_and_are_judged_as_they_are() {
    let (lines, lints) = checked_galaxy();
    let count = |name: &str| lints.iter().filter(|lint| **lint == name).count();
    assert_eq!(count("regexp-never-matches"), 43, "{lines:#?}");
    assert_eq!(count("unanchored-regexp"), 2, "{lines:#?}");
    let sse = lines
        .iter()
        .find(|line| line.contains("router-without-tls") || line.contains("no tls on entry point"));
    assert!(
        sse.is_some_and(|line| line.contains("usegalaxy-sse-rtr")),
        "{lines:#?}"
    );
    for lint in ["dangling-reference", "covered-certificate"] {
        assert_eq!(count(lint), 0, "{lint}: {lines:#?}");
    }
    let prox = lines
        .iter()
        .find(|line| line.contains("http.routers.prox-climate"))
        .unwrap();
    assert!(
        prox.contains("(template line 2)") && prox.contains("write one, not two"),
        "{prox}"
    );
}

#[test]
fn every_directory_of_rules_is_tested() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let mut names: Vec<String> = fs::read_dir(rules)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["demo", "galaxy"]);
}
