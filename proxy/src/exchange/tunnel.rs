//! Bytes both ways until both sides have ended: steered and TCP routers.

use std::io;
use std::pin::pin;
use std::time::Duration;

use crate::transport::Transport;
use crate::uring::ChunkQueue;

/// What ends a tunnel besides its two sides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// Nothing has moved in either direction for so long.
    pub idle: Option<Duration>,
    /// One side has ended, and the other has gone on for so long (`terminationDelay`).
    pub after_end: Option<Duration>,
}

/// Relays until both sides have sent their end, or one fails. A half-close is passed on and the other direction goes
/// on: as FIN, after close_notify where TLS is spoken with that side.
///
/// # Errors
/// The first failure of either side; both connections are then to be dropped.
pub async fn run(client: &Transport, server: &Transport, patience: Patience) -> io::Result<()> {
    for side in [client, server] {
        side.set_deadline(None);
        if let Some(idle) = patience.idle {
            side.set_stall(idle);
        }
    }
    let mut up = pin!(copy(client, server));
    let mut down = pin!(copy(server, client));
    tokio::select! {
        ended = &mut up => {
            ended?;
            last(down, patience).await
        }
        ended = &mut down => {
            ended?;
            last(up, patience).await
        }
    }
}

/// The direction that is left.
async fn last(
    direction: impl Future<Output = io::Result<()>>,
    patience: Patience,
) -> io::Result<()> {
    let Some(time) = patience.after_end else {
        return direction.await;
    };
    let ended = tokio::time::timeout(time, direction).await;
    ended.unwrap_or(Ok(()))
}

async fn copy(from: &Transport, to: &Transport) -> io::Result<()> {
    let mut queue = ChunkQueue::new();
    loop {
        match from.recv().await {
            Ok(Some(chunk)) => queue.push(chunk),
            Ok(None) => break,
            // Many clients leave TLS without close_notify; to a server in the clear that is an end like any other, and
            // a reset would take away what it has not read yet.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
        from.gather(&mut queue);
        to.send(&mut queue, Some(from)).await?;
    }
    to.shutdown_write().await
}
