//! Records in zones at Cloudflare, by its API v4.
//!
//! From the environment, named as by lego: `CF_DNS_API_TOKEN` (DNS:Edit, and Zone:Read unless `CF_ZONE_API_TOKEN` has
//! that), or `CF_API_EMAIL` and `CF_API_KEY`; each also with `CLOUDFLARE_`.
//! Source: <https://developers.cloudflare.com/api/resources/dns/subresources/records/>.

use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use hyper::{Method, Request};
use serde::Deserialize;
use serde_json::json;

use super::super::web::{Pace, Web, escape};
use super::query::Resolver;
use super::{Change, Failure, TxtRecord, secret, zones};
use crate::limits::CLOUDFLARE_PACE;

const BASE: &str = "https://api.cloudflare.com/client/v4";
/// The shortest life of a record that lego allows.
const TTL: u32 = 120;
/// "An identical record already exists", and its older form.
const EXISTS: [u32; 2] = [81058, 81057];

static PACE: Pace = Pace::new(CLOUDFLARE_PACE);

/// How requests are authorized. Never shown.
enum Credentials {
    Tokens { zones: String, records: String },
    Key { email: String, key: String },
}

struct Api {
    web: Web,
    base: String,
    credentials: Credentials,
}

/// What every answer looks like.
#[derive(Deserialize)]
struct Envelope<T> {
    success: bool,
    #[serde(default)]
    errors: Vec<Said>,
    result: Option<T>,
}

#[derive(Deserialize)]
struct Said {
    code: u32,
    message: String,
}

#[derive(Deserialize)]
struct Identified {
    id: String,
}

#[derive(Deserialize)]
struct Record {
    id: String,
    content: String,
}

/// Why a request was not done.
enum Refusal {
    /// By Cloudflare, with its codes.
    Said(Vec<u32>, String),
    /// It was not reached.
    Away(String),
}

pub(super) async fn change(
    resolver: &Resolver,
    change: Change,
    records: &[TxtRecord],
) -> Result<(), Failure> {
    let api = Api::from_environment().map_err(Failure::Authority)?;
    for (zone, records) in zones(resolver, records).await? {
        let done = async {
            let id = api.zone(&zone).await?;
            for record in &records {
                match change {
                    Change::Present => api.add(&id, record).await?,
                    Change::CleanUp => api.remove(&id, record).await?,
                }
            }
            Ok(())
        };
        done.await.map_err(|refusal: Refusal| match refusal {
            Refusal::Away(said) => Failure::Authority(format!("Cloudflare: {said}")),
            Refusal::Said(_, said) => {
                super::failed(&records, &format!("Cloudflare, zone {zone}: {said}"))
            }
        })?;
    }
    Ok(())
}

impl Api {
    fn from_environment() -> Result<Self, String> {
        let either = |name: &str| -> Result<Option<String>, String> {
            let other = format!("CLOUDFLARE_{}", name.replace("API_EMAIL", "EMAIL"));
            match secret::optional(&format!("CF_{name}"))? {
                Some(value) => Ok(Some(value)),
                None => secret::optional(&other),
            }
        };
        let key = either("API_EMAIL")?.zip(either("API_KEY")?);
        let credentials = match (either("DNS_API_TOKEN")?, key) {
            (Some(records), _) => Credentials::Tokens {
                zones: either("ZONE_API_TOKEN")?.unwrap_or_else(|| records.clone()),
                records,
            },
            (None, Some((email, key))) => Credentials::Key { email, key },
            (None, None) => {
                return Err(
                    "CF_DNS_API_TOKEN is not set, nor CF_API_EMAIL and CF_API_KEY: give it as a variable, as a file that \
                     CF_DNS_API_TOKEN_FILE names, or as a systemd credential"
                        .to_owned(),
                );
            }
        };
        let base = secret::optional("CLOUDFLARE_BASE_URL")?;
        Ok(Self {
            web: Web::new()?,
            base: base.map_or_else(
                || BASE.to_owned(),
                |base| base.trim_end_matches('/').to_owned(),
            ),
            credentials,
        })
    }

    async fn zone(&self, name: &str) -> Result<String, Refusal> {
        let path = format!("/zones?name={}", escape(name));
        let found: Vec<Identified> = self.ask(Method::GET, &path, None).await?;
        let found = found.into_iter().next();
        let none = || {
            Refusal::Said(
                Vec::new(),
                "there is no such zone, or the token may not see it".to_owned(),
            )
        };
        Ok(found.ok_or_else(none)?.id)
    }

    async fn add(&self, zone: &str, record: &TxtRecord) -> Result<(), Refusal> {
        let path = format!("/zones/{zone}/dns_records");
        let body = json!({
            "type": "TXT",
            "name": record.name,
            "content": format!("\"{}\"", record.value),
            "ttl": TTL,
        });
        let made: Result<Identified, Refusal> =
            self.ask(Method::POST, &path, Some(body.to_string())).await;
        match made {
            Err(Refusal::Said(codes, _)) if codes.iter().any(|code| EXISTS.contains(code)) => {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Its record is looked for by what it says: the process that made it may have ended.
    async fn remove(&self, zone: &str, record: &TxtRecord) -> Result<(), Refusal> {
        let path = format!(
            "/zones/{zone}/dns_records?type=TXT&name={}",
            escape(&record.name)
        );
        let all: Vec<Record> = self.ask(Method::GET, &path, None).await?;
        let own = all
            .iter()
            .filter(|one| one.content.trim_matches('"') == record.value);
        for one in own {
            let path = format!("/zones/{zone}/dns_records/{}", one.id);
            let _: Identified = self.ask(Method::DELETE, &path, None).await?;
        }
        Ok(())
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<T, Refusal> {
        let away = |error: &dyn std::fmt::Display| Refusal::Away(error.to_string());
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        match &self.credentials {
            Credentials::Tokens { zones, records } => {
                let token = if path.starts_with("/zones?") {
                    zones
                } else {
                    records
                };
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            Credentials::Key { email, key } => {
                request = request.header(HeaderName::from_static("x-auth-email"), email);
                request = request.header(HeaderName::from_static("x-auth-key"), key);
            }
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::from(body.unwrap_or_default()));
        // Its text would show what is in the fields.
        let request = request.map_err(|_| {
            away(&"CLOUDFLARE_BASE_URL or a token has characters that it must not have")
        })?;
        PACE.wait().await;
        let answer = self.web.ask(request).await.map_err(|error| away(&error))?;
        let unlike = || format!("{}: {}", answer.status, answer.text());
        if answer.status.is_server_error() {
            return Err(away(&unlike()));
        }
        let envelope: Envelope<T> = serde_json::from_slice(&answer.body)
            .map_err(|_| Refusal::Said(Vec::new(), unlike()))?;
        match envelope {
            Envelope {
                success: true,
                result: Some(result),
                ..
            } => Ok(result),
            Envelope { errors, .. } => {
                let said: Vec<String> = errors
                    .iter()
                    .map(|one| format!("{} ({})", one.message, one.code))
                    .collect();
                let said = format!("{}: {}", answer.status, said.join(", "));
                Err(Refusal::Said(
                    errors.iter().map(|one| one.code).collect(),
                    said,
                ))
            }
        }
    }
}
