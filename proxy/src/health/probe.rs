//! Asking a server whether it is well: one connection, one question, one answer.
//!
//! The caller bounds the time. Each error is one line for the log and `weir status`.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::handshakes::Handshakes;
use crate::limits::HEALTH_EXPECT_BYTES_MAX;
use crate::service::{Question, ServerTls, Target};

mod http;
mod http2;

/// A connection, with or without TLS.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<C: AsyncRead + AsyncWrite + Send + Unpin> Connection for C {}

/// Asks the server.
///
/// # Errors
/// Why it is not well.
pub async fn ask(target: &Target, handshakes: &Handshakes) -> Result<(), String> {
    match &target.check.question {
        Question::Http(question) => http::ask(target, question, handshakes).await,
        Question::Grpc(question) => http::ask_grpc(target, question, handshakes).await,
        Question::Tcp { send, expect } => tcp(target, (send, expect), handshakes).await,
    }
}

/// Where the check connects to.
fn addresses(target: &Target) -> Result<Vec<SocketAddr>, String> {
    let server = &target.server;
    if let Some(reason) = &server.unresolved {
        return Err(reason.to_string());
    }
    let port = target.check.port;
    let addressed = server.addresses.iter().copied().map(|mut address| {
        address.set_port(port.unwrap_or(address.port()));
        address
    });
    Ok(addressed.collect())
}

/// How a server's TLS begins, if there is any.
fn tls<'t>(
    tls: Option<&'t ServerTls>,
    handshakes: &'t Handshakes,
) -> Option<(&'t ServerTls, &'t Handshakes)> {
    tls.map(|tls| (tls, handshakes))
}

/// Connects to the first that answers. `protocol` is offered by ALPN where one is given.
async fn connect(
    addresses: &[SocketAddr],
    tls: Option<(&ServerTls, &Handshakes)>,
    protocol: Option<&[u8]>,
) -> Result<Box<dyn Connection>, String> {
    let mut last = "it has no address".to_owned();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return dress(stream, tls, protocol).await,
            Err(error) => last = format!("no connection to {address}: {error}"),
        }
    }
    Err(last)
}

async fn dress(
    stream: TcpStream,
    tls: Option<(&ServerTls, &Handshakes)>,
    protocol: Option<&[u8]>,
) -> Result<Box<dyn Connection>, String> {
    // Nothing here waits for more to send.
    let _ = stream.set_nodelay(true);
    let Some((tls, handshakes)) = tls else {
        return Ok(Box::new(stream));
    };
    let mut config = tokio_rustls::rustls::ClientConfig::clone(&tls.config);
    config.alpn_protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
    let connected = handshakes.connect(config, tls.name.clone(), stream);
    let stream = connected.await.map_err(|error| format!("TLS: {error}"))?;
    Ok(Box::new(stream))
}

async fn tcp(
    target: &Target,
    (send, expect): (&[u8], &[u8]),
    handshakes: &Handshakes,
) -> Result<(), String> {
    let addresses = addresses(target)?;
    let mut connection = connect(&addresses, tls(target.tls.as_ref(), handshakes), None).await?;
    let written = connection.write_all(send).await;
    written.map_err(|error| format!("it does not take what is sent: {error}"))?;
    let mut answer = vec![0; expect.len().min(HEALTH_EXPECT_BYTES_MAX)];
    let mut filled = 0;
    while filled < answer.len() {
        match connection.read(&mut answer[filled..]).await {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) => return Err(format!("no answer: {error}")),
        }
        if answer[..filled] != expect[..filled] {
            break;
        }
    }
    if answer[..filled] == *expect {
        return Ok(());
    }
    let (found, expected) = (answer[..filled].escape_ascii(), expect.escape_ascii());
    Err(format!("it answered \"{found}\" instead of \"{expected}\""))
}

fn broken(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it closed the connection without an answer".to_owned(),
        _ => format!("the connection failed: {error}"),
    }
}
