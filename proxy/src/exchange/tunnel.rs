//! Bytes both ways until both sides have ended: steered and TCP routers.

use std::io;

use crate::limits;
use crate::transport::Transport;
use crate::uring::{Chunk, ChunkQueue};

/// Relays until both sides have sent their end, or one fails. `first` are bytes of the client that were looked at
/// already. A half-close is passed on and the other direction goes on.
///
/// # Errors
/// The first failure of either side; both connections are then to be dropped.
pub async fn run(client: &Transport, server: &Transport, first: Option<Chunk>) -> io::Result<()> {
    tokio::try_join!(copy(client, server, first), copy(server, client, None))?;
    Ok(())
}

async fn copy(from: &Transport, to: &Transport, first: Option<Chunk>) -> io::Result<()> {
    let mut queue = ChunkQueue::new();
    if let Some(chunk) = first {
        queue.push(chunk);
        to.send(&mut queue, Some(from)).await?;
    }
    while let Some(chunk) = from.recv().await? {
        queue.push(chunk);
        gather(from, &mut queue);
        to.send(&mut queue, Some(from)).await?;
    }
    to.shutdown_write().await
}

fn gather(from: &Transport, queue: &mut ChunkQueue) {
    while queue.len() < limits::SEND_CHUNKS
        && let Some(chunk) = from.try_recv()
    {
        queue.push(chunk);
    }
}
