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
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::sleep;

    use super::*;
    use crate::limits::{PROVIDER_ANSWER_BYTES_MAX, PROVIDER_TIMEOUT};

    /// When something is answered, with which status, and what.
    pub(in crate::certs) type Told = (Duration, u16, String);

    pub(in crate::certs) const MILLISECOND: Duration = Duration::from_millis(1);

    /// The address of a server on this runtime that answers each request, by its number, like this; how many it has
    /// got.
    pub(in crate::certs) async fn answering(
        answer: impl Fn(usize) -> Told + Send + Sync + 'static,
    ) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let (asked, answer) = (Arc::<AtomicUsize>::default(), Arc::new(answer));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&count)));
            }
        });
        (format!("http://{address}"), asked)
    }

    /// Each request is in one piece.
    async fn serve(
        mut stream: TcpStream,
        answer: Arc<impl Fn(usize) -> Told>,
        count: Arc<AtomicUsize>,
    ) {
        let mut request = [0; 4096];
        while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
            let (time, status, body) = answer(count.fetch_add(1, Ordering::SeqCst) + 1);
            sleep(time).await;
            let length = body.len();
            let text = format!("HTTP/1.1 {status} Told\r\nContent-Length: {length}\r\n\r\n{body}");
            // Who was not waited for has gone.
            let _ = stream.write_all(text.as_bytes()).await;
        }
    }

    async fn asked(
        answer: impl Fn(usize) -> Told + Send + Sync + 'static,
    ) -> Result<usize, String> {
        let (url, _) = answering(answer).await;
        let request = Request::get(url).body(Full::default()).expect("a request");
        let answer = Web::new().expect("a client").ask(request).await;
        answer.map(|answer| answer.body.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_answers_in_time_or_not_at_all() {
        let most = PROVIDER_TIMEOUT;
        let after = |time: Duration| asked(move |_| (time, 200, "x".to_owned()));
        assert_eq!(after(most - MILLISECOND).await, Ok(1));
        let late = after(most + MILLISECOND).await.expect_err("late");
        assert!(late.ends_with("no answer within 30s"), "{late}");
    }

    #[tokio::test]
    async fn a_provider_says_as_much_as_it_may_and_no_more() {
        let most = PROVIDER_ANSWER_BYTES_MAX;
        let long = |bytes: usize| asked(move |_| (Duration::ZERO, 200, "x".repeat(bytes)));
        assert_eq!(long(most).await, Ok(most));
        assert!(long(most + 1).await.is_err());
    }

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
