//! The response to one request: interim heads, the final head, the body.

use super::Client;
use std::fmt;

use super::body::{self, BodyError};
use super::head::{self, NoHead};
use super::request::{Asked, Scratch};
use crate::http::{Version, name};
use crate::http1::{self, Announce, ConnectionField, Response};
use crate::limits;
use crate::transport::Transport;
use crate::uring::{Chunk, ChunkQueue};

/// A response that the client has got to its end.
#[derive(Clone, Copy, Debug)]
pub struct Delivered {
    /// The client may send another request.
    pub client_persists: bool,
    /// The server may be sent another request on its connection.
    pub server_persists: bool,
}

/// Why a request has no complete response.
#[derive(Debug)]
pub enum Failed {
    /// The client did not send its body, or not properly.
    Client(BodyError),
    /// No connection to the server.
    Connect(std::io::Error),
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

/// Reads the server's response and relays it.
pub async fn deliver(
    client: &Client<'_>,
    server: &Transport,
    scratch: &mut Scratch,
    asked: &Asked,
) -> Result<Delivered, Failed> {
    let mut first = None;
    for _ in 0..=limits::INTERIM_RESPONSES_MAX {
        let (facts, rest) = read(server, scratch, asked, first.take())
            .await
            .map_err(Failed::Server)?;
        if !scratch.response.status.is_informational() {
            return finish(client, server, scratch, asked, facts, rest).await;
        }
        if asked.version != Version::Http10 {
            let mut queue = encode(scratch, Announce::Nothing, ConnectionField::Omit);
            client
                .transport
                .send(&mut queue, None)
                .await
                .map_err(|error| Failed::Deliver(BodyError::Send(error)))?;
        }
        first = rest.map(Chunk::into_owned);
    }
    Err(Failed::NoEnd)
}

async fn read(
    server: &Transport,
    scratch: &mut Scratch,
    asked: &Asked,
    first: Option<Chunk>,
) -> Result<(Response, Option<Chunk>), NoHead> {
    let Scratch {
        partial,
        response,
        responses,
        ..
    } = scratch;
    partial.clear();
    head::read(server, first, partial, |input| {
        let parsed = responses.parse(input, &asked.method, response)?;
        Ok(parsed.map(|facts| (facts, facts.consumed)))
    })
    .await
}

async fn finish(
    client: &Client<'_>,
    server: &Transport,
    scratch: &mut Scratch,
    asked: &Asked,
    facts: Response,
    rest: Option<Chunk>,
) -> Result<Delivered, Failed> {
    let announce = facts.announce.for_client(asked.version);
    let ends_with_connection = announce == Announce::Nothing && !facts.body.is_empty();
    let persists = asked.keep_alive
        && asked.is_sent()
        && !ends_with_connection
        && !client.worker.is_stopping();
    let headers = &mut scratch.response.headers;
    if !headers.contains(name::DATE) {
        // RFC 9110 section 6.6.1: who forwards a response without it adds it.
        headers.append(name::DATE, &client.worker.date());
    }
    let queue = encode(scratch, announce, connection_field(persists, asked.version));
    asked.started.set(true);
    asked.unframed.set(ends_with_connection);
    body::relay(server, client.transport, facts.body, announce, queue, rest)
        .await
        .map_err(Failed::Deliver)?;
    Ok(Delivered {
        client_persists: persists,
        server_persists: facts.keep_alive && asked.sent.get(),
    })
}

fn encode(scratch: &Scratch, announce: Announce, connection: ConnectionField) -> ChunkQueue {
    let mut bytes = Vec::with_capacity(limits::HEAD_BYTES_USUAL);
    http1::encode_response(&scratch.response, announce, connection, &mut bytes);
    let mut queue = ChunkQueue::new();
    queue.push(bytes);
    queue
}

/// What a response says about its connection. HTTP/1.0 clients must be told that it stays open.
pub fn connection_field(persists: bool, version: Version) -> ConnectionField {
    match (persists, version) {
        (false, _) => ConnectionField::Close,
        (true, Version::Http10) => ConnectionField::KeepAlive,
        (true, Version::Http11) => ConnectionField::Omit,
    }
}
