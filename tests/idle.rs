//! What a connection costs that does nothing, and what a process says that may hold only so many.

use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use xtask::backend::Backend;
use xtask::certificate::Certificate;
use xtask::crowd::Crowd;

use crate::support::weir::{Setup, Weir};
use crate::support::{free_port, number};

/// Connections that are idle, and for how many seconds; `cargo xtask bench idle` holds 8,000 for a minute, and so does
/// this if `WEIR_IDLE_CONNECTIONS` and `WEIR_IDLE_SECONDS` say so.
fn crowd() -> (usize, u64) {
    let connections = number("WEIR_IDLE_CONNECTIONS", 2000) as usize;
    (connections, number("WEIR_IDLE_SECONDS", 0))
}

/// With how many the memory is compared.
const FEW: usize = 16;
/// A kibibyte; four times that in debug builds, which give each variable of a task room of its own.
const KIB: u64 = if cfg!(debug_assertions) {
    4 << 10
} else {
    1 << 10
};

fn edge(server: &Backend, certificate: Option<&Certificate>) -> (Weir, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n\
         runtimeDir: \"{{dir}}/run\"\nworkers: 2\n"
    ));
    let (mut tls, mut certificates) = ("", "");
    if let Some(certificate) = certificate {
        certificate.write(&setup.path("")).expect("its files");
        tls = "      tls: {}\n";
        certificates = "tls:\n  certificates:\n    - certFile: \"{dir}/chain.pem\"\n      keyFile: \"{dir}/key.pem\"\n";
    }
    let rules = format!(
        "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: a\n{tls}  services:\n    a:\n      \
         loadBalancer:\n        servers:\n          - url: http://{}\n{certificates}",
        server.address()
    );
    let weir = setup.rules("rules.yml", &rules).start().listening(address);
    (weir, address)
}

fn backend() -> Backend {
    Backend::plain("a", SocketAddr::from(([127, 0, 0, 1], 0))).expect("a server")
}

/// Bytes for each of the connections that have done a request and are idle.
fn cost(weir: &Weir, mut crowd: Crowd) -> u64 {
    let (connections, seconds) = self::crowd();
    crowd.grow_to(FEW).expect("a few connections");
    let few = weir.resident();
    crowd.grow_to(connections).expect("many connections");
    let many = weir.resident();
    std::thread::sleep(Duration::from_secs(seconds));
    crowd.ask_all().expect("all of them are still there");
    println!("cost: {connections} idle connections were all served again after {seconds} s");
    many.saturating_sub(few) / connections as u64
}

#[test]
fn an_idle_connection_costs_at_most_4_kib() {
    let server = backend();
    let (weir, address) = edge(&server, None);
    let each = cost(&weir, Crowd::new(address, None));
    println!("cost: an idle connection: {each} bytes");
    assert!(each <= 4 * KIB, "{each} bytes");
}

#[test]
fn an_idle_connection_over_tls_costs_at_most_20_kib() {
    let server = backend();
    let certificate = Certificate::new("localhost").expect("a certificate");
    let (weir, address) = edge(&server, Some(&certificate));
    let client = certificate.client().expect("a client");
    let crowd = Crowd::new(address, Some((client, "localhost".to_owned())));
    let each = cost(&weir, crowd);
    println!("cost: an idle connection over TLS: {each} bytes");
    assert!(each <= 20 * KIB, "{each} bytes");
}

#[test]
fn a_start_says_how_many_descriptors_there_are_and_how_many_connections_they_hold() {
    let server = backend();
    let (weir, _) = edge(&server, None);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("our limit is the child's");
    weir.logged(&format!("descriptors={hard}"));
    weir.logged("connections_max=");
}
