//! TLS over real sockets of the loopback, with the client side of rustls on a thread of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::tls::{Options, Store, TicketKeys, default_certificate};
use crate::uring::Config;

const BODY: usize = 16 << 20;

type Client = StreamOwned<ClientConnection, TcpStream>;

/// Runs `server` on a worker against `client` on a thread, and returns what the client says.
fn against<T: Send + 'static, F: Future<Output = ()>>(
    client: impl FnOnce(Client) -> T + Send + 'static,
    server: impl FnOnce(Transport) -> F,
) -> T {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let address = listener.local_addr().expect("an address");
    let store = Arc::new(Store::new([], default_certificate().expect("made"), 0));
    let thread = std::thread::spawn(move || {
        let (socket, _) = listener.accept().expect("accepted");
        client(StreamOwned::new(session(), socket))
    });
    uring::run(&Config::default(), || async {
        let stream = Stream::connect(address, None).await.expect("connected");
        let (options, keys) = (
            Arc::new(Options::default()),
            Arc::new(TicketKeys::default()),
        );
        let terms = Terms::new(&options, &store, &keys).expect("settings");
        let transport = Transport::accept_tls(stream, terms.http()).await;
        server(transport.expect("a handshake")).await;
    })
    .expect("a worker");
    thread.join().expect("no panic")
}

fn session() -> ClientConnection {
    let mut roots = RootCertStore::empty();
    let certificate = default_certificate().expect("made").certified().cert[0].clone();
    roots.add(certificate).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("weir.default").expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a client")
}

fn body() -> Vec<u8> {
    (0..BODY).map(|index| (index / 7) as u8).collect()
}

fn copied() -> usize {
    uring::usage().expect("in a worker").copied_bytes
}

#[test]
fn what_is_encrypted_counts_until_it_is_sent_and_the_end_is_clean() {
    let (tell, told) = mpsc::channel();
    let received = against(
        move |mut client| {
            client.write_all(b"go").expect("sent");
            // Reads nothing before the server has seen that it does not.
            told.recv().expect("told");
            let mut received = Vec::new();
            let ended = client.read_to_end(&mut received);
            ended.map(|_| received)
        },
        |transport| async move {
            assert!(transport.recv().await.is_ok_and(|chunk| chunk.is_some()));
            let transport = std::rc::Rc::new(transport);
            let sender = std::rc::Rc::clone(&transport);
            let sending = tokio::task::spawn_local(async move {
                let mut queue: ChunkQueue = body().chunks(100_000).map(<[u8]>::to_vec).collect();
                sender.send(&mut queue, None).await
            });
            tokio::task::yield_now().await;
            // Less what the sockets' buffers take, some 10 MiB at most.
            assert!(copied() >= BODY / 4, "{} are counted", copied());
            tell.send(()).expect("waited for");
            sending.await.expect("no panic").expect("sent");
            assert_eq!(copied(), 0);
            transport.close().await;
        },
    );
    assert!(received.expect("no truncation") == body());
}

#[test]
fn an_end_without_close_is_a_truncation() {
    let ended = against(
        |mut client| {
            client.write_all(b"go").expect("sent");
            client.read(&mut [0])
        },
        |transport| async move { assert!(transport.recv().await.is_ok()) },
    );
    let error = ended.expect_err("no close_notify");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
