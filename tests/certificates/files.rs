//! Certificates of rule files that are deployed: at their first load and at each change, and not again at a start.

use std::fs;
use std::net::SocketAddr;

use nix::sys::signal::Signal;

use crate::support::tls::{pair, write_pair};
use crate::support::weir::{Setup, Weir};
use crate::support::{DEADLINE, eventually_within, free_port};

const RULES: &str = "tls:
  certificates:
    - certFile: \"{dir}/own/a.crt\"
      keyFile: \"{dir}/own/a.key\"
      deploy:
        directory: \"{dir}/pem\"
        mode: \"0640\"
        command: 'echo run >> ../runs; echo no route to host >&2; test -e ../well'
";

fn setup(address: SocketAddr, allow: bool) -> Setup {
    let setup = Setup::new(&format!(
        "entryPoints:\n  secure: {{address: \"{address}\"}}\nproviders: {{file: {{directory: \"{{dir}}/rules\", \
         allowDeploy: {allow}}}}}\nruntimeDir: \"{{dir}}/run\"\nstateDir: \"{{dir}}/state\"\nworkers: 1\n"
    ));
    fs::create_dir(setup.path("own")).expect("made");
    write_pair(&setup, "own/a", "a.example");
    setup.rules("a.yml", RULES)
}

fn start(setup: Setup, address: SocketAddr) -> Weir {
    setup.start().listening(address)
}

fn runs(setup: &Setup) -> usize {
    let text = fs::read_to_string(setup.path("runs"));
    text.unwrap_or_default().lines().count()
}

/// Waits until the command says this; its exit code.
fn says(setup: &Setup, arguments: &[&str], text: &str) -> Option<i32> {
    let file = setup.config_file();
    let arguments = [arguments, &["--configFile", &file]].concat();
    eventually_within(DEADLINE, text, || {
        let said = setup.run(&arguments);
        let found = String::from_utf8_lossy(&said.stdout).contains(text);
        found.then_some(said.status.code())
    })
}

#[test]
fn a_certificate_of_a_rule_file_is_deployed_when_its_files_change() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let weir = start(setup(address, true), address);
    let setup = weir.setup();
    let failed = "NOT DEPLOYED by tls.certificates to";
    assert_eq!(says(setup, &["status"], failed), Some(1));
    says(
        setup,
        &["certs", "list"],
        "exit status: 1: no route to host",
    );
    // The other side is there now; nobody waits for the next try.
    setup.write("well", "");
    setup.run(&[
        "certs",
        "renew",
        "nobody.example",
        "--configFile",
        &setup.config_file(),
    ]);
    assert_eq!(
        says(setup, &["status"], "  deployed by tls.certificates to"),
        Some(0)
    );
    says(setup, &["certs", "list"], "deployed by tls.certificates to");
    let deployed =
        |setup: &Setup, name: &str| fs::read_to_string(setup.path(name)).unwrap_or_default();
    let own = |name: &str| fs::read_to_string(setup.path(name)).expect("there");
    for ending in ["crt", "key"] {
        let there = deployed(setup, &format!("pem/a.example.{ending}"));
        assert_eq!(
            there.trim(),
            own(&format!("own/a.{ending}")).replace('\r', "").trim()
        );
    }
    let before = runs(setup);
    // Half of the next pair is not deployed; the other half makes it whole.
    let (certificate, key) = pair("a.example");
    setup.write("own/a.crt", &certificate);
    weir.logged("do not belong together");
    let old = deployed(setup, "pem/a.example.pem");
    setup.write("own/a.key", &key);
    eventually_within(DEADLINE, "the new pair is deployed", || {
        let pem = deployed(setup, "pem/a.example.pem");
        (pem != old && runs(setup) == before + 1).then_some(())
    });
    says(setup, &["certs", "list"], "deployed by tls.certificates to");
    // A start deploys nothing again, but what somebody has removed.
    weir.signal(Signal::SIGTERM);
    let (_, setup) = weir.wait();
    let again = start(setup, address);
    assert_eq!(
        says(
            again.setup(),
            &["status"],
            "  deployed by tls.certificates to"
        ),
        Some(0)
    );
    again.signal(Signal::SIGTERM);
    let (_, setup) = again.wait();
    assert_eq!(runs(&setup), before + 1);
    fs::remove_file(setup.path("pem/a.example.key")).expect("removed");
    let last = start(setup, address);
    last.logged("certificates are deployed");
    assert!(last.setup().path("pem/a.example.key").exists());
    assert_eq!(runs(last.setup()), before + 2);
}

#[test]
fn a_rule_file_alone_deploys_nothing_and_a_check_says_where() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = setup(address, false);
    let check = || {
        let said = setup.run(&["check", "--configFile", &setup.config_file()]);
        (
            said.status.code(),
            String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned(),
        )
    };
    let (code, said) = check();
    assert!(
        code == Some(1) && said.contains("a.yml:5:7: ") && said.contains("allowDeploy"),
        "{said}"
    );
    let weir = start(setup, address);
    weir.logged("providers.file.allowDeploy");
    assert_eq!(says(weir.setup(), &["status"], "allowDeploy"), Some(1));
    assert!(!weir.setup().path("pem").exists());
}
