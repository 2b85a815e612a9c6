//! The requests of one HTTP/1.1 connection, one after the other.

use std::io;

use tracing::debug;

use super::head::{self, NoHead};
use super::request::{self, Next};
use super::scratch::Scratch;
use super::{Client, answer};
use crate::http::Status;
use crate::http1::{ConnectionField, RequestParser};
use crate::limits;
use crate::uring::{self, Chunk};

/// Serves requests until the connection ends. A browser opens TLS connections ahead of its requests: the first request
/// may be as late as any other.
pub async fn serve(client: &Client<'_>) -> io::Result<()> {
    let mut first = idle(client).await?;
    let (opened, mut served) = (uring::now(), 0);
    while let Some(chunk) = first {
        let mut scratch = client.worker.scratch();
        served += 1;
        let last = client
            .entry_point()
            .keep_alive
            .is_over(served, opened, uring::now());
        let next = one(client, &mut scratch, chunk, last).await;
        client.worker.give_back(scratch);
        match next {
            Next::Request => {}
            Next::Linger => {
                answer::linger(client.transport).await;
                return Ok(());
            }
            Next::Close => return Ok(()),
        }
        first = idle(client).await?;
    }
    client
        .transport
        .set_deadline(Some(uring::now() + limits::LINGER));
    client.transport.close().await;
    Ok(())
}

/// Waits for the first bytes of the next request. A worker that stops waits for them only a moment longer: a request
/// that is on its way then is answered rather than reset.
async fn idle(client: &Client<'_>) -> io::Result<Option<Chunk>> {
    let Client {
        worker, transport, ..
    } = client;
    let idle = client.entry_point().timeouts.idle;
    transport.set_deadline(idle.map(|time| uring::now() + time));
    let received = tokio::select! {
        biased;
        received = transport.recv() => received,
        () = worker.stopped() => {
            transport.set_deadline(Some(uring::now() + limits::LAST_REQUEST));
            transport.recv().await
        }
    };
    match received {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
        received => received,
    }
}

/// One request; `last` after which the connection ends.
async fn one(client: &Client<'_>, scratch: &mut Scratch, first: Chunk, last: bool) -> Next {
    client
        .transport
        .set_deadline(Some(uring::now() + limits::CLIENT_HEAD));
    let Scratch {
        partial,
        request,
        requests,
        ..
    } = scratch;
    *requests = RequestParser::new(client.entry_point().limits.head);
    let read = head::read(client.transport, Some(first), partial, |input| {
        let parsed = requests.parse(input, request)?;
        Ok(parsed.map(|facts| (facts, facts.consumed)))
    });
    match read.await {
        Ok((mut facts, rest)) => {
            facts.keep_alive &= !last;
            request::serve(client, scratch, facts, rest).await
        }
        Err(NoHead::Rejected(reject)) => {
            debug!(client = %client.transport.peer_addr(), reason = reject.reason.as_str(), "request refused: {reject}");
            refuse(client, reject.status).await
        }
        Err(NoHead::Failed(error)) if error.kind() == io::ErrorKind::TimedOut => {
            refuse(client, Status::REQUEST_TIMEOUT).await
        }
        Err(NoHead::Ended | NoHead::Truncated | NoHead::Failed(_)) => Next::Close,
    }
}

/// Answers a message whose end is unknown: the connection is of no further use.
async fn refuse(client: &Client<'_>, status: Status) -> Next {
    match client.answer(status, false, ConnectionField::Close).await {
        Ok(()) => Next::Linger,
        Err(_) => Next::Close,
    }
}
