//! `tls.options` and `tls.stores`, with Traefik's keys and names.

use super::{CertificateDraft, certificate, keys};
use crate::config::Problem;
use crate::config::walker::{Cost, Fields, Place, Spanned, Walker, nearest_of};
use crate::tls::Options;
use crate::tls::options::{CLIENT_AUTH, ClientAuth, Curve, Found, Suite, Versions};

/// An entry of `tls.options`.
#[derive(Debug)]
pub struct TlsOptionsDraft {
    /// All but the authorities.
    pub options: Options,
    /// `clientAuth.caFiles`: paths or PEM texts.
    pub ca_files: Vec<Spanned<String>>,
}

/// `tls.stores.default`
#[derive(Debug)]
pub struct StoreDraft {
    /// `defaultCertificate`
    pub certificate: Option<CertificateDraft>,
    /// `defaultGeneratedCert`
    pub generated: Option<GeneratedDraft>,
}

/// `defaultGeneratedCert`
#[derive(Debug)]
pub struct GeneratedDraft {
    /// The name of a certificate resolver.
    pub resolver: Spanned<String>,
    /// The names of the certificate, lower case.
    pub names: Vec<Box<str>>,
}

const VERSIONS: [(&str, u16); 4] = [
    ("VersionTLS10", 0x301),
    ("VersionTLS11", 0x302),
    ("VersionTLS12", 0x303),
    ("VersionTLS13", 0x304),
];

pub(super) fn options(walker: &mut Walker, place: &Place<'_>) -> Option<TlsOptionsDraft> {
    let fields = walker.fields(place, &keys::TLS_OPTIONS)?;
    let mut options = Options {
        versions: versions(walker, &fields)?,
        sni_strict: truth(walker, &fields, "sniStrict"),
        tickets: !truth(walker, &fields, "disableSessionTickets"),
        ..Options::default()
    };
    cipher_suites(walker, &fields, &mut options);
    if let Some(place) = fields.get("curvePreferences") {
        let names = walker.strings(&place);
        let chosen = choose(walker, &place, &names, Curve::find, &Curve::names());
        options.curves = chosen.map(|chosen| chosen.here);
    }
    if let Some(place) = fields.get("alpnProtocols") {
        options.protocols = protocols(walker, &place);
    }
    if let Some(place) = fields.get("preferServerCipherSuites") {
        let found = "preferServerCipherSuites".to_owned();
        let problem = Problem::warning(place.origin().clone(), found)
            .remedy("remove it: it has no effect, as in Traefik; of what both sides have, the client's first is taken");
        walker.report(Cost::Element, &place, problem);
    }
    let ca_files = client_auth(walker, &fields, &mut options);
    Some(TlsOptionsDraft { options, ca_files })
}

fn truth(walker: &mut Walker, fields: &Fields<'_>, key: &'static str) -> bool {
    let place = fields.get(key);
    let truth = place.and_then(|place| walker.boolean(&place));
    truth.unwrap_or(false)
}

/// One of several words. Another one costs the options alone: what is meant to protect must not be guessed.
fn word<T: Copy>(walker: &mut Walker, place: &Place<'_>, words: &[(&str, T)]) -> Option<T> {
    let same = |(word, _): &&(&str, T)| {
        place
            .text()
            .is_some_and(|text| word.eq_ignore_ascii_case(text))
    };
    let found = words.iter().find(same).map(|(_, value)| *value);
    if found.is_none() {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        walker.refuse(place, &words.join(", "));
    }
    found
}

/// A version may be empty, as in Traefik.
fn version(walker: &mut Walker, place: Option<&Place<'_>>, default: u16) -> Option<u16> {
    match place {
        Some(place) if place.text() != Some("") => word(walker, place, &VERSIONS),
        _ => Some(default),
    }
}

fn versions(walker: &mut Walker, fields: &Fields<'_>) -> Option<Versions> {
    const TLS12: u16 = 0x303;
    const TLS13: u16 = 0x304;
    let (min_place, max_place) = (fields.get("minVersion"), fields.get("maxVersion"));
    let min = version(walker, min_place.as_ref(), TLS12)?;
    let max = version(walker, max_place.as_ref(), TLS13)?;
    if let Some(place) = min_place.filter(|_| min < TLS12) {
        let problem = Problem::warning(place.origin().clone(), place_text(&place))
            .allowed("VersionTLS12, VersionTLS13")
            .remedy("VersionTLS12 is the least here: clients with nothing newer cannot connect");
        walker.report(Cost::Element, &place, problem);
    }
    if let Some(place) = max_place.filter(|_| max < TLS12.max(min)) {
        let problem = Problem::error(place.origin().clone(), place_text(&place))
            .allowed("VersionTLS12, VersionTLS13, and not less than minVersion")
            .remedy("TLS 1.0 and 1.1 are not spoken here: correct it, or remove it");
        walker.report(Cost::Element, &place, problem);
        return None;
    }
    Some(match (min, max) {
        (TLS13, _) => Versions::Tls13,
        (_, TLS12) => Versions::Tls12,
        _ => Versions::Both,
    })
}

fn place_text(place: &Place<'_>) -> String {
    format!("{:?}", place.text().unwrap_or_default())
}

/// What a list of names comes to.
struct Chosen<T> {
    here: Vec<T>,
    /// Names of what is on in any case are among them.
    always: bool,
}

/// The chosen ones of a list: those that weir does not have are left out with a warning, an error where none is left.
/// `None`: the list is empty, or has an error.
fn choose<T: PartialEq>(
    walker: &mut Walker,
    place: &Place<'_>,
    names: &[Spanned<String>],
    find: fn(&str) -> Found<T>,
    known: &[&'static str],
) -> Option<Chosen<T>> {
    let (mut here, mut always, mut missing) = (Vec::new(), false, Vec::new());
    for name in names {
        match find(&name.value) {
            Found::Here(one) if here.contains(&one) => {}
            Found::Here(one) => here.push(one),
            Found::Always => always = true,
            Found::Missing => missing.push(&*name.value),
            Found::Unknown => {
                let meant = nearest_of(&name.value, known.iter().copied());
                let remedy = meant.map(|meant| format!("did you mean {meant}?"));
                let problem = Problem::error(name.origin.clone(), format!("{:?}", name.value))
                    .allowed(known.join(", "))
                    .remedy(remedy.unwrap_or_else(|| "remove it".to_owned()));
                walker.report(Cost::Element, place, problem);
                return None;
            }
        }
    }
    if missing.is_empty() {
        let some = always || !here.is_empty();
        return some.then_some(Chosen { here, always });
    }
    let found = format!("{}, which weir does not have", missing.join(", "));
    let some = always || !here.is_empty();
    let problem = match some {
        true => Problem::warning(place.origin().clone(), found)
            .remedy("the others of the list are offered; remove these"),
        false => Problem::error(place.origin().clone(), found)
            .remedy("none of the list is left: add one that is allowed"),
    };
    walker.report(Cost::Element, place, problem.allowed(known.join(", ")));
    some.then_some(Chosen { here, always })
}

/// A list with suites of TLS 1.3 alone leaves nothing for 1.2, as in Go.
fn cipher_suites(walker: &mut Walker, fields: &Fields<'_>, options: &mut Options) {
    let Some(place) = fields.get("cipherSuites") else {
        return;
    };
    let names = walker.strings(&place);
    let known = Suite::names();
    let Some(chosen) = choose(walker, &place, &names, Suite::find, &known) else {
        return;
    };
    if !chosen.here.is_empty() {
        options.suites = Some(chosen.here);
    } else if options.versions == Versions::Tls12 && chosen.always {
        let found = "suites of TLS 1.3 alone, where maxVersion is VersionTLS12".to_owned();
        let problem = Problem::error(place.origin().clone(), found)
            .allowed(known.join(", "))
            .remedy("add suites of TLS 1.2, or remove maxVersion");
        walker.report(Cost::Element, &place, problem);
    } else {
        options.versions = Versions::Tls13;
    }
}

/// `acme-tls/1` is answered in any case; alone it leaves nothing to agree on.
fn protocols(walker: &mut Walker, place: &Place<'_>) -> Option<Vec<Vec<u8>>> {
    let names = walker.strings(place);
    if let Some(name) = names
        .iter()
        .find(|name| name.value.is_empty() || name.value.len() > 255)
    {
        let problem = Problem::error(name.origin.clone(), "no name of a protocol")
            .allowed("h2, http/1.1, or another of up to 255 bytes");
        walker.report(Cost::Element, place, problem);
    }
    let is_other = |name: &&Spanned<String>| name.value.as_bytes() != crate::tls::ACME_TLS;
    if let Some(name) = names.first()
        && !names.iter().any(|name| is_other(&name))
    {
        let problem = Problem::error(name.origin.clone(), "no protocol but acme-tls/1")
            .allowed("h2, http/1.1, or another beside it")
            .remedy("add one, or remove alpnProtocols: acme-tls/1 is answered in any case");
        walker.report(Cost::Element, place, problem);
    }
    let names: Vec<Vec<u8>> = names
        .into_iter()
        .filter(|name| is_other(&name))
        .map(|name| name.value.into_bytes())
        .collect();
    (!names.is_empty()).then_some(names)
}

fn client_auth(
    walker: &mut Walker,
    fields: &Fields<'_>,
    options: &mut Options,
) -> Vec<Spanned<String>> {
    let Some(place) = fields.get("clientAuth") else {
        return Vec::new();
    };
    let Some(fields) = walker.fields(&place, &keys::CLIENT_AUTH) else {
        return Vec::new();
    };
    let files = fields.get("caFiles");
    let files = files.map_or_else(Vec::new, |place| match place.text() {
        // PEM texts may have commas.
        Some(text) if text.contains("-----BEGIN") => vec![place.spanned(text.to_owned())],
        _ => walker.strings(&place),
    });
    if !files.is_empty() {
        options.client_auth = ClientAuth::RequireAndVerifyClientCert;
    }
    if let Some(place) = fields.get("clientAuthType")
        && place.text() != Some("")
        && let Some(mode) = word(walker, &place, &CLIENT_AUTH)
    {
        if mode.verifies() && files.is_empty() {
            let problem = Problem::error(place.origin().clone(), place_text(&place))
                .remedy("add caFiles, without which no certificate can be verified");
            walker.report(Cost::Element, &place, problem);
        }
        options.client_auth = mode;
    }
    files
}

pub(super) fn store(walker: &mut Walker, place: &Place<'_>) -> Option<StoreDraft> {
    let fields = walker.fields(place, &keys::TLS_STORE)?;
    let certificate = fields
        .get("defaultCertificate")
        .and_then(|place| certificate(walker, &place));
    let generated = fields
        .get("defaultGeneratedCert")
        .and_then(|place| generated(walker, &place));
    Some(StoreDraft {
        certificate,
        generated,
    })
}

fn generated(walker: &mut Walker, place: &Place<'_>) -> Option<GeneratedDraft> {
    let fields = walker.fields(place, &keys::GENERATED_CERTIFICATE)?;
    let resolver = fields.required(walker, "resolver")?;
    let resolver = resolver.spanned(walker.string(&resolver)?);
    let domain = fields.required(walker, "domain")?;
    let names = super::router::domain(walker, &domain)?;
    Some(GeneratedDraft {
        resolver,
        names: names
            .into_iter()
            .map(|name| name.to_ascii_lowercase().into())
            .collect(),
    })
}

/// The only store is `default`, as in Traefik.
pub(super) fn only_default(walker: &mut Walker, place: &Place<'_>, name: &str) {
    if name != "default" {
        let problem = Problem::warning(place.origin().clone(), format!("the store {name:?}"))
            .allowed("default")
            .remedy("there is one store, as in Traefik: remove it");
        walker.report(Cost::Element, place, problem);
    }
}
