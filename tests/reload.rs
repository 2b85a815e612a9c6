//! Rule files that change under a running weir: what a broken one costs, what a restart finds, `weir reload`.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::Signal;
use xtask::backend::Backend;

use crate::support::client::Connection;
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, free_port, number};
use crate::upgrades::origin::{KEY, Origin, switching};

/// A router for a path, to a server whose name does not resolve: 502 says that the router is there, 404 that it is not.
fn router(name: &str) -> String {
    format!("http: {{routers: {{{name}: {{rule: PathPrefix(`/{name}`), service: nobody}}}}}}\n")
}

fn site(watch: bool) -> (SocketAddr, Setup) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: {address}\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n    \
         watch: {watch}\nruntimeDir: \"{{dir}}/run\"\nstateDir: \"{{dir}}/state\"\nworkers: 1\n"
    ));
    let service = "http: {services: {nobody: {loadBalancer: {servers: [{url: 'http://no-such.invalid'}]}}}}\n";
    (address, setup.rules("service.yml", service))
}

fn status(address: SocketAddr, path: &str) -> u16 {
    Connection::open(address).get("x", path).status
}

fn becomes(address: SocketAddr, path: &str, expected: u16) {
    eventually(&format!("{path} answers {expected}"), || {
        (status(address, path) == expected).then_some(())
    });
}

/// `weir reload` with these arguments: its exit code and what it says.
fn reload(weir: &Weir, arguments: &[&str]) -> (Option<i32>, String) {
    let config = weir.setup().config_file();
    let output = weir
        .setup()
        .run(&[&["reload", "--configFile", &config], arguments].concat());
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn a_broken_file_keeps_its_last_good_version_also_over_a_restart() {
    let (address, setup) = site(true);
    let weir = setup
        .rules("a.yml", &router("a"))
        .rules("b.yml", &router("b"))
        .start()
        .listening(address);
    becomes(address, "/a", 502);
    weir.setup().write("rules/a.yml", "http: [\n");
    weir.setup().write("rules/b.yml", &router("c"));
    becomes(address, "/c", 502);
    assert_eq!(
        (status(address, "/a"), status(address, "/b")),
        (502, 404),
        "a stays, b went on"
    );
    weir.logged("this version of the file, whose last good one serves");
    let copies: Vec<_> = fs::read_dir(weir.setup().path("state/rules"))
        .expect("copies")
        .flatten()
        .collect();
    assert_eq!(copies.len(), 3);
    for copy in copies {
        assert_eq!(
            copy.metadata().expect("a copy").permissions().mode() & 0o777,
            0o600
        );
    }

    weir.signal(Signal::SIGTERM);
    let (_, setup) = weir.wait();
    let weir = setup.start().listening(address);
    assert_eq!(
        status(address, "/a"),
        502,
        "the last good version, after a restart"
    );
    weir.logged("whose last good one serves");
    fs::remove_file(weir.setup().path("rules/a.yml")).expect("remove");
    becomes(address, "/a", 404);
    let copies = fs::read_dir(weir.setup().path("state/rules"))
        .expect("copies")
        .count();
    assert_eq!(copies, 2, "the copy goes with its file");
}

#[test]
fn the_directory_may_be_replaced_and_be_missing_meanwhile() {
    let (address, setup) = site(true);
    let weir = setup
        .rules("a.yml", &router("a"))
        .start()
        .listening(address);
    becomes(address, "/a", 502);
    let path = |name: &str| weir.setup().path(name);
    fs::rename(path("rules"), path("old")).expect("moved away");
    weir.logged("of which what was read last serves");
    assert_eq!(status(address, "/a"), 502, "nobody means that by no rules");
    assert_eq!(reload(&weir, &["--dry-run"]).0, Some(1));
    fs::create_dir(path("new")).expect("a directory");
    weir.setup().write("new/b.yml", &router("b"));
    fs::copy(path("old/service.yml"), path("new/service.yml")).expect("a copy");
    fs::rename(path("new"), path("rules")).expect("another in its place");
    becomes(address, "/b", 502);
    assert_eq!(status(address, "/a"), 404);
    weir.setup().write("rules/c.yml", &router("c"));
    becomes(address, "/c", 502);
    // Deployed beside each other, and chosen by a link.
    fs::rename(path("rules"), path("release")).expect("moved away");
    symlink("release", path("rules")).expect("a link");
    weir.setup().write("release/d.yml", &router("d"));
    becomes(address, "/d", 502);
    symlink("old", path("next")).expect("a link");
    fs::rename(path("next"), path("rules")).expect("another link in its place");
    becomes(address, "/a", 502);
    assert_eq!(status(address, "/d"), 404);
}

#[test]
fn a_link_to_a_file_elsewhere_is_followed() {
    let (address, setup) = site(true);
    for (version, name) in [("1", "a"), ("2", "b")] {
        let directory = format!("elsewhere/{version}");
        fs::create_dir_all(setup.path(&directory)).expect("a directory");
        setup.write(&format!("{directory}/x.yml"), &router(name));
    }
    symlink("1", setup.path("elsewhere/current")).expect("a link");
    let weir = setup.rules("none.yml", "").start().listening(address);
    let path = |name: &str| weir.setup().path(name);
    symlink("../elsewhere/current/x.yml", path("rules/x.yml")).expect("a link");
    becomes(address, "/a", 502);
    symlink("2", path("elsewhere/next")).expect("a link");
    fs::rename(path("elsewhere/next"), path("elsewhere/current")).expect("another link");
    becomes(address, "/b", 502);
    weir.setup().write("elsewhere/2/x.yml", &router("c"));
    becomes(address, "/c", 502);
    assert_eq!(status(address, "/b"), 404);
}

#[test]
fn a_set_in_a_new_directory_is_taken_up() {
    let (address, setup) = site(true);
    let weir = setup.start().listening(address);
    fs::create_dir(weir.setup().path("rules/more")).expect("a directory");
    weir.setup().write(
        "rules/more/x.toml",
        "[http.routers.x]\nrule = \"PathPrefix(`/x`)\"\nservice = \"nobody\"\n",
    );
    becomes(address, "/x", 502);
    weir.setup().write(
        "rules/more/x.toml",
        "[http.routers.y]\nrule = \"PathPrefix(`/y`)\"\nservice = \"nobody\"\n",
    );
    becomes(address, "/y", 502);
}

#[test]
fn a_reload_says_what_changes_and_a_dry_run_changes_nothing() {
    let (address, setup) = site(false);
    let weir = setup
        .rules("a.yml", &router("a"))
        .start()
        .listening(address);
    let mode = fs::metadata(weir.setup().path("run/admin.sock"))
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    weir.setup().write("rules/a.yml", &router("b"));
    weir.setup().write("rules/bad.yml", "http: {rooters: {}}\n");
    let (code, said) = reload(&weir, &["--dry-run"]);
    assert_eq!(code, Some(1), "{said}");
    for line in [
        "- http.routers.a\n",
        "+ http.routers.b\n",
        "did you mean routers?",
        "nothing done: rules 1 stay",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(
        (status(address, "/a"), status(address, "/b")),
        (502, 404),
        "nothing has changed"
    );

    fs::remove_file(weir.setup().path("rules/bad.yml")).expect("remove");
    let (_, said) = reload(&weir, &[]);
    assert!(
        said.contains("+ http.routers.b\n") && said.contains("rules 2 are in force"),
        "{said}"
    );
    assert_eq!(
        (status(address, "/a"), status(address, "/b")),
        (404, 502),
        "in force when it answers"
    );
    let (_, said) = reload(&weir, &["--json"]);
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("{\"done\":{\"generation\":3,"), "{said}");

    weir.signal(Signal::SIGHUP);
    weir.logged("generation=4");
    weir.signal(Signal::SIGTERM);
    let (_, setup) = weir.wait();
    let output = setup.run(&["reload", "--configFile", &setup.config_file()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("no weir runs with this configuration")
    );
}

/// How many reloads; `WEIR_TEST_RELOADS` says another number. `cargo xtask bench reload` does 100, of 2,000 files.
const RELOADS: usize = 10;
/// Rule files of five routers each.
const FILES: usize = 100;
const TUNNELS: usize = 20;

fn app(file: usize, version: usize) -> String {
    let router = |number: usize| {
        format!(
            "app-{file}-{number}: {{rule: Host(`app-{file}-{number}.example`) && PathPrefix(`/{version}`), service: main}}"
        )
    };
    let routers: Vec<String> = (0..5).map(router).collect();
    format!("http: {{routers: {{{}}}}}\n", routers.join(", "))
}

/// An upgraded connection; the origin echoes.
fn tunnel(address: SocketAddr) -> Connection {
    let mut connection = Connection::open(address);
    connection.send(format!(
        "GET / HTTP/1.1\r\nHost: tunnels\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    ));
    assert_eq!(connection.head().0, 101);
    connection
}

#[test]
fn reloads_cost_no_request_and_no_tunnel_and_leave_one_set_of_rules() {
    let (server, origin) = (
        Backend::plain("a", ([127, 0, 0, 1], 0)).expect("a server"),
        Origin::new(|_, stream| {
            stream.get_mut().write_all(switching().as_bytes())?;
            std::io::copy(stream, &mut stream.get_ref().try_clone()?).map(drop)
        }),
    );
    let (address, setup) = site(false);
    let setup = setup.rules("service.yml", "{}\n");
    let service = |name: &str, at: SocketAddr| {
        format!("{name}: {{loadBalancer: {{servers: [{{url: 'http://{at}'}}]}}}}")
    };
    let mut setup = setup.rules(
        "main.yml",
        &format!(
            "http: {{routers: {{main: {{rule: Host(`main`), service: main}}, tunnels: {{rule: Host(`tunnels`), service: tunnels}}}}, \
             services: {{{}, {}}}}}\n",
            service("main", server.address()),
            service("tunnels", origin.address())
        ),
    );
    for file in 0..FILES {
        setup = setup.rules(&format!("app-{file}.yml"), &app(file, 0));
    }
    let weir = setup.start().listening(address);
    let mut tunnels: Vec<Connection> = (0..TUNNELS).map(|_| tunnel(address)).collect();
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                let (mut client, mut count) = (Connection::open(address), 0);
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(client.get("main", "/bytes/1000").status, 200);
                    count += 1;
                }
                count
            })
        })
        .collect();
    for version in 1..=number("WEIR_TEST_RELOADS", RELOADS as u64) as usize {
        let file = version % FILES;
        weir.setup()
            .write(&format!("rules/app-{file}.yml"), &app(file, version));
        let (code, said) = reload(&weir, &[]);
        assert_eq!(code, Some(0), "{said}");
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.join().expect("no request fails on its connection") > 0);
    }
    for tunnel in &mut tunnels {
        let mut back = [0; 4];
        tunnel.send("ping");
        tunnel.reader().read_exact(&mut back).expect("an echo");
        assert_eq!(&back, b"ping");
    }
    eventually("one set of rules is left", || {
        (held(&weir) == Some(1)).then_some(())
    });
}

/// How many sets of rules are in memory.
fn held(weir: &Weir) -> Option<u64> {
    let config = weir.setup().config_file();
    let output = weir
        .setup()
        .run(&["status", "--json", "--configFile", &config]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    status["loads_held"].as_u64()
}

/// They were let go of only once no reload had come for a moment.
#[test]
fn reloads_without_a_pause_pile_up_no_rules() {
    let (address, setup) = site(false);
    let services =
        "http: {services: {main: {loadBalancer: {servers: [{url: 'http://127.0.0.1:9'}]}}}}\n";
    let setup = setup
        .rules("app.yml", &app(0, 0))
        .rules("service.yml", services);
    let weir = setup.start().listening(address);
    let most = (0..30).map(|_| {
        let (code, said) = reload(&weir, &[]);
        assert_eq!(code, Some(0), "{said}");
        held(&weir).expect("a status")
    });
    // In force, the one before, and one that is being let go of.
    assert!(most.max() <= Some(3));
}
