//! `tls.certificates` and `tls.stores.default`: the certificates that are shown to clients.

use std::sync::Arc;

use super::deploys::Deploys;
use super::routers::certificates;
use super::{Context, Merged};
use crate::config::document::{CertificateDraft, StoreDraft};
use crate::config::pem_files::Loaded;
use crate::config::{FileCertificate, FileNames, Problem};
use crate::tls::{KeyPair, Store};

/// What is left out of a change of files that cannot be used.
pub(super) const LAST_GOOD: &str = "this version, whose last good one serves,";

/// The certificates of files and those that were obtained, as one store: that of the last load if nothing has changed.
pub(super) fn compile(
    context: &mut Context<'_>,
    drafts: &[CertificateDraft],
    stores: &Merged<StoreDraft>,
) -> (Arc<Store>, FileNames, Vec<FileCertificate>) {
    let mut deploys = Deploys::default();
    let of_files: Vec<(&CertificateDraft, KeyPair)> = drafts
        .iter()
        .filter_map(|draft| Some((draft, deploys.pair(context, draft)?)))
        .collect();
    context.deploys = deploys;
    let mut pairs: Vec<KeyPair> = of_files.iter().map(|(_, pair)| pair.clone()).collect();
    let draft = stores.values().next().and_then(|named| named.usable());
    let given_by = draft.and_then(|draft| draft.certificate.as_ref());
    let given =
        given_by.and_then(|draft| pair(context, "tls.stores.default.defaultCertificate", draft));
    // What the default certificate serves need not be obtained either, as in Traefik.
    let files = FileNames::new(&[&pairs[..], given.as_slice()].concat(), context.now);
    let obtained = context.shared.obtained.load();
    pairs.extend(obtained.iter().cloned());
    let default = given
        .clone()
        .or_else(|| generated(context, draft?, &obtained));
    let store = store(context, pairs, default);
    let certificates = of_files
        .iter()
        .map(|(draft, pair)| FileCertificate::new(draft, pair, &store));
    let mut certificates: Vec<FileCertificate> = certificates.collect();
    certificates.extend(given_by.zip(given).map(|(draft, pair)| FileCertificate {
        // To clients for whose name there is no other.
        presented: true,
        ..FileCertificate::new(draft, &pair, &store)
    }));
    (store, files, certificates)
}

/// The certificate, unless it is not there or cannot be used.
pub(super) fn pair(
    context: &mut Context<'_>,
    path: &str,
    draft: &CertificateDraft,
) -> Option<KeyPair> {
    let loaded = context.pems.pair(&draft.cert_file.value, &draft.key_file);
    take(context, path, draft, loaded)
}

/// What has been loaded; what is wrong with it is told.
pub(super) fn take<T>(
    context: &mut Context<'_>,
    path: &str,
    draft: &CertificateDraft,
    Loaded { good, trouble }: Loaded<T>,
) -> Option<T> {
    let lost = match good {
        Some(_) => LAST_GOOD,
        None => "the certificate",
    };
    context.problems.extend(trouble.map(|trouble| {
        Problem::error(draft.cert_file.origin.clone(), trouble.to_string())
            .at(path)
            .lost(lost)
    }));
    good
}

/// `defaultGeneratedCert`: wants it, and gives it once it is there. With `defaultCertificate` it is not obtained, as in
/// Traefik.
fn generated(
    context: &mut Context<'_>,
    draft: &StoreDraft,
    obtained: &[KeyPair],
) -> Option<KeyPair> {
    let generated = draft.generated.as_ref()?;
    if draft.certificate.is_some() {
        return None;
    }
    let path = "tls.stores.default.defaultGeneratedCert";
    let names = generated.names.clone();
    let wanted = certificates::of_names(
        &context.config.resolvers,
        &generated.resolver,
        names,
        "tls.stores.default".into(),
    );
    match wanted {
        Ok(wanted) => context.wanted.push(wanted),
        Err(problem) => context.problems.push(problem.at(path)),
    }
    let serves = |pair: &&KeyPair| {
        let wanted = &mut generated.names.iter();
        wanted.all(|name| pair.names().contains(name))
    };
    let found = obtained.iter().filter(serves);
    found.max_by_key(|pair| pair.not_after()).cloned()
}

fn store(context: &Context<'_>, pairs: Vec<KeyPair>, default: Option<KeyPair>) -> Arc<Store> {
    let is_own = default.is_none();
    let default = default.unwrap_or_else(|| context.default_certificate.clone());
    if let Some(store) = context.terms.store()
        && store.is_of(&pairs, &default, context.now)
    {
        return Arc::clone(store);
    }
    let store = Store::new(pairs, default, context.now);
    Arc::new(match is_own {
        true => store.counting(&context.shared.self_signed),
        false => store,
    })
}
