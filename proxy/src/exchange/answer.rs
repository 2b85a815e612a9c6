//! What weir answers itself, and how a connection is closed so that the client gets to read it.

use std::io;

use super::Client;
use crate::http::Status;
use crate::http1::{self, ConnectionField};
use crate::limits;
use crate::transport::Transport;
use crate::uring::{self, ChunkQueue};

impl Client<'_> {
    /// Sends a short response of weir's own.
    pub async fn answer(
        &self,
        status: Status,
        head_only: bool,
        connection: ConnectionField,
    ) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(limits::ANSWER_BYTES);
        http1::simple_response(
            status,
            &self.worker.date(),
            head_only,
            connection,
            &mut bytes,
        );
        let mut queue = ChunkQueue::new();
        queue.push(bytes);
        self.transport
            .set_deadline(Some(uring::now() + limits::LINGER));
        self.transport.send(&mut queue, None).await
    }
}

/// Closes a connection on which the client may still be sending: says that this side has ended and reads on for a
/// while, as a socket closed with unread bytes is reset and the reset destroys what the client has not read yet
/// (RFC 9112 section 9.6).
pub async fn linger(client: &Transport) {
    client.set_deadline(Some(uring::now() + limits::LINGER));
    if client.shutdown_write().await.is_err() {
        return;
    }
    let mut read = 0;
    while let Ok(Some(chunk)) = client.recv().await {
        read += chunk.len();
        if read > limits::LINGER_BYTES {
            return;
        }
    }
}
