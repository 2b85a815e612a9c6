//! The server that TCP and WebSocket clients of the soak talk to: it sends everything back.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What a client sends as `Sec-WebSocket-Key`: that of RFC 6455's example.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// Its answer.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// A connection that begins so asks for a WebSocket; any other is echoed from its first byte.
const UPGRADES: &[u8] = b"GET ";

/// A running server; dropping it closes its listener and every connection.
pub struct Echo {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    open: Arc<Mutex<Open>>,
}

/// The connections that are open, each with its number.
type Open = HashMap<u64, TcpStream>;

impl Echo {
    /// Serves on `address`.
    pub fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = Arc::new(TcpListener::bind(address)?);
        let open = Arc::default();
        let echo = Self {
            address,
            listener: Arc::clone(&listener),
            open: Arc::clone(&open),
        };
        thread::spawn(move || {
            for (number, accepted) in (0_u64..).zip(listener.incoming()) {
                let Ok(stream) = accepted else { return };
                let Ok(handle) = stream.try_clone() else {
                    continue;
                };
                lock(&open).insert(number, handle);
                let open = Arc::clone(&open);
                thread::spawn(move || {
                    // What fails here is the peer's end, or this server's.
                    let _ = serve(stream);
                    lock(&open).remove(&number);
                });
            }
        });
        Ok(echo)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // On Linux this ends a blocked accept() with an error, which ends the thread.
        let _ =
            nix::sys::socket::shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        for stream in lock(&self.open).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    if reader.fill_buf()?.starts_with(UPGRADES) {
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        write!(
            writer,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        )?;
    }
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer)? {
            0 => return writer.shutdown(Shutdown::Write),
            read => writer.write_all(&buffer[..read])?,
        }
    }
}
