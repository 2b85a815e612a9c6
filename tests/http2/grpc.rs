//! gRPC with the implementation that most have, `grpcio` from PyPI, as client and as server, over TLS on both sides.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use xtask::daemon::Daemon;

use crate::support::weir::Setup;
use crate::support::{eventually, free_port, set_up};
use crate::upstream::pki::Pki;

const SERVER: &str = include_str!("grpc/server.py");
const CLIENT: &str = include_str!("grpc/client.py");

/// The Python that has grpcio; without it the caller returns and counts as skipped.
fn python() -> Option<PathBuf> {
    let python = set_up("grpc/bin/python3");
    if python.is_none() {
        println!("skipped: needs grpcio (cargo xtask setup)");
    }
    python
}

fn port(server: &Daemon) -> u16 {
    eventually("the gRPC server says its port", || {
        let log = server.log();
        let line = log.lines().find_map(|line| line.strip_prefix("port "))?;
        line.parse().ok()
    })
}

#[test]
fn grpcio_is_served_by_grpcio() {
    let Some(python) = python() else { return };
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let setup = Setup::new(&format!(
        "entryPoints:\n  secure:\n    address: \"{address}\"\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n\
         runtimeDir: \"{{dir}}/run\"\nworkers: 1\nlog:\n  level: DEBUG\n"
    ));
    let pki = Pki::new("the authority");
    let pair = pki.server(&["127.0.0.1", "a.example"]);
    setup.write("ca.pem", &pki.authority());
    setup.write("server.pem", &pair.certificate);
    setup.write("server.key", &pair.key);
    let path = |name: &str| setup.path(name).display().to_string();
    let mut command = Command::new(&python);
    command.args(["-c", SERVER, &path("server.key"), &path("server.pem")]);
    let server = Daemon::start(&mut command, None).expect("python3 starts");
    let authority = path("ca.pem");
    let rules = format!(
        "http:\n  routers:\n    all: {{rule: \"PathPrefix(`/`)\", service: grpc, tls: {{}}}}\n  services:\n    grpc:\n      \
         loadBalancer: {{serversTransport: own, servers: [{{url: \"https://127.0.0.1:{}\"}}]}}\n  serversTransports:\n    \
         own: {{rootCAs: [\"{{dir}}/ca.pem\"]}}\ntls:\n  certificates:\n    - {{certFile: \"{{dir}}/server.pem\", \
         keyFile: \"{{dir}}/server.key\"}}\n",
        port(&server)
    );
    let weir = setup.rules("rules.yml", &rules).start().listening(address);
    let mut client = Command::new(&python);
    client.args(["-c", CLIENT, &address.to_string(), &authority]);
    let output = client.output().expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", weir.log());
}
