//! A server of the `h2` crate, in a thread of its own: gRPC-shaped, with prior knowledge or over TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::client::send;
use crate::upstream::pki::Pki;

/// A running server; its thread ends with the tests.
pub struct Peer {
    pub address: SocketAddr,
    scheme: &'static str,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// The thread stands still while somebody else has it.
    alive: Mutex<()>,
}

impl Peer {
    /// `/refuse-once` refuses the first stream, `/goaway` closes after its answer, `/interim` sends 103 first, anything
    /// else echoes the body with a trailer. `streams` is how many it allows on a connection.
    pub fn start(streams: u32) -> Self {
        Self::begin(streams, None)
    }

    /// The same over TLS. `protocols` are those it agrees to; where it comes to HTTP/1.1, it greets WebSockets and
    /// answers anything else with "http/1.1".
    pub fn start_tls(streams: u32, protocols: &[&[u8]]) -> Self {
        let pair = Pki::new("the authority").server(&["127.0.0.1"]);
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.expect("a certificate")], key)
            .expect("a pair");
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Self::begin(streams, Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn begin(streams: u32, tls: Option<TlsAcceptor>) -> Self {
        let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = socket.local_addr().expect("bound");
        socket.set_nonblocking(true).expect("an option");
        let scheme = if tls.is_some() { "https" } else { "h2c" };
        let counts = Arc::<Counts>::default();
        let shared = Arc::clone(&counts);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                tokio::task::spawn_local(live(Arc::clone(&shared)));
                let listener = TcpListener::from_std(socket).expect("a listener");
                while let Ok((socket, _)) = listener.accept().await {
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    let (shared, tls) = (Arc::clone(&shared), tls.clone());
                    tokio::task::spawn_local(connection(socket, tls, streams, shared));
                }
            });
        });
        Self {
            address,
            scheme,
            counts,
        }
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Lets it neither read nor write while the guard lives.
    pub fn freeze(&self) -> MutexGuard<'_, ()> {
        self.counts.alive.lock().expect("no panic")
    }

    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }

    pub fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::Relaxed)
    }
}

async fn live(counts: Arc<Counts>) {
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(counts.alive.lock());
    }
}

async fn connection(
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    streams: u32,
    counts: Arc<Counts>,
) {
    let Some(tls) = tls else {
        return serve(socket, streams, counts).await;
    };
    let Ok(secure) = tls.accept(socket).await else {
        return;
    };
    match secure.get_ref().1.alpn_protocol() {
        Some(b"h2") => serve(secure, streams, counts).await,
        _ => drop(serve_http1(BufStream::new(secure), counts).await),
    }
}

/// HTTP/1.1, as far as tests need it: requests without a body.
async fn serve_http1(
    mut stream: impl AsyncBufRead + AsyncWrite + Unpin,
    counts: Arc<Counts>,
) -> io::Result<()> {
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        counts.requests.fetch_add(1, Ordering::Relaxed);
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let Some((_, key)) = fields.find(|(name, _)| *name == "Sec-WebSocket-Key") else {
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhttp/1.1";
            stream.write_all(answer.as_bytes()).await?;
            stream.flush().await?;
            continue;
        };
        let accept = weir::http1::websocket::accept(key.as_bytes());
        let accept = String::from_utf8_lossy(&accept).into_owned();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\nfrom the server"
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await?;
        return Ok(());
    }
}

async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin, streams: u32, counts: Arc<Counts>) {
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
