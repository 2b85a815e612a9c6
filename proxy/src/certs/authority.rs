//! The way to a certificate authority: HTTPS with its own authorities, and the account there.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Limited;
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
        let (response, timeout) = (self.client.request(request), self.timeout);
        Box::pin(async move {
            let response = tokio::time::timeout(timeout, response).await;
            let response = response.map_err(|_| other(format!("no answer within {timeout:?}")))?;
            // The outer error says only that something failed.
            let response = response.map_err(|error| other(web::chain(&error)))?;
            Ok(BytesResponse::from(
                response.map(|body| Limited::new(body, ACME_ANSWER_BYTES_MAX)),
            ))
        })
    }
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
