//! HTTP/2 on both sides of weir: clients of the `h2` crate, and a server of it.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, LocalSet};
use tokio_rustls::TlsConnector;

use super::clients::Crew;

/// How long one round may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Streams at once on a connection, of each kind.
const STREAMS: usize = 16;
/// Bytes of an upload, many times a window.
const UPLOAD: usize = 1 << 20;
/// Bytes of a response that is reset in its middle.
const LEFT: usize = 8 << 20;
const PIECE: usize = 16 << 10;

/// With prior knowledge, in the clear.
pub fn clear(crew: &Crew) -> io::Result<u64> {
    within(async {
        let stream = TcpStream::connect(crew.site.plain).await?;
        round(stream).await
    })
}

/// Over TLS, by ALPN.
pub fn secure(crew: &Crew) -> io::Result<u64> {
    within(async {
        let mut config = rustls::ClientConfig::clone(&crew.tls);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = "localhost".try_into().map_err(io::Error::other)?;
        let stream = TcpStream::connect(crew.site.secure).await?;
        let connector = TlsConnector::from(Arc::new(config));
        round(connector.connect(name, stream).await?).await
    })
}

fn within(work: impl Future<Output = io::Result<u64>>) -> io::Result<u64> {
    let timely = async { tokio::time::timeout(PATIENCE, work).await };
    LocalSet::new()
        .block_on(&runtime()?, timely)
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Downloads from servers of both protocols, uploads and streams that are reset, all at once on one connection.
async fn round(stream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> io::Result<u64> {
    let (client, connection) = h2::client::handshake(stream).await.map_err(plain)?;
    tokio::task::spawn_local(connection);
    let mut streams = JoinSet::new();
    for number in 0..STREAMS {
        let length = 10_000 * number;
        let paths = [format!("/bytes/{length}"), format!("/h2/{length}")];
        for path in paths {
            streams.spawn_local(download(client.clone(), path, length));
        }
    }
    for path in ["/upload", "/h2/upload"] {
        streams.spawn_local(upload(client.clone(), path));
    }
    streams.spawn_local(leave(client.clone(), format!("/bytes/{LEFT}")));
    streams.spawn_local(leave(client, format!("/h2/{LEFT}")));
    let (mut done, mut failed) = (0, None);
    while let Some(joined) = streams.join_next().await {
        match joined.map_err(io::Error::other)? {
            Ok(()) => done += 1,
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(done), Err)
}

async fn download(client: SendRequest<Bytes>, path: String, length: usize) -> io::Result<()> {
    let (response, _) = ask(client, &path, true).await?;
    match read(response.into_body()).await? == length {
        true => Ok(()),
        false => Err(io::Error::other("a body of another length")),
    }
}

async fn upload(client: SendRequest<Bytes>, path: &str) -> io::Result<()> {
    let (response, mut body) = {
        let (pending, body) = begin(client, path, false).await?;
        (pending, body)
    };
    let sent = async {
        for _ in 0..UPLOAD / PIECE {
            send(&mut body, Bytes::from_static(&[b'x'; PIECE])).await?;
        }
        body.send_data(Bytes::new(), true).map_err(plain)
    };
    let answered = async { read(good(response.await.map_err(plain)?)?.into_body()).await };
    let (sent, answered) = tokio::join!(sent, answered);
    // An answer that came early counts for more than what became of the rest.
    answered.and(sent)
}

/// Resets a response in its middle.
async fn leave(client: SendRequest<Bytes>, path: String) -> io::Result<()> {
    let (response, _) = ask(client, &path, true).await?;
    let mut body = response.into_body();
    body.data().await.transpose().map_err(plain).map(drop)
}

async fn ask(
    client: SendRequest<Bytes>,
    path: &str,
    end: bool,
) -> io::Result<(Response<RecvStream>, SendStream<Bytes>)> {
    let (response, body) = begin(client, path, end).await?;
    Ok((good(response.await.map_err(plain)?)?, body))
}

async fn begin(
    client: SendRequest<Bytes>,
    path: &str,
    end: bool,
) -> io::Result<(h2::client::ResponseFuture, SendStream<Bytes>)> {
    let method = if end { "GET" } else { "POST" };
    let request = Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"))
        .body(())
        .map_err(io::Error::other)?;
    let mut client = client.ready().await.map_err(plain)?;
    client.send_request(request, end).map_err(plain)
}

fn good(response: Response<RecvStream>) -> io::Result<Response<RecvStream>> {
    match response.status().is_success() {
        true => Ok(response),
        false => Err(io::Error::other(format!("HTTP/2 {}", response.status()))),
    }
}

async fn read(mut body: RecvStream) -> io::Result<usize> {
    let mut length = 0;
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(plain)?;
        length += piece.len();
        body.flow_control()
            .release_capacity(piece.len())
            .map_err(plain)?;
    }
    Ok(length)
}

/// Sends a piece when the window is open for it.
async fn send(body: &mut SendStream<Bytes>, mut piece: Bytes) -> io::Result<()> {
    while !piece.is_empty() {
        body.reserve_capacity(piece.len());
        let room = poll_fn(|cx| body.poll_capacity(cx)).await;
        let room = room.ok_or(io::ErrorKind::BrokenPipe)?.map_err(plain)?;
        let part = piece.split_to(room.min(piece.len()));
        body.send_data(part, false).map_err(plain)?;
    }
    Ok(())
}

fn plain(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::Other.into());
    }
    let reason = error.reason().map(|reason| format!("HTTP/2 {reason:?}"));
    io::Error::other(reason.unwrap_or_else(|| error.to_string()))
}

/// Starts a server that answers `/h2/N` with N bytes, and anything else with nothing once the body has come; it runs
/// until the process ends.
pub fn serve() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let (address, runtime) = (listener.local_addr()?, runtime()?);
    thread::spawn(move || {
        LocalSet::new().block_on(&runtime, async {
            let Ok(listener) = TcpListener::from_std(listener) else {
                return;
            };
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(converse(stream));
            }
        });
    });
    Ok(address)
}

async fn converse(stream: TcpStream) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        tokio::task::spawn_local(async move {
            let number = request.uri().path().strip_prefix("/h2/").map(str::parse);
            let length: usize = number.and_then(Result::ok).unwrap_or_default();
            read(request.into_body()).await?;
            let mut body = respond
                .send_response(Response::new(()), length == 0)
                .map_err(plain)?;
            if length > 0 {
                send(&mut body, Bytes::from(vec![b'x'; length])).await?;
                body.send_data(Bytes::new(), true).map_err(plain)?;
            }
            io::Result::Ok(())
        });
    }
    Ok(())
}
