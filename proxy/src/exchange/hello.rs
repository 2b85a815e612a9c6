//! The ClientHello of a connection, for rules that look at it.

use std::io;

use crate::net::Stream;
use crate::tls::{ClientHello, HelloReader};
use crate::uring::{Chunk, ChunkQueue};

/// Refuses a client that asks for a server that is nobody's: the alert `unrecognized_name` (RFC 6066 section 3).
pub async fn refuse(stream: &Stream) -> io::Result<()> {
    const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 112];
    let mut alert: ChunkQueue = [UNRECOGNIZED_NAME.to_vec()].into_iter().collect();
    stream.send(&mut alert, None).await
}

/// Reads the ClientHello that begins with `first`. Everything received is given back, for whoever answers it.
/// Whoever calls sets the stream's deadline.
///
/// # Errors
/// `InvalidData` where it is none (an alert has been sent), and what receiving says.
pub async fn read(stream: &Stream, first: Chunk) -> io::Result<ClientHello> {
    let mut reader = HelloReader::default();
    let mut chunk = first;
    loop {
        let read = reader.feed(&chunk);
        // Its ring buffer is not kept while the rest is waited for.
        drop(chunk);
        match read {
            Ok(Some(hello)) => {
                stream.unread(Chunk::from(reader.into_received()));
                return Ok(hello);
            }
            Ok(None) => {}
            Err(error) => {
                let mut alert: ChunkQueue = [error.alert().to_vec()].into_iter().collect();
                stream.send(&mut alert, None).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        let next = stream.recv().await?;
        chunk = next.ok_or(io::ErrorKind::UnexpectedEof)?;
    }
}
