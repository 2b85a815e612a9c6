//! One client connection, from accept to close: the only place where sockets, protocols and rules meet.
//!
//! Owns: the state of one worker ([`Worker`]) and the order in which a connection is decided: steered routers by the
//! client's address alone, then TCP routers, then TLS and HTTP by the first byte. Never: a lock, a blocking call, or a
//! snapshot held while waiting. Invariants: whatever a client sends, it gets one answer or its connection is closed;
//! nothing that was refused reaches a server; a client is waited for with a deadline; a server that has the request,
//! and a tunnel, are waited for as long as the client is there.

mod answer;
mod body;
mod connection;
mod decision;
mod forward;
mod forwarded;
mod head;
mod request;
mod request_id;
mod response;
mod scratch;
mod server;
mod sides;
mod switched;
mod tunnel;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tracing::debug;

use crate::config::EntryPointTable;
use crate::config::static_file::EntryPoint;
use crate::net::Stream;
use crate::service::Server;
use crate::transport::Transport;
use crate::uring::{self, Chunk};
use crate::{limits, upstream};

pub use worker::Worker;

use decision::Visitor;

/// The first byte of a TLS record that can begin a connection: ContentType handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// A client's connection on which HTTP is spoken.
struct Client<'a> {
    worker: &'a Worker,
    transport: &'a Transport,
    entry_point: usize,
}

impl Client<'_> {
    fn visitor(&self) -> Visitor<'_> {
        Visitor {
            worker: self.worker,
            entry_point: self.entry_point,
            address: self.transport.peer_addr(),
            tls: self.transport.is_tls(),
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
    Steer(SocketAddr),
    /// Bytes go to a server of a TCP router.
    Tunnel(Arc<Server>),
    /// HTTP in the clear.
    Http,
    /// TLS ends here.
    Tls(Arc<rustls::ServerConfig>),
    /// The first bytes decide.
    Sniff,
    /// No router takes it, or its service has no server.
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

async fn decide(worker: &Worker, stream: Stream, entry_point: usize) -> io::Result<()> {
    let client = stream.peer_addr();
    let plan = worker.with_table(entry_point, |table, _| at_once(worker, table, client));
    let Plan::Sniff = plan else {
        return carry_out(worker, stream, entry_point, plan, None).await;
    };
    stream.set_deadline(Some(uring::now() + limits::CLIENT_FIRST_BYTES));
    let Some(first) = stream.recv().await? else {
        return Ok(());
    };
    let is_tls = first.first() == Some(&TLS_HANDSHAKE);
    let plan = worker.with_table(entry_point, |table, tls| {
        if is_tls {
            tls_plan(worker, table, tls, client)
        } else {
            plain_plan(worker, table, client)
        }
    });
    carry_out(worker, stream, entry_point, plan, Some(first)).await
}

/// What the address alone decides.
fn at_once(worker: &Worker, table: &EntryPointTable, client: SocketAddr) -> Plan {
    if let Some(rule) = table.steered.lookup(client.ip()) {
        return rule
            .pool
            .pick(client.ip())
            .map_or(Plan::Refuse, |server| Plan::Steer(server.addr));
    }
    if table.sniffs() {
        Plan::Sniff
    } else {
        tunnel_plan(worker, table.tcp.find(client.ip())).unwrap_or(Plan::Refuse)
    }
}

fn tls_plan(
    worker: &Worker,
    table: &EntryPointTable,
    tls: &Arc<rustls::ServerConfig>,
    client: SocketAddr,
) -> Plan {
    tunnel_plan(worker, table.passthrough.find(client.ip()))
        .unwrap_or_else(|| Plan::Tls(Arc::clone(tls)))
}

fn plain_plan(worker: &Worker, table: &EntryPointTable, client: SocketAddr) -> Plan {
    tunnel_plan(worker, table.tcp.find(client.ip())).unwrap_or(Plan::Http)
}

fn tunnel_plan(worker: &Worker, router: Option<&Arc<crate::router::TcpRouter>>) -> Option<Plan> {
    let router = router?;
    let picked = worker.pick(&router.service);
    Some(picked.map_or(Plan::Refuse, |picked| {
        Plan::Tunnel(Arc::clone(picked.server))
    }))
}

async fn carry_out(
    worker: &Worker,
    stream: Stream,
    entry_point: usize,
    plan: Plan,
    first: Option<Chunk>,
) -> io::Result<()> {
    match plan {
        Plan::Steer(address) => {
            let connect =
                async move { upstream::connect_to(&[address]).await.map(Transport::plain) };
            tunnel(stream, connect, first).await
        }
        Plan::Tunnel(server) => tunnel(stream, worker.pool.connect(&server), first).await,
        Plan::Tls(config) => {
            first.into_iter().for_each(|chunk| stream.unread(chunk));
            stream.set_deadline(Some(uring::now() + limits::TLS_HANDSHAKE));
            let transport = Transport::accept_tls(stream, &config).await?;
            connection::serve(&Client {
                worker,
                transport: &transport,
                entry_point,
            })
            .await
        }
        Plan::Http => {
            first.into_iter().for_each(|chunk| stream.unread(chunk));
            let transport = Transport::plain(stream);
            connection::serve(&Client {
                worker,
                transport: &transport,
                entry_point,
            })
            .await
        }
        Plan::Sniff | Plan::Refuse => Ok(()),
    }
}

async fn tunnel(
    client: Stream,
    server: impl Future<Output = io::Result<Transport>>,
    first: Option<Chunk>,
) -> io::Result<()> {
    // A ring buffer is not kept while the server is being connected to.
    let first = first.map(Chunk::into_owned);
    let server = server.await?;
    client.set_deadline(None);
    let client = Transport::plain(client);
    tunnel::run(&client, &server, first).await.inspect_err(|_| {
        // A failure on one side must not look like an orderly end on the other.
        client.abort();
        server.abort();
    })
}
