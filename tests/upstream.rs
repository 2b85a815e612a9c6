//! Servers as they are out there: nginx with TLS and client certificates, certificates that are wrong in each way,
//! connections closed while idle, names whose addresses change, addresses that do not answer, the PROXY protocol.

mod names;
pub mod nginx;
pub mod pki;
mod proxy_protocol;
mod reuse;

use std::net::SocketAddr;

use crate::support::client::{Connection, Response};
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, free_port};
use nginx::Nginx;
use pki::Pki;

/// weir with one plain entry point and these rules; DEBUG.
fn weir(setup: Setup) -> (Weir, SocketAddr) {
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    setup.write("weir.yml", &static_file(address));
    (setup.start().listening(address), address)
}

fn static_file(address: SocketAddr) -> String {
    format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n\
         runtimeDir: \"{{dir}}/run\"\nworkers: 1\nlog:\n  level: DEBUG\n"
    )
}

/// The rules of a router for `/name`, and its service: what is in its load balancer.
fn routed(name: &str, load_balancer: &str) -> String {
    format!(
        "http:\n  routers:\n    {name}: {{rule: \"PathPrefix(`/{name}`)\", service: {name}}}\n  services:\n    \
         {name}:\n      loadBalancer: {load_balancer}\n"
    )
}

fn get(address: SocketAddr, path: &str) -> Response {
    Connection::open(address).get("a.example", path)
}

/// Rules for a server over TLS at `port`, under a transport of its own.
fn secure(name: &str, host: &str, port: u16, transport: &str) -> String {
    format!(
        "{}  serversTransports:\n    {name}: {transport}\n",
        routed(
            name,
            &format!("{{serversTransport: {name}, servers: [{{url: \"https://{host}:{port}\"}}]}}")
        )
    )
}

#[test]
fn servers_over_tls_must_be_who_they_should_be() {
    if !nginx::require() {
        return;
    }
    let pki = Pki::new("the authority");
    let setup = Setup::new("");
    setup.write("ca.pem", &pki.authority());
    setup.write("other-ca.pem", &Pki::new("another").authority());
    let mut nginx = Nginx::default();
    let good = nginx.tls(&pki.server(&["app.test", "127.0.0.1"]), "");
    let expired = nginx.tls(&pki.expired(&["app.test"]), "");
    let own_pair = pki::self_signed(&["app.test"]);
    setup.write("own.pem", &own_pair.certificate);
    let own = nginx.tls(&own_pair, "");
    let plain = nginx.plain("");
    let nginx = nginx.start();

    let cases = [
        (
            "ip",
            "127.0.0.1",
            good,
            "{rootCAs: [\"{dir}/ca.pem\"]}",
            Ok(()),
        ),
        (
            "name",
            "127.0.0.1",
            good,
            "{serverName: app.test, rootCAs: [\"{dir}/ca.pem\"]}",
            Ok(()),
        ),
        (
            "host",
            "localhost",
            good,
            "{serverName: app.test, rootCAs: [\"{dir}/ca.pem\"]}",
            Ok(()),
        ),
        (
            "system",
            "127.0.0.1",
            good,
            "{serverName: app.test}",
            Err("rootCAs"),
        ),
        (
            "other",
            "127.0.0.1",
            good,
            "{rootCAs: [\"{dir}/other-ca.pem\"]}",
            Err("rootCAs"),
        ),
        (
            "wrong",
            "localhost",
            good,
            "{rootCAs: [\"{dir}/ca.pem\"]}",
            Err("set serverName"),
        ),
        (
            "old",
            "127.0.0.1",
            expired,
            "{serverName: app.test, rootCAs: [\"{dir}/ca.pem\"]}",
            Err("renew"),
        ),
        (
            "skip",
            "localhost",
            expired,
            "{insecureSkipVerify: true}",
            Ok(()),
        ),
        (
            "self",
            "localhost",
            own,
            "{serverName: app.test, rootCAs: [\"{dir}/own.pem\"]}",
            Ok(()),
        ),
        (
            "unknown",
            "localhost",
            own,
            "{serverName: app.test}",
            Err("rootCAs"),
        ),
        (
            "uri",
            "127.0.0.1",
            good,
            "{peerCertURI: \"spiffe://x\", rootCAs: [\"{dir}/ca.pem\"]}",
            Err("peerCertURI"),
        ),
        (
            "clear",
            "127.0.0.1",
            plain,
            "{rootCAs: [\"{dir}/ca.pem\"]}",
            Err("http://"),
        ),
    ];
    let setup = cases
        .iter()
        .fold(setup, |setup, (name, host, port, transport, _)| {
            setup.rules(
                &format!("{name}.yml"),
                &secure(name, host, *port, transport),
            )
        });
    let (weir, address) = weir(setup);
    for (name, _, _, _, expected) in &cases {
        let response = get(address, &format!("/{name}"));
        match expected {
            Ok(()) => assert_eq!(response.status, 200, "{name}: {}", weir.log()),
            Err(remedy) => {
                assert_eq!(response.status, 502, "{name}: {}", weir.log());
                let complaint = |line: &&str| {
                    line.contains("no connection to the server")
                        && line.contains(&format!("{name}@file"))
                };
                let line = eventually(&format!("the log names {name}"), || {
                    weir.log().lines().find(complaint).map(str::to_owned)
                });
                assert!(line.contains(remedy), "{name}: {line}");
            }
        }
    }
    drop(nginx);
}

#[test]
fn client_certificates_are_shown_and_sessions_resumed() {
    if !nginx::require() {
        return;
    }
    let pki = Pki::new("the authority");
    let setup = Setup::new("");
    setup.write("ca.pem", &pki.authority());
    let client = pki.client("edge");
    setup.write("edge.pem", &client.certificate);
    setup.write("edge.key", &client.key);
    let mut nginx = Nginx::default();
    let ca = nginx.write("client-ca.pem", &pki.authority());
    let asks = format!("ssl_client_certificate {ca}; ssl_verify_client on; keepalive_timeout 0;");
    let port = nginx.tls(&pki.server(&["app.test"]), &asks);
    let _nginx = nginx.start();
    let with = "{serverName: app.test, rootCAs: [\"{dir}/ca.pem\"], certificates: [{certFile: \"{dir}/edge.pem\", \
                keyFile: \"{dir}/edge.key\"}]}";
    let without = "{serverName: app.test, rootCAs: [\"{dir}/ca.pem\"]}";
    let setup = setup
        .rules("with.yml", &secure("with", "127.0.0.1", port, with))
        .rules(
            "without.yml",
            &secure("without", "127.0.0.1", port, without),
        );
    let (weir, address) = weir(setup);
    let first = get(address, "/with");
    assert_eq!(first.status, 200, "{}", weir.log());
    assert!(first.text().contains("client=CN=edge"), "{}", first.text());
    assert!(
        first.text().contains("sni=app.test resumed=."),
        "{}",
        first.text()
    );
    let second = get(address, "/with");
    assert!(second.text().contains("resumed=r"), "{}", second.text());
    assert_eq!(get(address, "/without").status, 400, "nginx wants one");
}

#[test]
fn a_transport_with_a_mistake_costs_the_services_that_name_it() {
    let origin = crate::http1::origin::Origin::new(|_| crate::http1::origin::Reply::ok("x"));
    let server = format!("servers: [{{url: \"http://{}\"}}]", origin.address());
    let setup = Setup::new("")
        .rules("good.yml", &routed("good", &format!("{{{server}}}")))
        .rules(
            "bad.yml",
            &routed("bad", &format!("{{serversTransport: bad, {server}}}")),
        )
        .rules(
            "dangling.yml",
            &routed("dangling", &format!("{{serversTransport: no, {server}}}")),
        )
        .rules(
            "transport.yml",
            "http:\n  serversTransports:\n    bad: {rootCAs: [\"{dir}/missing.pem\"]}\n",
        );
    let (weir, address) = weir(setup);
    assert_eq!(get(address, "/good").status, 200);
    for name in ["bad", "dangling"] {
        let status = get(address, &format!("/{name}")).status;
        assert!(matches!(status, 404 | 503), "{name}: {status}");
    }
    let log = weir.log();
    for part in [
        "transport.yml:3:21: http.serversTransports.bad: found rootCAs",
        "missing.pem cannot be read",
        "found serversTransport \"bad\"; correct that serversTransport",
        "found serversTransport \"no\"; allowed one of http.serversTransports",
    ] {
        assert!(log.contains(part), "{part} in {log}");
    }
}
