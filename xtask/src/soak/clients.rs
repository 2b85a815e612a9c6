//! Who asks: each kind of client in a thread of its own, at a modest rate, until the end.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::ClientConfig;
use xtask::crowd::Crowd;

use super::{PAUSE, echoed, http2};

/// How long a client waits for bytes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of what a failure says, in the table.
const WORDS: usize = 48;
/// Keep-alive connections of one client.
const CROWD: usize = 16;
/// What a good answer begins with.
const STATUS: &[u8; 12] = b"HTTP/1.1 200";
/// Bytes of an upload and a download.
const BULK: usize = 4 << 20;

type Round = fn(&Crew) -> io::Result<u64>;

/// Each with its name; a round gives the number of requests it did.
const KINDS: &[(&str, Round)] = &[
    ("keep-alive", |crew| {
        crowd(Crowd::new(crew.site.plain, None))
    }),
    ("TLS", |crew| {
        crowd(Crowd::new(
            crew.site.secure,
            Some((Arc::clone(&crew.tls), "localhost".to_owned())),
        ))
    }),
    ("HTTP/2", http2::clear),
    ("HTTP/2 over TLS", http2::secure),
    ("WebSocket", echoed::websocket),
    ("TCP tunnel", echoed::tunnel),
    ("download", download),
    ("upload", upload),
    ("slow reader", slow_reader),
    ("slow writer", slow_writer),
    ("leaver", leaver),
];

/// Where weir listens.
#[derive(Clone, Copy)]
pub struct Addresses {
    pub plain: SocketAddr,
    pub secure: SocketAddr,
    /// A TCP router takes what comes here.
    pub tunnel: SocketAddr,
}

/// All clients.
pub struct Crew {
    pub site: Addresses,
    pub tls: Arc<ClientConfig>,
    over: AtomicBool,
    turns: AtomicU64,
    counts: Vec<Counts>,
}

/// Of one kind.
#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    failures: AtomicU64,
    /// By what they say.
    causes: Mutex<BTreeMap<String, u64>>,
}

impl Crew {
    pub fn new(site: Addresses, tls: Arc<ClientConfig>) -> Self {
        Self {
            site,
            tls,
            over: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            counts: KINDS.iter().map(|_| Counts::default()).collect(),
        }
    }

    pub fn start(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let kinds = KINDS.iter().enumerate();
        kinds
            .map(|(at, (_, round))| {
                let crew = Arc::clone(self);
                thread::spawn(move || {
                    while !crew.over.load(Ordering::Relaxed) {
                        crew.counts[at].add(round(&crew));
                        thread::sleep(PAUSE);
                    }
                })
            })
            .collect()
    }

    pub fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub fn requests(&self) -> u64 {
        self.sum(|counts| &counts.requests)
    }

    pub fn failures(&self) -> u64 {
        self.sum(|counts| &counts.failures)
    }

    /// A number that no call has given before.
    pub fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// The kinds of which not one round has succeeded.
    pub fn idle(&self) -> Vec<&'static str> {
        let kinds = KINDS.iter().zip(&self.counts);
        let idle = kinds.filter(|(_, counts)| counts.requests.load(Ordering::Relaxed) == 0);
        idle.map(|((name, _), _)| *name).collect()
    }

    /// Requests and failures of each kind, one line each.
    pub fn summary(&self) -> String {
        let kinds = KINDS.iter().zip(&self.counts);
        let texts = kinds.map(|((name, _), counts)| {
            let [done, failed] =
                [&counts.requests, &counts.failures].map(|count| count.load(Ordering::Relaxed));
            format!("  {name:16} {done:9} {failed:9}  {}", counts.causes())
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    fn sum(&self, which: fn(&Counts) -> &AtomicU64) -> u64 {
        let counts = self.counts.iter();
        counts.map(|one| which(one).load(Ordering::Relaxed)).sum()
    }

    /// A connection that begins with this.
    pub fn connect(&self, to: SocketAddr, request: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        Ok(stream)
    }
}

impl Counts {
    fn add(&self, round: io::Result<u64>) {
        match round {
            Ok(done) => {
                self.requests.fetch_add(done, Ordering::Relaxed);
            }
            // A server dies now and then: what was on its way there fails.
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                let cause = error.to_string().chars().take(WORDS).collect();
                let mut causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
                *causes.entry(cause).or_default() += 1;
            }
        }
    }

    fn causes(&self) -> String {
        let causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = causes
            .iter()
            .map(|(cause, count)| format!("{count} {cause:?}"));
        texts.collect::<Vec<_>>().join(", ")
    }
}

fn crowd(mut crowd: Crowd) -> io::Result<u64> {
    crowd.grow_to(CROWD)?;
    for _ in 0..8 {
        crowd.ask_all()?;
    }
    Ok(CROWD as u64 * 9)
}

fn download(crew: &Crew) -> io::Result<u64> {
    let mut stream = crew.connect(crew.site.plain, &get(BULK))?;
    let mut status = [0; STATUS.len()];
    stream.read_exact(&mut status)?;
    if status != *STATUS {
        return Err(io::Error::other(String::from_utf8_lossy(&status)));
    }
    expect(io::copy(&mut stream, &mut io::sink())?, BULK)
}

fn get(bytes: usize) -> String {
    format!("GET /bytes/{bytes} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

fn post(bytes: usize) -> String {
    format!(
        "POST /upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n"
    )
}

/// One request if there is that much of a response.
fn expect(read: u64, bytes: usize) -> io::Result<u64> {
    match read >= bytes as u64 {
        true => Ok(1),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn upload(crew: &Crew) -> io::Result<u64> {
    let mut stream = crew.connect(crew.site.plain, &post(BULK))?;
    stream.write_all(&vec![b'x'; BULK])?;
    answered(stream, BULK)
}

fn answered(mut stream: TcpStream, bytes: usize) -> io::Result<u64> {
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    match text.contains(&format!("\"length\":{bytes}")) {
        true => Ok(1),
        false => Err(io::Error::other(text.lines().next().unwrap_or_default())),
    }
}

/// About 100 KB/s.
fn slow_reader(crew: &Crew) -> io::Result<u64> {
    let mut stream = crew.connect(crew.site.plain, &get(BULK / 8))?;
    let (mut buffer, mut total) = (vec![0; 10_000], 0);
    loop {
        match stream.read(&mut buffer)? {
            0 => return expect(total, BULK / 8),
            read => total += read as u64,
        }
        thread::sleep(PAUSE * 5);
    }
}

/// About 15 KB/s.
fn slow_writer(crew: &Crew) -> io::Result<u64> {
    let length = 30_000;
    let mut stream = crew.connect(crew.site.plain, &post(length))?;
    for _ in 0..20 {
        stream.write_all(&vec![b'x'; length / 20])?;
        thread::sleep(PAUSE * 5);
    }
    answered(stream, length)
}

/// Goes away in the middle: of a head, of a request's body, of a response.
fn leaver(crew: &Crew) -> io::Result<u64> {
    drop(crew.connect(crew.site.plain, "GET / HTTP/1.1\r\nHo")?);
    drop(crew.connect(crew.site.plain, &post(BULK))?);
    let mut stream = crew.connect(crew.site.plain, &get(BULK))?;
    stream.read_exact(&mut [0; 1000])?;
    Ok(3)
}
