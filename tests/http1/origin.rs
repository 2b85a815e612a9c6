//! An origin server that records every byte of the requests it gets and answers what the test says, good or bad.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What to answer to a request, by its head.
type Script = dyn Fn(&str) -> Reply + Send + Sync;

/// An answer, byte by byte as the test wants it.
pub struct Reply {
    bytes: Vec<u8>,
    early: bool,
    close: bool,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The head, empty line included.
    pub head: String,
    /// The body with its framing.
    pub body: Vec<u8>,
}

/// A running origin; it ends when dropped.
pub struct Origin {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<Recorded>,
}

impl Reply {
    /// These bytes once the request has been read; the connection stays open.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            early: false,
            close: false,
        }
    }

    /// 200 with a body and its length.
    pub fn ok(body: &str) -> Self {
        Self::new(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// Before the body of the request is read.
    pub fn early(self) -> Self {
        Self {
            early: true,
            ..self
        }
    }

    /// Close the connection afterwards.
    pub fn close(self) -> Self {
        Self {
            close: true,
            ..self
        }
    }
}

impl Origin {
    /// Serves on a port of its own.
    pub fn new(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener =
            Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback socket"));
        let address = listener.local_addr().expect("bound");
        let (seen, script) = (
            Arc::<Mutex<Seen>>::default(),
            Arc::new(script) as Arc<Script>,
        );
        let origin = Self {
            address,
            listener,
            seen,
        };
        let (listener, seen) = (Arc::clone(&origin.listener), Arc::clone(&origin.seen));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                lock(&seen).connections += 1;
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                // An error is the peer's doing; what arrived until then is recorded.
                thread::spawn(move || drop(converse(stream, &seen, &*script)));
            }
        });
        origin
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        lock(&self.seen).connections
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.seen).requests.clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // On Linux this ends a blocked accept() with an error, which ends the thread.
        let _ =
            nix::sys::socket::shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }
}

impl Recorded {
    /// The request line.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// Every value of a field.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let fields = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        fields
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn converse(stream: TcpStream, seen: &Mutex<Seen>, script: &Script) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_until(b'\n', &mut head)? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let reply = script(&head);
        let mut recorded = Recorded {
            head,
            body: Vec::new(),
        };
        if reply.early {
            stream.get_mut().write_all(&reply.bytes)?;
        } else {
            recorded.body = read_body(&mut stream, &recorded)?;
        }
        lock(seen).requests.push(recorded);
        if !reply.early {
            stream.get_mut().write_all(&reply.bytes)?;
        }
        if reply.close {
            return stream.get_ref().shutdown(Shutdown::Both);
        }
    }
}

/// A body with its framing, as weir writes it.
fn read_body(stream: &mut impl BufRead, request: &Recorded) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if let [length] = request.fields("content-length")[..] {
        body.resize(length.parse().map_err(io::Error::other)?, 0);
        stream.read_exact(&mut body)?;
    } else if !request.fields("transfer-encoding").is_empty() {
        while read_chunk(stream, &mut body)? {}
    }
    Ok(body)
}

/// Whether another chunk follows.
fn read_chunk(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<bool> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    body.extend_from_slice(line.as_bytes());
    let size = u64::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
    if size > 0 {
        stream.take(size + 2).read_to_end(body)?;
        return Ok(true);
    }
    loop {
        let start = body.len();
        stream.read_until(b'\n', body)?;
        if body[start..] == *b"\r\n" || body.len() == start {
            return Ok(false);
        }
    }
}
