//! The resolver `tailscale`: certificates for this machine's name in its tailnet, from the tailscaled that runs here.
//!
//! Tailscaled obtains and keeps them; it is asked over its local socket, one name a certificate.
//! Source: `ipn/localapi/cert.go` in Tailscale.

use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::order::Failure;
use super::store::Record;
use super::web::{Answer, chain, escape};
use crate::limits::{ACME_ISSUE, PROVIDER_ANSWER_BYTES_MAX};
use crate::tls::KeyPair;

/// What tailscaled is called on its socket: it refuses other hosts.
const HOST: &str = "local-tailscaled.sock";
/// Seconds beyond the end of a certificate for which the next one is asked to be valid at least.
const LONGER: i64 = 3_600;

/// The certificate for a name. One that ends at `not_after` is to be renewed.
///
/// # Errors
/// See [`Failure`]: what tailscaled says is about the name, unless it is not there or asks for patience.
pub(super) async fn obtain(
    resolver: &str,
    socket: &Path,
    name: &str,
    not_after: Option<i64>,
    now: i64,
) -> Result<Record, Failure> {
    let refused = |said: String| Failure::Names(vec![(name.to_owned(), said)]);
    let mut target = format!("/localapi/v0/cert/{}?type=pair", escape(name));
    if let Some(not_after) = not_after.filter(|not_after| *not_after > now) {
        // Longer than the one that is there, so that it is not given again.
        target = format!("{target}&min_validity={}s", not_after - now + LONGER);
    }
    let asked = timeout(ACME_ISSUE, ask(socket, &target)).await;
    let away =
        |error: String| Failure::Authority(format!("tailscaled, {}: {error}", socket.display()));
    let answer = asked
        .map_err(|_| away(format!("no answer within {ACME_ISSUE:?}")))?
        .map_err(away)?;
    if answer.status != StatusCode::OK {
        return Err(refused(format!(
            "tailscaled: {}: {}",
            answer.status,
            answer.text()
        )));
    }
    let text = String::from_utf8_lossy(&answer.body);
    // The key comes first.
    let (key, certificate) = text
        .find("-----BEGIN CERTIFICATE-----")
        .map(|at| text.split_at(at))
        .ok_or_else(|| refused("tailscaled: an answer without a certificate".to_owned()))?;
    let pair = KeyPair::load(certificate, key).map_err(|error| refused(error.to_string()))?;
    if not_after.is_some_and(|not_after| pair.not_after() <= not_after) {
        return Err(refused(
            "tailscaled gives the certificate that is to be renewed; it is asked again".to_owned(),
        ));
    }
    Ok(Record {
        resolver: resolver.to_owned(),
        names: vec![name.to_owned()],
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        window: None,
    })
}

async fn ask(socket: &Path, target: &str) -> Result<Answer, String> {
    let stream = UnixStream::connect(socket).await;
    let stream = stream.map_err(|error| format!("{error}; is tailscaled running?"))?;
    let (mut sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| chain(&error))?;
    // It ends with the answer, or when nobody waits for that any more.
    tokio::spawn(connection);
    let request = Request::get(target)
        .header("host", HOST)
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| chain(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), PROVIDER_ANSWER_BYTES_MAX)
        .collect()
        .await;
    let body = body.map_err(|error| error.to_string())?;
    Ok(Answer {
        status,
        body: body.to_bytes(),
    })
}
