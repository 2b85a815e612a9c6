//! One request of an HTTP/1.1 client.

use std::cell::Cell;
use std::io;
use std::time::Instant;

use super::Client;
use super::answer::Answer;
use super::body::{Http1Sink, Http1Source};
use super::departure;
use super::forward::{self, Asked, Exchange, Unserved};
use super::scratch::Scratch;
use super::sides::{Content, Downstream};
use crate::failure::Failure;
use crate::http::{Method, ResponseHead, Version, name};
use crate::http1::{self, Announce, BodyLength, ConnectionField, Request};
use crate::limits;
use crate::uring::{Chunk, ChunkQueue};

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another request.
    Request,
    /// It is closed; the client may still be sending.
    Linger,
    /// It is closed; the client may still be sending a body, and read the response only after it.
    Drain,
    /// It is closed.
    Close,
}

/// The client, while it waits for the response to one request.
struct Http1Client<'a> {
    client: &'a Client<'a>,
    version: Version,
    /// The client would send another request on this connection.
    keep_alive: bool,
    /// The response has said that it may.
    persists: Cell<bool>,
    /// It takes the end of the connection for the end of the response.
    unframed: Cell<bool>,
}

/// Serves a request whose head is in `scratch` and whose first byte came when it had `begun`. `rest` is what came after
/// its head.
pub async fn serve(
    client: &Client<'_>,
    scratch: &mut Scratch,
    facts: Request,
    rest: Option<Chunk>,
    begun: Instant,
) -> Next {
    // Without a body it is the next request, which waits in memory of its own.
    let rest = match rest {
        Some(next) if facts.body.is_empty() => {
            client.transport.unread(next);
            None
        }
        rest => rest,
    };
    let limits = &client.visitor().settings().limits;
    client.transport.set_stall(limits.body_idle);
    let asked = Asked::new(scratch.request.method.clone(), facts.body);
    asked.begun.set(begun);
    let downstream = Http1Client {
        client,
        version: scratch.request.version,
        keep_alive: facts.keep_alive,
        persists: Cell::new(false),
        unframed: Cell::new(false),
    };
    let mut body = Http1Source::new(client.transport, facts.body, limits.trailers, rest);
    let exchange = Exchange {
        visitor: client.visitor(),
        client: &downstream,
        body: &mut body,
        asked: &asked,
    };
    let next = match forward::serve(exchange, scratch).await {
        Ok(()) if downstream.persists.get() => Next::Request,
        Ok(()) => Next::Linger,
        Err(Unserved::Refused(failure)) => downstream.refuse(&asked, failure, scratch).await,
        Err(Unserved::Answered(answer)) => downstream.tell(&asked, &answer).await,
        Err(Unserved::Failed(failure)) => downstream.fail(&asked, failure, scratch).await,
    };
    match next {
        Next::Linger if !facts.body.is_empty() => Next::Drain,
        next => next,
    }
}

impl Http1Client<'_> {
    /// Answers a request that no server gets. A body that comes with it is not read: the connection ends.
    async fn refuse(&self, asked: &Asked, failure: Failure, scratch: &Scratch) -> Next {
        match self.answer_to(failure, scratch) {
            Some(answer) => self.tell(asked, &answer).await,
            None => Next::Close,
        }
    }

    /// Answers in place of a server.
    async fn tell(&self, asked: &Asked, answer: &Answer) -> Next {
        let stopping = self.client.worker.is_stopping();
        let persists = self.keep_alive && asked.body.is_empty() && !stopping;
        let connection = connection_field(persists, self.version);
        let head_only = asked.method == Method::Head;
        match self.client.answer(answer, head_only, connection).await {
            Ok(()) if persists => Next::Request,
            Ok(()) => Next::Linger,
            Err(_) => Next::Close,
        }
    }

    /// Answers a request that failed on its way, if nothing has been answered yet.
    async fn fail(&self, asked: &Asked, failure: Failure, scratch: &Scratch) -> Next {
        if self.unframed.get() {
            // A close would make what the client has got look whole.
            self.client.transport.abort();
        }
        let answer = self.answer_to(failure, scratch);
        let Some(answer) = answer.filter(|_| !asked.started.get()) else {
            return Next::Close;
        };
        let (head_only, close) = (asked.method == Method::Head, ConnectionField::Close);
        match self.client.answer(&answer, head_only, close).await {
            Ok(()) => Next::Linger,
            Err(_) => Next::Close,
        }
    }

    fn answer_to(&self, failure: Failure, scratch: &Scratch) -> Option<Answer> {
        let (visitor, request) = (self.client.visitor(), &scratch.request);
        let id = request.headers.get(name::X_REQUEST_ID);
        let mut answer = Answer::to(failure, visitor, id.unwrap_or_default())?;
        scratch.passage.leave(visitor, request, &mut answer.head);
        Some(answer)
    }
}

impl Downstream for Http1Client<'_> {
    type Sink<'a>
        = Http1Sink<'a>
    where
        Self: 'a;

    async fn interim(&self, head: &ResponseHead) -> io::Result<()> {
        if self.version == Version::Http10 {
            return Ok(());
        }
        let head = encode(head, Announce::Nothing, ConnectionField::Omit);
        let mut queue: ChunkQueue = [head].into_iter().collect();
        self.client.transport.send(&mut queue, None).await
    }

    fn begin(
        &self,
        head: &ResponseHead,
        content: Content,
        sent: bool,
    ) -> io::Result<Http1Sink<'_>> {
        let announce = content.announce.for_client(self.version);
        let unframed = announce == Announce::Nothing && !content.body.is_empty();
        let stopping = self.client.worker.is_stopping();
        let persists = self.keep_alive && sent && !unframed && !stopping;
        self.persists.set(persists);
        self.unframed.set(unframed);
        let head = encode(head, announce, connection_field(persists, self.version));
        let transport = self.client.transport;
        Ok(Http1Sink::new(transport, head, content.body, announce))
    }

    fn switch(&self, head: &ResponseHead) -> io::Result<Http1Sink<'_>> {
        let head = encode(head, Announce::Nothing, ConnectionField::Upgrade);
        let (transport, length) = (self.client.transport, BodyLength::UntilClose);
        Ok(Http1Sink::new(transport, head, length, Announce::Nothing))
    }

    async fn gone(&self) {
        let settings = self.client.visitor().settings();
        departure::gone(self.client.transport, settings.limits.half_closed).await;
    }

    async fn gave_up(&self, reads: bool) {
        departure::gave_up(self.client.transport, reads).await;
    }
}

fn encode(head: &ResponseHead, announce: Announce, connection: ConnectionField) -> Chunk {
    let mut bytes = Vec::with_capacity(limits::HEAD_BYTES_USUAL);
    http1::encode_response(head, announce, connection, &mut bytes);
    Chunk::from(bytes)
}

/// What a response says about its connection. HTTP/1.0 clients must be told that it stays open.
fn connection_field(persists: bool, version: Version) -> ConnectionField {
    match (persists, version) {
        (false, _) => ConnectionField::Close,
        (true, Version::Http10) => ConnectionField::KeepAlive,
        (true, Version::Http11) => ConnectionField::Omit,
    }
}
