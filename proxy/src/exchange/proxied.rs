//! The PROXY header at the beginning of a connection from a proxy in front.

use std::io;

use tracing::debug;

use crate::limits;
use crate::net::Stream;
use crate::proxy_protocol::{self, Parsed};
use crate::uring::{self, Chunk};

/// Reads the header, if one comes, and lets the connection have the addresses it says. The client's own bytes are left
/// for the next receive, also where there is no header.
///
/// # Errors
/// `InvalidData` for a broken header, `TimedOut` or `UnexpectedEof` for half of one, and what receiving says.
pub async fn read_header(stream: &mut Stream) -> io::Result<()> {
    stream.set_deadline(Some(uring::now() + limits::PROXY_HEADER));
    let mut received = Vec::new();
    loop {
        let next = stream.recv().await;
        let begun = matches!(
            proxy_protocol::parse(&received),
            Ok(Parsed::NeedMore { begun: true })
        );
        let chunk = match next {
            Ok(Some(chunk)) => chunk,
            Ok(None) if begun => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if begun || error.kind() != io::ErrorKind::TimedOut => return Err(error),
            // Neither a header nor anything else has come: the client may be one that waits for the server.
            Ok(None) | Err(_) => return Ok(give_back(stream, received)),
        };
        received.extend_from_slice(&chunk);
        match proxy_protocol::parse(&received).map_err(invalid)? {
            Parsed::NeedMore { .. } => {}
            Parsed::Absent => return Ok(give_back(stream, received)),
            Parsed::Header { length, addresses } => {
                if let Some(addresses) = addresses {
                    debug!(proxy = %stream.peer_addr(), client = %addresses.source, "PROXY header");
                    stream.set_addresses(addresses.source, addresses.destination);
                }
                return Ok(give_back(stream, received.split_off(length)));
            }
        }
    }
}

fn give_back(stream: &Stream, bytes: Vec<u8>) {
    stream.set_deadline(None);
    if !bytes.is_empty() {
        stream.unread(Chunk::from(bytes));
    }
}

fn invalid(error: proxy_protocol::HeaderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
