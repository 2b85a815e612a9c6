//! The response to one request: interim heads, the final head, the body.

use std::fmt;
use std::io;

use super::body::{self, BodyError};
use super::forward::Asked;
use super::head::NoHead;
use super::scratch::Scratch;
use super::sides::{Downstream, Upstream};
use super::worker::Worker;
use crate::http::{Status, name};
use crate::http1;
use crate::limits;

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
            Self::Deliver(error) => write!(out, "the response broke off: {error}"),
        }
    }
}

impl Failed {
    /// What the client is told; `None` where it is gone.
    pub fn status(&self) -> Option<Status> {
        let timed_out = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
        match self {
            Self::Client(BodyError::Malformed(reason)) => {
                Some(http1::Reject::request(*reason).status)
            }
            Self::Client(BodyError::Receive(error)) if timed_out(error) => {
                Some(Status::REQUEST_TIMEOUT)
            }
            Self::Client(_) | Self::Deliver(_) | Self::Gone => None,
            Self::Connect(error) | Self::Server(NoHead::Failed(error)) if timed_out(error) => {
                Some(Status::GATEWAY_TIMEOUT)
            }
            Self::Connect(_) | Self::Server(_) | Self::NoEnd => Some(Status::BAD_GATEWAY),
        }
    }
}

/// Reads the server's response and relays it.
///
/// # Errors
/// The client has not got all of it.
pub async fn deliver(
    worker: &Worker,
    client: &impl Downstream,
    server: &mut impl Upstream,
    scratch: &mut Scratch,
    asked: &Asked,
) -> Result<(), Failed> {
    let broke_off = |error| Failed::Deliver(BodyError::Send(error));
    for _ in 0..=limits::INTERIM_RESPONSES_MAX {
        let content = server.head(&asked.method, scratch).await;
        let content = content.map_err(Failed::Server)?;
        let head = &mut scratch.response;
        if head.status.is_informational() {
            client.interim(head).await.map_err(broke_off)?;
            continue;
        }
        if !head.headers.contains(name::DATE) {
            // RFC 9110 section 6.6.1: who forwards a response without it adds it.
            head.headers.append(name::DATE, &worker.date());
        }
        let sink = client.begin(head, content, asked.is_sent());
        asked.started.set(true);
        let (mut source, mut sink) = (server.body(), sink.map_err(broke_off)?);
        return body::relay(&mut source, &mut sink)
            .await
            .map_err(Failed::Deliver);
    }
    Err(Failed::NoEnd)
}
