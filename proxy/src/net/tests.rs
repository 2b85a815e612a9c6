//! Real sockets on the loopback, one worker per test.

mod bulk;
mod closing;
mod fairness;
mod lifetime;
mod listening;
mod readers;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::{Listener, ListenerOptions, Stream};
use crate::uring::{self, ChunkQueue, Config, Usage};

/// Runs a worker with a small ring on this thread; nothing may be left of it.
fn worker<F: Future>(main: impl FnOnce() -> F) -> F::Output {
    worker_with(
        Config {
            buffers: 16,
            buffer_size: 4096,
            ..Config::default()
        },
        main,
    )
}

fn worker_with<F: Future>(config: Config, main: impl FnOnce() -> F) -> F::Output {
    raise_descriptor_limit();
    uring::run(&config, main).expect("a worker")
}

/// A shell's usual 1024 descriptors do not do for a thousand connections with both ends here.
pub(crate) fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("asked");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("raised as far as allowed");
}

fn listener() -> (Listener, SocketAddr) {
    let options = ListenerOptions {
        reuse_port: false,
        v6_only: false,
        backlog: 1024,
    };
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), &options).expect("bound");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// One end on the ring, the other a blocking socket for another thread.
async fn pair_with_std() -> (Stream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let address = listener.local_addr().expect("an address");
    let stream = Stream::connect(address, None).await.expect("connected");
    (stream, listener.accept().expect("accepted").0)
}

fn usage() -> Usage {
    uring::usage().expect("in a worker")
}

/// Waits, without luck, until `done`; fails after ten seconds.
async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}; {:?}", usage());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Bytes of which no two offsets nearby look alike.
fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Receives until the end, checking against `expected`.
async fn expect(stream: &Stream, expected: &[u8]) {
    let mut seen = 0;
    while let Some(chunk) = stream.recv().await.expect("received") {
        assert_eq!(&*chunk, &expected[seen..seen + chunk.len()], "at {seen}");
        seen += chunk.len();
    }
    assert_eq!(seen, expected.len());
}

/// Relays one direction to its end, as the exchange does.
async fn relay(from: &Stream, to: &Stream) -> std::io::Result<()> {
    let mut queue = ChunkQueue::new();
    while let Some(chunk) = from.recv().await? {
        queue.push(chunk);
        while queue.len() < 16
            && let Some(chunk) = from.try_recv()
        {
            queue.push(chunk);
        }
        to.send(&mut queue, Some(from)).await?;
    }
    to.shutdown_write()
}

fn write_all(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("written");
}

fn read_to_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("read");
    bytes
}

/// Reads to the end on another thread: this one has a ring to drive.
async fn read_beside(stream: &TcpStream) -> Vec<u8> {
    let stream = stream.try_clone().expect("cloned");
    joined(std::thread::spawn(move || read_to_end(&stream))).await
}

/// Waits for another thread.
async fn joined<T>(thread: std::thread::JoinHandle<T>) -> T {
    while !thread.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    thread.join().expect("no panic")
}
