//! Bad configuration through the real binary: a bad static file starts nothing and says why in one line; a bad rule
//! file never stops a start.

use std::net::{SocketAddr, TcpListener};

use crate::support::client::Connection;
use crate::support::free_port;
use crate::support::weir::Setup;

/// What a start that must fail says, the scratch directory left out.
fn refusal(setup: &Setup) -> String {
    let output = setup.run(&["--configFile", &setup.config_file()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let said = said.replace(&setup.path("").display().to_string(), "");
    // The log of a start begins before the kernel is asked; reasons come last.
    let reasons = said.lines().filter(|line| line.starts_with("weir: "));
    reasons.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_bad_static_file_is_one_line_and_starts_nothing() {
    let port = free_port();
    let good = format!("entryPoints:\n  first:\n    address: 127.0.0.1:{port}\n");
    let cases = [
        (
            "entrypoint: {}\n",
            "weir: weir.yml:4:1: entrypoint: found unknown key \"entrypoint\"; allowed ",
        ),
        (
            "workers: many\n",
            "weir: weir.yml:4:10: workers: found \"many\"; allowed auto, or a whole number from 1 to 1024",
        ),
        (
            "steering: {snat: {addresses: [10.0.0.0/40]}}\n",
            "weir: weir.yml:4:31: steering.snat.addresses: found \"10.0.0.0/40\"; allowed addresses of this machine",
        ),
        ("log: [\n", "weir: weir.yml:5:1: found what is no YAML: "),
        (
            "providers: {rest: {}}\n",
            "weir: weir.yml:4:13: providers.rest: found the key \"rest\"; Traefik has it, weir not yet",
        ),
    ];
    for (more, expected) in cases {
        let said = refusal(&Setup::new(&format!("{good}{more}")));
        assert!(
            said.starts_with(expected) && said.lines().count() == 1,
            "{more}: {said}"
        );
    }
    TcpListener::bind(("127.0.0.1", port)).expect("nobody listens on the first entry point");
}

#[test]
fn what_only_the_kernel_knows_is_told_in_the_same_form() {
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = held.local_addr().expect("an address");
    let run = "runtimeDir: \"{dir}/run\"\n";
    let said = refusal(&Setup::new(&format!(
        "{run}entryPoints:\n  web:\n    address: {taken}\n"
    )));
    assert!(
        said.starts_with("weir: weir.yml:4:14: ") && said.lines().count() == 1,
        "{said}"
    );

    let port = free_port();
    let steered = format!(
        "{run}entryPoints:\n  web:\n    address: 127.0.0.1:{port}\n    steering:\n      interfaces: [nosuch0]\n"
    );
    let said = refusal(&Setup::new(&steered));
    assert!(
        said.starts_with("weir: weir.yml:6:") && said.contains("nosuch0"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_missing_static_file_names_the_option() {
    let setup = Setup::new("");
    let output = setup.run(&["--configFile", "/nonexistent/weir.yml"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "weir: /nonexistent/weir.yml: found no such file; create it, or name another with --configFile\n"
    );
}

#[test]
fn a_bad_rule_file_does_not_stop_a_start() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: {address}\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n\
         runtimeDir: \"{{dir}}/run\"\nworkers: 1\n"
    ));
    let weir = setup
        .rules("a.yml", "http:\n  routers:\n    a: {rule: PathPrefix(`/a`), service: empty}\n")
        .rules("b.yml", "http: {services: {empty: {loadBalancer: {servers: [{url: 'http://no-such.invalid'}]}}}}\n")
        .rules("c.yml", "http: [\n")
        .start()
        .listening(address);
    weir.logged("c.yml:2:1: found what is no YAML");
    weir.logged("found no-such.invalid, which does not resolve");
    let mut client = Connection::open(address);
    assert_eq!(
        client.get("x", "/a").status,
        502,
        "a service whose only server does not resolve"
    );
    let mut client = Connection::open(address);
    assert_eq!(client.get("x", "/b").status, 404);
}

#[test]
fn the_version_is_told_in_every_way_that_users_ask_for_it() {
    let setup = Setup::new("");
    let said = |arguments: &[&str]| {
        let output = setup.run(arguments);
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let version = said(&["version"]);
    assert!(version.starts_with("weir "), "{version}");
    assert_eq!(
        [said(&["--version"]), said(&["-V"])],
        [&*version, &*version]
    );
}
