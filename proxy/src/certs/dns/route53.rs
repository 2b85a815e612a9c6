//! Records in zones at AWS Route 53, by four calls: ListHostedZonesByName, ListResourceRecordSets,
//! ChangeResourceRecordSets, GetChange. A policy that allows these is enough, with changes for TXT at
//! `_acme-challenge.*` alone.
//!
//! The records of one zone are one change; what others have at a name stays. From the environment: see
//! [`credentials`]; `AWS_HOSTED_ZONE_ID` where a zone is not to be looked for, `AWS_ENDPOINT_URL_ROUTE_53`.
//! Source: <https://docs.aws.amazon.com/Route53/latest/APIReference/>.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use http_body_util::Full;
use hyper::{Request, Uri};
use roxmltree::{Document, Node};
use tokio::time::{Instant, sleep};

use super::super::web::{Answer, Pace, Web, escape};
use super::query::Resolver;
use super::{Change, Failure, TxtRecord, secret, zones};
use crate::clock;
use crate::limits::{
    ROUTE53_LOOK, ROUTE53_PACE, ROUTE53_PROPAGATION, ROUTE53_RETRY, ROUTE53_TRIES,
};

mod credentials;
mod signature;

use self::signature::{Credentials, Signed};

const ENDPOINT: &str = "https://route53.amazonaws.com";
const VERSION: &str = "/2013-04-01";
const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";
/// The service is one for all regions; requests to it are signed for this one.
const REGION: &str = "us-east-1";
/// Seconds that a record lives: lego's.
const TTL: u32 = 10;
/// By which it asks for patience.
const BUSY: [&str; 4] = [
    "Throttling",
    "ThrottlingException",
    "PriorRequestNotComplete",
    "ServiceUnavailable",
];

/// The limit of an account, whoever asks: five in a second.
static PACE: Pace = Pace::new(ROUTE53_PACE);

struct Api {
    web: Web,
    endpoint: String,
    host: String,
    zone_id: Option<String>,
    credentials: Credentials,
}

/// The TXT records at one name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Set {
    ttl: u32,
    /// In quotes, as they are told.
    values: Vec<String>,
}

/// Why a request was not done.
enum Refusal {
    /// By AWS.
    Said(String),
    /// It was not reached.
    Away(String),
}

pub(super) async fn change(
    resolver: &Resolver,
    change: Change,
    records: &[TxtRecord],
) -> Result<(), Failure> {
    let api = Api::from_environment().await.map_err(Failure::Authority)?;
    let mut begun = Vec::new();
    let failure = |refusal: Refusal, zone: &str, records: &[&TxtRecord]| match refusal {
        Refusal::Away(said) => Failure::Authority(format!("route53: {said}")),
        Refusal::Said(said) => super::failed(records, &format!("route53, zone {zone}: {said}")),
    };
    for (zone, records) in zones(resolver, records).await? {
        let done = api.change(&zone, change, &records).await;
        let id = done.map_err(|refusal| failure(refusal, &zone, &records))?;
        begun.extend(id.map(|id| (id, zone, records)));
    }
    if change == Change::Present {
        for (id, zone, records) in begun {
            let done = api.in_sync(&id).await;
            done.map_err(|refusal| failure(refusal, &zone, &records))?;
        }
    }
    Ok(())
}

impl Api {
    async fn from_environment() -> Result<Self, String> {
        let own = secret::optional("AWS_ENDPOINT_URL_ROUTE_53")?;
        let endpoint = own.map_or_else(
            || ENDPOINT.to_owned(),
            |url| url.trim_end_matches('/').to_owned(),
        );
        let host = endpoint.parse::<Uri>().ok();
        let host = host.and_then(|uri| Some(uri.authority()?.to_string()));
        let host =
            host.ok_or_else(|| format!("AWS_ENDPOINT_URL_ROUTE_53: {endpoint:?} is no URL"))?;
        let web = Web::new()?;
        Ok(Self {
            endpoint,
            host,
            zone_id: secret::optional("AWS_HOSTED_ZONE_ID")?,
            credentials: credentials::find(&web).await?,
            web,
        })
    }

    /// Makes or removes the records of one zone; the change that is under way then, if there was something to do.
    async fn change(
        &self,
        zone: &str,
        change: Change,
        records: &[&TxtRecord],
    ) -> Result<Option<String>, Refusal> {
        let id = match &self.zone_id {
            Some(id) => id.clone(),
            None => self.zone(zone).await?,
        };
        let mut own: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for record in records {
            own.entry(&record.name)
                .or_default()
                .push(format!("\"{}\"", record.value));
        }
        let mut changes = String::new();
        for (name, own) in own {
            let there = self.set(&id, name).await?;
            if let Some((action, set)) = planned(change, there, &own) {
                add(&mut changes, action, name, &set);
            }
        }
        if changes.is_empty() {
            return Ok(None);
        }
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ChangeResourceRecordSetsRequest xmlns=\"{NAMESPACE}\">\
             <ChangeBatch><Changes>{changes}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        );
        let path = format!("{VERSION}/hostedzone/{}/rrset/", escape(&id));
        let answer = self.ask("POST", &path, "", body).await?;
        read(&answer, |root| {
            below(root, "ChangeInfo")
                .and_then(|info| text(info, "Id"))
                .map(plain_id)
        })
        .map(Some)
    }

    /// The public zone of this name.
    async fn zone(&self, name: &str) -> Result<String, Refusal> {
        let path = format!("{VERSION}/hostedzonesbyname");
        let query = format!("dnsname={}", escape(name));
        let answer = self.ask("GET", &path, &query, String::new()).await?;
        let found = read(&answer, |root| {
            let zones = root
                .descendants()
                .filter(|node| node.tag_name().name() == "HostedZone");
            let mut ids = zones.filter(|zone| {
                let named = text(*zone, "Name").is_some_and(|own| is_same(own, name));
                let private = below(*zone, "Config").and_then(|config| text(config, "PrivateZone"));
                named && private != Some("true")
            });
            Some(ids.find_map(|zone| text(zone, "Id")).map(plain_id))
        });
        found?
            .ok_or_else(|| Refusal::Said("the account has no public zone of this name".to_owned()))
    }

    /// What is at a name, if there is something.
    async fn set(&self, zone: &str, name: &str) -> Result<Option<Set>, Refusal> {
        let path = format!("{VERSION}/hostedzone/{}/rrset", escape(zone));
        let query = format!("maxitems=1&name={}&type=TXT", escape(&format!("{name}.")));
        let answer = self.ask("GET", &path, &query, String::new()).await?;
        read(&answer, |root| {
            let mut sets = root
                .descendants()
                .filter(|node| node.tag_name().name() == "ResourceRecordSet");
            // The first one at or after what was asked for.
            let own = sets.find(|set| {
                text(*set, "Type") == Some("TXT")
                    && text(*set, "Name").is_some_and(|own| is_same(own, name))
            });
            Some(own.map(|set| {
                let values = set
                    .descendants()
                    .filter(|node| node.tag_name().name() == "Value");
                Set {
                    ttl: text(set, "TTL")
                        .and_then(|ttl| ttl.parse().ok())
                        .unwrap_or(TTL),
                    values: values
                        .filter_map(|value| value.text())
                        .map(str::to_owned)
                        .collect(),
                }
            }))
        })
    }

    /// Returns when all servers of the zone have the change.
    async fn in_sync(&self, change: &str) -> Result<(), Refusal> {
        let deadline = Instant::now() + ROUTE53_PROPAGATION;
        let path = format!("{VERSION}/change/{}", escape(change));
        loop {
            let answer = self.ask("GET", &path, "", String::new()).await?;
            let status = read(&answer, |root| {
                text(below(root, "ChangeInfo")?, "Status").map(str::to_owned)
            })?;
            if status == "INSYNC" {
                return Ok(());
            }
            if Instant::now() + ROUTE53_LOOK > deadline {
                let said = format!("its change {change} is {status} after {ROUTE53_PROPAGATION:?}");
                return Err(Refusal::Said(said));
            }
            sleep(ROUTE53_LOOK).await;
        }
    }

    /// Asks, again where AWS asks for patience.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        query: &str,
        body: String,
    ) -> Result<Answer, Refusal> {
        let mut pause = ROUTE53_RETRY;
        for _ in 1..ROUTE53_TRIES {
            let answer = self.ask_once(method, path, query, &body).await?;
            let busy = answer.status.is_server_error()
                || code(&answer).is_some_and(|code| BUSY.contains(&&*code));
            if !busy {
                return Ok(answer);
            }
            sleep(pause).await;
            pause *= 2;
        }
        self.ask_once(method, path, query, &body).await
    }

    async fn ask_once(
        &self,
        method: &str,
        path: &str,
        query: &str,
        body: &str,
    ) -> Result<Answer, Refusal> {
        PACE.wait().await;
        let signed = Signed {
            method,
            host: &self.host,
            path,
            query,
            body: body.as_bytes(),
            region: REGION,
            service: "route53",
        };
        let separator = if query.is_empty() { "" } else { "?" };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}{separator}{query}", self.endpoint));
        for (name, value) in signed.fields(&self.credentials, clock::unix_seconds()) {
            request = request.header(name, value);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/xml");
        }
        // Its text would show what is in the fields.
        let request = request
            .body(Full::from(body.to_owned()))
            .map_err(|_| Refusal::Away("a key has characters that it must not have".to_owned()))?;
        self.web.ask(request).await.map_err(Refusal::Away)
    }
}

/// What is to be done to the records at a name, where these are own ones. What others have there stays.
fn planned(change: Change, there: Option<Set>, own: &[String]) -> Option<(&'static str, Set)> {
    match (change, there) {
        (Change::Present, None) => Some((
            "UPSERT",
            Set {
                ttl: TTL,
                values: own.to_vec(),
            },
        )),
        (Change::Present, Some(mut there)) => {
            let missing = own.iter().filter(|value| !there.values.contains(value));
            let missing: Vec<String> = missing.cloned().collect();
            there.values.extend_from_slice(&missing);
            (!missing.is_empty()).then_some(("UPSERT", there))
        }
        (Change::CleanUp, None) => None,
        (Change::CleanUp, Some(there)) => {
            let left = there.values.iter().filter(|value| !own.contains(value));
            let left: Vec<String> = left.cloned().collect();
            match left.len() {
                // It must be told as it is.
                0 => Some(("DELETE", there)),
                some if some < there.values.len() => Some((
                    "UPSERT",
                    Set {
                        values: left,
                        ..there
                    },
                )),
                _ => None,
            }
        }
    }
}

fn add(changes: &mut String, action: &str, name: &str, set: &Set) {
    let values = set.values.iter().map(|value| {
        let value = value
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        format!("<ResourceRecord><Value>{value}</Value></ResourceRecord>")
    });
    let values: String = values.collect();
    let _ = write!(
        changes,
        "<Change><Action>{action}</Action><ResourceRecordSet><Name>{name}.</Name><Type>TXT</Type><TTL>{}</TTL>\
         <ResourceRecords>{values}</ResourceRecords></ResourceRecordSet></Change>",
        set.ttl
    );
}

/// What `find` finds in an answer that is no error.
fn read<T>(answer: &Answer, find: impl FnOnce(Node<'_, '_>) -> Option<T>) -> Result<T, Refusal> {
    let unlike = || Refusal::Said(format!("{}: {}", answer.status, answer.text()));
    let document = std::str::from_utf8(&answer.body)
        .ok()
        .and_then(|body| Document::parse(body).ok());
    let document = document.ok_or_else(unlike)?;
    let root = document.root();
    if !answer.status.is_success() {
        let find = |name: &str| {
            below(root, name)
                .and_then(|node| node.text())
                .unwrap_or_default()
        };
        let said = format!("{}: {} {}", answer.status, find("Code"), find("Message"));
        return Err(Refusal::Said(said));
    }
    find(root).ok_or_else(unlike)
}

/// The code of an error.
fn code(answer: &Answer) -> Option<String> {
    if answer.status.is_success() {
        return None;
    }
    let document = Document::parse(std::str::from_utf8(&answer.body).ok()?).ok()?;
    Some(below(document.root(), "Code")?.text()?.to_owned())
}

fn below<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.descendants()
        .find(|node| node.tag_name().name() == name)
}

fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    below(node, name)?.text()
}

/// Names of zones are told with a final dot.
fn is_same(told: &str, name: &str) -> bool {
    told.trim_end_matches('.').eq_ignore_ascii_case(name)
}

/// `/hostedzone/Z1` and `/change/C1` without what is before.
fn plain_id(id: &str) -> String {
    id.rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::certs::web::tests::{MILLISECOND, Told, answering};

    fn set(values: &[&str]) -> Set {
        Set {
            ttl: 7,
            values: values.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn what_others_have_at_a_name_stays() {
        let own = ["a".to_owned(), "b".to_owned()];
        let plan = |change, there: Option<&[&str]>| planned(change, there.map(set), &own);
        let fresh = plan(Change::Present, None).expect("made");
        assert_eq!(
            (fresh.0, fresh.1.ttl, fresh.1.values),
            ("UPSERT", TTL, own.to_vec())
        );
        let more = plan(Change::Present, Some(&["x", "a"]));
        assert_eq!(more, Some(("UPSERT", set(&["x", "a", "b"]))));
        assert_eq!(plan(Change::Present, Some(&["b", "a"])), None);
        assert_eq!(plan(Change::CleanUp, None), None);
        assert_eq!(plan(Change::CleanUp, Some(&["x"])), None);
        assert_eq!(
            plan(Change::CleanUp, Some(&["a", "x"])),
            Some(("UPSERT", set(&["x"])))
        );
        assert_eq!(
            plan(Change::CleanUp, Some(&["b", "a"])),
            Some(("DELETE", set(&["b", "a"])))
        );
    }

    async fn api(
        answer: impl Fn(usize) -> Told + Send + Sync + 'static,
    ) -> (Api, Arc<AtomicUsize>) {
        let (endpoint, asked) = answering(answer).await;
        let api = Api {
            web: Web::new().unwrap(),
            endpoint,
            host: "127.0.0.1".to_owned(),
            zone_id: None,
            credentials: Credentials {
                id: "id".to_owned(),
                secret: "secret".to_owned(),
                token: None,
            },
        };
        (api, asked)
    }

    /// One test: what keeps their pace is shared, and tells the time of one runtime.
    #[tokio::test(start_paused = true)]
    async fn it_is_asked_so_often_and_waited_for_so_long() {
        let tries = ROUTE53_TRIES as usize;
        for (ready, status) in [(tries, 200), (tries + 1, 503)] {
            let answer = move |number| {
                let status = if number < ready { 503 } else { 200 };
                (Duration::ZERO, status, String::new())
            };
            let (api, asked) = api(answer).await;
            let answer = api.ask("GET", "/", "", String::new()).await;
            let answered = answer.map(|answer| answer.status.as_u16());
            assert_eq!(answered.ok(), Some(status));
            assert_eq!(asked.load(Ordering::SeqCst), tries);
        }
        for made in [ROUTE53_PROPAGATION, ROUTE53_PROPAGATION + MILLISECOND] {
            // The first look is not held up by the pace.
            sleep(ROUTE53_LOOK).await;
            let begin = Instant::now();
            let answer = move |_| {
                let status = match begin.elapsed() >= made {
                    true => "INSYNC",
                    false => "PENDING",
                };
                let info = format!("<R><ChangeInfo><Status>{status}</Status></ChangeInfo></R>");
                (Duration::ZERO, 200, info)
            };
            let (api, _) = api(answer).await;
            let seen = api.in_sync("C1").await;
            assert_eq!(seen.is_ok(), made == ROUTE53_PROPAGATION);
            assert_eq!(begin.elapsed(), ROUTE53_PROPAGATION);
        }
    }
}
