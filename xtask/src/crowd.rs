//! Many keep-alive connections, each of which has done a request and is idle since.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// How long one of them waits for its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The connections; dropping them closes them.
pub struct Crowd {
    address: SocketAddr,
    tls: Option<(Arc<ClientConfig>, String)>,
    members: Vec<Member>,
}

type Member = BufReader<Box<dyn Wire>>;

trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

impl Crowd {
    /// Nobody yet; TLS if there is a client for it, with the name that it asks for.
    #[must_use]
    pub fn new(address: SocketAddr, tls: Option<(Arc<ClientConfig>, String)>) -> Self {
        Self {
            address,
            tls,
            members: Vec::new(),
        }
    }

    /// Opens connections until there are `count`; each does one request.
    ///
    /// # Errors
    /// The first connection or request that fails.
    pub fn grow_to(&mut self, count: usize) -> io::Result<()> {
        while self.members.len() < count {
            let mut member = self.connect()?;
            ask(&mut member)?;
            self.members.push(member);
        }
        Ok(())
    }

    /// Has every connection do another request.
    ///
    /// # Errors
    /// The first that is not there any more.
    pub fn ask_all(&mut self) -> io::Result<()> {
        self.members.iter_mut().try_for_each(ask)
    }

    fn connect(&self) -> io::Result<Member> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let wire: Box<dyn Wire> = match &self.tls {
            None => Box::new(stream),
            Some((config, name)) => {
                let name = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
                let session = ClientConnection::new(Arc::clone(config), name);
                Box::new(StreamOwned::new(session.map_err(io::Error::other)?, stream))
            }
        };
        // Small: thousands of them are held.
        Ok(BufReader::with_capacity(512, wire))
    }
}

/// A request and its whole answer.
fn ask(member: &mut Member) -> io::Result<()> {
    member
        .get_mut()
        .write_all(b"GET /bytes/2 HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if member.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line.starts_with("http/") && !line.contains(" 200") {
            return Err(io::Error::other(line));
        }
        if line.is_empty() {
            break;
        }
    }
    io::copy(&mut member.take(length), &mut io::sink()).map(drop)
}
