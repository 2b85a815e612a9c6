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

#[test]
fn every_directory_of_rules_is_tested() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let names: Vec<String> = fs::read_dir(rules)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, ["demo"]);
}
