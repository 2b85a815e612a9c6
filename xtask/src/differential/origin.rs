//! The origin on both sides of the comparison: it reads requests as strictly as can be, records them, and answers each
//! with what it has seen in `X-Seen`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::Seen;

/// Longer is no line that weir or a real server writes.
const LINE_MAX: u64 = 128 << 10;

/// A running origin; it ends when dropped.
pub struct Origin {
    pub address: SocketAddr,
    listener: Arc<TcpListener>,
    recorded: Arc<Mutex<Recorded>>,
}

/// What has come since it was last asked for.
#[derive(Default)]
pub struct Recorded {
    pub requests: Vec<Seen>,
    /// What no message may hold.
    pub ambiguous: Vec<String>,
}

impl Origin {
    pub fn start() -> io::Result<Self> {
        let listener = Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
        let origin = Self {
            address: listener.local_addr()?,
            listener,
            recorded: Arc::default(),
        };
        let (listener, recorded) = (Arc::clone(&origin.listener), Arc::clone(&origin.recorded));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let recorded = Arc::clone(&recorded);
                thread::spawn(move || converse(stream, &recorded));
            }
        });
        Ok(origin)
    }

    /// What was recorded since the last call.
    pub fn take(&self) -> Recorded {
        std::mem::take(&mut *lock(&self.recorded))
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // On Linux this ends a blocked accept() with an error, which ends the thread.
        let _ =
            nix::sys::socket::shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }
}

fn lock(recorded: &Mutex<Recorded>) -> std::sync::MutexGuard<'_, Recorded> {
    recorded.lock().unwrap_or_else(PoisonError::into_inner)
}

fn converse(stream: TcpStream, recorded: &Mutex<Recorded>) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    loop {
        match read(&mut stream) {
            Ok(seen) => {
                let head_only = seen.summary.starts_with("HEAD ");
                let length = if head_only {
                    ""
                } else {
                    "Content-Length: 0\r\n"
                };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nX-Seen: {}\r\n{length}\r\n",
                    seen.summary
                );
                lock(recorded).requests.push(seen);
                if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    lock(recorded).ambiguous.push(error.to_string());
                }
                return;
            }
        }
    }
}

/// One request; `InvalidData` where two readers might read it differently.
fn read(stream: &mut impl BufRead) -> io::Result<Seen> {
    let mut bytes = Vec::new();
    let start = line(stream, &mut bytes)?;
    let mut words = start.split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(ambiguous("a request line", &start));
    };
    let (mut length, mut chunked) = (None, false);
    loop {
        let field = line(stream, &mut bytes)?;
        if field.is_empty() {
            break;
        }
        let (name, value) = split(&field)?;
        match &*name {
            "content-length" if length.is_none() && !chunked => length = Some(decimal(&value)?),
            "transfer-encoding" if length.is_none() && !chunked && value == "chunked" => {
                chunked = true;
            }
            "content-length" | "transfer-encoding" => return Err(ambiguous("framing", &field)),
            _ => {}
        }
    }
    let length = if chunked {
        chunks(stream, &mut bytes)?
    } else {
        exactly(stream, length.unwrap_or(0), &mut bytes)?
    };
    Ok(Seen {
        summary: format!("{method} {target} {length}"),
        bytes,
        seed: 0,
    })
}

fn chunks(stream: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<u64> {
    let mut total = 0;
    loop {
        let size = line(stream, bytes)?;
        let digits = size.bytes().all(|byte| byte.is_ascii_hexdigit()) && size.len() < 16;
        let size = u64::from_str_radix(&size, 16)
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| ambiguous("a chunk size", &size))?;
        if size == 0 {
            break;
        }
        total += exactly(stream, size, bytes)?;
        let end = line(stream, bytes)?;
        if !end.is_empty() {
            return Err(ambiguous("the end of a chunk", &end));
        }
    }
    loop {
        let trailer = line(stream, bytes)?;
        if trailer.is_empty() {
            return Ok(total);
        }
        split(&trailer)?;
    }
}

fn exactly(stream: &mut impl Read, length: u64, bytes: &mut Vec<u8>) -> io::Result<u64> {
    match stream.take(length).read_to_end(bytes)? as u64 {
        read if read == length => Ok(length),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A line without its CR LF; no other CR, LF or NUL is in it.
fn line(stream: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<String> {
    let start = bytes.len();
    stream.take(LINE_MAX).read_until(b'\n', bytes)?;
    let line = &bytes[start..];
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = String::from_utf8_lossy(line).into_owned();
    match line.strip_suffix(b"\r\n") {
        Some(inner) if !inner.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) => {
            Ok(String::from_utf8_lossy(inner).into_owned())
        }
        _ => Err(ambiguous("a line", &text)),
    }
}

fn split(field: &str) -> io::Result<(String, String)> {
    let (name, value) = field
        .split_once(':')
        .ok_or_else(|| ambiguous("a field", field))?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(ambiguous("a field's name", field));
    }
    Ok((
        name.to_ascii_lowercase(),
        value.trim_matches([' ', '\t']).to_owned(),
    ))
}

fn decimal(value: &str) -> io::Result<u64> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|_| digits);
    number.ok_or_else(|| ambiguous("a length", value))
}

fn ambiguous(what: &str, found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {found:?}"))
}
