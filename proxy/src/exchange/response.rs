//! The response to one request: interim heads, the final head, the body.

use std::fmt;
use std::io;

use super::body::{self, BodyError, Sink, Source};
use super::decision::Visitor;
use super::encoded::Encoded;
use super::forward::Asked;
use super::head::NoHead;
use super::passage;
use super::passive::Blame;
use super::scratch::Scratch;
use super::sides::{Downstream, Upstream};
use crate::failure::Failure;
use crate::http::{RequestHead, ResponseHead, Status, name};
use crate::http1::{Reject, upgrade};
use crate::limits;
use crate::service::Cause;
use crate::uring::ChunkQueue;

/// Why a request has no complete response.
#[derive(Debug)]
pub enum Failed {
    /// The client did not send its body, or not properly.
    Client(BodyError),
    /// No connection to the server.
    Connect(io::Error),
    /// The server sent no acceptable head.
    Server(NoHead),
    /// The server sent one interim response after another.
    NoEnd,
    /// The client has gone while its response was waited for.
    Gone,
    /// The response took longer than it may in all.
    Slow,
    /// The response was malformed from the first bytes of its body on.
    Unfit(BodyError),
    /// The response broke off on its way.
    Deliver(BodyError),
}

impl fmt::Display for Failed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => write!(out, "the client's body: {error}"),
            Self::Connect(error) => write!(out, "no connection to the server: {error}"),
            Self::Server(error) => write!(out, "no response from the server: {error}"),
            Self::NoEnd => out.write_str("interim responses without end"),
            Self::Gone => out.write_str("the client left before the response"),
            Self::Slow => out.write_str("the response took longer than writeTimeout"),
            Self::Unfit(error) => write!(out, "the response's body: {error}"),
            Self::Deliver(error) => write!(out, "the response broke off: {error}"),
        }
    }
}

impl Failed {
    /// The name of the failure.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Client(error) => of_request_body(error),
            Self::Connect(error) => Failure::connecting(error),
            Self::Server(NoHead::Failed(error)) if timed_out(error) => Failure::ServerTimeout,
            Self::Server(
                NoHead::Ended | NoHead::Truncated | NoHead::Unprocessed | NoHead::Failed(_),
            ) => Failure::ServerClosed,
            Self::Server(NoHead::Rejected(_)) | Self::NoEnd | Self::Unfit(_) => {
                Failure::ResponseMalformed
            }
            Self::Gone => Failure::ClientGone,
            Self::Slow => Failure::ClientStalled,
            Self::Deliver(BodyError::Send(error)) if timed_out(error) => Failure::ClientStalled,
            Self::Deliver(BodyError::Send(_)) => Failure::ClientGone,
            Self::Deliver(_) => Failure::ResponseTruncated,
        }
    }
}

impl Failed {
    /// Whose fault it is. `repeatable`: the request was sent again if its connection was an old one, which servers
    /// close as they like.
    pub fn blame(&self, repeatable: bool) -> Blame {
        match self {
            Self::Client(_) | Self::Gone | Self::Slow | Self::Deliver(BodyError::Send(_)) => {
                Blame::Others
            }
            Self::Connect(error) if Failure::connecting(error) == Failure::NoResources => {
                Blame::Others
            }
            Self::Connect(_) => Blame::AtOnce(Cause::Connect),
            Self::Server(NoHead::Failed(error)) if timed_out(error) => Blame::Server,
            Self::Server(NoHead::Ended | NoHead::Failed(_)) if repeatable => {
                Blame::AtOnce(Cause::Reset)
            }
            Self::Server(_) | Self::NoEnd | Self::Unfit(_) | Self::Deliver(_) => Blame::Server,
        }
    }
}

fn of_request_body(error: &BodyError) -> Failure {
    match error {
        BodyError::Malformed(reason) => Failure::refused(*reason),
        BodyError::TooLarge => Failure::BodyTooLarge,
        BodyError::Receive(error) if timed_out(error) => Failure::BodyTimeout,
        BodyError::Receive(_) | BodyError::Send(_) => Failure::ClientGone,
    }
}

fn timed_out(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}

/// How a response came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// The client has got all of it.
    Whole,
    /// It is a 101 that was asked for, not sent yet: what follows is not HTTP.
    Switched,
}

/// Reads the server's response and relays it. What is boxed here is rare: every request would hold room for it.
///
/// # Errors
/// The client has not got all of it.
pub async fn deliver(
    visitor: Visitor<'_>,
    client: &impl Downstream,
    server: &mut impl Upstream,
    scratch: &mut Scratch,
    asked: &Asked,
) -> Result<Delivered, Failed> {
    let broke_off = |error| Failed::Deliver(BodyError::Send(error));
    for _ in 0..=limits::INTERIM_RESPONSES_MAX {
        let content = server.head(&asked.method, scratch).await;
        let content = content.map_err(Failed::Server)?;
        let Scratch {
            request, response, ..
        } = scratch;
        if response.status == Status::SWITCHING_PROTOCOLS {
            let checked = upgrade::check(request, response);
            let reject = |reason| Failed::Server(NoHead::Rejected(Reject::response(reason)));
            checked.map_err(reject)?;
            label(response, request);
            return Ok(Delivered::Switched);
        }
        if response.status.is_informational() {
            asked.waits.set(false);
            Box::pin(client.interim(response))
                .await
                .map_err(broke_off)?;
            continue;
        }
        label(response, request);
        if !response.headers.contains(name::DATE) {
            // RFC 9110 section 6.6.1: who forwards a response without it adds it.
            response.headers.append(name::DATE, &visitor.worker.date());
        }
        let mut content = content;
        let encoding = passage::leave(visitor, scratch, &mut content);
        let begin = || {
            let sink = client.begin(&scratch.response, content, asked.is_sent());
            asked.start();
            sink.map_err(broke_off)
        };
        return match encoding {
            None => finish(server.body(), begin).await,
            Some(encoding) => Box::pin(finish(Encoded::new(server.body(), encoding), begin)).await,
        };
    }
    Err(Failed::NoEnd)
}

/// Relays the body of a final response, whose head goes out with `begin`.
async fn finish<S: Sink>(
    mut source: impl Source,
    begin: impl FnOnce() -> Result<S, Failed>,
) -> Result<Delivered, Failed> {
    let mut payload = ChunkQueue::new();
    // Before the head goes out: what is malformed already can still be told.
    source.gather(&mut payload, 1).map_err(Failed::Unfit)?;
    let mut sink = begin()?;
    let relayed = body::relay(&mut source, &mut sink, None, payload).await;
    relayed.map(|()| Delivered::Whole).map_err(Failed::Deliver)
}

/// A response has the id of its request, whatever the server calls it.
fn label(response: &mut ResponseHead, request: &RequestHead) {
    if let Some(id) = request.headers.get(name::X_REQUEST_ID) {
        response.headers.remove(name::X_REQUEST_ID);
        response.headers.append(name::X_REQUEST_ID, id);
    }
}
