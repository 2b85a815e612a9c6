//! Traefik's acme.json: read to take its certificates over, written to hand ours back.
//!
//! Of an account only the address is there to read: its RSA key is of no use to weir, whose accounts have keys on
//! P-256. A new account costs nothing.
//! Source: `pkg/provider/acme/local_store.go` and `provider.go` in Traefik v3.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use super::store::{Record, Store};

/// One resolver's part of the file. What weir does not need is not read.
#[derive(Default, Serialize, Deserialize)]
struct Part {
    #[serde(rename = "Account", default)]
    account: Option<serde_json::Value>,
    #[serde(rename = "Certificates", default)]
    certificates: Option<Vec<Entry>>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    domain: Domain,
    /// The chain as PEM, in Base64.
    certificate: String,
    /// The private key as PEM, in Base64.
    key: String,
    #[serde(rename = "Store", default)]
    store: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Domain {
    main: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sans: Option<Vec<String>>,
}

/// The certificates in the text of an acme.json, and a line for each that is left out.
///
/// # Errors
/// One line where the text is no acme.json.
pub fn read(text: &str) -> Result<(Vec<Record>, Vec<String>), String> {
    let parts: BTreeMap<String, Part> = serde_json::from_str(text)
        .map_err(|error| format!("that is no acme.json of Traefik v2 or v3: {error}"))?;
    let (mut records, mut left_out) = (Vec::new(), Vec::new());
    for (resolver, part) in parts {
        for entry in part.certificates.unwrap_or_default() {
            let name = entry.domain.main.clone();
            match record(&resolver, entry) {
                Ok(record) => records.push(record),
                Err(problem) => left_out.push(format!("{name} of resolver {resolver}: {problem}")),
            }
        }
    }
    Ok((records, left_out))
}

/// The text of an acme.json with these certificates. Traefik makes an account of its own when it needs one.
///
/// # Errors
/// If JSON cannot be written, which is no fault of the records.
pub fn write<'r>(records: impl IntoIterator<Item = &'r Record>) -> Result<String, String> {
    let mut parts: BTreeMap<&str, Part> = BTreeMap::new();
    for record in records {
        let part = parts.entry(&record.resolver).or_default();
        let (main, sans) = record
            .names
            .split_first()
            .ok_or("a certificate without names")?;
        part.certificates.get_or_insert_default().push(Entry {
            domain: Domain {
                main: main.clone(),
                sans: (!sans.is_empty()).then(|| sans.to_vec()),
            },
            certificate: BASE64.encode(record.certificate.as_bytes()),
            key: BASE64.encode(record.key.as_bytes()),
            store: "default".to_owned(),
        });
    }
    serde_json::to_string_pretty(&parts).map_err(|error| error.to_string())
}

/// Takes the certificates of one resolver over from the acme.json at `path`, unless the store has some of it. A file
/// that is not there has none; what cannot be used is logged.
pub fn take_over(store: &mut Store, resolver: &str, path: &Path) {
    if store
        .all()
        .any(|(_, held)| held.record.resolver == resolver)
    {
        return;
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => text,
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return error!("storage {} cannot be read: {error}", path.display());
        }
        _ => return,
    };
    match read(&text) {
        Ok((records, left_out)) => {
            left_out
                .iter()
                .for_each(|line| warn!("{}: {line}", path.display()));
            let own = records
                .into_iter()
                .filter(|record| record.resolver == resolver);
            let count = own
                .map(|record| store.put(record))
                .filter(Result::is_ok)
                .count();
            info!(count, "certificates taken over from {}", path.display());
        }
        Err(error) => error!("storage {}: {error}", path.display()),
    }
}

fn record(resolver: &str, entry: Entry) -> Result<Record, String> {
    let text = |field: &str, encoded: &str| {
        let bytes = BASE64.decode(encoded.as_bytes()).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.ok_or_else(|| format!("its {field} is not Base64 of PEM"))
    };
    let record = Record {
        resolver: resolver.to_owned(),
        certificate: text("certificate", &entry.certificate)?,
        key: text("key", &entry.key)?,
        names: [
            vec![entry.domain.main],
            entry.domain.sans.unwrap_or_default(),
        ]
        .concat()
        .iter()
        .map(|name| name.to_ascii_lowercase())
        .collect(),
        window: None,
    };
    crate::tls::KeyPair::load(&record.certificate, &record.key)
        .map_err(|error| error.to_string())?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::record as sample;
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let records = [
            sample("a", &["x.example", "*.x.example"], (2020, 2030)),
            sample("a", &["y.example"], (2020, 2030)),
            sample("b", &["x.example"], (2020, 2030)),
        ];
        let text = write(&records).unwrap();
        assert_eq!(read(&text).unwrap(), (records.to_vec(), vec![]));
    }

    #[test]
    fn traefiks_own_form() {
        let record = sample("route53", &["x.example"], (2020, 2030));
        let (certificate, key) = (
            BASE64.encode(record.certificate.as_bytes()),
            BASE64.encode(record.key.as_bytes()),
        );
        let text = format!(
            r#"{{"route53": {{"Account": {{"Email": "a@b.example", "Registration": {{"body": {{"status": "valid"}},
            "uri": "https://acme.example/1"}}, "PrivateKey": "MIIJ", "KeyType": "4096"}}, "Certificates": [
            {{"domain": {{"main": "X.example"}}, "certificate": "{certificate}", "key": "{key}", "Store": "default"}},
            {{"domain": {{"main": "z.example"}}, "certificate": "!", "key": "", "Store": "default"}}]}},
            "other": {{"Account": null, "Certificates": null}}}}"#
        );
        let (records, left_out) = read(&text).unwrap();
        assert_eq!(records, [record]);
        assert_eq!(
            left_out,
            ["z.example of resolver route53: its certificate is not Base64 of PEM"]
        );
        assert!(read("[]").is_err());
    }
}
