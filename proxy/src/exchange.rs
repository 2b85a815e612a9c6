//! One client connection, from accept to close: the only place where sockets, protocols and rules meet.
//!
//! Owns: the state of one worker ([`Worker`]) and the order in which a connection is decided: steered routers by the
//! client's address alone, then TCP routers, then TLS and HTTP by the first bytes. Never: a lock, a blocking call, or a
//! snapshot held while waiting. Invariants: whatever a client sends, it gets one answer or its connection is closed;
//! nothing that was refused reaches a server; a client is waited for with a deadline; a server that has the request,
//! and a tunnel, are waited for as long as the client is there.

mod answer;
mod body;
mod budget;
mod challenge;
mod clients;
mod complaints;
mod connection;
mod course;
mod decision;
mod departure;
mod encoded;
mod forward;
mod forwarded;
mod head;
mod hello;
mod hold;
mod http2;
mod own_routers;
mod passage;
mod passive;
mod proxied;
mod queue;
mod request;
mod request_id;
mod response;
mod scratch;
mod server;
mod sides;
mod switched;
mod tcp;
mod tunnel;
mod worker;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use tracing::debug;

use crate::clock;
use crate::config::static_file::EntryPoint;
use crate::config::{EntryPointTable, Taker};
use crate::failure::Failure;
use crate::net::Stream;
use crate::router::{Agreed, TcpRouter, TcpTls};
use crate::rule::ConnectionView;
use crate::service::Server;
use crate::tls::client_hello::RECORD_HANDSHAKE;
use crate::tls::{ACME_TLS, ClientHello, Terms};
use crate::transport::Transport;
use crate::uring::{self, Chunk};
use crate::{limits, upstream};

pub use clients::Clients;
pub use worker::{Servers, Worker};

use decision::Visitor;
use tunnel::Patience;

/// What a ClientHello of SSL 2 begins with: rustls refuses it in the way of TLS.
const SSL2_HELLO: u8 = 0x80;

/// A client's connection on which HTTP is spoken.
struct Client<'a> {
    worker: &'a Worker,
    transport: &'a Transport,
    entry_point: usize,
    /// What its TLS began with.
    agreed: Option<Agreed>,
}

impl Client<'_> {
    fn visitor(&self) -> Visitor<'_> {
        Visitor {
            worker: self.worker,
            entry_point: self.entry_point,
            address: self.transport.peer_addr(),
            tls: self.transport.is_tls(),
            agreed: self.agreed.as_ref(),
        }
    }

    /// The configuration of the entry point that accepted it.
    fn entry_point(&self) -> &EntryPoint {
        &self.worker.config.entry_points[self.entry_point]
    }
}

/// What happens to a connection.
enum Plan {
    /// Bytes go to a server of a steered pool.
    Steer(SocketAddr, Option<Arc<Server>>),
    /// Bytes go to a server of a TCP router's; those inside TLS, if that ends here.
    Tunnel(Arc<TcpRouter>, Option<Arc<Terms>>),
    /// HTTP in the clear.
    Http,
    /// HTTP inside TLS.
    Https(Arc<Terms>),
    /// An authority looks whether a name is ours: nothing follows the handshake (RFC 8737).
    Proof(Arc<rustls::ServerConfig>),
    /// What the client sends decides.
    Look,
    /// No router takes it, the one that does has an error, or its service has no server.
    Refuse,
}

/// Serves one accepted connection until it is closed. It counts from the call on, not from the first poll: a worker
/// that stops must not overlook what it has just accepted.
pub fn serve(
    worker: &Rc<Worker>,
    stream: Stream,
    entry_point: usize,
) -> impl Future<Output = ()> + use<> {
    let counted = worker.count_in();
    async move {
        let client = stream.peer_addr();
        if let Err(error) = decide(counted.worker(), stream, entry_point).await {
            debug!(%client, "connection ends: {error}");
        }
    }
}

async fn decide(worker: &Rc<Worker>, mut stream: Stream, entry_point: usize) -> io::Result<()> {
    let settings = &worker.config.entry_points[entry_point];
    let trusted = &settings.proxy_protocol;
    let peer = stream.peer_addr().ip();
    if trusted.as_ref().is_some_and(|trust| trust.covers(peer)) {
        let within = settings.limits.proxy_header;
        Box::pin(proxied::read_header(&mut stream, within)).await?;
    }
    let visitor = Visitor {
        worker,
        entry_point,
        address: stream.peer_addr(),
        tls: false,
        agreed: None,
    };
    let Some(_seat) = visitor.sit() else {
        let failure = Failure::ClientConnections;
        visitor.note(failure, b"", None, &failure.explanation());
        return Ok(());
    };
    let client = visitor.address.ip();
    let mut plan = worker.with_rules(entry_point, |table, _| at_once(table, client));
    if let Plan::Look = plan {
        stream.set_deadline(Some(uring::now() + visitor.settings().limits.first_bytes));
        let Some(first) = stream.recv().await? else {
            return Ok(());
        };
        plan = Box::pin(look(visitor, &stream, first)).await?;
    }
    carry_out(worker, stream, entry_point, plan).await
}

/// What the address alone decides.
fn at_once(table: &EntryPointTable, client: IpAddr) -> Plan {
    if let Some(rule) = table.steered.lookup(client) {
        let server = rule.pool.pick(client);
        return server.map_or(Plan::Refuse, |server| {
            Plan::Steer(server.addr, rule.pool.behind(server.addr).cloned())
        });
    }
    match table.at_once(client) {
        Taker::Tcp(router) => Plan::Tunnel(Arc::clone(router), None),
        Taker::Nobody => Plan::Refuse,
        Taker::Http | Taker::Undecided => Plan::Look,
    }
}

/// What the first bytes decide; they are received again.
async fn look(visitor: Visitor<'_>, stream: &Stream, first: Chunk) -> io::Result<Plan> {
    let Visitor {
        worker,
        entry_point,
        ..
    } = visitor;
    let client = visitor.address.ip();
    let kind = first.first().copied();
    if !matches!(kind, Some(RECORD_HANDSHAKE | SSL2_HELLO)) {
        stream.unread(first);
        return Ok(
            worker.with_rules(entry_point, |table, _| match table.of_plain(client) {
                Taker::Tcp(router) => Plan::Tunnel(Arc::clone(router), None),
                _ => Plan::Http,
            }),
        );
    }
    // To the end of the handshake, whoever answers it.
    let patience = visitor.settings().limits.tls_handshake;
    stream.set_deadline(Some(uring::now() + patience));
    let reads_hello = worker.with_rules(entry_point, |table, rules| {
        table.reads_hello() || !rules.shared.handshakes.load().is_empty()
    });
    let hello = match kind {
        Some(RECORD_HANDSHAKE) if reads_hello => hello::read(stream, first).await?,
        _ => {
            stream.unread(first);
            ClientHello::default()
        }
    };
    let protocols: Vec<&[u8]> = hello.protocols().collect();
    if protocols.contains(&ACME_TLS) {
        let shared = worker.with_rules(entry_point, |_, rules| Arc::clone(&rules.shared));
        if let Some(config) = shared.handshakes.load().get(hello.server_name()) {
            return Ok(Plan::Proof(Arc::clone(config)));
        }
    }
    let view = ConnectionView::tls(client, hello.server_name(), protocols);
    let plan = worker.with_rules(entry_point, |table, _| match table.of_tls(&view) {
        Taker::Tcp(router) => tunnel_plan(table, router),
        _ => match table.terms.find(hello.server_name()) {
            Some(terms) => Plan::Https(Arc::clone(terms)),
            None => Plan::Refuse,
        },
    });
    match &plan {
        Plan::Https(terms) | Plan::Tunnel(_, Some(terms)) if terms.refuses(hello.server_name()) => {
            let failure = Failure::UnknownServerName;
            visitor.note(failure, b"", None, &failure.explanation());
            hello::refuse(stream).await?;
            Ok(Plan::Refuse)
        }
        _ => Ok(plan),
    }
}

/// What a TCP router does with TLS; one without terms has an error.
fn tunnel_plan(table: &EntryPointTable, router: &Arc<TcpRouter>) -> Plan {
    match (router.tls, table.terms_of(router)) {
        (Some(TcpTls::Terminate), None) => Plan::Refuse,
        (_, terms) => Plan::Tunnel(Arc::clone(router), terms.cloned()),
    }
}

/// What is boxed here is not for the task of an idle HTTP/1.1 connection to hold room for.
async fn carry_out(
    worker: &Rc<Worker>,
    stream: Stream,
    entry_point: usize,
    plan: Plan,
) -> io::Result<()> {
    let (config, terms) = match &plan {
        Plan::Https(terms) => (Some(terms.http()), Some(terms)),
        Plan::Tunnel(_, Some(terms)) => (Some(terms.tcp()), Some(terms)),
        Plan::Proof(config) => (Some(config), None),
        _ => (None, None),
    };
    let transport = match config {
        Some(config) => {
            let visitor = Visitor {
                worker,
                entry_point,
                address: stream.peer_addr(),
                tls: true,
                agreed: None,
            };
            let accepted = Box::pin(Transport::accept_tls(stream, config)).await;
            let verified = accepted.and_then(|transport| {
                terms.map_or(Ok(()), |terms| {
                    transport.verify_resumed(terms, clock::unix_seconds())
                })?;
                Ok(transport)
            });
            verified.inspect_err(|error| visitor.note(Failure::ClientTls, b"", None, error))?
        }
        None => Transport::plain(stream),
    };
    let agreed = terms.map(|terms| Agreed {
        options: Arc::clone(terms.options()),
        server_name: transport.server_name(),
    });
    let patience = Patience {
        idle: worker.config.entry_points[entry_point].limits.tunnel_idle,
        after_end: None,
    };
    match plan {
        Plan::Steer(address, behind) => {
            let within = Some(limits::UPSTREAM_CONNECT);
            let _running = behind.as_ref().map(|server| worker.runs_on(server));
            let server = Box::pin(upstream::connect_to(&[address], within)).await?;
            Box::pin(tunnel(
                worker,
                &transport,
                &Transport::plain(server),
                patience,
            ))
            .await
        }
        Plan::Tunnel(router, _) => {
            let Some(service) = &router.service else {
                worker.failures.add(Failure::RouterError);
                return Ok(());
            };
            let connected = Box::pin(tcp::connect(worker, service, &transport)).await?;
            let Some(connected) = connected else {
                return Ok(());
            };
            let server = connected.server;
            let patience = Patience {
                after_end: server.transport.tcp.termination_delay,
                ..patience
            };
            let _running = worker.runs_on(server);
            Box::pin(tunnel(worker, &transport, &connected.transport, patience)).await
        }
        Plan::Http | Plan::Https(_) => {
            let is_http2 = match transport.alpn() {
                Some(name) => name == b"h2",
                None => !transport.is_tls() && Box::pin(http2::sniff(&transport)).await?,
            };
            if is_http2 {
                Box::pin(http2::serve(worker, transport, entry_point, agreed)).await;
                return Ok(());
            }
            connection::serve(&Client {
                worker,
                transport: &transport,
                entry_point,
                agreed,
            })
            .await
        }
        Plan::Proof(_) => {
            transport.close().await;
            Ok(())
        }
        Plan::Look | Plan::Refuse => Ok(()),
    }
}

async fn tunnel(
    worker: &Worker,
    client: &Transport,
    server: &Transport,
    patience: Patience,
) -> io::Result<()> {
    let ended = tokio::select! {
        ended = tunnel::run(client, server, patience) => ended,
        () = worker.resets(server.peer_addr()) => Err(io::ErrorKind::ConnectionReset.into()),
    };
    ended.inspect_err(|_| {
        // A failure on one side must not look like an orderly end on the other.
        client.abort();
        server.abort();
    })
}
