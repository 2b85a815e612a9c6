//! `weir status` through the real binary: what an administrator has to know at one glance, and its exit code.

use std::net::SocketAddr;

use xtask::backend::Backend;

use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, free_port};
use crate::upstream::pki::Pki;

const ROUTER: &str = "http: {routers: {a: {rule: Host(`a.example`), service: s, tls: {}}}, \
                      services: {s: {loadBalancer: {servers: [{url: 'http://192.0.2.1'}]}}}}\n";

fn start() -> Weir {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: {address}\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n\
         runtimeDir: \"{{dir}}/run\"\nworkers: 1\n"
    ));
    setup.rules("a.yml", ROUTER).start().listening(address)
}

/// The exit code and what it says.
fn status(weir: &Weir) -> (Option<i32>, String) {
    let output = weir
        .setup()
        .run(&["status", "--configFile", &weir.setup().config_file()]);
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// Waits until it says this, and with this exit code.
fn becomes(weir: &Weir, code: i32, text: &str) -> String {
    eventually(&format!("the status says {text:?}"), || {
        let (found, said) = status(weir);
        (found == Some(code) && said.contains(text)).then_some(said)
    })
}

#[test]
fn certificates_that_are_missing_or_have_expired_are_told() {
    let weir = start();
    becomes(&weir, 0, "SELF-SIGNED: no certificate for a.example: ");
    let pki = Pki::new("site");
    for (pair, code, text) in [
        (pki.expired(&["a.example"]), 1, "EXPIRED "),
        (
            pki.server(&["a.example"]),
            0,
            "  certificates of files: 1, good for ",
        ),
    ] {
        weir.setup().write("a.crt", &pair.certificate);
        weir.setup().write("a.key", &pair.key);
        // Something in a rule file has to change for its certificates to be read again.
        let rules = format!(
            "tls: {{certificates: [{{certFile: \"{{dir}}/a.crt\", keyFile: \"{{dir}}/a.key\"}}]}} # {code}\n"
        );
        weir.setup().write("rules/tls.yml", &rules);
        let said = becomes(&weir, code, text);
        assert!(
            said.contains("a.crt") && !said.contains("SELF-SIGNED"),
            "{said}"
        );
    }
}

#[test]
fn json_says_where_connections_are_steered_and_how_many_rules_are_held() {
    let weir = start();
    let status = eventually("a status", || {
        let arguments = [
            "status",
            "--json",
            "--configFile",
            &weir.setup().config_file(),
        ];
        serde_json::from_slice::<serde_json::Value>(&weir.setup().run(&arguments).stdout).ok()
    });
    assert_eq!(status["loads_held"], 1, "{status:#}");
    assert_eq!(
        status["entry_points"][0]["steering"],
        serde_json::json!([]),
        "{status:#}"
    );
    assert_eq!(status["uncertified"][0], "a.example", "{status:#}");
}

#[test]
fn servers_that_are_missed_are_an_error_and_those_taken_out_are_not() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let backend = || Backend::plain("x", ([127, 0, 0, 1], 0)).expect("a server");
    let (a, b) = (backend(), backend());
    let (url_a, address_b) = (format!("http://{}", a.address()), b.address());
    let check = "healthCheck: {path: /, interval: 100ms, rise: 1, fall: 1}";
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: {address}\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n\
         runtimeDir: \"{{dir}}/run\"\nstateDir: \"{{dir}}/state\"\nworkers: 1\n"
    ));
    let rules = format!(
        "http: {{routers: {{a: {{rule: PathPrefix(`/`), service: s}}}}, services: {{s: {{loadBalancer: {{{check}, \
         servers: [{{url: '{url_a}'}}, {{url: 'http://{address_b}'}}]}}}}}}}}\n"
    );
    let weir = setup.rules("a.yml", &rules).start().listening(address);
    becomes(&weir, 0, "routers: 1 http");
    drop(b);
    let said = becomes(&weir, 1, &format!("down  http://{address_b} of s@file"));
    assert!(!said.contains("NO SERVER"), "{said}");
    let admin = |what: &str, url: &str| {
        let config = weir.setup().config_file();
        let output = weir
            .setup()
            .run(&["server", what, "s", url, "--configFile", &config]);
        assert!(output.status.success(), "{output:?}");
    };
    admin("maint", &format!("http://{address_b}"));
    becomes(&weir, 0, "down ");
    admin("maint", &url_a);
    becomes(&weir, 1, "NO SERVER: none of s@file takes requests");
    admin("ready", &url_a);
    becomes(&weir, 0, "down ");
    drop(a);
    becomes(&weir, 1, "NO SERVER: none of s@file takes requests");
}

#[test]
fn a_second_weir_in_the_same_directories_refuses_to_start_and_leaves_the_first_alone() {
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let config = format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n\
         runtimeDir: \"{{dir}}/run\"\nstateDir: \"{{dir}}/state\"\n"
    );
    let weir = Setup::new(&config).start().listening(address);
    let file = weir.setup().config_file();
    let run = |arguments: &[&str]| {
        let output = weir.setup().run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    // Only then it is known which process it is.
    eventually("a status", || {
        (run(&["status", "--configFile", &file]).0 == Some(0)).then_some(())
    });
    let (code, said) = run(&["--configFile", &file]);
    let holder = format!("runtimeDir: another weir (process {})", weir.pid());
    assert!(code == Some(1) && said.contains(&holder), "{said}");
    let other = weir.setup().path("other").display().to_string();
    let (code, said) = run(&["--configFile", &file, &format!("--runtimeDir={other}")]);
    assert!(
        code == Some(1) && said.contains("stateDir: another weir runs with"),
        "{said}"
    );
    assert_eq!(run(&["status", "--configFile", &file]).0, Some(0));
    assert_eq!(run(&["server", "list", "--configFile", &file]).0, Some(0));
}
