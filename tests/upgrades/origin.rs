//! An origin that speaks WebSocket (RFC 6455) as a server should, and what else a test of upgrades needs.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;

/// The key of RFC 6455's example and its answer.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What a path of the origin does with its connection.
type Serve = dyn Fn(&str, &mut BufReader<TcpStream>) -> io::Result<()> + Send + Sync;

/// A running origin; it accepts nothing more once dropped.
pub struct Origin {
    address: SocketAddr,
    listener: Arc<TcpListener>,
}

impl Origin {
    /// Serves connections one request each; `serve` gets its head.
    pub fn new(
        serve: impl Fn(&str, &mut BufReader<TcpStream>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener =
            Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback socket"));
        let address = listener.local_addr().expect("bound");
        let (accepting, serve) = (Arc::clone(&listener), Arc::new(serve) as Arc<Serve>);
        thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                let serve = Arc::clone(&serve);
                // What a peer does wrong ends its own connection.
                thread::spawn(move || drop(converse(stream, &*serve)));
            }
        });
        Self { address, listener }
    }

    /// A WebSocket server on every path.
    pub fn websocket() -> Self {
        Self::new(|_, stream| {
            stream.get_mut().write_all(switching().as_bytes())?;
            echo(stream)
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // On Linux this ends a blocked accept() with an error, which ends the thread.
        let _ =
            nix::sys::socket::shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }
}

/// The 101 that answers a request with [`KEY`].
pub fn switching() -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    )
}

fn converse(stream: TcpStream, serve: &Serve) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    serve(&String::from_utf8_lossy(&head), &mut stream)
}

/// Echoes frames, answers pings and closes, and closes with 1002 on what is against the rules.
pub fn echo(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    let mut fragmented = false;
    loop {
        let mut start = [0; 2];
        stream.read_exact(&mut start)?;
        let (last, opcode, masked) = (start[0] & 0x80 != 0, start[0] & 0xf, start[1] & 0x80 != 0);
        let length = match start[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes(exactly(stream)?)),
            127 => u64::from_be_bytes(exactly(stream)?),
            short => short.into(),
        };
        let control = opcode >= 8;
        let wrong = start[0] & 0x70 != 0
            || !masked
            || !matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10)
            || (control && (!last || length > 125))
            || (!control && (opcode == 0) != fragmented);
        if wrong {
            stream
                .get_mut()
                .write_all(&frame(0x88, &1002u16.to_be_bytes(), None))?;
            return stream.get_ref().shutdown(Shutdown::Write);
        }
        let mask: [u8; 4] = exactly(stream)?;
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload)?;
        apply(mask, &mut payload);
        match opcode {
            8 => {
                stream.get_mut().write_all(&frame(0x88, &payload, None))?;
                return stream.get_ref().shutdown(Shutdown::Write);
            }
            9 => stream.get_mut().write_all(&frame(0x8a, &payload, None))?,
            10 => {}
            _ => {
                fragmented = !last;
                stream
                    .get_mut()
                    .write_all(&frame(start[0], &payload, None))?;
            }
        }
    }
}

/// A frame with its first byte as given.
pub fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(bit | short as u8),
        middle @ 126..65_536 => {
            frame.push(bit | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(bit | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    let start = frame.len() + if mask.is_some() { 4 } else { 0 };
    frame.extend(mask.into_iter().flatten());
    frame.extend(payload);
    if let Some(mask) = mask {
        apply(mask, &mut frame[start..]);
    }
    frame
}

fn apply(mask: [u8; 4], payload: &mut [u8]) {
    for (byte, key) in payload.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

fn exactly<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
