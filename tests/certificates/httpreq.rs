//! The provider `httpreq` against a service that checks shapes as lego documents them.

use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::Value;

use super::api::{Answer, Api, Request, Zone};
use super::{Authority, ISSUED, require_servers};
use crate::support::eventually_within;

const PASSWORD: &str = "password-of-the-service";

/// Makes and removes what it is asked for, by either form.
fn answer(zone: &mut Zone, raw: bool, request: &Request) -> Result<Answer, String> {
    let basic = format!(
        "Basic {}",
        BASE64.encode(format!("weir:{PASSWORD}").as_bytes())
    );
    if request.field("authorization") != Some(&basic) {
        return Ok((401, "who are you?".to_owned()));
    }
    if request.method != "POST" || request.field("content-type") != Some("application/json") {
        return Err("not a POST of JSON".to_owned());
    }
    let body: Value = serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
    let text = |key: &str| {
        body[key]
            .as_str()
            .map(str::to_owned)
            .ok_or(format!("no {key} in {body}"))
    };
    let keys = body.as_object().map_or(0, serde_json::Map::len);
    let (name, value) = match raw {
        true => {
            let (domain, token, authorization) =
                (text("domain")?, text("token")?, text("keyAuth")?);
            if keys != 3
                || domain.starts_with('*')
                || !authorization.starts_with(&format!("{token}."))
            {
                return Err(format!("{body}"));
            }
            let value = BASE64URL_NOPAD.encode(digest(&SHA256, authorization.as_bytes()).as_ref());
            (format!("_acme-challenge.{domain}"), value)
        }
        false => {
            let name = text("fqdn")?;
            let name = name
                .strip_suffix('.')
                .ok_or("a name without the final dot")?;
            if keys != 2 {
                return Err(format!("{body}"));
            }
            (name.to_owned(), text("value")?)
        }
    };
    let mut values = zone.records.get(&name).cloned().unwrap_or_default();
    match request.path() {
        "/hook/present" if !values.contains(&value) => values.push(value),
        "/hook/cleanup" if values.contains(&value) => values.retain(|one| *one != value),
        other => return Err(format!("{other} with {values:?}")),
    }
    zone.set(&name, &values);
    Ok((200, String::new()))
}

fn obtain(mode: &str, names: &[&str]) {
    let authority = Authority::start();
    let zone = Arc::new(Mutex::new(Zone::new(authority.names)));
    let (own, raw) = (Arc::clone(&zone), mode == "RAW");
    let api = Api::serve(move |request| {
        answer(
            &mut own.lock().expect("nobody panics with it"),
            raw,
            request,
        )
    });
    let challenge = format!(
        "dnsChallenge: {{provider: httpreq, resolvers: [\"{}\"], propagation: {{disableANSChecks: true}}}}",
        authority.names
    );
    let setup = authority
        .setup(&challenge, names)
        .variable("HTTPREQ_ENDPOINT", &format!("{}/hook/", api.url()))
        .variable("HTTPREQ_MODE", mode)
        .variable("HTTPREQ_USERNAME", "weir")
        .variable("HTTPREQ_PASSWORD", PASSWORD);
    let weir = authority.start_weir(setup);
    authority.issues(&weir, "y.example");
    eventually_within(ISSUED, "its records are removed", || {
        zone.lock()
            .expect("nobody panics with it")
            .records
            .is_empty()
            .then_some(())
    });
    api.was_content();
    assert_eq!(api.requests().len(), 2 * names.len());
    assert_eq!(authority.issued(), 1);
    assert!(!weir.log().contains(PASSWORD));
}

#[test]
fn a_service_makes_records_by_name_and_value() {
    if require_servers() {
        obtain("", &["example", "*.example", "*.alias.example"]);
    }
}

#[test]
fn a_service_makes_records_of_tokens() {
    if require_servers() {
        obtain("RAW", &["example", "*.example", "*.x.example"]);
    }
}

#[test]
fn a_service_that_refuses_is_told_of_in_its_words() {
    if !require_servers() {
        return;
    }
    let authority = Authority::start();
    let api = Api::serve(|_| Ok((403, "not in my zones".to_owned())));
    let challenge = format!(
        "dnsChallenge: {{provider: httpreq, resolvers: [\"{}\"]}}",
        authority.names
    );
    let setup = authority
        .setup(&challenge, &["a.example"])
        .variable("HTTPREQ_ENDPOINT", &api.url());
    let weir = authority.start_weir(setup);
    weir.logged("httpreq /present: 403 Forbidden: not in my zones");
}
