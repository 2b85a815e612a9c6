//! The provider `cloudflare` against a service that checks shapes as Cloudflare documents them.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::api::{Answer, Api, Request, Zone};
use super::{Authority, ISSUED, require_servers};
use crate::support::eventually_within;

const EDIT: &str = "token-that-may-edit-records";
const READ: &str = "token-that-may-read-zones";
const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";

/// A record, with its identity.
struct Record {
    id: String,
    name: String,
    value: String,
}

struct Service {
    zone: Arc<Mutex<Zone>>,
    records: Arc<Mutex<Vec<Record>>>,
    made: u32,
}

fn done(result: Value) -> Answer {
    (
        200,
        json!({"success": true, "errors": [], "messages": [], "result": result}).to_string(),
    )
}

fn refused(status: u16, code: u32, message: &str) -> Answer {
    let errors = json!([{"code": code, "message": message}]);
    (
        status,
        json!({"success": false, "errors": errors, "messages": [], "result": null}).to_string(),
    )
}

impl Service {
    fn answer(&mut self, request: &Request) -> Result<Answer, String> {
        let path = request
            .path()
            .strip_prefix("/client/v4/zones")
            .ok_or("another path")?;
        let token = if path.is_empty() { READ } else { EDIT };
        if request.field("authorization") != Some(&format!("Bearer {token}")) {
            return Err("another token than this call needs".to_owned());
        }
        let records = format!("/{ZONE}/dns_records");
        match (request.method.as_str(), path) {
            ("GET", "") => match request.asked("name").as_deref() {
                Some("example") => Ok(done(
                    json!([{"id": ZONE, "name": "example", "status": "active"}]),
                )),
                other => Err(format!("zones of {other:?}")),
            },
            ("POST", path) if path == records => self.make(request),
            ("GET", path) if path == records => {
                let (kind, name) = (request.asked("type"), request.asked("name"));
                if kind.as_deref() != Some("TXT") {
                    return Err("records of all types".to_owned());
                }
                let all = self.records.lock().expect("nobody panics with it");
                let own = all
                    .iter()
                    .filter(|record| Some(&record.name) == name.as_ref());
                let told = |record: &Record| json!({"id": record.id, "type": "TXT", "name": record.name, "content": format!("\"{}\"", record.value), "ttl": 120});
                Ok(done(own.map(told).collect()))
            }
            ("DELETE", path) => {
                let id = path
                    .strip_prefix(&format!("{records}/"))
                    .ok_or("no such call")?;
                let mut all = self.records.lock().expect("nobody panics with it");
                let index = all
                    .iter()
                    .position(|record| record.id == id)
                    .ok_or("no such record")?;
                let name = all.remove(index).name;
                self.show(&all, &name);
                Ok(done(json!({"id": id})))
            }
            _ => Err("no such call".to_owned()),
        }
    }

    fn make(&mut self, request: &Request) -> Result<Answer, String> {
        if request.field("content-type") != Some("application/json") {
            return Err("no JSON".to_owned());
        }
        let body: Value =
            serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
        let text = |key: &str| body[key].as_str().ok_or(format!("no {key}"));
        let (name, content) = (text("name")?, text("content")?);
        let known = body.as_object().is_some_and(|body| body.len() == 4);
        let ttl = body["ttl"].as_u64().unwrap_or_default();
        if text("type")? != "TXT"
            || !known
            || !(60..=86_400).contains(&ttl)
            || !name.ends_with("example")
        {
            return Err(format!("the record {body}"));
        }
        let value = content
            .strip_prefix('"')
            .and_then(|content| content.strip_suffix('"'));
        let value = value.ok_or("content without quotes")?;
        let mut all = self.records.lock().expect("nobody panics with it");
        if all
            .iter()
            .any(|record| record.name == name && record.value == value)
        {
            return Ok(refused(400, 81058, "An identical record already exists."));
        }
        self.made += 1;
        let id = format!("{:032x}", self.made);
        all.push(Record {
            id: id.clone(),
            name: name.to_owned(),
            value: value.to_owned(),
        });
        self.show(&all, name);
        Ok(done(
            json!({"id": id, "type": "TXT", "name": name, "content": content, "ttl": ttl}),
        ))
    }

    fn show(&self, all: &[Record], name: &str) {
        let own = all.iter().filter(|record| record.name == name);
        let values: Vec<String> = own.map(|record| record.value.clone()).collect();
        self.zone
            .lock()
            .expect("nobody panics with it")
            .set(name, &values);
    }
}

fn challenge(authority: &Authority) -> String {
    format!(
        "dnsChallenge: {{provider: cloudflare, resolvers: [\"{}\"], propagation: {{disableANSChecks: true}}}}",
        authority.names
    )
}

#[test]
fn records_are_made_at_cloudflare_with_tokens_of_files_and_removed() {
    if !require_servers() {
        return;
    }
    let authority = Authority::start();
    let records = Arc::new(Mutex::new(Vec::new()));
    let mut service = Service {
        zone: Arc::new(Mutex::new(Zone::new(authority.names))),
        records: Arc::clone(&records),
        made: 0,
    };
    let api = Api::serve(move |request| service.answer(request));
    let names = ["example", "*.example", "*.alias.example"];
    let setup = authority.setup(&challenge(&authority), &names);
    setup.write("edit", &format!("{EDIT}\n"));
    setup.write("read", &format!("{READ}\n"));
    let (edit, read) = (
        setup.path("edit").display().to_string(),
        setup.path("read").display().to_string(),
    );
    let setup = setup
        .variable("CLOUDFLARE_BASE_URL", &format!("{}/client/v4", api.url()))
        .variable("CF_DNS_API_TOKEN_FILE", &edit)
        .variable("CLOUDFLARE_ZONE_API_TOKEN_FILE", &read);
    let weir = authority.start_weir(setup);
    authority.issues(&weir, "y.example");
    eventually_within(ISSUED, "its records are removed", || {
        records
            .lock()
            .expect("nobody panics with it")
            .is_empty()
            .then_some(())
    });
    api.was_content();
    assert_eq!(authority.issued(), 1);
    let made = api.requests();
    let made: Vec<String> = made
        .iter()
        .filter(|request| request.method == "POST")
        .map(|request| String::from_utf8_lossy(&request.body).into_owned())
        .collect();
    assert_eq!(made.len(), 3, "{made:?}");
    assert!(
        made.iter()
            .any(|body| body.contains("\"alias.proofs.example\"")),
        "{made:?}"
    );
    let log = weir.log();
    assert!(!log.contains(EDIT) && !log.contains(READ));
}

#[test]
fn what_cloudflare_refuses_is_told_in_its_words() {
    if !require_servers() {
        return;
    }
    let authority = Authority::start();
    let api =
        Api::serve(
            |request| match (request.field("x-auth-email"), request.field("x-auth-key")) {
                (Some("a@b.example"), Some("key-of-the-account")) => Ok(refused(
                    403,
                    9109,
                    "Unauthorized to access requested resource",
                )),
                _ => Err("no key of the account".to_owned()),
            },
        );
    let setup = authority
        .setup(&challenge(&authority), &["a.example"])
        .variable("CLOUDFLARE_BASE_URL", &format!("{}/client/v4", api.url()))
        .variable("CF_API_EMAIL", "a@b.example")
        .variable("CLOUDFLARE_API_KEY", "key-of-the-account");
    let weir = authority.start_weir(setup);
    weir.logged(
        "Cloudflare, zone example: 403 Forbidden: Unauthorized to access requested resource (9109)",
    );
    api.was_content();
}
