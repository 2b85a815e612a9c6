//! What administrators say of weights, and how long it holds.

use super::{app, backend, command, get, node, says, weir};
use crate::support::eventually;
use crate::support::weir::Setup;

/// How many of 80 requests each of two servers gets.
fn shares(address: std::net::SocketAddr) -> (usize, usize) {
    let nodes: Vec<String> = (0..80).map(|_| node(&get(address))).collect();
    let count = |name: &str| nodes.iter().filter(|node| *node == name).count();
    (count("a"), count("b"))
}

fn nothing_is_said(setup: &Setup) {
    eventually("a status without what was said", || {
        let (_, status) = command(setup, &["status"]);
        (!status.contains("said by")).then_some(())
    });
}

#[test]
fn a_weight_holds_over_a_restart_until_the_file_changes_the_server() {
    let (a, b) = (backend("a"), backend("b"));
    let servers = [a.address(), b.address()];
    let (weir, address) = weir(&app(&servers, ""));
    assert_eq!(shares(address), (40, 40));
    let url = format!("http://{}", a.address());
    let (code, said) = command(weir.setup(), &["service", "weight", "app", &url, "3"]);
    assert!(
        code == Some(0) && said.contains("has the weight 3"),
        "{said}"
    );
    // At once, and exactly: 3 to 1 over both workers.
    let near = |(got, _): (usize, usize), due: usize| got.abs_diff(due) <= 2;
    assert!(near(shares(address), 60));
    says(weir.setup(), &["server", "list"], ", weight 3, said by");
    says(weir.setup(), &["status"], "weight 3, said by");

    weir.signal(nix::sys::signal::Signal::SIGTERM);
    let (_, setup) = weir.wait();
    let weir = setup.start().listening(address);
    assert!(near(shares(address), 60));
    // Another change of the file is none of this server.
    weir.setup()
        .write("rules/app.yml", &app(&servers, ", sticky: {cookie: {}}"));
    weir.logged("generation=2");
    assert!(near(shares(address), 60));
    let written = app(&servers, "").replace(
        &format!("{{url: 'http://{}'}}", a.address()),
        &format!("{{url: 'http://{}', weight: 2}}", a.address()),
    );
    weir.setup().write("rules/app.yml", &written);
    weir.logged("the rule files have changed the server");
    eventually("the weights of the file", || {
        near(shares(address), 53).then_some(())
    });
    assert!(!command(weir.setup(), &["status"]).1.contains("said by"));
}

#[test]
fn a_drain_ends_when_the_file_changes_the_server_and_weights_have_bounds() {
    let (a, b) = (backend("a"), backend("b"));
    let servers = [a.address(), b.address()];
    let (weir, address) = weir(&app(&servers, ""));
    let url = format!("http://{}", a.address());
    assert_eq!(
        command(weir.setup(), &["server", "drain", "app", &url]).0,
        Some(0)
    );
    assert_eq!(shares(address), (0, 80));
    for wrong in ["0", "1000001", "many"] {
        let (code, said) = command(weir.setup(), &["service", "weight", "app", &url, wrong]);
        assert!(code != Some(0), "{wrong}: {said}");
    }
    // A weight beside it leaves it drained; the weight of the file is back by name.
    assert_eq!(
        command(weir.setup(), &["service", "weight", "app", &url, "5"]).0,
        Some(0)
    );
    assert_eq!(shares(address), (0, 80));
    assert_eq!(
        command(weir.setup(), &["server", "ready", "app", &url]).0,
        Some(0)
    );
    assert!(shares(address).0 > 60);
    assert_eq!(
        command(weir.setup(), &["service", "weight", "app", &url, "file"]).0,
        Some(0)
    );
    assert!(shares(address).0.abs_diff(40) <= 2);
}

#[test]
fn entries_of_a_weighted_service_have_weights_too() {
    let (a, b) = (backend("a"), backend("b"));
    let rules = format!(
        "http:\n  routers:\n    app: {{rule: PathPrefix(`/`), service: app}}\n  services:\n    \
         app: {{weighted: {{services: [{{name: new}}, {{name: old, weight: 3}}]}}}}\n    \
         new: {{loadBalancer: {{servers: [{{url: 'http://{}'}}]}}}}\n    \
         old: {{loadBalancer: {{servers: [{{url: 'http://{}'}}]}}}}\n",
        a.address(),
        b.address()
    );
    let (weir, address) = weir(&rules);
    assert!(shares(address).0.abs_diff(20) <= 2);
    let (code, said) = command(weir.setup(), &["service", "weight", "app", "new@file", "9"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(shares(address).0.abs_diff(60) <= 2);
    let (code, said) = command(weir.setup(), &["server", "drain", "app", "new"]);
    assert!(
        code == Some(1) && said.contains("there is no load balancer app"),
        "{said}"
    );
    // One that begins with nothing is there all the same, and the last one that has something keeps it.
    let rules = rules.replace("{name: new}", "{name: new, weight: 0}");
    assert_eq!(reload(weir.setup(), &rules), Some(0));
    assert_eq!(shares(address).0, 0);
    let (code, said) = command(weir.setup(), &["service", "weight", "app", "new", "3"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(shares(address).0.abs_diff(40) <= 2);
    let (code, said) = command(weir.setup(), &["service", "weight", "app", "old", "0"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(shares(address).1, 0);
    let (code, said) = command(weir.setup(), &["service", "weight", "app", "new", "0"]);
    assert!(
        code == Some(1) && said.contains("no other entry of app has a weight"),
        "{said}"
    );
    let (code, said) = command(weir.setup(), &["service", "weight", "app", "new", "file"]);
    assert!(
        code == Some(1) && said.contains("no other entry of app has a weight"),
        "the file says 0: {said}"
    );
    let (code, said) = command(weir.setup(), &["service", "weight", "app", "old", "file"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(shares(address).0.abs_diff(40) <= 2);
}

#[test]
fn a_server_of_weight_0_gets_nothing_until_it_is_given_one() {
    let (a, b) = (backend("a"), backend("b"));
    let rules = app(&[a.address(), b.address()], "");
    let rules = rules.replacen("'}", "', weight: 0}", 1);
    let (weir, address) = weir(&rules);
    assert_eq!(shares(address).0, 0);
    let url = format!("http://{}", a.address());
    let (code, said) = command(weir.setup(), &["service", "weight", "app", &url, "1"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(shares(address).0.abs_diff(40) <= 2);
}

/// Takes up these rules; the exit code.
fn reload(setup: &Setup, rules: &str) -> Option<i32> {
    setup.write("rules/app.yml", rules);
    command(setup, &["reload"]).0
}

#[test]
fn what_was_said_of_a_server_ends_when_a_good_file_removes_it_and_not_when_the_file_is_broken() {
    let (a, b) = (backend("a"), backend("b"));
    let (weir, address) = weir(&app(&[a.address(), b.address()], ""));
    let url = format!("http://{}", b.address());
    let maint = ["server", "maint", "app", &url];
    assert_eq!(command(weir.setup(), &maint).0, Some(0));
    let reload = |rules: &str| reload(weir.setup(), rules);
    assert_eq!(reload("http: ["), Some(1));
    says(weir.setup(), &["status"], "said by");
    assert_eq!(shares(address), (80, 0));
    assert_eq!(reload(&app(&[a.address()], "")), Some(0));
    weir.logged("the rule files have changed the server or removed it");
    nothing_is_said(weir.setup());
    assert_eq!(reload(&app(&[a.address(), b.address()], "")), Some(0));
    assert_eq!(shares(address), (40, 40));
}

#[test]
fn what_was_said_of_a_service_that_is_gone_can_be_taken_back() {
    let (a, b) = (backend("a"), backend("b"));
    let (weir, address) = weir(&app(&[a.address(), b.address()], ""));
    let url = format!("http://{}", b.address());
    let maint = ["server", "maint", "app", &url];
    assert_eq!(command(weir.setup(), &maint).0, Some(0));
    let reload = |rules: &str| reload(weir.setup(), rules);
    // As an editor leaves it for a moment.
    assert_eq!(reload(""), Some(0));
    says(weir.setup(), &["status"], "no rule names it any more");
    let (code, said) = command(weir.setup(), &maint);
    assert!(
        code == Some(1) && said.contains("no load balancer"),
        "{said}"
    );
    assert_eq!(reload(&app(&[a.address(), b.address()], "")), Some(0));
    assert_eq!(shares(address), (80, 0));
    assert_eq!(reload(""), Some(0));
    let (code, said) = command(weir.setup(), &["server", "ready", "app", &url]);
    assert_eq!(code, Some(0), "{said}");
    nothing_is_said(weir.setup());
    assert_eq!(reload(&app(&[a.address(), b.address()], "")), Some(0));
    assert!(shares(address).1.abs_diff(40) <= 2);
}
