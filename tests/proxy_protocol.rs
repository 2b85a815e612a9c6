//! PROXY headers from proxies in front, by curl and by hand: whom they are believed from, and where the address counts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use xtask::backend::{Answer, Backend};

use crate::support::client::Connection;
use crate::support::weir::{Setup, Weir};
use crate::support::{DEADLINE, free_port};

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn proxy(trust: &str, rules: &str) -> (Weir, SocketAddr) {
    let address = loopback(free_port());
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\n    proxyProtocol: {trust}\nproviders:\n  file:\n    \
         directory: \"{{dir}}/rules\"\nruntimeDir: \"{{dir}}/run\"\nworkers: 1\nlog:\n  level: DEBUG\n"
    ));
    let setup = setup.rules("rules.yml", rules);
    (setup.start().listening(address), address)
}

/// Requests from 203.0.113.0/24 go to `inside`, others to `outside`.
fn by_address(inside: &Backend, outside: &Backend) -> String {
    format!(
        "http:\n  routers:\n    inside: {{rule: ClientIP(`203.0.113.0/24`), service: inside}}\n    outside: {{rule: \
         PathPrefix(`/`), service: outside, priority: 1}}\n  services:\n    inside: {{loadBalancer: {{servers: [{{url: \
         'http://{}'}}]}}}}\n    outside: {{loadBalancer: {{servers: [{{url: 'http://{}'}}]}}}}\n",
        inside.address(),
        outside.address()
    )
}

fn backend(name: &str) -> Backend {
    Backend::plain(name, loopback(0)).expect("a server")
}

/// Who answers what follows `header`, and for whom.
fn answered(address: SocketAddr, header: &[u8]) -> (String, Option<String>) {
    let mut connection = Connection::open(address);
    connection.send(header);
    let response = connection.get("a", "/");
    let answer = Answer::parse(&response.body)
        .unwrap_or_else(|| panic!("{} {}", response.status, response.text()));
    (answer.node, answer.forwarded_for)
}

fn v2(source: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f".to_vec();
    header.extend(source);
    header.extend([192, 0, 2, 2, 0x9c, 0x40, 0, 80]);
    header.extend([4, 0, 0]);
    header
}

#[test]
fn the_source_of_a_trusted_header_is_the_client() {
    let (inside, outside) = (backend("inside"), backend("outside"));
    let rules = by_address(&inside, &outside);
    let (_weir, address) = proxy("{trustedIPs: [127.0.0.0/8]}", &rules);
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    let line = |text: &str| text.as_bytes().to_vec();
    for (header, node, client) in [
        (
            line("PROXY TCP4 203.0.113.7 192.0.2.2 40000 80\r\n"),
            "inside",
            "203.0.113.7",
        ),
        (
            line("PROXY TCP6 ::ffff:203.0.113.7 ::1 4 80\r\n"),
            "inside",
            "203.0.113.7",
        ),
        (
            line("PROXY TCP6 2001:db8::7 2001:db8::1 4 80\r\n"),
            "outside",
            "2001:db8::7",
        ),
        (line("PROXY UNKNOWN\r\n"), "outside", "127.0.0.1"),
        (v2([203, 0, 113, 8]), "inside", "203.0.113.8"),
        (v2([198, 51, 100, 8]), "outside", "198.51.100.8"),
        (local, "outside", "127.0.0.1"),
        (Vec::new(), "outside", "127.0.0.1"),
    ] {
        let expected = (node.to_owned(), Some(client.to_owned()));
        assert_eq!(answered(address, &header), expected, "{header:x?}");
    }
    let output = Command::new("curl")
        .args(["--silent", "--fail", "--haproxy-protocol"])
        .arg(format!("http://{address}/"))
        .output()
        .expect("curl is installed");
    let answer = Answer::parse(&output.stdout).expect("an answer");
    assert_eq!(answer.forwarded_for.as_deref(), Some("127.0.0.1"));
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let (inside, outside) = (backend("inside"), backend("outside"));
    let (_weir, address) = proxy("{insecure: true}", &by_address(&inside, &outside));
    for header in [
        b"PROXY TCP4 203.0.113.7 192.0.2.2 40000 80\r\n".to_vec(),
        v2([203, 0, 113, 7]),
    ] {
        let mut connection = Connection::open(address);
        connection.socket().set_nodelay(true).expect("an option");
        for byte in header {
            connection.send([byte]);
            thread::yield_now();
        }
        let answer = Answer::parse(&connection.get("a", "/").body).expect("an answer");
        assert_eq!(answer.node, "inside");
    }
}

#[test]
fn of_others_it_is_the_clients_own_data() {
    let (inside, outside) = (backend("inside"), backend("outside"));
    let rules = by_address(&inside, &outside);
    let (_weir, address) = proxy("{trustedIPs: [192.0.2.0/24]}", &rules);
    let (node, client) = answered(address, b"");
    assert_eq!(
        (node.as_str(), client.as_deref()),
        ("outside", Some("127.0.0.1"))
    );
    let mut connection = Connection::open(address);
    connection
        .send("PROXY TCP4 203.0.113.7 192.0.2.2 40000 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.response().status, 400);
    assert_eq!(inside.requests(), 0);
}

#[test]
fn a_broken_header_ends_the_connection() {
    let (inside, outside) = (backend("inside"), backend("outside"));
    let rules = by_address(&inside, &outside);
    let (weir, address) = proxy("{trustedIPs: [127.0.0.1]}", &rules);
    for header in [
        &b"PROXY TCP4 203.0.113.7\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
        &[b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat(),
    ] {
        let mut client = TcpStream::connect(address).expect("weir accepts");
        client.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        client.write_all(header).expect("sent");
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        assert_eq!(answer, b"");
    }
    weir.logged("PROXY header is malformed");
    weir.logged("PROXY header is too long");
    assert_eq!((inside.requests(), outside.requests()), (0, 0));
}

/// The header precedes TCP too, and decides its routers; a server that speaks first is not kept waiting by it.
#[test]
fn tcp_routers_see_the_client_that_the_header_names() {
    let listener = TcpListener::bind(loopback(0)).expect("a socket");
    let server = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut got = [0; 5];
            let _ = stream
                .write_all(b"SSH-2.0-x\r\n")
                .and_then(|()| stream.read_exact(&mut got))
                .and_then(|()| stream.write_all(&got));
        }
    });
    let rules = format!(
        "tcp:\n  routers:\n    ssh: {{rule: ClientIP(`203.0.113.7`), service: s}}\n  services:\n    s: {{loadBalancer: \
         {{servers: [{{address: \"{server}\"}}]}}}}\n"
    );
    let (_weir, address) = proxy("{trustedIPs: [127.0.0.1]}", &rules);
    let mut client = TcpStream::connect(address).expect("weir accepts");
    client.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    client
        .write_all(b"PROXY TCP4 203.0.113.7 192.0.2.2 1 2\r\nhello")
        .expect("sent");
    let mut said = String::new();
    client.read_to_string(&mut said).expect("an orderly end");
    assert_eq!(said, "SSH-2.0-x\r\nhello");
    let mut other = TcpStream::connect(address).expect("weir accepts");
    other.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    other
        .write_all(b"PROXY TCP4 203.0.113.8 192.0.2.2 1 2\r\n")
        .expect("sent");
    assert_eq!(other.read(&mut [0]).expect("closed"), 0);
}

/// The header is optional, so a client that waits for the server to speak first is served in the end.
#[test]
fn a_trusted_peer_that_says_nothing_is_its_own_client() {
    let listener = TcpListener::bind(loopback(0)).expect("a socket");
    let server = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"220 ready\r\n");
        }
    });
    let rules = format!(
        "tcp:\n  routers:\n    ftp: {{rule: ClientIP(`127.0.0.1`), service: s}}\n  services:\n    s: {{loadBalancer: \
         {{servers: [{{address: \"{server}\"}}]}}}}\n"
    );
    let (_weir, address) = proxy("{trustedIPs: [127.0.0.1]}", &rules);
    let mut client = TcpStream::connect(address).expect("weir accepts");
    client.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let mut said = String::new();
    client.read_to_string(&mut said).expect("an orderly end");
    assert_eq!(said, "220 ready\r\n");
}

#[test]
fn tls_and_steering_in_user_space_follow_the_header() {
    let (steered, other) = (backend("steered"), backend("other"));
    let rules = format!(
        "tcp:\n  routers:\n    steered: {{rule: ClientIP(`203.0.113.0/24`), service: s, steer: true}}\n  services:\n    \
         s: {{loadBalancer: {{servers: [{{address: \"{}\"}}]}}}}\nhttp:\n  routers:\n    tls: {{rule: \
         PathPrefix(`/`), service: o, tls: {{}}}}\n  services:\n    o: {{loadBalancer: {{servers: [{{url: \
         'http://{}'}}]}}}}\n",
        steered.address(),
        other.address()
    );
    let (_weir, address) = proxy("{trustedIPs: [127.0.0.1]}", &rules);
    let (node, client) = answered(address, &v2([203, 0, 113, 8]));
    assert_eq!((node.as_str(), client), ("steered", None));
    let output = Command::new("curl")
        .args(["--silent", "--fail", "--insecure", "--haproxy-protocol"])
        .arg(format!("https://{address}/"))
        .output()
        .expect("curl is installed");
    let answer = Answer::parse(&output.stdout).expect("an answer");
    assert_eq!(answer.node, "other");
}
