//! The way to a certificate authority: HTTPS with its own authorities, and the account there.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Response;
use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{
    Account, AccountCredentials, BodyWrapper, BytesResponse, Error, ExternalAccountKey, HttpClient,
    NewAccount,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{durable, web};
use crate::config::static_file::Acme;
use crate::limits::ACME_ANSWER_BYTES_MAX;
use crate::tls;

/// An HTTPS client with a limit to time and size.
struct Https {
    client: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    timeout: Duration,
}

impl HttpClient for Https {
    fn request(
        &self,
        request: hyper::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(answer(self.client.request(request), self.timeout))
    }
}

/// All of an answer, which is to be there in that time: its body too.
async fn answer<B, E>(
    response: impl Future<Output = Result<Response<B>, E>>,
    timeout: Duration,
) -> Result<BytesResponse, Error>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: std::error::Error,
{
    let whole = async {
        // The outer error says only that something failed.
        let response = response.await.map_err(|error| other(web::chain(&error)))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ACME_ANSWER_BYTES_MAX).collect().await;
        let body = Full::new(body.map_err(other)?.to_bytes());
        Ok(BytesResponse::from(Response::from_parts(parts, body)))
    };
    let whole = tokio::time::timeout(timeout, whole).await;
    whole.unwrap_or_else(|_| Err(other(format!("no answer within {timeout:?}"))))
}

/// The account of a resolver, from `path` or newly made and written there.
///
/// # Errors
/// What the authority or the network says, or the file system.
pub async fn account(resolver: &str, acme: &Acme, path: &Path) -> Result<Account, Error> {
    let builder = Account::builder_with_http(Box::new(https(acme)?));
    let kept = durable::read(path).map_err(other)?;
    if let Some(kept) = kept {
        kept.instead
            .iter()
            .for_each(|line| tracing::error!("{line}"));
        let credentials: AccountCredentials = serde_json::from_slice(&kept.body)?;
        return builder.from_credentials(credentials).await;
    }
    let contacts: Vec<String> = acme
        .emails
        .iter()
        .map(|email| format!("mailto:{email}"))
        .collect();
    let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contacts,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let binding = acme
        .eab
        .as_ref()
        .map(|eab| ExternalAccountKey::new(eab.kid.clone(), &eab.key));
    let (account, credentials) = builder
        .create(&new, acme.ca_server.clone(), binding.as_ref())
        .await?;
    let body = serde_json::to_vec(&credentials)?;
    durable::write(path, &body)
        .map_err(|error| other(format!("{} cannot be written: {error}", path.display())))?;
    tracing::info!(resolver, account = account.id(), "account made");
    Ok(account)
}

fn https(acme: &Acme) -> Result<Https, Error> {
    let mut roots = RootCertStore::empty();
    for text in &acme.ca_certificates {
        for certificate in certificates(text)? {
            roots
                .add(certificate)
                .map_err(|error| other(format!("caCertificates: {error}")))?;
        }
    }
    if acme.ca_certificates.is_empty() || acme.system_roots {
        roots.extend(tls::system_roots().store.roots.iter().cloned());
    }
    let config = web::config(roots).map_err(other)?;
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .enable_http1()
        .build();
    Ok(Https {
        client: Client::builder(TokioExecutor::new()).build(connector),
        timeout: acme.timeout,
    })
}

/// Of a file, or of PEM text.
fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |error: &dyn std::fmt::Display| other(format!("caCertificates: {text}: {error}"));
    let pem = match text.contains("-----BEGIN") {
        true => text.as_bytes().to_vec(),
        false => std::fs::read(text).map_err(|error| wrong(&error))?,
    };
    CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(&error))
}

fn other(line: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Other(line.into())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::time::sleep;

    use super::*;
    use crate::limits::ACME_TIMEOUT;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// The length of an answer that comes after this time.
    async fn answered<B>(after: Duration, body: B) -> Result<usize, String>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let response = async {
            sleep(after).await;
            Ok::<_, Infallible>(Response::new(body))
        };
        let answer = answer(response, ACME_TIMEOUT).await;
        let mut answer = answer.map_err(|error| error.to_string())?;
        Ok(answer.body.into_bytes().await.expect("all of it").len())
    }

    fn body(bytes: usize) -> Full<Bytes> {
        vec![b'x'; bytes].into()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_comes_in_time_or_not_at_all() {
        let late = Err("no answer within 120s".to_owned());
        assert_eq!(answered(ACME_TIMEOUT - MILLISECOND, body(1)).await, Ok(1));
        assert_eq!(answered(ACME_TIMEOUT + MILLISECOND, body(1)).await, late);
        // Its body too: it was waited for without end.
        let stalled = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert_eq!(answered(Duration::ZERO, stalled).await, late);
    }

    #[tokio::test]
    async fn an_answer_is_as_long_as_it_may_be_and_no_longer() {
        let most = ACME_ANSWER_BYTES_MAX;
        assert_eq!(answered(Duration::ZERO, body(most)).await, Ok(most));
        assert!(answered(Duration::ZERO, body(most + 1)).await.is_err());
    }
}
