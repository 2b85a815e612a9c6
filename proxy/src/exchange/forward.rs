//! One request to a server and back, between a client and a server of any protocol.
//!
//! The request's body and the response travel at the same time: a server may answer before it has read everything, and
//! may send interim responses (100, 103) that the client waits for.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};

use tracing::debug;

use super::answer::Answer;
use super::body::{self, BodyError, Http1Sink, Keeping, Kept, Sink, Source};
use super::course;
use super::decision::Visitor;
use super::head::NoHead;
use super::response::{self, Delivered, Failed};
use super::scratch::Scratch;
use super::server::Http1Server;
use super::sides::{Downstream, Upstream};
use super::switched::Switched;
use super::worker::Worker;
use crate::config::static_file::EntryPoint;
use crate::failure::Failure;
use crate::http::{Method, RequestHead, ResponseHead, Status, name};
use crate::http1::{self, BodyLength, ConnectionField, HeadLimits, upgrade};
use crate::limits;
use crate::service::{Picked, Scheme, Server};
use crate::transport::Transport;
use crate::upstream::Way;
use crate::uring::{self, Chunk, ChunkQueue};

/// What is known of a request while it is carried out.
pub struct Asked {
    /// The method.
    pub method: Method,
    /// What follows its head.
    pub body: BodyLength,
    /// The request has gone out to its end.
    pub sent: Cell<bool>,
    /// The client has got the first byte of a final response.
    pub started: Cell<bool>,
    /// Its client waits for 100 (Continue) before it sends the body, and no interim response has come.
    pub waits: Cell<bool>,
    /// When its first byte came.
    pub begun: Cell<Instant>,
    /// What has been read of its body, for as long as it may be sent once more.
    pub kept: Kept,
}

impl Asked {
    /// A request that nobody has seen yet.
    pub fn new(method: Method, body: BodyLength) -> Self {
        Self {
            method,
            body,
            sent: Cell::new(false),
            started: Cell::new(false),
            waits: Cell::new(false),
            begun: Cell::new(uring::now()),
            kept: Kept::default(),
        }
    }

    /// Its response begins: from now on it is sent to nobody else.
    pub fn start(&self) {
        self.started.set(true);
        self.kept.give_up();
    }

    /// Whether a server that answers can have got all of it: one without a body it has read, whatever the completion
    /// of the send says later.
    pub fn is_sent(&self) -> bool {
        self.body.is_empty() || self.sent.get()
    }

    /// Whether it may be sent again if it is not known to have arrived.
    pub fn is_repeatable(&self) -> bool {
        self.body.is_empty() && self.method.is_idempotent()
    }
}

/// Why a request was not served to its end.
pub enum Unserved {
    /// No server was asked: the client is told why.
    Refused(Failure),
    /// No server was asked: a middleware answers.
    Answered(Answer),
    /// It failed on its way.
    Failed(Failure),
}

/// One exchange: who asks, what, and with which body.
pub struct Exchange<'a, D, B> {
    /// Where the request comes from.
    pub visitor: Visitor<'a>,
    /// Who gets the response.
    pub client: &'a D,
    /// The request's body.
    pub body: &'a mut B,
    /// The request.
    pub asked: &'a Asked,
}

/// Routes the request in `scratch`, sends it to a server and relays the response.
///
/// # Errors
/// What is left to tell the client.
pub async fn serve<D: Downstream, B: Source>(
    mut exchange: Exchange<'_, D, B>,
    scratch: &mut Scratch,
) -> Result<(), Unserved> {
    let visitor = exchange.visitor;
    let head = &mut scratch.request;
    let trust = &visitor.settings().forwarded_headers.trust;
    let trusted = trust.covers(visitor.address.ip());
    visitor.worker.ids.assign(&mut head.headers, trusted);
    let refused = |failure: Failure, head: &RequestHead| {
        visitor.note(failure, id_of(head), None, &failure.explanation());
        Unserved::Refused(failure)
    };
    let most = visitor.settings().limits.body;
    if matches!((exchange.asked.body, most), (BodyLength::Length(length), Some(most)) if length > most)
    {
        return Err(refused(Failure::BodyTooLarge, head));
    }
    let router = visitor
        .route(head)
        .map_err(|failure| refused(failure, head))?;
    visitor.vouch(head);
    exchange
        .asked
        .waits
        .set(head.headers.contains(name::EXPECT));
    if let Err(mut answer) = scratch.passage.enter(visitor, &router, head) {
        scratch.passage.leave(visitor, head, &mut answer.head);
        return Err(Unserved::Answered(answer));
    }
    course::run(&mut exchange, &router, scratch).await
}

/// The request's id.
pub fn id_of(head: &RequestHead) -> &[u8] {
    head.headers.get(name::X_REQUEST_ID).unwrap_or_default()
}

impl<D: Downstream, B: Source> Exchange<'_, D, B> {
    /// Sends the request to this server, and leaves the request as it was.
    pub async fn on(&mut self, picked: &Picked<'_>, scratch: &mut Scratch) -> Result<(), Failed> {
        let _running = self.visitor.worker.runs_on(picked.server);
        let base = &*picked.server.base_path;
        if base.is_empty() {
            return self.forward(picked, scratch).await;
        }
        let request = &scratch.request;
        let (path, query) = (
            request.path().to_owned(),
            request.query().map(str::to_owned),
        );
        put_base_path(&mut scratch.request, base);
        let outcome = self.forward(picked, scratch).await;
        scratch.request.set_target(&path, query.as_deref());
        outcome
    }

    /// Whether another server may be asked: this one has not got the request, or nothing can have happened twice.
    pub fn may_go_elsewhere(&self, failed: &Failed) -> bool {
        matches!(failed, Failed::Connect(_)) || self.is_to_be_repeated(failed)
    }

    /// Sends the request to the server, once more on another connection if the first one fails before any response and
    /// nothing can have happened twice. Servers close idle HTTP/1.1 connections as they like; but one that refuses each
    /// stream, or resets each connection, must not get twice as many requests for it: that is paid for.
    async fn forward(&mut self, picked: &Picked<'_>, scratch: &mut Scratch) -> Result<(), Failed> {
        let server = picked.server;
        // An upgrade is a matter of HTTP/1.1, except where nothing else is spoken.
        let upgrade = scratch.request.upgrade.is_some() && server.scheme != Scheme::H2c;
        let (way, may_be_stale) = match self.idle(server, upgrade) {
            Some(way) => (way, true),
            None => (self.open(server, upgrade, None).await?, false),
        };
        let (first, is_free, other) = match &way {
            Way::Http2(slot) => (slot.peer_addr(), false, true),
            Way::Http1(transport) => (
                transport.peer_addr(),
                may_be_stale,
                may_be_stale || server.addresses.len() > 1,
            ),
        };
        let outcome = self.one_try(picked, way, scratch).await;
        let broke = outcome
            .as_ref()
            .is_err_and(|failed| self.is_to_be_repeated(failed));
        if !(other && broke && (is_free || self.visitor.worker.retries.withdraw())) {
            return outcome;
        }
        let way = self.open(server, upgrade, Some(first)).await?;
        self.one_try(picked, way, scratch).await
    }

    /// Room on a connection that is open.
    fn idle(&self, server: &Server, upgrade: bool) -> Option<Way> {
        let worker = self.visitor.worker;
        if !upgrade
            && server.may_speak_http2()
            && let Some(slot) = worker.multiplexed.take(server)
        {
            return Some(Way::Http2(slot));
        }
        let at_most = (!self.asked.is_repeatable()).then_some(limits::UPSTREAM_IDLE_UNREPEATABLE);
        worker.pool.take(server, at_most).map(Way::Http1)
    }

    /// A fresh connection, or room on one that has been opened meanwhile; `avoid` is the address to try last.
    /// Boxed: most requests find an idle connection, and hold no room for this.
    async fn open(
        &mut self,
        server: &Server,
        upgrade: bool,
        avoid: Option<SocketAddr>,
    ) -> Result<Way, Failed> {
        self.body.copy_out();
        let Worker {
            pool, multiplexed, ..
        } = self.visitor.worker;
        let opened = if !upgrade && server.may_speak_http2() {
            let connect = pool.connect(server, avoid);
            Box::pin(multiplexed.take_or_open(server, connect)).await
        } else {
            let connect = pool.connect_http1(server, avoid);
            Box::pin(connect).await.map(Way::Http1)
        };
        opened.map_err(Failed::Connect)
    }

    /// Whether another connection may not fail as this one did. A server that is slow does again.
    fn is_to_be_repeated(&self, failed: &Failed) -> bool {
        let nothing_happened = match failed {
            Failed::Server(NoHead::Unprocessed) => self.asked.kept.is_whole(),
            Failed::Server(NoHead::Ended) => self.asked.is_repeatable(),
            Failed::Server(NoHead::Failed(error)) => {
                error.kind() != io::ErrorKind::TimedOut && self.asked.is_repeatable()
            }
            _ => false,
        };
        nothing_happened && !self.asked.started.get()
    }

    /// One try; an HTTP/1.1 connection that is of further use is kept.
    async fn one_try(
        &mut self,
        picked: &Picked<'_>,
        way: Way,
        scratch: &mut Scratch,
    ) -> Result<(), Failed> {
        let transport = match way {
            Way::Http2(slot) => return self.http2(picked, slot, scratch).await,
            Way::Http1(transport) => transport,
        };
        let head = encode(scratch, self.asked.body, picked);
        let server = picked.server;
        if self.http1(server, &transport, head, scratch).await? {
            self.visitor.worker.pool.put(server, transport);
        }
        Ok(())
    }

    /// One try on an HTTP/1.1 connection; whether that can carry another request.
    async fn http1(
        &mut self,
        server: &Server,
        transport: &Transport,
        head: Chunk,
        scratch: &mut Scratch,
    ) -> Result<bool, Failed> {
        let body = self.asked.body;
        let sink = Http1Sink::new(transport, head, body, body.announce());
        let within = server.transport.http.response_header;
        let trailers = self.visitor.settings().limits.trailers;
        let mut server = Http1Server::new(transport, head_limits(server), trailers);
        match self.attempt(sink, &mut server, scratch, within).await? {
            Delivered::Whole => Ok(server.keeps_alive() && self.asked.sent.get()),
            Delivered::Switched => {
                let first = server.take_rest();
                Box::pin(self.switched(transport, first, &scratch.response)).await;
                Ok(false)
            }
        }
    }

    /// Sends the 101 and relays what follows it.
    async fn switched(&mut self, server: &Transport, first: Option<Chunk>, head: &ResponseHead) {
        let idle = self.visitor.settings().limits.tunnel_idle;
        for side in [self.body.transport(), Some(server)].into_iter().flatten() {
            side.set_idle(idle);
        }
        self.asked.start();
        let protocols = head.upgrade.as_deref().unwrap_or_default();
        let relay = Switched {
            server,
            first,
            websocket: upgrade::is_websocket(protocols),
            worker: self.visitor.worker,
        };
        let outcome = match self.client.switch(head) {
            Ok(sink) => relay.run(self.body, sink).await,
            Err(error) => Err(BodyError::Send(error)),
        };
        if let Err(error) = outcome {
            debug!(client = %self.visitor.address, "an upgraded connection ends: {error}");
            // A failure on one side must not look like an orderly end on the other.
            server.abort();
            if let Some(client) = self.body.transport() {
                client.abort();
            }
        }
    }

    /// One try: the request out, the response back, both at the same time. `within` is how long the head of the
    /// response may take once the request has gone out.
    pub async fn attempt<U: Upstream>(
        &mut self,
        mut sink: impl Sink,
        server: &mut U,
        scratch: &mut Scratch,
        within: Option<Duration>,
    ) -> Result<Delivered, Failed> {
        let (client, asked, visitor) = (self.client, self.asked, self.visitor);
        let EntryPoint {
            limits, timeouts, ..
        } = self.visitor.settings();
        asked.sent.set(false);
        let mut body = Keeping::new(self.body, &asked.kept, U::MAY_REFUSE);
        let nothing = ChunkQueue::new();
        let mut send = pin!(body::relay(&mut body, &mut sink, limits.body, nothing));
        let mut deliver = pin!(response::deliver(visitor, client, server, scratch, asked));
        let mut gone = pin!(client.gone());
        let mut slow = pin!(late(uring::now(), timeouts.write));
        let mut overdue = pin!(late(asked.begun.get(), timeouts.read));
        let mut sending = true;
        let mut headless = pin!(late(uring::now(), None));
        let waits = asked.waits.get().then_some(limits::CONTINUE);
        let mut silent = pin!(late(uring::now(), waits));
        loop {
            tokio::select! {
                biased;
                sent = &mut send, if sending => {
                    sending = false;
                    headless.set(late(uring::now(), within));
                    match sent {
                        Ok(()) => asked.sent.set(true),
                        // The server has stopped reading; what it has to say about that comes as a response, or not.
                        Err(BodyError::Send(_)) => {}
                        Err(error) => return Err(Failed::Client(error)),
                    }
                }
                delivered = &mut deliver => {
                    if sending && matches!(delivered, Ok(Delivered::Switched)) {
                        // A send that is dropped before its end is the connection's last.
                        send.await.map_err(Failed::Client)?;
                    }
                    return delivered;
                }
                () = &mut headless, if !sending => match asked.started.get() {
                    true => headless.set(late(uring::now(), None)),
                    false => return Err(late_head()),
                },
                () = &mut silent => {
                    silent.set(late(uring::now(), None));
                    Box::pin(encourage(client, asked)).await?;
                }
                () = &mut gone, if !sending => return Err(Failed::Gone),
                () = &mut overdue, if sending => {
                    return Err(Failed::Client(BodyError::Receive(io::ErrorKind::TimedOut.into())));
                }
                () = &mut slow => return Err(Failed::Slow),
            }
        }
    }
}

/// Tells a client that waits for 100 (Continue) to go on: not every server does, and not every client goes on by itself
/// (RFC 9110 section 10.1.1).
async fn encourage(client: &impl Downstream, asked: &Asked) -> Result<(), Failed> {
    if !asked.waits.take() || !asked.kept.is_untouched() {
        return Ok(());
    }
    let go_on = ResponseHead {
        status: Status::CONTINUE,
        ..ResponseHead::default()
    };
    let sent = client.interim(&go_on).await;
    sent.map_err(|error| Failed::Deliver(BodyError::Send(error)))
}

/// Puts the path of the server's URL before that of the request, with one `/` between (`preservePath`).
fn put_base_path(request: &mut RequestHead, base: &str) {
    if base.is_empty() {
        return;
    }
    let (path, query) = (request.path(), request.query().map(str::to_owned));
    let path = path.strip_prefix('/').unwrap_or(path);
    let joined = format!("{}/{path}", base.strip_suffix('/').unwrap_or(base));
    request.set_target(&joined, query.as_deref());
}

/// Resolves so long after `begun`; never without a time, and then it costs nothing.
async fn late(begun: Instant, time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep_until((begun + time).into()).await,
        None => std::future::pending().await,
    }
}

fn late_head() -> Failed {
    Failed::Server(NoHead::Failed(io::ErrorKind::TimedOut.into()))
}

/// What a server may say in the head of a response.
pub(super) fn head_limits(server: &Server) -> HeadLimits {
    let http = &server.transport.http;
    HeadLimits {
        request_line: http.head_bytes.min(limits::REQUEST_LINE_BYTES_MAX),
        fields: http.head_fields,
        bytes: http.head_bytes,
    }
}

fn encode(scratch: &Scratch, body: BodyLength, picked: &Picked<'_>) -> Chunk {
    let request = &scratch.request;
    // HTTP/1.0 clients may name no host; servers are spoken to in HTTP/1.1, which needs one.
    let own = !picked.load_balancer.pass_host_header || request.authority().is_empty();
    let host = own.then_some(&*picked.server.authority);
    let connection = match request.upgrade {
        Some(_) => ConnectionField::Upgrade,
        None => ConnectionField::Omit,
    };
    let mut bytes = Vec::with_capacity(limits::HEAD_BYTES_USUAL);
    http1::encode_request(request, host, body.announce(), connection, &mut bytes);
    Chunk::from(bytes)
}
