//! Closing a listener beside another one of its port, in a network namespace.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use socket2::{Domain, Socket, Type};
use xtask::netns::Namespace;

use super::*;

const CLOSINGS: usize = 60;

/// Without the quiet moment some of these closings reset somebody about every fourth time.
#[test]
fn a_listener_that_closes_beside_another_of_its_port_resets_nobody() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root for a network namespace");
        return;
    }
    let namespace = Namespace::create("migrate").expect("a namespace");
    let up = namespace.ip(&["link", "set", "lo", "up"]);
    up.expect("loopback");
    let migrates = namespace.sysctl("net/ipv4/tcp_migrate_req", "1");
    migrates.expect("the kernel migrates requests");
    namespace.within(close_and_ask);
}

fn close_and_ask() {
    let stays = std::net::TcpListener::from(shared((Ipv4Addr::LOCALHOST, 0).into()));
    let address = stays.local_addr().expect("an address");
    let (asked, ended, served) = (
        AtomicBool::new(false),
        AtomicBool::new(false),
        AtomicUsize::new(0),
    );
    thread::scope(|scope| {
        scope.spawn(|| {
            stays
                .incoming()
                .take_while(|_| !ended.load(SeqCst))
                .for_each(answer)
        });
        let clients: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !asked.load(SeqCst) {
                        ask(address).expect("nobody is reset");
                        served.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        let failed = || clients.iter().any(thread::ScopedJoinHandle::is_finished);
        let closings = (0..CLOSINGS).try_for_each(|_| {
            let before = served.load(SeqCst);
            close_one(address);
            // Those that had to send again are back.
            while served.load(SeqCst) < before + 20 && !failed() {
                thread::yield_now();
            }
            (!failed()).then_some(())
        });
        asked.store(true, SeqCst);
        let results: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        ended.store(true, SeqCst);
        let _ = TcpStream::connect(address);
        assert!(
            closings.is_some() && results.iter().all(Result::is_ok),
            "{results:?}"
        );
    });
}

/// A listening socket that shares its port.
fn shared(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).expect("set");
    socket.bind(&address.into()).expect("bound");
    socket.listen(1024).expect("it listens");
    socket
}

/// A listener of a worker that takes part for some milliseconds.
fn close_one(address: SocketAddr) {
    worker_with(Config::default(), move || async move {
        let options = ListenerOptions {
            reuse_port: true,
            v6_only: false,
            backlog: 1024,
        };
        let listener = Listener::bind(address, &options).expect("bound");
        let end = Instant::now() + Duration::from_millis(5);
        while let Ok(accepted) = tokio::time::timeout_at(end.into(), listener.accept()).await {
            reply(accepted.expect("accepted")).await;
        }
        for accepted in listener.stop().await.expect("stopped") {
            reply(accepted).await;
        }
    });
}

async fn reply(stream: Stream) {
    stream.recv().await.expect("received");
    let _ = stream
        .send(&mut ChunkQueue::from_iter([b"y".to_vec()]), None)
        .await;
}

fn answer(stream: io::Result<TcpStream>) {
    let mut stream = stream.expect("accepted");
    let _ = stream.read(&mut [0]);
    let _ = stream.write_all(b"y");
}

fn ask(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])
}
