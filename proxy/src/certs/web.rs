//! HTTP to whoever helps to obtain certificates: over TLS verified against given authorities, bounded in time and size.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use crate::limits::{PROVIDER_ANSWER_BYTES_MAX, PROVIDER_TIMEOUT};
use crate::tls;

/// A client for HTTP/1.1.
pub(super) struct Web {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// A whole answer.
pub(super) struct Answer {
    /// Any; none is an error here.
    pub(super) status: StatusCode,
    /// What it says.
    pub(super) body: Bytes,
}

impl Answer {
    /// What it says, for people: one line of text, not too long.
    pub(super) fn text(&self) -> String {
        const SHOWN: usize = 300;
        let text = String::from_utf8_lossy(&self.body);
        let plain = |each: char| if each.is_control() { ' ' } else { each };
        text.trim().chars().take(SHOWN).map(plain).collect()
    }
}

/// What of a connection is trusted: these authorities.
pub(super) fn config(roots: RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl Web {
    /// One that trusts the system's authorities. Addresses without TLS are taken, where somebody has configured one.
    ///
    /// # Errors
    /// One line if there is no TLS.
    pub(super) fn new() -> Result<Self, String> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config(RootCertStore::clone(&tls::system_roots().store))?)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// Sends a request and receives the whole answer, whatever its status. Redirects are answers.
    ///
    /// # Errors
    /// One line that names the host.
    pub(super) async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        self.ask_within(request, PROVIDER_TIMEOUT).await
    }

    /// The same, with a time of its own.
    pub(super) async fn ask_within(
        &self,
        request: Request<Full<Bytes>>,
        most: Duration,
    ) -> Result<Answer, String> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let answered = async {
            let response = self.client.request(request).await;
            let response = response.map_err(|error| chain(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), PROVIDER_ANSWER_BYTES_MAX);
            let body = body.collect().await.map_err(|error| error.to_string())?;
            Ok(Answer {
                status,
                body: body.to_bytes(),
            })
        };
        match timeout(most, answered).await {
            Ok(answer) => answer.map_err(|error: String| format!("{host}: {error}")),
            Err(_) => Err(format!("{host}: no answer within {most:?}")),
        }
    }
}

/// Keeps a distance between the requests to one service, of all that ask it.
pub(super) struct Pace {
    every: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most one request in this time.
    pub(super) const fn new(every: Duration) -> Self {
        Self {
            every,
            next: Mutex::const_new(None),
        }
    }

    /// Returns when a request may be sent.
    pub(super) async fn wait(&self) {
        let mut next = self.next.lock().await;
        if let Some(at) = *next {
            sleep_until(at).await;
        }
        *next = Some(Instant::now() + self.every);
    }
}

/// An error and what caused it: the outermost often says only that something failed.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Text in a query or a path: all but what RFC 3986 section 2.3 leaves unreserved as `%XX`.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pace_is_kept_by_all_who_ask() {
        const EVERY: Duration = Duration::from_millis(10);
        static PACE: Pace = Pace::new(EVERY);
        let start = Instant::now();
        let each = async || {
            for _ in 0..5 {
                PACE.wait().await;
            }
        };
        tokio::join!(each(), each());
        assert!(start.elapsed() >= 9 * EVERY);
    }

    #[test]
    fn what_is_reserved_is_escaped() {
        assert_eq!(escape("*.a-b_c~/é"), "%2A.a-b_c~%2F%C3%A9");
    }
}
