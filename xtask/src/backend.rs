//! The origin server of the demo and the tests: one thread per connection, HTTP/1.1, optionally TLS with a certificate
//! of its own. It answers who it is and whom it saw, so that one can tell where a request landed and by which plane.
//!
//! | path          | answer |
//! |---------------|--------|
//! | `/bytes/N`    | N bytes of [`pattern`], with Content-Length |
//! | `/chunked/N`  | the same, in chunks |
//! | `/upload`     | `{"length": .., "sha256": ".."}` of the request's body |
//! | `/slow/MS`    | the usual answer, MS milliseconds later |
//! | `/head`       | the head of the request as it arrived |
//! | anything else | an [`Answer`] |

mod answer;
mod message;

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use aws_lc_rs::digest;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub use answer::Answer;

/// A running server; dropping it closes its listener and every connection.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    node: Arc<Node>,
}

/// What the connections of one server share.
#[derive(Debug)]
struct Node {
    name: String,
    tls: Option<Arc<ServerConfig>>,
    requests: AtomicU64,
    connections: Mutex<HashMap<u64, TcpStream>>,
}

impl Backend {
    /// Serves plain HTTP on `address` as the node `name`. Call it inside a namespace to serve there.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn plain(name: &str, address: impl Into<SocketAddr>) -> io::Result<Self> {
        Self::start(name, address.into(), None)
    }

    /// Serves HTTPS on `address` with a new self-signed certificate for `name`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn tls(name: &str, address: impl Into<SocketAddr>) -> io::Result<Self> {
        Self::start(name, address.into(), Some(self_signed(name)?))
    }

    /// Where it listens; the port is the kernel's choice when port 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests have arrived with a whole head.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.node.requests.load(Ordering::Relaxed)
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.node.open().len()
    }

    fn start(name: &str, address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let listener = Arc::new(TcpListener::bind(address)?);
        let node = Arc::new(Node {
            name: name.to_owned(),
            tls,
            requests: AtomicU64::new(0),
            connections: Mutex::default(),
        });
        let backend = Self {
            address: listener.local_addr()?,
            listener,
            node,
        };
        let (listener, node) = (Arc::clone(&backend.listener), Arc::clone(&backend.node));
        thread::spawn(move || accept(&listener, &node));
        Ok(backend)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // On Linux this ends a blocked accept() with an error, which ends the thread.
        let _ =
            nix::sys::socket::shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        for connection in self.node.open().values() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Node {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// After so many bytes the pattern begins again: a prime, so that a shifted, doubled or lost block of any usual size
/// changes the hash.
const PERIOD: usize = 65_521;

/// The deterministic bytes of `/bytes/N` from `offset` on, written over `buffer`. Copied, not computed: a server that
/// computes them is what a measurement would measure.
pub fn pattern(offset: u64, buffer: &mut [u8]) {
    static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let byte = |position: usize| (position ^ (position >> 8)).to_le_bytes()[0];
        (0..PERIOD).map(byte).collect()
    });
    let mut from = (offset % PERIOD as u64) as usize;
    let mut rest = buffer;
    while !rest.is_empty() {
        let length = rest.len().min(PERIOD - from);
        let (piece, after) = rest.split_at_mut(length);
        piece.copy_from_slice(&PATTERN[from..from + length]);
        (from, rest) = (0, after);
    }
}

/// The SHA-256 of the first `length` bytes of [`pattern`], in hex.
#[must_use]
pub fn pattern_sha256(length: u64) -> String {
    let mut bytes = vec![0; usize::try_from(length).expect("test bodies fit in memory")];
    pattern(0, &mut bytes);
    sha256(&bytes)
}

/// The SHA-256 of these bytes, in hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn self_signed(name: &str) -> io::Result<Arc<ServerConfig>> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).map_err(io::Error::other)?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .map_err(io::Error::other)?;
    Ok(Arc::new(config))
}

fn accept(listener: &TcpListener, node: &Arc<Node>) {
    for (number, accepted) in (0_u64..).zip(listener.incoming()) {
        let Ok(stream) = accepted else { return };
        let node = Arc::clone(node);
        thread::spawn(move || {
            if let Ok(handle) = stream.try_clone() {
                node.open().insert(number, handle);
                // An error here is the peer's doing, or the end of this server.
                let _ = serve(stream, &node);
                node.open().remove(&number);
            }
        });
    }
}

fn serve(stream: TcpStream, node: &Node) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?;
    match &node.tls {
        None => converse(&mut BufReader::new(stream), peer, node),
        Some(config) => {
            let tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            let mut reader = BufReader::new(StreamOwned::new(tls, stream));
            converse(&mut reader, peer, node)?;
            let stream = reader.get_mut();
            stream.conn.send_close_notify();
            stream.flush()
        }
    }
}

/// Answers requests until the peer closes or asks for the end.
fn converse(
    stream: &mut BufReader<impl Read + Write>,
    peer: SocketAddr,
    node: &Node,
) -> io::Result<()> {
    while let Some(head) = message::read_head(stream)? {
        node.requests.fetch_add(1, Ordering::Relaxed);
        answer::answer(stream, &head, peer, &node.name)?;
        if head.closes() {
            break;
        }
    }
    Ok(())
}

/// A reader that is also the way back to the peer.
trait Peer: BufRead {
    /// The side to write to.
    fn writer(&mut self) -> &mut impl Write;
}

impl<S: Read + Write> Peer for BufReader<S> {
    fn writer(&mut self) -> &mut impl Write {
        self.get_mut()
    }
}

#[cfg(test)]
mod tests;
