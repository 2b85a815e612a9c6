//! Processes that end in the middle of an order: the next one goes on with it, and nothing is issued twice.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Authority, HTTP, TLS, dns, require_servers};

/// Kills weir at twenty moments of an order, and sees that the next one goes on with it.
fn killed_at_any_moment(challenge: impl Fn(&Authority) -> String) {
    if !require_servers() {
        return;
    }
    let authority = Authority::start();
    let mut setup = authority.setup(&challenge(&authority), &["a.example", "b.example"]);
    let mut killed = 0;
    for moment in 0..20u64 {
        let weir = authority.start_weir(setup);
        // Moments from the first request to after the last, in no order.
        std::thread::sleep(Duration::from_millis(moment * 7 % 20 * 40));
        weir.signal(Signal::SIGKILL);
        killed += 1;
        setup = weir.wait().1;
    }
    let weir = authority.start_weir(setup);
    authority.issues(&weir, "a.example");
    assert!(authority.shown("b.example").contains("Pebble"));
    assert_eq!((killed, authority.issued()), (20, 1));
}

#[test]
fn killed_at_any_moment_it_goes_on_and_has_nothing_issued_twice() {
    killed_at_any_moment(|_| HTTP.to_owned());
}

#[test]
fn killed_at_any_moment_of_a_handshake_it_goes_on_and_has_nothing_issued_twice() {
    killed_at_any_moment(|_| TLS.to_owned());
}

#[test]
fn killed_at_any_moment_of_a_record_it_goes_on_and_has_nothing_issued_twice() {
    killed_at_any_moment(dns);
}

/// An order left by a process that was killed, which the authority refused because nobody answered for its names. They
/// are not to blame: nothing waits, and they are not asked for apart.
#[test]
fn what_was_refused_while_nobody_answered_is_asked_for_again_at_once() {
    if !require_servers() {
        return;
    }
    let authority = Authority::start();
    let (program, kept) = (authority.path("program"), authority.path("kept"));
    fs::create_dir(&kept).expect("made");
    let challenge = "dnsChallenge: {provider: exec, propagation: {disableChecks: true}}";
    let setup = authority.setup(challenge, &["a.example", "b.example"]);
    let acme = setup.path("state/acme");
    // It makes no record, so that the names are refused, and keeps a copy of the order.
    let script = format!("#!/bin/sh\ncp {}/orders/*.json {kept}/\n", acme.display());
    fs::write(&program, script).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("made a program");
    let weir = authority.start_weir(setup.variable("EXEC_PATH", &program));
    weir.logged("no certificate:");
    weir.signal(Signal::SIGKILL);
    let setup = weir.wait().1;
    // As if it had been killed before it could see that.
    for entry in fs::read_dir(&acme).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            fs::remove_file(path).expect("what it thinks of the names is removed");
        }
    }
    for order in fs::read_dir(&kept).expect("listed") {
        let order = order.expect("an entry");
        fs::copy(order.path(), acme.join("orders").join(order.file_name())).expect("put back");
    }
    let config = fs::read_to_string(setup.config_file()).expect("read");
    setup.write("weir.yml", &config.replace(challenge, HTTP));
    let weir = authority.start_weir(setup);
    authority.issues(&weir, "a.example");
    assert!(authority.shown("b.example").contains("DNS:a.example"));
    assert_eq!(authority.issued(), 1);
    assert!(!weir.log().contains("no certificate"), "{}", weir.log());
}
