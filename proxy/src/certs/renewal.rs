//! When authorities want certificates renewed (ARI, RFC 9773), and what the planner is told about each.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use instant_acme::{Account, CertificateIdentifier, Error};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, Der};
use tracing::debug;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;

use super::plan::Have;
use super::store::{Key, Store, Window};
use crate::config::static_file::Resolver;
use crate::limits::{ARI_RETRY, CERTIFICATES_NEVER};

/// When to ask again about which certificate, where that is not in the store.
#[derive(Default)]
pub struct Windows {
    /// The authority does not offer it.
    unsupported: bool,
    /// It does not repeat which certificate an order replaces.
    pub is_deaf: Cell<bool>,
    failed: HashMap<Key, i64>,
}

impl Windows {
    /// Asks about each certificate of the resolver that it is time to ask about; when to come again.
    pub async fn refresh(
        &mut self,
        resolver: &Resolver,
        account: &Account,
        store: &RefCell<Store>,
        now: i64,
    ) -> i64 {
        let mut next = now + CERTIFICATES_NEVER;
        let mine: Vec<(Key, i64, String)> = {
            let store = store.borrow();
            let own = store
                .all()
                .filter(|(_, held)| *held.record.resolver == *resolver.name);
            own.filter(|(_, held)| held.pair.not_after() > now)
                .map(|(key, held)| {
                    let at = held.record.window.map_or(now, |window| window.ask_again);
                    (
                        key.clone(),
                        at.max(self.failed.get(key).copied().unwrap_or(i64::MIN)),
                        held.record.certificate.clone(),
                    )
                })
                .collect()
        };
        for (key, at, pem) in mine {
            if self.unsupported {
                break;
            }
            if at > now {
                next = next.min(at);
                continue;
            }
            match ask(account, &pem, now).await {
                Ok(window) => {
                    next = next.min(window.ask_again);
                    let mut store = store.borrow_mut();
                    let record = store.get(&key).map(|held| held.record.clone());
                    let put = record.map(|mut record| {
                        record.window = Some(window);
                        store.put(record)
                    });
                    if let Some(Err(line)) = put {
                        debug!("{line}");
                    }
                }
                Err(Error::Unsupported(_)) => self.unsupported = true,
                Err(error) => {
                    debug!(resolver = &*resolver.name, "no renewal window: {error}");
                    self.failed.insert(key, now + ARI_RETRY);
                    next = next.min(now + ARI_RETRY);
                }
            }
        }
        next
    }
}

/// What the planner looks at; `forced` certificates are due.
pub fn have<'s>(store: &'s Store, forced: &HashSet<Key>) -> Vec<Have<'s>> {
    let due = Some(Window {
        start: 0,
        end: 1,
        ask_again: 0,
    });
    let each = store.all().map(|(key, held)| Have {
        key,
        resolver: &held.record.resolver,
        names: held.pair.names(),
        not_before: held.pair.not_before(),
        not_after: held.pair.not_after(),
        window: if forced.contains(key) {
            due
        } else {
            held.record.window
        },
    });
    each.collect()
}

async fn ask(account: &Account, pem: &str, now: i64) -> Result<Window, Error> {
    let id = identifier(pem).ok_or(Error::Str("an authority key identifier in the certificate"))?;
    let (info, again) = account.renewal_info(&id).await?;
    let again = i64::try_from(again.as_secs())
        .unwrap_or(ARI_RETRY)
        .clamp(60, ARI_RETRY * 4);
    Ok(Window {
        start: info.suggested_window.start.unix_timestamp(),
        end: info.suggested_window.end.unix_timestamp(),
        ask_again: now + again,
    })
}

/// What authorities know the first certificate of a chain by: RFC 9773 section 4.1.
pub fn identifier(pem: &str) -> Option<CertificateIdentifier<'static>> {
    let leaf = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&leaf).ok()?;
    let authority =
        certificate
            .iter_extensions()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(authority) => {
                    authority.key_identifier.as_ref()
                }
                _ => None,
            })?;
    let serial = Der::from_slice(certificate.tbs_certificate.raw_serial());
    Some(CertificateIdentifier::new(Der::from_slice(authority.0), serial).into_owned())
}
