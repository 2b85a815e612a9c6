//! Accepting and ceasing to.

use std::net::Ipv6Addr;

use super::*;

#[test]
fn a_mapped_peer_is_an_ipv4_one() {
    worker(|| async {
        let options = ListenerOptions {
            reuse_port: true,
            v6_only: false,
            backlog: 16,
        };
        let Ok(listener) = Listener::bind((Ipv6Addr::UNSPECIFIED, 0).into(), &options) else {
            println!("skipped: no IPv6 here");
            return;
        };
        let port = listener.local_addr().expect("an address").port();
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connected");
        let stream = listener.accept().await.expect("accepted");
        assert_eq!(stream.peer_addr(), client.local_addr().expect("an address"));
        assert_eq!(
            stream.local_addr().expect("an address"),
            client.peer_addr().expect("an address")
        );
    });
}

#[test]
fn accepted_connections_inherit_nodelay() {
    worker(|| async {
        let (listener, address) = listener();
        let _client = TcpStream::connect(address).expect("connected");
        let stream = listener.accept().await.expect("accepted");
        assert!(
            stream
                .with_socket(|socket| socket.tcp_nodelay())
                .expect("asked")
        );
    });
}

#[test]
fn many_at_once_are_all_accepted() {
    worker(|| async {
        let (listener, address) = listener();
        let clients: Vec<_> = (0..600)
            .map(|_| TcpStream::connect(address).expect("connected"))
            .collect();
        for _ in &clients {
            listener.accept().await.expect("accepted");
        }
        eventually("one accept stays armed", || usage().operations <= 1).await;
    });
}

#[test]
fn stopping_hands_over_what_had_connected() {
    worker(|| async {
        let (listener, address) = listener();
        let mut clients = vec![TcpStream::connect(address).expect("connected")];
        listener
            .accept()
            .await
            .expect("accepted; the multishot is armed now");
        clients.extend((0..20).map(|_| TcpStream::connect(address).expect("connected")));
        let drained = listener.stop().await.expect("stopped");
        assert_eq!(drained.len(), 20);
        assert!(listener.accept().await.is_err());
        assert!(
            TcpStream::connect(address).is_err(),
            "closed, though the listener lives"
        );
    });
}
