//! `weir check` through the real binary: exit codes, text and JSON, without a running proxy.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::weir::Setup;

const GOOD: &str = "http: {routers: {a: {rule: Host(`a.example`), service: s, entryPoints: [web]}}, \
                    services: {s: {loadBalancer: {servers: [{url: 'http://192.0.2.1'}]}}}}\n";

fn check(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String) {
    let rules = setup.path("rules").display().to_string();
    let Output {
        status,
        stdout,
        stderr,
    } = setup.run(&[&["check", &rules], arguments].concat());
    let said =
        String::from_utf8_lossy(&[stdout, stderr].concat()).replace(&format!("{rules}/"), "");
    (status.code(), said)
}

#[test]
fn exit_codes_tell_clean_from_warnings_and_errors() {
    let setup = Setup::new("").rules("a.yml", GOOD);
    assert_eq!(
        check(&setup, &["--strict"]),
        (Some(0), "0 errors, 0 warnings\n".to_owned())
    );
    let unused =
        "http: {services: {lonely: {loadBalancer: {servers: [{url: 'http://192.0.2.1'}]}}}}\n";
    let setup = setup.rules("b.yml", unused);
    let (code, said) = check(&setup, &[]);
    assert_eq!(code, Some(0), "{said}");
    let line = "warning: b.yml:1:19: http.services.lonely: found a service that nothing leads to; name it in a router, or \
                remove it [unused-service]\n";
    assert!(said.starts_with(line), "{said}");
    assert_eq!(check(&setup, &["--strict"]).0, Some(3));
    let setup = setup.rules("c.toml", "[http.routers.{{\"x\"}}]\nrul = 1\n");
    let (code, said) = check(&setup, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("error: c.toml:2:1 (template line 2): http.routers.x.rul: found unknown key"),
        "{said}"
    );
}

#[test]
fn json_says_the_same_and_entry_points_come_from_flags() {
    let setup = Setup::new("").rules("a.yml", GOOD);
    let (code, said) = check(
        &setup,
        &["--format", "json", "--entryPoints.other.address=:80"],
    );
    assert_eq!(code, Some(1), "{said}");
    let report: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        (report["errors"].as_u64(), report["warnings"].as_u64()),
        (Some(1), Some(0)),
        "{said}"
    );
    let dangling = &report["problems"][0];
    assert_eq!(dangling["lint"], "dangling-reference", "{said}");
    assert_eq!(
        (dangling["line"].as_u64(), dangling["severity"].as_str()),
        (Some(1), Some("error")),
        "{said}"
    );
}

/// The blocks of YAML and TOML in the README and below docs/, each with the file's extension.
fn examples() -> Vec<(&'static str, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let pages = fs::read_dir(top.join("docs")).expect("docs").flatten();
    let pages = pages
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "md"));
    let mut blocks = Vec::new();
    for page in pages.chain([top.join("README.md")]) {
        let text = fs::read_to_string(page).expect("a page");
        for (start, extension) in [("```yaml\n", "yml"), ("```toml\n", "toml")] {
            let rest = text.split(start).skip(1);
            let inside = rest.map(|rest| rest.split("```").next().unwrap_or_default().to_owned());
            blocks.extend(inside.map(|block| (extension, block)));
        }
    }
    blocks
}

#[test]
fn every_example_of_the_documentation_passes() {
    let examples = examples();
    assert!(examples.len() > 15, "{}", examples.len());
    for (extension, example) in examples {
        let first = example
            .split([':', '.', ' '])
            .next()
            .unwrap_or_default()
            .trim_start_matches('[');
        let is_rules = matches!(first, "http" | "tcp" | "tls");
        let missing = !is_rules && !example.contains("entryPoints");
        let setup = match is_rules {
            true => Setup::new("").rules(&format!("example.{extension}"), &example),
            false if missing => Setup::new(&format!(
                "entryPoints: {{web: {{address: ':80'}}}}\n{example}"
            )),
            false => Setup::new(&example),
        };
        let mut arguments = vec!["check", "--offline", "--format", "json"];
        let (rules, config) = (
            setup.path("rules").display().to_string(),
            setup.config_file(),
        );
        arguments.extend(if is_rules {
            [&*rules].to_vec()
        } else {
            ["--configFile", &config, &rules].to_vec()
        });
        let output = setup.run(&arguments);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        // An example is a part: it may name what stands elsewhere.
        let wrong = |problem: &&serde_json::Value| {
            problem["severity"] == "error" && problem["lint"] != "dangling-reference"
        };
        let problems = report["problems"].as_array().expect("a list").iter();
        let wrong: Vec<_> = problems.filter(wrong).collect();
        assert!(wrong.is_empty(), "{example}: {wrong:#?}");
    }
}
