//! Names of servers: resolved by the system, again and again. /etc/hosts of weir is a file of the test's, mounted over
//! the machine's in a mount namespace of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use xtask::backend::Backend;
use xtask::daemon::Daemon;

use super::{get, routed, static_file};
use crate::support::weir::Setup;
use crate::support::{DEADLINE, eventually, free_port, require_root};

/// weir with an /etc/hosts of its own.
struct Named {
    // First, so that it ends before its directory goes.
    weir: Daemon,
    setup: Setup,
    address: SocketAddr,
}

impl Named {
    fn start(hosts: &str, rules: &str) -> Self {
        let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let setup = Setup::new("").rules("rules.yml", rules);
        setup.write("weir.yml", &static_file(address));
        fs::write(setup.path("hosts"), hosts).expect("written");
        let script = "mount --make-rprivate / && mount --bind \"$1\" /etc/hosts && exec \"$2\" --configFile \"$3\" \"$4\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]);
        command.args([
            setup.path("hosts"),
            PathBuf::from(env!("CARGO_BIN_EXE_weir")),
        ]);
        command.arg(setup.config_file());
        command.arg(format!("--stateDir={}", setup.path("state").display()));
        let mut weir = Daemon::start(&mut command, None).expect("unshare starts");
        let listening = weir.listening(address, DEADLINE);
        listening.unwrap_or_else(|error| panic!("{error}"));
        Self {
            weir,
            setup,
            address,
        }
    }

    /// Names mean something else from now on.
    fn rename(&self, hosts: &str) {
        // In place: another file would not be the one that is mounted.
        fs::write(self.setup.path("hosts"), hosts).expect("written");
        self.weir.signal(Signal::SIGHUP).expect("signal weir");
    }

    fn answers(&self, who: &str) {
        eventually(&format!("{who} answers; {}", self.weir.log()), || {
            let response = get(self.address, "/app");
            response
                .text()
                .contains(&format!("\"{who}\""))
                .then_some(())
        });
    }

    fn logged(&self, text: &str) {
        eventually(&format!("the log says {text:?}"), || {
            self.weir.log().contains(text).then_some(())
        });
    }
}

/// Servers that say their names, on one port of several addresses.
fn servers<const N: usize>(names: [&str; N]) -> ([Backend; N], u16) {
    let port = free_port();
    let mut last = 1;
    let servers = names.map(|name| {
        last += 1;
        Backend::plain(name, (Ipv4Addr::new(127, 0, 0, last), port)).expect("a server")
    });
    (servers, port)
}

#[test]
fn a_name_that_changes_moves_its_requests_and_one_that_goes_keeps_its_last_addresses() {
    if !require_root("a mount namespace") {
        return;
    }
    let (_servers, port) = servers(["first", "second"]);
    let rules = routed(
        "app",
        &format!("{{servers: [{{url: \"http://app.test:{port}\"}}]}}"),
    );
    let named = Named::start("127.0.0.1 localhost\n", &rules);
    assert_eq!(get(named.address, "/app").status, 502, "never resolved");
    named.logged("found app.test, which does not resolve");
    named.rename("127.0.0.2 app.test\n");
    named.answers("first");
    named.rename("127.0.0.3 app.test\n");
    named.answers("second");
    named.rename("127.0.0.1 localhost\n");
    named.logged("found app.test, which no longer resolves");
    named.answers("second");
    named.rename("127.0.0.2 app.test\n");
    named.answers("first");
}

#[test]
fn a_server_without_an_address_leaves_its_share_to_the_others() {
    if !require_root("a mount namespace") {
        return;
    }
    let (_servers, port) = servers(["first", "second"]);
    let urls = format!("{{url: \"http://a.test:{port}\"}}, {{url: \"http://b.test:{port}\"}}");
    let named = Named::start(
        "127.0.0.2 a.test\n",
        &routed("app", &format!("{{servers: [{urls}]}}")),
    );
    for _ in 0..6 {
        assert_eq!(get(named.address, "/app").status, 200);
    }
    named.rename("127.0.0.2 a.test\n127.0.0.3 b.test\n");
    named.answers("second");
    named.answers("first");
}

#[test]
fn an_address_that_does_not_answer_is_not_waited_for() {
    if !require_root("a mount namespace") {
        return;
    }
    let (_servers, port) = servers(["first"]);
    // Full: its kernel answers no SYN any more.
    let silent =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let silent_address = SocketAddr::from(([127, 0, 0, 9], port));
    silent.bind(&silent_address.into()).expect("bound");
    silent.listen(0).expect("listens");
    let fillers: Vec<socket2::Socket> = (0..4)
        .map(|_| {
            let filler = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
            let filler = filler.expect("a socket");
            filler.set_nonblocking(true).expect("a flag");
            // In progress, for ever.
            let _ = filler.connect(&silent_address.into());
            filler
        })
        .collect();
    let hosts = "127.0.0.9 app.test\n127.0.0.2 app.test\n";
    let rules = routed(
        "app",
        &format!("{{servers: [{{url: \"http://app.test:{port}\"}}]}}"),
    );
    let named = Named::start(hosts, &rules);
    for _ in 0..3 {
        assert_eq!(
            get(named.address, "/app").status,
            200,
            "{}",
            named.weir.log()
        );
    }
    drop(fillers);
}

#[test]
fn a_request_goes_to_another_address_of_the_name_if_the_first_one_breaks() {
    if !require_root("a mount namespace") {
        return;
    }
    let (_servers, port) = servers(["first"]);
    let breaking = TcpListener::bind(("127.0.0.9", port)).expect("bound");
    std::thread::spawn(move || {
        // Accepts and closes.
        while breaking.accept().is_ok() {}
    });
    let hosts = "127.0.0.9 app.test\n127.0.0.2 app.test\n";
    let rules = routed(
        "app",
        &format!("{{servers: [{{url: \"http://app.test:{port}\"}}]}}"),
    );
    let named = Named::start(hosts, &rules);
    for _ in 0..4 {
        assert_eq!(
            get(named.address, "/app").status,
            200,
            "{}",
            named.weir.log()
        );
    }
}
