//! Real servers that read what weir has forwarded: each hands it on to an origin, whose `X-Seen` comes back.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Seen;
use super::origin::Origin;
use crate::daemon::{Daemon, free_address};

/// A server answers a batch within this.
const PATIENCE: Duration = Duration::from_secs(60);
/// Ends a batch: what a server has seen before it must be the batch, no more and no less.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n";
const LAST_SEEN: &str = "GET /last 0";

/// A running server.
pub struct Reader {
    name: &'static str,
    address: SocketAddr,
    // Before its directory.
    _daemon: Daemon,
    origin: Origin,
    _directory: tempfile::TempDir,
}

/// What a server made of a batch.
#[derive(Default)]
pub struct Outcome {
    pub refused: u64,
    /// Connections that it closed early, for no reason in the requests.
    pub closed: u64,
    pub disagreements: Vec<String>,
}

/// Starts nginx and HAProxy, if they are installed.
pub fn installed() -> io::Result<Vec<Reader>> {
    let mut readers = Vec::new();
    for name in ["nginx", "haproxy"] {
        if let Some(program) = program(name) {
            readers.push(Reader::start(name, &program)?);
        }
    }
    Ok(readers)
}

fn program(name: &str) -> Option<PathBuf> {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let mut paths = places.iter().map(|place| Path::new(place).join(name));
    paths.find(|path| path.is_file())
}

impl Reader {
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn start(name: &'static str, program: &Path) -> io::Result<Self> {
        let (directory, origin) = (tempfile::tempdir()?, Origin::start()?);
        let address = free_address();
        let config = directory.path().join("config");
        let mut command = Command::new(program);
        if name == "nginx" {
            fs::write(&config, nginx(directory.path(), address, origin.address))?;
            command
                .arg("-p")
                .arg(directory.path())
                .arg("-c")
                .arg(&config);
        } else {
            fs::write(&config, haproxy(address, origin.address))?;
            command.arg("-db").arg("-f").arg(&config);
        }
        let mut daemon = Daemon::start(&mut command, None)?;
        daemon.listening(address, PATIENCE)?;
        Ok(Self {
            name,
            address,
            _daemon: daemon,
            origin,
            _directory: directory,
        })
    }

    /// Sends these requests one after the other on as few connections as possible.
    pub fn replay(&self, mut requests: &[Seen]) -> io::Result<Outcome> {
        let mut outcome = Outcome::default();
        // What came in earlier batches is of no more interest.
        self.origin.take();
        while !requests.is_empty() {
            let seen = self.ask(requests)?;
            let expected = requests.iter().map(|one| &*one.summary).chain([LAST_SEEN]);
            let agreed = expected.zip(&seen).take_while(|(a, b)| a == b).count();
            if agreed > requests.len() && seen.len() == agreed {
                break;
            }
            let Some(next) = requests.get(agreed) else {
                let extra = seen
                    .get(agreed)
                    .map_or("the last request is missing", |one| one);
                outcome
                    .disagreements
                    .push(self.differs(requests, agreed, extra));
                break;
            };
            if let Some(other) = seen.get(agreed) {
                outcome
                    .disagreements
                    .push(self.differs(requests, agreed, other));
            } else if self.ask(std::slice::from_ref(next))?.is_empty() {
                // Refused by itself: not because of what came before.
                outcome.refused += 1;
            } else if !self.agrees(&requests[agreed.saturating_sub(1)..=agreed])? {
                let text = "refused after the one before, but not when it comes alone";
                outcome
                    .disagreements
                    .push(self.differs(requests, agreed, text));
            } else {
                // A server may close a connection at any time (RFC 9112 section 9.5).
                outcome.closed += 1;
                requests = &requests[agreed.max(1)..];
                continue;
            }
            requests = &requests[agreed + 1..];
        }
        Ok(outcome)
    }

    /// Whether it sees these, and then the last one.
    fn agrees(&self, requests: &[Seen]) -> io::Result<bool> {
        let expected = requests.iter().map(|one| &*one.summary).chain([LAST_SEEN]);
        Ok(self.ask(requests)?.iter().map(String::as_str).eq(expected))
    }

    fn differs(&self, requests: &[Seen], at: usize, found: &str) -> String {
        let around = requests[at.saturating_sub(1)..requests.len().min(at + 1)].iter();
        let text = around.map(|one| {
            format!(
                "seed {} {:?}",
                one.seed,
                one.bytes.escape_ascii().to_string()
            )
        });
        let text = text.collect::<Vec<_>>().join(" then ");
        let forwarded = self.origin.take().ambiguous;
        let name = self.name;
        format!(
            "{name} saw {found:?} at the end of {text}; it forwarded as no other would: {forwarded:?}"
        )
    }

    /// What it has seen of these and the last request, up to its first refusal.
    fn ask(&self, requests: &[Seen]) -> io::Result<Vec<String>> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answers = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut all: Vec<u8> = requests.iter().flat_map(|one| one.bytes.clone()).collect();
                all.extend_from_slice(LAST.as_bytes());
                // It closes early where it refuses.
                let _ = (&stream).write_all(&all);
            });
            let read = (&stream).read_to_end(&mut answers);
            // A reset after a refusal is its right.
            let _ = stream.shutdown(Shutdown::Both);
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Err(io::Error::other(format!("{} hangs", self.name)))
                }
                _ => Ok(()),
            }
        })?;
        Ok(summaries(&answers))
    }
}

/// The `X-Seen` of each final response up to the first without one.
fn summaries(mut answers: &[u8]) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(end) = answers.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&answers[..end]).into_owned();
        answers = &answers[end + 4..];
        if head.starts_with("HTTP/1.1 1") {
            continue;
        }
        let field = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("x-seen").then_some(value)
        });
        match field {
            Some(value) => seen.push(value.to_owned()),
            None => break,
        }
    }
    seen
}

fn nginx(directory: &Path, address: SocketAddr, origin: SocketAddr) -> String {
    let at = directory.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {at}/{kind};"))
        .collect();
    format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log crit;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; {temporary}\n\
         keepalive_requests 1000000; large_client_header_buffers 8 128k; client_max_body_size 0;\n\
         underscores_in_headers on; ignore_invalid_headers off;\n\
         upstream origin {{ server {origin}; keepalive 4; keepalive_requests 1000000; }}\n\
         server {{ listen {address};\n\
         location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_set_header Host $http_host; }} }} }}\n"
    )
}

fn haproxy(address: SocketAddr, origin: SocketAddr) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 256\n  tune.bufsize 131072\n\
         defaults\n  mode http\n  timeout connect 30s\n  timeout client 60s\n  timeout server 60s\n\
         frontend web\n  bind {address}\n  default_backend origin\n\
         backend origin\n  server one {origin}\n"
    )
}
