//! The public Autobahn cases (RFC 6455), against a server and against weir before it: case by case the same.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::weir::Setup;
use crate::support::{eventually, free_port, set_up};

/// The suite's Python, if `cargo xtask setup` could install it; else the line by which the test counts as skipped.
fn require_suite() -> Option<PathBuf> {
    let found = set_up("websocket-suite/bin/python");
    if found.is_none() {
        println!("skipped: needs the WebSocket suite (cargo xtask setup)");
    }
    found
}

fn script(name: &str) -> PathBuf {
    let tests = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/websocket_suite"
    ));
    tests.join(name)
}

/// The server; it ends with this.
struct Echo {
    child: Child,
    address: SocketAddr,
}

impl Echo {
    fn start(python: &PathBuf) -> Self {
        let port = free_port();
        let child = Command::new(python)
            .arg(script("echo.py"))
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .spawn()
            .expect("python runs");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let echo = Self { child, address };
        eventually("the server", || TcpStream::connect(address).ok());
        echo
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each of the cases, or of all if none is named, and what came of it.
fn results(python: &PathBuf, address: SocketAddr, cases: &[String]) -> BTreeMap<String, String> {
    let output = Command::new(python)
        .arg(script("cases.py"))
        .arg(address.to_string())
        .args(cases)
        .stderr(Stdio::inherit())
        .output()
        .expect("python runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .map(|(case, outcome)| (case.to_owned(), outcome.to_owned()))
        .collect()
}

#[test]
fn each_public_case_comes_out_as_it_does_without_weir() {
    let Some(python) = require_suite() else {
        return;
    };
    let echo = Echo::start(&python);
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\nproviders:\n  file:\n    directory: \
         \"{{dir}}/rules\"\nruntimeDir: \"{{dir}}/run\"\nworkers: 1\n"
    ));
    let rules = format!(
        "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: origin\n  services:\n    origin:\n      \
         loadBalancer:\n        servers:\n          - url: \"http://{}\"\n",
        echo.address
    );
    let _weir = setup.rules("rules.yml", &rules).start().listening(address);
    let (mut differing, mut cases) = (Vec::new(), Vec::new());
    // Where the suite accepts two outcomes, which one comes depends on how the bytes happen to arrive.
    for _ in 0..5 {
        let expected = results(&python, echo.address, &cases);
        let least = if cases.is_empty() { 250 } else { cases.len() };
        assert!(expected.len() >= least, "{} cases", expected.len());
        let found = results(&python, address, &cases);
        let pairs = expected.into_iter();
        let pairs = pairs.map(|(case, outcome)| (found.get(&case).cloned(), outcome, case));
        differing = pairs
            .filter(|(found, outcome, _)| found.as_ref() != Some(outcome))
            .collect();
        cases = differing.iter().map(|(_, _, case)| case.clone()).collect();
        if cases.is_empty() {
            break;
        }
    }
    assert!(differing.is_empty(), "{differing:#?}");
}
