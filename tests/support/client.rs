//! A plain HTTP/1.1 client that sends exactly what it is told to, and reads one response at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::DEADLINE;

/// One connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

/// A response, its body decoded.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in order.
    pub fields: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects; reads and writes that take longer than [`DEADLINE`] fail.
    pub fn open(address: impl Into<SocketAddr>) -> Self {
        let stream = TcpStream::connect(address.into()).expect("connect to weir");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends these bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .get_mut()
            .write_all(bytes.as_ref())
            .expect("weir reads");
    }

    /// The socket itself.
    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// What has been received and not been read yet, for a body that is read piece by piece.
    pub fn reader(&mut self) -> impl Read {
        &mut self.stream
    }

    /// A GET for `path` of `host`, and its response; the connection stays open.
    pub fn get(&mut self, host: &str, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        self.response()
    }

    /// Reads the final response to a request that was not HEAD, skipping interim ones.
    pub fn response(&mut self) -> Response {
        loop {
            let (status, fields) = self.head();
            if status >= 200 {
                let body = self.body(status, &fields);
                return Response {
                    status,
                    fields,
                    body,
                };
            }
        }
    }

    /// Reads one head, interim or final.
    pub fn head(&mut self) -> (u16, Vec<(String, String)>) {
        let line = self.line();
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or_else(|| panic!("a status line, not {line:?}"));
        let mut fields = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return (status, fields);
            }
            let (name, value) = line.split_once(':').expect("a field line");
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// What comes until weir closes the connection; a reset is an error here.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream
            .read_to_end(&mut rest)
            .expect("an orderly close");
        rest
    }

    fn body(&mut self, status: u16, fields: &[(String, String)]) -> Vec<u8> {
        let field = |name: &str| fields.iter().find(|(found, _)| found == name);
        if status == 204 || status == 304 {
            return Vec::new();
        }
        if let Some((_, length)) = field("content-length") {
            let mut body = vec![0; length.parse().expect("a length")];
            self.stream.read_exact(&mut body).expect("the whole body");
            return body;
        }
        if field("transfer-encoding").is_some() {
            return self.chunks();
        }
        self.rest()
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line(), 16).expect("a chunk size");
            let start = body.len();
            body.resize(start + size, 0);
            self.stream
                .read_exact(&mut body[start..])
                .expect("a whole chunk");
            if size == 0 {
                while !self.line().is_empty() {}
                return body;
            }
            assert_eq!(self.line(), "", "a chunk ends with CR LF");
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line");
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        line
    }
}

/// Median and 99th percentile of the time that a request of 1 KiB takes, one after the other on one connection.
pub fn percentiles(address: SocketAddr, requests: usize) -> (Duration, Duration) {
    let mut connection = Connection::open(address);
    let mut times: Vec<Duration> = (0..requests)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(connection.get("a", "/bytes/1024").body.len(), 1024);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    (times[requests / 2], times[requests * 99 / 100])
}

impl Response {
    /// The first value of a field, its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
