//! The provider `route53` against a service that checks signatures and shapes as AWS documents them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use data_encoding::HEXLOWER;
use roxmltree::{Document, Node};

use super::api::{Answer, Api, Request, Zone};
use super::{Authority, ISSUED, require_servers};
use crate::support::eventually_within;

const ID: &str = "AKIDEXAMPLE";
const KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";
const ZONE: &str = "Z0123456789EXAMPLE";

/// Whether a request is signed by [`KEY`]: the steps of AWS's documents, from what arrived.
fn verify(request: &Request, token: Option<&str>) -> Result<(), String> {
    let field = |name: &str| request.field(name).ok_or(format!("no {name}"));
    let authorization = field("authorization")?;
    let rest = authorization
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or("another scheme")?;
    let part = |name: &str| {
        let parts = rest.split(", ");
        let mut values = parts.filter_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        values.next().ok_or(format!("no {name}"))
    };
    let time = field("x-amz-date")?;
    let date = time.get(..8).ok_or("a short date")?;
    let scope = format!("{date}/us-east-1/route53/aws4_request");
    if part("Credential")? != format!("{ID}/{scope}") {
        return Err(format!("the credential {}", part("Credential")?));
    }
    if request.field("x-amz-security-token") != token {
        return Err("another security token".to_owned());
    }
    let names: Vec<&str> = part("SignedHeaders")?.split(';').collect();
    let amazons = request
        .fields
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| name.starts_with("x-amz-"));
    if !names.is_sorted()
        || !names.contains(&"host")
        || amazons.clone().any(|name| !names.contains(&name))
    {
        return Err(format!("signed fields {names:?}"));
    }
    let mut lines = String::new();
    for name in &names {
        lines += &format!("{name}:{}\n", field(name)?);
    }
    let mut query: Vec<String> = request
        .query()
        .iter()
        .map(|(key, value)| format!("{}={}", escaped(key), escaped(value)))
        .collect();
    query.sort();
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{}\n{}",
        request.method,
        request.path(),
        query.join("&"),
        names.join(";"),
        sha256(&request.body)
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        sha256(canonical.as_bytes())
    );
    let mut key = format!("AWS4{KEY}").into_bytes();
    for step in [date, "us-east-1", "route53", "aws4_request"] {
        key = mac(&key, step);
    }
    match HEXLOWER.encode(&mac(&key, &text)) == part("Signature")? {
        true => Ok(()),
        false => Err(format!("the signature does not match:\n{canonical}")),
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
        .as_ref()
        .to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// The elements of one parent, which must be these, in this order.
fn children<'a, 'i>(node: Node<'a, 'i>, names: &[&str]) -> Result<Vec<Node<'a, 'i>>, String> {
    let found: Vec<_> = node.children().filter(Node::is_element).collect();
    let named: Vec<&str> = found.iter().map(|node| node.tag_name().name()).collect();
    let own = found
        .iter()
        .all(|node| node.tag_name().namespace() == Some(NAMESPACE));
    match named == names && own {
        true => Ok(found),
        false => Err(format!(
            "{:?} has {named:?}, not {names:?}",
            node.tag_name().name()
        )),
    }
}

/// A value of a TXT record as it is written: in quotes, at most 255 characters.
fn unquoted(value: &str) -> Result<String, String> {
    let inner = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    let inner = inner.filter(|inner| !inner.contains('"') && inner.len() <= 255);
    inner.map(str::to_owned).ok_or(format!("the value {value}"))
}

/// What the service does, beside its zone.
struct Service {
    zone: Arc<Mutex<Zone>>,
    /// Changes that have been asked for, and how often each was looked at.
    changes: Vec<u32>,
    throttled: bool,
}

impl Service {
    fn answer(&mut self, request: &Request) -> Result<Answer, String> {
        verify(request, None)?;
        let error = |code: &str| {
            let text = "<ErrorResponse><Error><Type>Sender</Type>";
            format!(
                "{text}<Code>{code}</Code><Message>said by the test</Message></Error><RequestId>r</RequestId></ErrorResponse>"
            )
        };
        if !self.throttled && request.path().ends_with("/rrset") {
            self.throttled = true;
            return Ok((400, error("Throttling")));
        }
        let path = request
            .path()
            .strip_prefix("/2013-04-01/")
            .ok_or("another version")?;
        match (request.method.as_str(), path) {
            ("GET", "hostedzonesbyname") => zones(request),
            ("GET", path) if path == format!("hostedzone/{ZONE}/rrset") => self.list(request),
            ("POST", path) if path == format!("hostedzone/{ZONE}/rrset/") => self.change(request),
            ("GET", path) => {
                let index = path
                    .strip_prefix("change/C")
                    .and_then(|index| index.parse::<usize>().ok());
                let looks = index
                    .and_then(|index| self.changes.get_mut(index))
                    .ok_or("no such call")?;
                *looks += 1;
                Ok((
                    200,
                    told(
                        index.unwrap_or_default(),
                        if *looks > 1 { "INSYNC" } else { "PENDING" },
                        "GetChange",
                    ),
                ))
            }
            _ => Err("no such call".to_owned()),
        }
    }

    fn list(&self, request: &Request) -> Result<Answer, String> {
        let name = request.asked("name").ok_or("no name")?;
        if request.asked("type").as_deref() != Some("TXT") {
            return Err("a name without the type to start with".to_owned());
        }
        let zone = self.zone.lock().expect("nobody panics with it");
        // From the name on, in some order of the service's.
        let rest = zone.records.range(name.trim_end_matches('.').to_owned()..);
        let set = |(name, values): (&String, &Vec<String>)| {
            let values: String = values
                .iter()
                .map(|value| format!("<ResourceRecord><Value>\"{value}\"</Value></ResourceRecord>"))
                .collect();
            format!(
                "<ResourceRecordSet><Name>{name}.</Name><Type>TXT</Type><TTL>300</TTL><ResourceRecords>{values}</ResourceRecords></ResourceRecordSet>"
            )
        };
        let sets: String = rest.take(1).map(set).collect();
        Ok((
            200,
            format!(
                "<?xml version=\"1.0\"?><ListResourceRecordSetsResponse xmlns=\"{NAMESPACE}\"><ResourceRecordSets>{sets}\
                 </ResourceRecordSets><IsTruncated>true</IsTruncated><MaxItems>1</MaxItems></ListResourceRecordSetsResponse>"
            ),
        ))
    }

    fn change(&mut self, request: &Request) -> Result<Answer, String> {
        let body = std::str::from_utf8(&request.body).map_err(|error| error.to_string())?;
        let document = Document::parse(body).map_err(|error| error.to_string())?;
        let root = document.root_element();
        if root.tag_name().name() != "ChangeResourceRecordSetsRequest" {
            return Err("another root".to_owned());
        }
        let batch = children(root, &["ChangeBatch"])?[0];
        let changes = children(batch, &["Changes"])?[0];
        let mut zone = self.zone.lock().expect("nobody panics with it");
        for change in changes.children().filter(Node::is_element) {
            let [action, set] = children(change, &["Action", "ResourceRecordSet"])?[..] else {
                return Err("two".to_owned());
            };
            let parts = children(set, &["Name", "Type", "TTL", "ResourceRecords"])?;
            let text = |node: Node<'_, '_>| node.text().unwrap_or_default().to_owned();
            let name = text(parts[0]).trim_end_matches('.').to_owned();
            // What the site's policy allows.
            let allowed = name.starts_with("_acme-challenge.") || name == "alias.proofs.example";
            if text(parts[1]) != "TXT" || !allowed || !name.ends_with("example") {
                return Err(format!("{} {name}", text(parts[1])));
            }
            let ttl: u32 = text(parts[2]).parse().map_err(|_| "no TTL")?;
            let mut values = Vec::new();
            for record in parts[3].children().filter(Node::is_element) {
                values.push(unquoted(&text(children(record, &["Value"])?[0]))?);
            }
            match text(action).as_str() {
                "UPSERT" if !values.is_empty() => zone.set(&name, &values),
                "DELETE" if zone.records.get(&name) == Some(&values) && ttl == 300 => {
                    zone.set(&name, &[])
                }
                other => return Err(format!("{other} {name} {ttl} {values:?}")),
            }
        }
        self.changes.push(0);
        Ok((
            200,
            told(
                self.changes.len() - 1,
                "PENDING",
                "ChangeResourceRecordSets",
            ),
        ))
    }
}

fn zones(request: &Request) -> Result<Answer, String> {
    if request.asked("dnsname").as_deref() != Some("example") {
        return Err(format!("zones of {:?}", request.asked("dnsname")));
    }
    // A private zone of the same name comes first, and another name last.
    let zone = |id: &str, name: &str, private: bool| {
        format!(
            "<HostedZone><Id>/hostedzone/{id}</Id><Name>{name}.</Name><CallerReference>c</CallerReference><Config>\
             <PrivateZone>{private}</PrivateZone></Config><ResourceRecordSetCount>2</ResourceRecordSetCount></HostedZone>"
        )
    };
    let zones = [
        zone("ZPRIVATE", "example", true),
        zone(ZONE, "example", false),
        zone("ZOTHER", "example.net", false),
    ];
    Ok((
        200,
        format!(
            "<?xml version=\"1.0\"?><ListHostedZonesByNameResponse xmlns=\"{NAMESPACE}\"><HostedZones>{}</HostedZones>\
             <DNSName>example</DNSName><IsTruncated>false</IsTruncated><MaxItems>100</MaxItems></ListHostedZonesByNameResponse>",
            zones.concat()
        ),
    ))
}

fn told(index: usize, status: &str, call: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><{call}Response xmlns=\"{NAMESPACE}\"><ChangeInfo><Id>/change/C{index}</Id><Status>{status}</Status>\
         <SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt></ChangeInfo></{call}Response>"
    )
}

fn challenge(authority: &Authority) -> String {
    format!(
        "dnsChallenge: {{provider: route53, resolvers: [\"{}\"], propagation: {{disableANSChecks: true}}}}",
        authority.names
    )
}

#[test]
fn records_of_a_zone_are_one_change_signed_and_within_the_rate() {
    if !require_servers() {
        return;
    }
    let authority = Authority::start();
    let mut zone = Zone::new(authority.names);
    // Somebody else's, at a name that weir needs too.
    zone.set("_acme-challenge.example", &["others".to_owned()]);
    let zone = Arc::new(Mutex::new(zone));
    let mut service = Service {
        zone: Arc::clone(&zone),
        changes: Vec::new(),
        throttled: false,
    };
    let api = Api::serve(move |request| service.answer(request));
    let names = [
        "example",
        "*.example",
        "x.example",
        "alias.example",
        "*.alias.example",
    ];
    let setup = authority
        .setup(&challenge(&authority), &names)
        .variable("AWS_ENDPOINT_URL_ROUTE_53", &api.url())
        .variable("AWS_ACCESS_KEY_ID", ID)
        .variable("AWS_SECRET_ACCESS_KEY", KEY);
    let weir = authority.start_weir(setup);
    authority.issues(&weir, "y.example");
    assert!(
        authority
            .shown("z.alias.example")
            .contains("DNS:*.alias.example")
    );
    eventually_within(ISSUED, "only what others have is left", || {
        let zone = zone.lock().expect("nobody panics with it");
        let left: Vec<_> = zone.records.iter().collect();
        let (name, values) = left.first()?;
        (left.len() == 1 && *name == "_acme-challenge.example" && **values == ["others"])
            .then_some(())
    });
    api.was_content();
    assert_eq!(authority.issued(), 1);
    let requests = api.requests();
    // One to make them, one to remove them.
    assert_eq!(
        requests
            .iter()
            .filter(|request| request.method == "POST")
            .count(),
        2
    );
    for six in requests.windows(6) {
        let within = six[5].at - six[0].at;
        assert!(
            within > Duration::from_millis(950),
            "six requests within {within:?}"
        );
    }
    assert!(requests.len() > 10, "{}", requests.len());
    assert!(!weir.log().contains(KEY));
}

/// Credentials of each kind sign, and what AWS refuses is told in its words.
fn refused(token: Option<&'static str>, variables: impl Fn(&Api) -> Vec<(&'static str, String)>) {
    let authority = Authority::start();
    let api = Api::serve(
        move |request| match (request.method.as_str(), request.path()) {
            ("PUT", "/latest/api/token")
                if request
                    .field("x-aws-ec2-metadata-token-ttl-seconds")
                    .is_some() =>
            {
                Ok((200, "of-the-instance".to_owned()))
            }
            ("GET", path) if path.starts_with("/latest/meta-data/") => {
                if request.field("x-aws-ec2-metadata-token") != Some("of-the-instance") {
                    return Err("no token of the instance".to_owned());
                }
                match path.strip_prefix("/latest/meta-data/iam/security-credentials/") {
                    Some("") => Ok((200, "proxy-role".to_owned())),
                    Some("proxy-role") => Ok((
                        200,
                        format!(
                            "{{\"Code\": \"Success\", \"Type\": \"AWS-HMAC\", \"AccessKeyId\": \"{ID}\", \"SecretAccessKey\": \"{KEY}\", \
                         \"Token\": \"session\", \"Expiration\": \"2030-01-01T00:00:00Z\"}}"
                        ),
                    )),
                    _ => Err("no such path".to_owned()),
                }
            }
            _ => {
                verify(request, token)?;
                let text = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User is not \
                        authorized</Message></Error></ErrorResponse>";
                Ok((403, text.to_owned()))
            }
        },
    );
    let mut setup = authority
        .setup(&challenge(&authority), &["a.example"])
        .variable("AWS_ENDPOINT_URL_ROUTE_53", &api.url());
    for (name, value) in variables(&api) {
        setup = setup.variable(name, &value);
    }
    let weir = authority.start_weir(setup);
    weir.logged("route53, zone example: 403 Forbidden: AccessDenied User is not authorized");
    api.was_content();
    assert!(!weir.log().contains(KEY));
}

#[test]
fn credentials_are_taken_from_a_shared_file() {
    if !require_servers() {
        return;
    }
    let directory = tempfile::tempdir().expect("a scratch directory");
    let file = directory.path().join("credentials");
    let text = format!("[default]\naws_access_key_id={ID}\naws_secret_access_key={KEY}\n");
    std::fs::write(&file, text).expect("written");
    refused(None, |_| {
        vec![("AWS_SHARED_CREDENTIALS_FILE", file.display().to_string())]
    });
}

#[test]
fn credentials_are_taken_from_the_instance() {
    if !require_servers() {
        return;
    }
    refused(Some("session"), |api| {
        vec![
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", api.url()),
            ("HOME", "/nonexistent".to_owned()),
        ]
    });
}
