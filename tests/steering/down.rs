//! A steered server that goes down: its connections are reset or kept, those of the other server are left alone, in
//! both planes.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};

use super::site::Site;
use crate::support::{DEADLINE, eventually};

/// Rules as the site's, whose servers are up while somebody listens on port 81 there.
fn rules(on_down: &str) -> String {
    let service = |addresses: [&str; 2]| {
        let servers = addresses.map(|address| format!("{{address: '{address}'}}"));
        format!(
            "{{loadBalancer: {{servers: [{}], healthCheck: {{port: 81, interval: 500ms, timeout: 2s, fall: 1, \
             onDown: {on_down}}}}}}}",
            servers.join(", ")
        )
    };
    format!(
        "tcp:\n  routers:\n    four: {{entryPoints: [web], rule: \"ClientIP(`10.0.0.0/24`)\", steer: true, service: \
         four}}\n    six: {{entryPoints: [web], rule: \"ClientIP(`fd00::/64`)\", steer: true, service: six}}\n  \
         services:\n    four: {}\n    six: {}\n",
        service(["10.0.0.11:443", "10.0.0.12:443"]),
        service(["[fd00::11]:443", "[fd00::12]:443"]),
    )
}

/// A connection from this address, on which nothing has been said yet.
fn connect_from(client: &str) -> TcpStream {
    let client: IpAddr = client.parse().expect("an address");
    let (family, entry) = match client {
        IpAddr::V4(_) => (AddressFamily::Inet, "10.0.0.100:443"),
        IpAddr::V6(_) => (AddressFamily::Inet6, "[fd00::100]:443"),
    };
    let entry: SocketAddr = entry.parse().expect("an address");
    let descriptor = socket(family, SockType::Stream, SockFlag::empty(), None).expect("a socket");
    let from = SockaddrStorage::from(SocketAddr::new(client, 0));
    bind(descriptor.as_raw_fd(), &from).expect("its address");
    connect(descriptor.as_raw_fd(), &SockaddrStorage::from(entry)).expect("a connection");
    let mut stream = TcpStream::from(descriptor);
    stream.write_all(&BEGINNING).expect("it is sent");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream
}

/// The beginning of a ClientHello whose end never comes: the server waits for it.
const BEGINNING: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

/// Whether the connection is reset when one more byte of that is sent.
fn is_reset(stream: &mut TcpStream) -> bool {
    if stream.write_all(&[0]).is_err() {
        return true;
    }
    stream.set_nonblocking(true).expect("a flag");
    let read = stream.read(&mut [0]);
    stream.set_nonblocking(false).expect("a flag");
    match read {
        Ok(read) => panic!("the server says {read} bytes"),
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[test]
fn connections_to_a_server_that_goes_down_are_reset_or_kept() {
    for (mode, on_down) in [("native", "reset"), ("native", "keep"), ("off", "reset")] {
        let Some(site) = Site::new(mode) else { return };
        let mut checked: Vec<Option<TcpListener>> =
            site.within_servers(|| TcpListener::bind("[::]:81").ok());
        let weir = site.start();
        weir.setup().write("rules/rules.yml", &rules(on_down));
        weir.logged("generation=2");
        eventually("all are up", || {
            let config = weir.setup().config_file();
            let listed = weir
                .setup()
                .run(&["server", "list", "--configFile", &config]);
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            (listed.matches(", up for").count() == 4).then_some(())
        });
        // Of each family one connection to each server.
        let clients = site.clients();
        let clients: Vec<&String> = clients
            .iter()
            .filter(|client| !site.crosses_families(client))
            .collect();
        let mut connections: Vec<(String, String, TcpStream)> = clients
            .iter()
            .map(|client| {
                let node = site.who_answers(client);
                let stream = site.within_client(|| connect_from(client));
                ((*client).clone(), node, stream)
            })
            .collect();
        let nodes = |name: &str| {
            connections
                .iter()
                .filter(|(_, node, _)| node == name)
                .count()
        };
        assert!(nodes("a") > 1 && nodes("b") > 1, "both have clients");
        checked[0] = None;
        eventually("a is down in both families", || {
            (weir.log().matches("the server is down").count() == 2).then_some(())
        });
        for (client, node, stream) in &mut connections {
            if node == "a" && on_down == "reset" {
                eventually(&format!("{mode}: {client} is reset"), || {
                    is_reset(stream).then_some(())
                });
                assert_eq!(site.who_answers(client), "b", "it connects anew");
            } else {
                assert!(!is_reset(stream), "{mode} {on_down}: {client} of {node}");
            }
        }
    }
}
