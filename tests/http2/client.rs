//! A client of the `h2` crate, one request after the other.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::DEADLINE;
use crate::support::tls::trusting;

/// A whole response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Runs a test's future to its end, or panics.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    run_within(DEADLINE, test)
}

/// The same, for what moves much.
pub fn run_within<T>(deadline: Duration, test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let timely = async { tokio::time::timeout(deadline, test).await };
    local
        .block_on(&runtime, timely)
        .expect("within the deadline")
}

/// A connection with prior knowledge.
pub async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    connect_with(address, &client::Builder::new()).await
}

/// The same, with these settings.
pub async fn connect_with(address: SocketAddr, builder: &client::Builder) -> SendRequest<Bytes> {
    let socket = TcpStream::connect(address).await.expect("connect to weir");
    socket.set_nodelay(true).expect("an option");
    let (client, connection) = builder.handshake(socket).await.expect("HTTP/2");
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    client
}

/// A connection over TLS.
pub async fn connect_tls(address: SocketAddr) -> SendRequest<Bytes> {
    let socket = TcpStream::connect(address).await.expect("connect to weir");
    socket.set_nodelay(true).expect("an option");
    let name = "a.example".try_into().expect("a name");
    let secure = TlsConnector::from(Arc::new(trusting(&[b"h2"]))).connect(name, socket);
    let secure = secure.await.expect("TLS");
    let (client, connection) = client::handshake(secure).await.expect("HTTP/2");
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    client
}

/// Sends a head; `ends` if nothing follows.
pub async fn begin(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    ends: bool,
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut ready = client.clone().ready().await.expect("a stream");
    ready.send_request(request, ends).expect("a request")
}

/// Sends a request without a body and reads the response.
pub async fn ask(client: &SendRequest<Bytes>, request: Request<()>) -> Answer {
    let (response, _) = begin(client, request, true).await;
    finish(response).await.expect("a response")
}

/// Reads the response.
pub async fn finish(response: ResponseFuture) -> Result<Answer, h2::Error> {
    read(response.await?).await
}

/// Reads the body.
pub async fn read(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (parts, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    Ok(Answer {
        status: parts.status.as_u16(),
        fields: parts.headers,
        body,
        trailers: stream.trailers().await?,
    })
}

/// Sends all of `body`, as fast as the windows allow.
pub async fn send(stream: &mut SendStream<Bytes>, mut body: Bytes, ends: bool) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = match stream.capacity() {
            0 => poll_fn(|cx| stream.poll_capacity(cx))
                .await
                .expect("open")
                .expect("room"),
            room => room,
        };
        let piece = body.split_to(room.min(body.len()));
        let last = ends && body.is_empty();
        stream.send_data(piece, last).expect("sent");
    }
}

/// A GET.
pub fn get(uri: &str) -> Request<()> {
    Request::get(uri).body(()).expect("a request")
}
