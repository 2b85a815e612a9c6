//! The load side of `cargo xtask bench`, on weir's own driver: a canned backend and clients in one thread, cheap enough
//! to saturate a proxy on another CPU.
//!
//! `load --listen ADDRESS` answers `/bytes/N` with N bytes; `--to ADDRESS` sends requests for some seconds and prints a
//! line for each second and one for all. Both together are the two ends of one measurement.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use memchr::memmem;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use weir::net::{Listener, ListenerOptions, Stream};
use weir::transport::Transport;
use weir::uring::{self, ChunkQueue};

/// A body is sent in pieces of this size.
const PIECE: usize = 64 << 10;
/// After a failure.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Parser)]
struct Options {
    /// Be the backend here.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Send requests there.
    #[arg(long)]
    to: Option<SocketAddr>,
    /// Connections that do one request after the other.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Length of the body that is asked for.
    #[arg(long, default_value_t = 1024)]
    bytes: usize,
    /// For how long.
    #[arg(long, default_value_t = 2)]
    seconds: u32,
    /// Speak TLS; the certificate (PEM) of `localhost` that is trusted.
    #[arg(long)]
    tls: Option<PathBuf>,
    /// A new connection for each request.
    #[arg(long)]
    handshakes: bool,
    /// Resume TLS sessions.
    #[arg(long)]
    resume: bool,
    /// Other connections, which ask for 64 MiB each and never read.
    #[arg(long, default_value_t = 0)]
    unread: usize,
}

/// What the clients share.
struct Clients {
    to: SocketAddr,
    tls: Option<ClientConfig>,
    request: Bytes,
    handshakes: bool,
    resume: bool,
    over: Cell<bool>,
    /// In microseconds, one for each request of this second.
    times: RefCell<Vec<u32>>,
    errors: Cell<u64>,
    /// TLS sessions that went on.
    resumed: Cell<u64>,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    uring::run(&uring::Config::default(), || drive(options))?
}

async fn drive(options: Options) -> io::Result<()> {
    if let Some(address) = options.listen {
        let listen = ListenerOptions {
            reuse_port: false,
            v6_only: false,
            backlog: 4096,
        };
        let listener = Listener::bind(address, &listen)?;
        tokio::task::spawn_local(serve(listener));
    }
    let Some(to) = options.to else {
        return std::future::pending().await;
    };
    let tls = options.tls.as_ref().map(|chain| {
        let chain = std::fs::read_to_string(chain)?;
        xtask::certificate::resuming_client(&chain)
    });
    let clients = Rc::new(Clients {
        to,
        tls: tls.transpose()?,
        request: request(options.bytes),
        handshakes: options.handshakes,
        resume: options.resume,
        over: Cell::new(false),
        times: RefCell::default(),
        errors: Cell::new(0),
        resumed: Cell::new(0),
    });
    for _ in 0..options.unread {
        tokio::task::spawn_local(never_read(to));
    }
    for _ in 0..options.connections {
        tokio::task::spawn_local(ask(Rc::clone(&clients)));
    }
    let mut all = Vec::new();
    for second in 1..=options.seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut times = clients.times.take();
        report(&format!("second {second}"), &mut times, 0);
        all.append(&mut times);
    }
    clients.over.set(true);
    report("total", &mut all, clients.errors.get());
    println!("resumed {}", clients.resumed.get());
    Ok(())
}

fn report(what: &str, times: &mut [u32], errors: u64) {
    times.sort_unstable();
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().max(1) - 1));
    let [median, p99, max] = [50, 99, 100].map(|percent| at(percent).copied().unwrap_or_default());
    let requests = times.len();
    println!("{what}: requests {requests} errors {errors} p50 {median} p99 {p99} max {max}");
}

fn request(bytes: usize) -> Bytes {
    format!(
        "GET /bytes/{bytes} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n"
    )
    .into()
}

/// Asks until it is over; connects anew after a failure.
async fn ask(clients: Rc<Clients>) {
    let tls = clients.tls.clone().map(|mut config| {
        config.resumption = match clients.resume {
            // Its own memory: of one for all, a few tickets would be kept.
            true => Resumption::default(),
            false => Resumption::disabled(),
        };
        Arc::new(config)
    });
    while !clients.over.get() {
        if converse(&clients, tls.as_ref()).await.is_err() {
            clients.errors.set(clients.errors.get() + 1);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn converse(clients: &Clients, tls: Option<&Arc<ClientConfig>>) -> io::Result<()> {
    let mut begun = Instant::now();
    let stream = Stream::connect(clients.to, None).await?;
    let transport = match tls {
        None => Transport::plain(stream),
        Some(config) => {
            let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
            Transport::connect_tls(stream, config, name).await?
        }
    };
    let resumed = u64::from(transport.is_resumed());
    clients.resumed.set(clients.resumed.get() + resumed);
    while !clients.over.get() {
        let mut queue: ChunkQueue = [clients.request.clone()].into_iter().collect();
        transport.send(&mut queue, None).await?;
        receive(&transport).await?;
        let elapsed = begun.elapsed().as_micros();
        let elapsed = u32::try_from(elapsed).unwrap_or(u32::MAX);
        clients.times.borrow_mut().push(elapsed);
        if clients.handshakes {
            transport.close().await;
            return Ok(());
        }
        begun = Instant::now();
    }
    Ok(())
}

/// One response with a Content-Length, to its end.
async fn receive(transport: &Transport) -> io::Result<()> {
    let mut head = Vec::new();
    let mut left = loop {
        let chunk = transport
            .recv()
            .await?
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let before = head.len();
        if before == 0
            && let Some(found) = memmem::find(&chunk, b"\r\n\r\n")
        {
            break body_length(&chunk[..found])? as isize - (chunk.len() - found - 4) as isize;
        }
        head.extend_from_slice(&chunk);
        if let Some(found) = memmem::find(&head, b"\r\n\r\n") {
            break body_length(&head[..found])? as isize - (head.len() - found - 4) as isize;
        }
    };
    while left > 0 {
        let chunk = transport
            .recv()
            .await?
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        left -= chunk.len() as isize;
    }
    Ok(())
}

fn body_length(head: &[u8]) -> io::Result<usize> {
    let text = std::str::from_utf8(head).map_err(io::Error::other)?;
    if !text.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(text.to_owned()));
    }
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let value = lengths.next().and_then(|(_, value)| value.parse().ok());
    value.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

async fn never_read(to: SocketAddr) -> io::Result<()> {
    let stream = Stream::connect(to, None).await?;
    let mut queue: ChunkQueue = [request(64 << 20)].into_iter().collect();
    stream.send(&mut queue, None).await?;
    std::future::pending().await
}

async fn serve(listener: Listener) {
    loop {
        match listener.accept().await {
            Ok(stream) => drop(tokio::task::spawn_local(answer(stream))),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Answers every head that comes; nobody sends bodies.
async fn answer(stream: Stream) -> io::Result<()> {
    let (mut partial, mut queue) = (Vec::new(), ChunkQueue::new());
    let mut body = (usize::MAX, Vec::new());
    while let Some(chunk) = stream.recv().await? {
        partial.extend_from_slice(&chunk);
        drop(chunk);
        while let Some(end) = memmem::find(&partial, b"\r\n\r\n") {
            let length = asked(&partial[..end]);
            if body.0 != length {
                body = (length, response(length));
            }
            body.1.iter().for_each(|piece| queue.push(piece.clone()));
            partial.drain(..end + 4);
        }
        stream.send(&mut queue, None).await?;
    }
    Ok(())
}

/// N of `/bytes/N`.
fn asked(head: &[u8]) -> usize {
    let text = std::str::from_utf8(head).unwrap_or_default();
    let path = text.split(' ').nth(1).unwrap_or_default();
    let number = path.strip_prefix("/bytes/").map(str::parse);
    number.and_then(Result::ok).unwrap_or_default()
}

/// The response, head and first piece together.
fn response(length: usize) -> Vec<Bytes> {
    thread_local! {
        static ZEROS: Bytes = Bytes::from(vec![b'x'; PIECE]);
    }
    let mut first = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    let zeros = ZEROS.with(Bytes::clone);
    if length <= 16 << 10 {
        first.extend_from_slice(&zeros[..length]);
        return vec![first.into()];
    }
    let mut pieces = vec![Bytes::from(first)];
    for start in (0..length).step_by(PIECE) {
        pieces.push(zeros.slice(..PIECE.min(length - start)));
    }
    pieces
}
