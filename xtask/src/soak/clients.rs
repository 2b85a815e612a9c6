//! Who asks: each kind of client in a thread of its own, at a modest rate, until the end.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::ClientConfig;
use xtask::crowd::Crowd;

/// How long a client waits for bytes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two rounds of a client.
const PAUSE: Duration = Duration::from_millis(20);
/// Keep-alive connections of one client.
const CROWD: usize = 16;
/// Bytes of an upload and a download.
const BULK: usize = 4 << 20;

type Round = fn(&Crew) -> io::Result<u64>;

/// Each with its name; a round gives the number of requests it did.
const KINDS: &[(&str, Round)] = &[
    ("keep-alive", |crew| crowd(Crowd::new(crew.plain, None))),
    ("TLS", |crew| {
        crowd(Crowd::new(
            crew.secure,
            Some((Arc::clone(&crew.tls), "localhost".to_owned())),
        ))
    }),
    ("HTTP/2", http2),
    ("download", download),
    ("upload", upload),
    ("slow reader", slow_reader),
    ("slow writer", slow_writer),
    ("leaver", leaver),
];

/// All clients.
pub struct Crew {
    plain: SocketAddr,
    secure: SocketAddr,
    tls: Arc<ClientConfig>,
    over: AtomicBool,
    counts: Vec<[AtomicU64; 2]>,
}

impl Crew {
    pub fn new(plain: SocketAddr, secure: SocketAddr, tls: Arc<ClientConfig>) -> Self {
        Self {
            plain,
            secure,
            tls,
            over: AtomicBool::new(false),
            counts: KINDS.iter().map(|_| Default::default()).collect(),
        }
    }

    pub fn start(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let kinds = KINDS.iter().enumerate();
        kinds
            .map(|(at, (_, round))| {
                let crew = Arc::clone(self);
                thread::spawn(move || {
                    while !crew.over.load(Ordering::Relaxed) {
                        let [requests, failures] = &crew.counts[at];
                        match round(&crew) {
                            Ok(done) => requests.fetch_add(done, Ordering::Relaxed),
                            // A server dies now and then: what was on its way there fails.
                            Err(_) => failures.fetch_add(1, Ordering::Relaxed),
                        };
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
        self.sum(0)
    }

    pub fn failures(&self) -> u64 {
        self.sum(1)
    }

    /// Requests and failures of each kind.
    pub fn summary(&self) -> String {
        let kinds = KINDS.iter().zip(&self.counts);
        let texts = kinds.map(|((name, _), counts)| {
            let [done, failed] = [0, 1].map(|at| counts[at].load(Ordering::Relaxed));
            format!("{name} {done} ({failed} failed)")
        });
        texts.collect::<Vec<_>>().join(", ")
    }

    fn sum(&self, which: usize) -> u64 {
        let counts = self.counts.iter();
        counts
            .map(|counts| counts[which].load(Ordering::Relaxed))
            .sum()
    }

    fn connect(&self, request: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.plain)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        Ok(stream)
    }
}

fn crowd(mut crowd: Crowd) -> io::Result<u64> {
    crowd.grow_to(CROWD)?;
    for _ in 0..8 {
        crowd.ask_all()?;
    }
    Ok(CROWD as u64 * 9)
}

fn http2(crew: &Crew) -> io::Result<u64> {
    let url = |at: usize| format!("http://{}/bytes/{}", crew.plain, 1000 * at);
    let mut command = Command::new("curl");
    command
        .args(["-sSf", "--http2-prior-knowledge", "--parallel", "-m", "30"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for at in 0..CROWD {
        command.args(["-o", "/dev/null", &url(at)]);
    }
    match command.status()?.success() {
        true => Ok(CROWD as u64),
        false => Err(io::ErrorKind::Other.into()),
    }
}

fn download(crew: &Crew) -> io::Result<u64> {
    let mut stream = crew.connect(&get(BULK))?;
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
    let mut stream = crew.connect(&post(BULK))?;
    stream.write_all(&vec![b'x'; BULK])?;
    answered(stream, BULK)
}

fn answered(mut stream: TcpStream, bytes: usize) -> io::Result<u64> {
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    match text.contains(&format!("\"length\":{bytes}")) {
        true => Ok(1),
        false => Err(io::Error::other(text)),
    }
}

/// About 100 KB/s.
fn slow_reader(crew: &Crew) -> io::Result<u64> {
    let mut stream = crew.connect(&get(BULK / 8))?;
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
    let mut stream = crew.connect(&post(length))?;
    for _ in 0..20 {
        stream.write_all(&vec![b'x'; length / 20])?;
        thread::sleep(PAUSE * 5);
    }
    answered(stream, length)
}

/// Goes away in the middle: of a head, of a request's body, of a response.
fn leaver(crew: &Crew) -> io::Result<u64> {
    drop(crew.connect("GET / HTTP/1.1\r\nHo")?);
    drop(crew.connect(&post(BULK))?);
    let mut stream = crew.connect(&get(BULK))?;
    stream.read_exact(&mut [0; 1000])?;
    Ok(3)
}
