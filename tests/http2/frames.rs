//! A client that sends the frames it is told to, right or wrong (RFC 9113 section 4.1).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::support::DEADLINE;
use crate::support::tls::trusting;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const PRIORITISED: u8 = 0x20;

pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code that it carries, of RST_STREAM and GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let bytes = self.payload[at..at + 4].try_into().expect("a code");
        u32::from_be_bytes(bytes)
    }
}

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block of literals that nobody indexes (RFC 7541 section 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            integer(text.len(), &mut bytes);
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

fn integer(mut number: usize, bytes: &mut Vec<u8>) {
    if number < 127 {
        return bytes.push(number as u8);
    }
    bytes.push(127);
    number -= 127;
    while number >= 128 {
        bytes.push((number % 128) as u8 | 128);
        number /= 128;
    }
    bytes.push(number as u8);
}

/// The fields of a request, `more` after them.
pub fn request<'a>(method: &'a str, more: &[(&'a str, &'a str)]) -> Vec<u8> {
    let usual = [
        (":method", method),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.example"),
    ];
    block(&[&usual[..], more].concat())
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// One connection.
pub struct Raw {
    /// Nothing has come for too long.
    pub silent: bool,
    stream: Box<dyn Stream>,
    socket: TcpStream,
}

impl Raw {
    /// Connects and says nothing.
    pub fn open(address: SocketAddr) -> Self {
        let socket = connect(address);
        Self {
            silent: false,
            stream: Box::new(socket.try_clone().expect("a descriptor")),
            socket,
        }
    }

    /// Takes a connection of weir's, and answers its greeting.
    pub fn accept(listener: &TcpListener) -> Self {
        let (socket, _) = listener.accept().expect("a connection");
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let mut raw = Self {
            silent: false,
            stream: Box::new(socket.try_clone().expect("a descriptor")),
            socket,
        };
        raw.fill(&mut [0; PREFACE.len()]).expect("a preface");
        raw.send(frame(SETTINGS, 0, 0, &[]));
        raw
    }

    /// Connects over TLS, agrees on HTTP/2 and says nothing.
    pub fn open_tls(address: SocketAddr) -> Self {
        let config = Arc::new(trusting(&[b"h2"]));
        let name = ServerName::try_from("a.example").expect("a name");
        let session = ClientConnection::new(config, name).expect("a session");
        let socket = connect(address);
        let clone = socket.try_clone().expect("a descriptor");
        Self {
            silent: false,
            stream: Box::new(StreamOwned::new(session, clone)),
            socket,
        }
    }

    /// Preface, settings, and their acknowledgement.
    pub fn greet(&mut self) {
        self.greet_with(&[]);
    }

    /// The same with these settings.
    pub fn greet_with(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.send(PREFACE);
        self.send(frame(SETTINGS, 0, 0, &payload));
        let theirs = self.read().expect("settings");
        assert_eq!((theirs.kind, theirs.flags), (SETTINGS, 0));
        self.send(frame(SETTINGS, ACK, 0, &[]));
        let acknowledged = |frame: &Frame| frame.kind == SETTINGS && frame.flags == ACK;
        while !acknowledged(&self.read().expect("an acknowledgement")) {}
    }

    /// Sends bytes; that weir has closed meanwhile is told by what is read.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = self.stream.write_all(bytes.as_ref());
        sent.and_then(|()| self.stream.flush()).is_ok()
    }

    /// The next frame; `None` once the connection has ended, or is silent for too long.
    pub fn read(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        self.fill(&mut header)?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; length as usize];
        self.fill(&mut payload)?;
        let stream = header[5..].try_into().expect("four bytes");
        Some(Frame {
            kind: header[3],
            flags: header[4],
            stream: u32::from_be_bytes(stream),
            payload,
        })
    }

    /// The next frame for which this holds; `None` if the connection ends before.
    pub fn read_until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.read()?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// Lets the kernel keep little of what is not read.
    pub fn receive_little(&self) {
        let socket = socket2::SockRef::from(&self.socket);
        socket.set_recv_buffer_size(16 << 10).expect("a size");
    }

    /// How long to wait for a frame.
    pub fn patience(&self, time: Duration) {
        self.socket.set_read_timeout(Some(time)).expect("a timeout");
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.silent = true;
                None
            }
            Err(_) => None,
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("connect to weir");
    socket.set_nodelay(true).expect("an option");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    socket.set_write_timeout(Some(DEADLINE)).expect("a timeout");
    socket
}
