//! One request: to a server and back.
//!
//! The request's body and the response travel at the same time: a server may answer before it has read everything, and
//! may send interim responses (100, 103) that the client waits for.

use std::cell::Cell;
use std::io;
use std::pin::pin;

use tracing::debug;

use super::body::{self, BodyError};
use super::head::NoHead;
use super::response::{self, Delivered, Failed};
use super::{Client, forwarded};
use crate::http::{Method, RequestHead, ResponseHead, Status, Version};
use crate::http1::{self, ConnectionField, HeadLimits, Request, RequestParser, ResponseParser};
use crate::rule::RequestView;
use crate::service::Picked;
use crate::transport::Transport;
use crate::uring::{Chunk, ChunkQueue};
use crate::{limits, upstream};

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another request.
    Request,
    /// It is closed; the client may still be sending.
    Linger,
    /// It is closed.
    Close,
}

/// The memory one request needs, used again by the next one of this worker.
pub struct Scratch {
    /// The bytes of a head that did not come at once.
    pub partial: Vec<u8>,
    /// The client's head.
    pub request: RequestHead,
    /// The reader of it.
    pub requests: RequestParser,
    /// The server's head.
    pub response: ResponseHead,
    /// The reader of it.
    pub responses: ResponseParser,
}

/// What a response needs to know about its request.
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The client's version.
    pub version: Version,
    /// The client would send another request on this connection.
    pub keep_alive: bool,
    /// Nothing follows its head.
    pub bodyless: bool,
    /// The request has gone out to its end.
    pub sent: Cell<bool>,
    /// The client has got the first byte of a final response.
    pub started: Cell<bool>,
    /// The client takes the end of the connection for the end of the response.
    pub unframed: Cell<bool>,
}

impl Asked {
    /// Whether a server that answers can have got all of it: one without a body it has read, whatever the completion
    /// of the send says later.
    pub fn is_sent(&self) -> bool {
        self.bodyless || self.sent.get()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            partial: Vec::new(),
            request: RequestHead::default(),
            requests: RequestParser::new(HeadLimits::default()),
            response: ResponseHead::default(),
            responses: ResponseParser::new(HeadLimits::default()),
        }
    }
}

impl Scratch {
    /// Bytes it holds allocated.
    pub fn allocated(&self) -> usize {
        self.partial.capacity()
            + self.request.headers.allocated()
            + self.response.headers.allocated()
    }

    /// Forgets the messages and keeps the memory.
    pub fn clear(&mut self) {
        self.partial.clear();
        self.request.clear();
        self.response.clear();
        self.requests = RequestParser::new(HeadLimits::default());
        self.responses = ResponseParser::new(HeadLimits::default());
    }
}

/// Routes a request, sends it to a server and relays the response. `rest` is what came after the head.
pub async fn serve(
    client: &Client<'_>,
    scratch: &mut Scratch,
    facts: Request,
    rest: Option<Chunk>,
) -> Next {
    // Without a body it is the next request, which waits in memory of its own.
    let rest = match rest {
        Some(next) if facts.body.is_empty() => {
            client.transport.unread(next);
            None
        }
        rest => rest,
    };
    client.transport.set_stall(limits::BODY_STALL);
    scratch.request.sanitize_target();
    let head = &scratch.request;
    let asked = Asked {
        method: head.method.clone(),
        version: head.version,
        keep_alive: facts.keep_alive,
        bodyless: facts.body.is_empty(),
        sent: Cell::new(false),
        started: Cell::new(false),
        unframed: Cell::new(false),
    };
    let view = RequestView::new(
        head.authority(),
        head.path(),
        client.transport.peer_addr().ip(),
    );
    let Some(router) = client
        .worker
        .route(client.entry_point, client.transport.is_tls(), &view)
    else {
        return refuse(client, &asked, facts, rest, Status::NOT_FOUND).await;
    };
    drop(view);
    let Some(service) = &router.service else {
        return refuse(client, &asked, facts, rest, Status::NOT_FOUND).await;
    };
    let Some(picked) = client.worker.pick(service) else {
        return refuse(client, &asked, facts, rest, Status::SERVICE_UNAVAILABLE).await;
    };
    forwarded::set(
        &mut scratch.request,
        client.transport.peer_addr(),
        client.transport.is_tls(),
        &client.worker.hostname,
    );
    match forward(client, &picked, scratch, facts, rest, &asked).await {
        Ok(next) => next,
        Err(failed) => {
            debug!(
                server = &*picked.server.name,
                router = &*router.name,
                "{failed}"
            );
            fail(client, &asked, &failed).await
        }
    }
}

/// Sends the request to the server, once more on a fresh connection if the pooled one turns out to be closed and
/// nothing can have happened twice.
async fn forward(
    client: &Client<'_>,
    picked: &Picked<'_>,
    scratch: &mut Scratch,
    facts: Request,
    mut rest: Option<Chunk>,
    asked: &Asked,
) -> Result<Next, Failed> {
    let head = encode(scratch, facts, picked);
    let repeatable = asked.bodyless && asked.method.is_idempotent();
    let idle_at_most = if repeatable {
        limits::UPSTREAM_IDLE_TIME
    } else {
        limits::UPSTREAM_IDLE_UNREPEATABLE
    };
    if let Some(server) = client.worker.pool.take(picked.server.id, idle_at_most) {
        let outgoing = (head.clone(), rest.take());
        match attempt(client, &server, scratch, facts, outgoing, asked).await {
            Err(Failed::Server(NoHead::Ended | NoHead::Failed(_)))
                if repeatable && !asked.started.get() => {}
            outcome => return settle(client, picked, server, outcome),
        }
    }
    // What the client has sent already is copied: no ring buffer is kept while connecting.
    let rest = rest.map(Chunk::into_owned);
    let stream = upstream::connect(picked.server)
        .await
        .map_err(Failed::Connect)?;
    let server = Transport::plain(stream);
    let outcome = attempt(client, &server, scratch, facts, (head, rest), asked).await;
    settle(client, picked, server, outcome)
}

fn encode(scratch: &Scratch, facts: Request, picked: &Picked<'_>) -> Chunk {
    let host = (!picked.load_balancer.pass_host_header).then_some(&*picked.server.authority);
    let mut bytes = Vec::with_capacity(limits::HEAD_BYTES_USUAL);
    http1::encode_request(
        &scratch.request,
        host,
        facts.body.announce(),
        ConnectionField::Omit,
        &mut bytes,
    );
    Chunk::from(bytes)
}

/// One try on one connection: the request out, the response back, both at the same time.
async fn attempt(
    client: &Client<'_>,
    server: &Transport,
    scratch: &mut Scratch,
    facts: Request,
    (head, rest): (Chunk, Option<Chunk>),
    asked: &Asked,
) -> Result<Delivered, Failed> {
    let mut queue = ChunkQueue::new();
    queue.push(head);
    let mut send = pin!(body::relay(
        client.transport,
        server,
        facts.body,
        facts.body.announce(),
        queue,
        rest
    ));
    let mut deliver = pin!(response::deliver(client, server, scratch, asked));
    let mut gone = pin!(gone(client.transport));
    let mut sending = true;
    loop {
        tokio::select! {
            biased;
            sent = &mut send, if sending => {
                sending = false;
                match sent {
                    Ok(()) => asked.sent.set(true),
                    // The server has stopped reading; what it has to say about that comes as a response, or not.
                    Err(BodyError::Send(_)) => {}
                    Err(error) => return Err(Failed::Client(error)),
                }
            }
            delivered = &mut deliver => return delivered,
            () = &mut gone, if !sending && !asked.started.get() => return Err(Failed::Gone),
        }
    }
}

/// Resolves when the client has gone: its connection failed, or it ended its side a while ago. A client that asks for
/// more while it waits is there.
async fn gone(client: &Transport) {
    loop {
        match client.recv().await {
            Ok(Some(next)) => {
                client.unread(next);
                return std::future::pending().await;
            }
            Ok(None) => return tokio::time::sleep(limits::HALF_CLOSED).await,
            // A client may wait for longer than it may stall.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(_) => return,
        }
    }
}

/// Keeps the server's connection if it is of further use, and says what becomes of the client's.
fn settle(
    client: &Client<'_>,
    picked: &Picked<'_>,
    server: Transport,
    outcome: Result<Delivered, Failed>,
) -> Result<Next, Failed> {
    let delivered = outcome?;
    if delivered.server_persists {
        client.worker.pool.put(picked.server.id, server);
    }
    Ok(if delivered.client_persists {
        Next::Request
    } else {
        Next::Linger
    })
}

/// Answers a request that no server gets. A body that comes with it is not read: the connection ends.
async fn refuse(
    client: &Client<'_>,
    asked: &Asked,
    facts: Request,
    rest: Option<Chunk>,
    status: Status,
) -> Next {
    let persists = facts.keep_alive && facts.body.is_empty() && !client.worker.is_stopping();
    let connection = response::connection_field(persists, asked.version);
    if let Some(rest) = rest {
        client.transport.unread(rest);
    }
    match client
        .answer(status, asked.method == Method::Head, connection)
        .await
    {
        Ok(()) if persists => Next::Request,
        Ok(()) => Next::Linger,
        Err(_) => Next::Close,
    }
}

/// Answers a request that failed on its way, if nothing has been answered yet.
async fn fail(client: &Client<'_>, asked: &Asked, failed: &Failed) -> Next {
    if asked.unframed.get() {
        // A close would make what the client has got look whole.
        client.transport.abort();
    }
    let Some(status) = failed.status().filter(|_| !asked.started.get()) else {
        return Next::Close;
    };
    match client
        .answer(status, asked.method == Method::Head, ConnectionField::Close)
        .await
    {
        Ok(()) => Next::Linger,
        Err(_) => Next::Close,
    }
}

impl Failed {
    /// What the client is told; `None` where it is gone.
    fn status(&self) -> Option<Status> {
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
