//! The same over HTTP/2, and the health checks of gRPC.
//!
//! Source: the gRPC Health Checking Protocol, `grpc.health.v1`.

use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::{Request, Response};

use super::Connection;
use super::http::{Answer, Place, fields};
use crate::http::Method;
use crate::limits::HEALTH_EXPECT_BYTES_MAX;
use crate::service::{HttpQuestion, Scheme};

/// An empty message, which asks about the server as a whole: not compressed, of no bytes.
const CHECK: [u8; 5] = [0; 5];

/// One request on a connection of its own.
pub(super) async fn ask(
    connection: Box<dyn Connection>,
    place: &Place,
    method: &Method,
    question: &HttpQuestion,
) -> Result<Answer, String> {
    let request = request(method.as_str(), &place.path, place, question)?;
    exchange(
        connection,
        request.body(()).map_err(told)?,
        None,
        |response| async move {
            let location = response.headers().get("location");
            let location =
                location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            Ok(Answer {
                status: response.status().as_u16(),
                location,
            })
        },
    )
    .await
}

/// `Health/Check`.
pub(super) async fn ask_grpc(
    connection: Box<dyn Connection>,
    place: &Place,
    question: &HttpQuestion,
) -> Result<(), String> {
    let request = request("POST", "/grpc.health.v1.Health/Check", place, question)?
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let request = request.body(()).map_err(told)?;
    exchange(
        connection,
        request,
        Some(Bytes::from_static(&CHECK)),
        grpc_answer,
    )
    .await
}

fn request(
    method: &str,
    path: &str,
    place: &Place,
    question: &HttpQuestion,
) -> Result<http::request::Builder, String> {
    let scheme = match place.scheme {
        Scheme::Https => "https",
        _ => "http",
    };
    let uri = format!("{scheme}://{}{path}", place.authority);
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields(question) {
        request = request.header(name, value);
    }
    Ok(request)
}

async fn exchange<T, F: Future<Output = Result<T, String>>>(
    connection: Box<dyn Connection>,
    request: Request<()>,
    body: Option<Bytes>,
    read: impl FnOnce(Response<h2::RecvStream>) -> F,
) -> Result<T, String> {
    let (requests, connection) = client::handshake(connection).await.map_err(told)?;
    let asked = async {
        let mut requests: SendRequest<Bytes> = requests.ready().await.map_err(told)?;
        let sent = requests.send_request(request, body.is_none());
        let (response, mut stream) = sent.map_err(told)?;
        if let Some(body) = body {
            stream.send_data(body, true).map_err(told)?;
        }
        read(response.await.map_err(told)?).await
    };
    // Either its end or the answer comes; what the answer needs, the connection carries meanwhile.
    tokio::select! {
        biased;
        answer = asked => answer,
        ended = connection => Err(match ended {
            Ok(()) => "it closed the connection without an answer".to_owned(),
            Err(error) => told(error),
        }),
    }
}

async fn grpc_answer(response: Response<h2::RecvStream>) -> Result<(), String> {
    let status = response.status().as_u16();
    if status != 200 {
        return Err(format!("it answered with status {status}"));
    }
    let code = |headers: &http::HeaderMap| {
        let code = headers.get("grpc-status")?.to_str().ok()?;
        (code != "0").then(|| code.to_owned())
    };
    if let Some(code) = code(response.headers()) {
        return Err(format!("gRPC status {code}"));
    }
    let (mut body, mut message) = (response.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        let data = data.map_err(told)?;
        // The window is only of interest to the next request, which there is none of.
        let _ = body.flow_control().release_capacity(data.len());
        message.extend_from_slice(&data);
        if message.len() > HEALTH_EXPECT_BYTES_MAX {
            return Err("an answer that is no HealthCheckResponse".to_owned());
        }
    }
    let trailers = body.trailers().await.map_err(told)?;
    if let Some(code) = trailers.as_ref().and_then(code) {
        return Err(format!("gRPC status {code}"));
    }
    serving(&message)
}

/// A HealthCheckResponse, whose field 1 is the status: 1 is SERVING.
fn serving(message: &[u8]) -> Result<(), String> {
    match message.get(CHECK.len()..) {
        Some([0x08, 1, ..]) => Ok(()),
        Some([0x08, 2, ..]) => Err("it says NOT_SERVING".to_owned()),
        Some([0x08, 3, ..]) => Err("it says SERVICE_UNKNOWN".to_owned()),
        Some(_) => Err("it says UNKNOWN".to_owned()),
        None => Err("an answer that is no HealthCheckResponse".to_owned()),
    }
}

fn told(error: impl ToString) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_serving_is_well() {
        assert!(serving(&[0, 0, 0, 0, 2, 8, 1]).is_ok());
        for message in [&[0, 0, 0, 0, 2, 8, 2][..], &[0, 0, 0, 0, 0], &[], &[8, 1]] {
            assert!(serving(message).is_err(), "{message:?}");
        }
    }
}
