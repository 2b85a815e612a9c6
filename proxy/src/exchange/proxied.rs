//! The PROXY header at the beginning of a connection from a proxy in front.

use std::io;
use std::time::Duration;

use tracing::debug;

use crate::net::Stream;
use crate::proxy_protocol::{self, Addresses, Parsed};
use crate::uring::{self, Chunk};

/// Reads the header, if one comes `within` that time, and lets the connection have the addresses it says. The client's
/// own bytes are left for the next receive, also where there is no header.
///
/// # Errors
/// `InvalidData` for a broken header, `TimedOut` or `UnexpectedEof` for half of one, and what receiving says.
pub async fn read_header(stream: &mut Stream, within: Duration) -> io::Result<()> {
    stream.set_deadline(Some(uring::now() + within));
    let (header, mut received) = receive(stream).await?;
    stream.set_deadline(None);
    if let Some((length, addresses)) = header {
        received.drain(..length);
        if let Some(Addresses {
            source,
            destination,
        }) = addresses
        {
            debug!(proxy = %stream.peer_addr(), client = %source, "PROXY header");
            stream.set_addresses(source, destination);
        }
    }
    if !received.is_empty() {
        stream.unread(Chunk::from(received));
    }
    Ok(())
}

/// The length of a header and what it says.
type Header = (usize, Option<Addresses>);

/// Receives until it is clear whether there is a header; with it what has been received.
async fn receive(stream: &Stream) -> io::Result<(Option<Header>, Vec<u8>)> {
    let mut received = Vec::new();
    let mut in_header = false;
    loop {
        match stream.recv().await {
            Ok(Some(chunk)) => received.extend_from_slice(&chunk),
            Ok(None) if in_header => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if in_header || error.kind() != io::ErrorKind::TimedOut => {
                return Err(error);
            }
            // No header has come: the client may be one that waits for the server.
            Ok(None) | Err(_) => return Ok((None, received)),
        }
        match proxy_protocol::parse(&received).map_err(invalid)? {
            Parsed::NeedMore { begun } => in_header = begun,
            Parsed::Absent => return Ok((None, received)),
            Parsed::Header { length, addresses } => {
                return Ok((Some((length, addresses)), received));
            }
        }
    }
}

fn invalid(error: proxy_protocol::HeaderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
