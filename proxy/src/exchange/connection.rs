//! The requests of one HTTP/1.1 connection, one after the other.

use std::io;
use std::time::Duration;

use super::Client;
use super::answer::{self, Answer};
use super::challenge;
use super::head::{self, NoHead};
use super::request::{self, Next};
use super::scratch::Scratch;
use crate::failure::Failure;
use crate::http1::{ConnectionField, RequestParser};
use crate::limits;
use crate::uring::{self, Chunk};

/// Serves requests until the connection ends. A browser opens TLS connections ahead of its requests: the first request
/// may be as late as any other.
pub async fn serve(client: &Client<'_>) -> io::Result<()> {
    let mut first = idle(client).await?;
    let (opened, mut served) = (uring::now(), 0);
    while let Some(chunk) = first {
        served += 1;
        let last = client
            .entry_point()
            .keep_alive
            .is_over(served, opened, uring::now());
        // Boxed: most connections are idle most of the time, and their tasks hold no room for a request then.
        match Box::pin(next(client, chunk, last)).await {
            Next::Request => {}
            Next::Linger => {
                Box::pin(answer::linger(client.transport, answer::LITTLE)).await;
                return Ok(());
            }
            Next::Drain => {
                Box::pin(answer::linger(client.transport, answer::BODY)).await;
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

/// One request, with memory lent for it.
async fn next(client: &Client<'_>, first: Chunk, last: bool) -> Next {
    let mut scratch = client.worker.scratch();
    let next = one(client, &mut scratch, first, last).await;
    client.worker.give_back(scratch);
    next
}

/// One request; `last` after which the connection ends.
async fn one(client: &Client<'_>, scratch: &mut Scratch, first: Chunk, last: bool) -> Next {
    let settings = client.visitor().settings();
    let begun = uring::now();
    let most = settings.timeouts.read.unwrap_or(Duration::MAX);
    let head_time = settings.limits.header.min(most);
    client.transport.set_deadline(Some(begun + head_time));
    scratch.requests = RequestParser::new(settings.limits.head);
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
            if let Some(body) = challenge::asked(client, &scratch.request) {
                return challenge::answer(client, &scratch.request, &body).await;
            }
            request::serve(client, scratch, facts, rest, begun).await
        }
        Err(NoHead::Rejected(reject)) => {
            let reason = reject.reason;
            refuse(client, Failure::refused(reason), reason.explanation()).await
        }
        Err(NoHead::Failed(error)) if error.kind() == io::ErrorKind::TimedOut => {
            let failure = Failure::HeadTimeout;
            refuse(client, failure, failure.explanation()).await
        }
        Err(NoHead::Ended | NoHead::Truncated | NoHead::Unprocessed | NoHead::Failed(_)) => {
            Next::Close
        }
    }
}

/// Answers a message whose end is unknown: the connection is of no further use.
async fn refuse(client: &Client<'_>, failure: Failure, detail: &str) -> Next {
    let (visitor, id) = (client.visitor(), client.worker.ids.next());
    visitor.note(failure, &id, None, &detail);
    let Some(answer) = Answer::to(failure, visitor, &id) else {
        return Next::Close;
    };
    match client.answer(&answer, false, ConnectionField::Close).await {
        Ok(()) => Next::Linger,
        Err(_) => Next::Close,
    }
}
