//! The PROXY protocol towards servers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::nginx::{self, Nginx};
use super::pki::Pki;
use crate::support::client::Connection;
use crate::support::weir::{Setup, Weir};

/// weir before one TCP server, with what stands beside `servers`, and these transports.
fn before(server: &str, beside: &str, transports: &str, setup: Setup) -> (Weir, SocketAddr) {
    let rules = format!(
        "tcp:\n  routers:\n    all: {{rule: \"HostSNI(`*`)\", service: all}}\n  services:\n    all:\n      \
         loadBalancer: {{{beside} servers: [{server}]}}\n{transports}"
    );
    super::weir(setup.rules("tcp.yml", &rules))
}

/// What a server gets from a client that says "hello", and that client's address.
fn received(beside: &str, transports: &str) -> (Vec<u8>, SocketAddr, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let server = listener.local_addr().expect("an address");
    let address = format!("{{address: \"{server}\"}}");
    let (_weir, entry) = before(&address, beside, transports, Setup::new(""));
    let mut client = TcpStream::connect(entry).expect("connected");
    client.write_all(b"hello").expect("sent");
    client.shutdown(std::net::Shutdown::Write).expect("ended");
    // Those that waited for weir to listen said nothing.
    loop {
        let (mut connection, _) = listener.accept().expect("accepted");
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes).expect("all of it");
        if bytes.ends_with(b"hello") {
            return (bytes, client.local_addr().expect("an address"), entry);
        }
    }
}

#[test]
fn servers_are_told_the_client_in_both_versions_and_both_places() {
    let transport = |version: u8| {
        format!("  serversTransports:\n    t: {{proxyProtocol: {{version: {version}}}}}\n")
    };
    for (beside, transports) in [
        ("serversTransport: t,", transport(1)),
        ("proxyProtocol: {version: 1},", String::new()),
    ] {
        let (bytes, client, entry) = received(beside, &transports);
        let expected = format!(
            "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\nhello",
            client.port(),
            entry.port()
        );
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
    }
    for (beside, transports) in [
        ("serversTransport: t,", transport(2)),
        ("proxyProtocol: {},", String::new()),
    ] {
        let (bytes, client, entry) = received(beside, &transports);
        let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
        expected.extend(client.port().to_be_bytes());
        expected.extend(entry.port().to_be_bytes());
        expected.extend(b"hello");
        assert_eq!(bytes, expected);
    }
    assert_eq!(received("", "").0, b"hello");
}

#[test]
fn nginx_reads_it_also_ahead_of_tls() {
    if !nginx::require() {
        return;
    }
    let pki = Pki::new("the authority");
    let setup = Setup::new("");
    setup.write("ca.pem", &pki.authority());
    let mut nginx = Nginx::default();
    let pair = pki.server(&["127.0.0.1"]);
    let certificate = nginx.write("p.pem", &pair.certificate);
    let key = nginx.write("p.key", &pair.key);
    let pair = format!("ssl_certificate {certificate}; ssl_certificate_key {key};");
    let port = nginx.server("ssl proxy_protocol", &pair);
    let _nginx = nginx.start();
    let transports = "  serversTransports:\n    t:\n      proxyProtocol: {version: 2}\n      tls: {rootCAs: \
                      [\"{dir}/ca.pem\"]}\n";
    let server = format!("{{address: \"127.0.0.1:{port}\", tls: true}}");
    let (weir, entry) = before(&server, "serversTransport: t,", transports, setup);
    let mut connection = Connection::open(entry);
    let local = connection.socket().local_addr().expect("an address");
    let response = connection.get("a.example", "/");
    let expected = format!("proxied={local} ");
    assert!(
        response.text().contains(&expected),
        "{} {}",
        response.text(),
        weir.log()
    );
}
