//! A server of the `h2` crate, in a thread of its own: gRPC-shaped, with prior knowledge.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};

use super::client::send;

/// A running server; its thread ends with the tests.
pub struct Peer {
    pub address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Peer {
    /// `/refuse-once` refuses the first stream, `/goaway` closes after its answer, `/interim` sends 103 first, anything
    /// else echoes the body with a trailer. `streams` is how many it allows on a connection.
    pub fn start(streams: u32) -> Self {
        let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = socket.local_addr().expect("bound");
        socket.set_nonblocking(true).expect("an option");
        let counts = Arc::<Counts>::default();
        let shared = Arc::clone(&counts);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                let listener = TcpListener::from_std(socket).expect("a listener");
                while let Ok((socket, _)) = listener.accept().await {
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    tokio::task::spawn_local(serve(socket, streams, Arc::clone(&shared)));
                }
            });
        });
        Self { address, counts }
    }

    pub fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }

    pub fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::Relaxed)
    }
}

async fn serve(socket: TcpStream, streams: u32, counts: Arc<Counts>) {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(streams);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(socket).await else {
        return;
    };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let count = counts.requests.fetch_add(1, Ordering::Relaxed);
        if request.uri().path() == "/refuse-once" && count == 0 {
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        if request.uri().path() == "/goaway" {
            connection.graceful_shutdown();
        }
        tokio::task::spawn_local(answer(request, respond));
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (parts, mut body) = request.into_parts();
    if parts.uri.path() == "/interim" {
        let hints = Response::builder()
            .status(103)
            .header("link", "</a>")
            .body(());
        let _ = respond.send_informational(hints.expect("a response"));
    }
    let text = |name: &str| parts.headers.get(name).cloned();
    let mut response = Response::builder().header("content-type", "application/grpc");
    if let Some(te) = text("te") {
        response = response.header("x-te", te);
    }
    if let Some(authority) = parts.uri.authority() {
        response = response.header("x-authority", authority.as_str());
    }
    let response = response.body(()).expect("a response");
    let Ok(mut stream) = respond.send_response(response, false) else {
        return;
    };
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        send(&mut stream, data, false).await;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a value"));
    if let Ok(Some(sent)) = body.trailers().await
        && let Some(value) = sent.get("x-sent")
    {
        trailers.insert("x-sent", value.clone());
    }
    let _ = stream.send_trailers(trailers);
}
