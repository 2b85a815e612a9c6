//! Records made by a web service: a POST to `HTTPREQ_ENDPOINT`/present and, at the end, /cleanup, as lego's `httpreq`.
//! Source: <https://go-acme.github.io/lego/dns/httpreq/>.

use data_encoding::BASE64;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

use super::super::web::Web;
use super::{Change, Failure, TxtRecord, secret};

/// Where it is, and how it is spoken to. Never shown.
struct Service {
    endpoint: String,
    /// `HTTPREQ_MODE=RAW`: the service makes the record's name and value itself.
    raw: bool,
    authorization: Option<String>,
}

/// One request for each record, one after the other.
pub(super) async fn change(change: Change, records: &[TxtRecord]) -> Result<(), Failure> {
    let service = Service::from_environment().map_err(Failure::Authority)?;
    let web = Web::new().map_err(Failure::Authority)?;
    let path = match change {
        Change::Present => "present",
        Change::CleanUp => "cleanup",
    };
    for record in records {
        let request = service.request(path, record).map_err(Failure::Authority)?;
        let answer = web.ask(request).await.map_err(Failure::Authority)?;
        // As lego: what is no error counts as done.
        if answer.status.as_u16() >= 400 {
            let said = format!("httpreq /{path}: {}: {}", answer.status, answer.text());
            return Err(Failure::Names(vec![(record.proves.clone(), said)]));
        }
    }
    Ok(())
}

impl Service {
    fn from_environment() -> Result<Self, String> {
        let endpoint = secret::required("HTTPREQ_ENDPOINT")?;
        let mode = secret::optional("HTTPREQ_MODE")?.unwrap_or_default();
        if !["", "RAW"].contains(&&*mode) {
            return Err(format!("HTTPREQ_MODE: {mode:?}; allowed: RAW, or nothing"));
        }
        let user = secret::optional("HTTPREQ_USERNAME")?;
        let password = secret::optional("HTTPREQ_PASSWORD")?;
        let basic = |(user, password): (String, String)| {
            format!(
                "Basic {}",
                BASE64.encode(format!("{user}:{password}").as_bytes())
            )
        };
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            raw: mode == "RAW",
            authorization: user.zip(password).map(basic),
        })
    }

    fn request(
        &self,
        path: &str,
        record: &TxtRecord,
    ) -> Result<Request<Full<bytes::Bytes>>, String> {
        let mut request = Request::post(format!("{}/{path}", self.endpoint))
            .header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let body = self.message(record).to_string();
        let request = request.body(Full::from(body));
        request.map_err(|error| format!("HTTPREQ_ENDPOINT: {error}"))
    }

    fn message(&self, record: &TxtRecord) -> Value {
        match self.raw {
            true => json!({
                "domain": record.proves.trim_start_matches("*."),
                "token": record.token,
                "keyAuth": record.authorization,
            }),
            false => json!({"fqdn": format!("{}.", record.name), "value": record.value}),
        }
    }
}
