//! `certificatesResolvers`: from whom certificates come, and how weir proves that a name is its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use super::{EntryPoint, keys};
use crate::config::Problem;
use crate::config::deploy::{Deploy, deploy};
use crate::config::walker::{Cost, Fields, Place, Walker};
use crate::limits::{ACME_TIMEOUT, DNS_PROPAGATION};

/// Traefik's default of `caServer`.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Where tailscaled listens by default, as its own tools have it.
const TAILSCALED: &str = "/var/run/tailscale/tailscaled.sock";

/// A resolver of `certificatesResolvers`.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// The key.
    pub name: Arc<str>,
    /// Who issues its certificates.
    pub issuer: Issuer,
    /// `deploy`: for other programs.
    pub deploy: Option<Deploy>,
}

/// Who issues certificates.
#[derive(Clone, Debug)]
pub enum Issuer {
    /// `acme`: an authority that speaks it (RFC 8555).
    Acme(Box<Acme>),
    /// `tailscale`: the tailscaled of this machine, at this socket.
    Tailscale(PathBuf),
}

/// `acme`
#[derive(Clone, Debug)]
pub struct Acme {
    /// `caServer`: the URL of the directory.
    pub ca_server: String,
    /// `email` and `emailAddresses`: whom the authority may write to.
    pub emails: Vec<String>,
    /// `storage`: Traefik's acme.json, whose certificates are taken over where the store has none of this resolver.
    pub storage: Option<PathBuf>,
    /// `keyType`: of certificates.
    pub key_type: KeyType,
    /// `profile`: one that the authority offers.
    pub profile: Option<String>,
    /// `eab`: the binding to an account that exists elsewhere.
    pub eab: Option<Eab>,
    /// `caCertificates`: PEM files or texts that the authority's own certificate is verified with.
    pub ca_certificates: Vec<String>,
    /// `caSystemCertPool`: the system's authorities count beside those.
    pub system_roots: bool,
    /// `clientTimeout`: for one request to the authority.
    pub timeout: Duration,
    /// Not `disableCommonName`: the first name that fits is the certificate's subject too.
    pub common_name: bool,
    /// How a name is proved.
    pub challenge: Challenge,
}

impl Resolver {
    /// Whether it can obtain a certificate for a name.
    pub fn can_prove(&self, name: &str) -> bool {
        match &self.issuer {
            Issuer::Acme(acme) => {
                !name.starts_with("*.") || matches!(acme.challenge, Challenge::Dns(_))
            }
            // A machine's own name in its tailnet; its certificates have no wildcards.
            Issuer::Tailscale(_) => name.ends_with(".ts.net") && !name.starts_with("*."),
        }
    }
}

/// `keyType`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// NIST P-256; weir's default.
    Ec256,
    /// NIST P-384.
    Ec384,
    /// RSA with this many bits.
    Rsa(u16),
}

/// `eab`
#[derive(Clone)]
pub struct Eab {
    /// `kid`: which account.
    pub kid: String,
    /// `hmacEncoded`, decoded. Never shown.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Eab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Eab")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// How the authority is shown that a name is ours.
#[derive(Clone, Debug)]
pub enum Challenge {
    /// `httpChallenge`: a path on port 80 (RFC 8555 section 8.3).
    Http {
        /// Index of the entry point.
        entry_point: usize,
        /// Before the authority is told to look.
        delay: Duration,
    },
    /// `tlsChallenge`: a certificate on port 443 (RFC 8737).
    TlsAlpn {
        /// Before the authority is told to look.
        delay: Duration,
    },
    /// `dnsChallenge`: a TXT record (RFC 8555 section 8.4).
    Dns(DnsChallenge),
}

/// `dnsChallenge`
#[derive(Clone, Debug)]
pub struct DnsChallenge {
    /// Who is told the records.
    pub provider: DnsProvider,
    /// `resolvers`: `address:port` of name servers to ask instead of the system's.
    pub resolvers: Vec<std::net::SocketAddr>,
    /// `propagation.delayBeforeChecks`
    pub delay: Duration,
    /// Where weir looks whether the records are there, before the authority does.
    pub check: DnsCheck,
    /// For how long at most.
    pub patience: Duration,
}

/// `dnsChallenge.propagation`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsCheck {
    /// `disableChecks`: nowhere.
    None,
    /// At the servers of the zone.
    Authoritative,
    /// `disableANSChecks`: at `resolvers`.
    Resolvers {
        /// `requireAllRNS`: at each of them.
        all: bool,
    },
}

/// `dnsChallenge.provider`; each takes its secrets from the environment, as in Traefik.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsProvider {
    /// Zones at Cloudflare, `CF_DNS_API_TOKEN`.
    Cloudflare,
    /// A program, `EXEC_PATH`.
    Exec,
    /// A web service, `HTTPREQ_ENDPOINT`.
    HttpReq,
    /// A name server that takes dynamic updates (RFC 2136), `RFC2136_NAMESERVER`.
    Rfc2136,
    /// Zones at AWS, `AWS_ACCESS_KEY_ID`.
    Route53,
}

impl DnsProvider {
    /// By the names that lego and so Traefik have for them.
    const NAMED: [(&str, Self); 5] = [
        ("cloudflare", Self::Cloudflare),
        ("exec", Self::Exec),
        ("httpreq", Self::HttpReq),
        ("rfc2136", Self::Rfc2136),
        ("route53", Self::Route53),
    ];
}

/// Decodes all resolvers.
pub(super) fn all(
    walker: &mut Walker,
    place: &Place<'_>,
    entry_points: &[EntryPoint],
) -> Vec<Resolver> {
    let mut resolvers = Vec::new();
    for (name, place) in &walker.named(place) {
        let Some(fields) = walker.fields(place, &keys::RESOLVER) else {
            continue;
        };
        let issuer = match fields.entry("tailscale") {
            Some(at) if !fields.has("acme") => tailscale(walker, &at),
            Some(at) => {
                let problem = Problem::error(at.origin().clone(), "acme and tailscale")
                    .allowed("one of them");
                walker.report(Cost::Source, &at, problem);
                None
            }
            None => {
                let at = fields.required(walker, "acme");
                at.and_then(|at| acme(walker, &at, entry_points))
            }
        };
        let deploy = fields.get("deploy").and_then(|at| {
            let deploy = deploy(walker, &at)?;
            told_apart(walker, &at, &deploy, &resolvers);
            Some(deploy)
        });
        resolvers.extend(issuer.map(|issuer| Resolver {
            name: (*name).into(),
            issuer,
            deploy,
        }));
    }
    resolvers
}

/// Files of the same name would take turns, and so would the commands.
fn told_apart(walker: &mut Walker, place: &Place<'_>, deploy: &Deploy, resolvers: &[Resolver]) {
    let goes_there = |resolver: &&Resolver| {
        let other = resolver.deploy.as_ref();
        other.is_some_and(|other| other.directory == deploy.directory)
    };
    if let Some(other) = resolvers.iter().find(goes_there) {
        let (directory, name) = (deploy.directory.display(), &other.name);
        let found = format!("the directory {directory}, which the resolver {name:?} has too");
        let problem = Problem::warning(place.origin().clone(), found)
            .remedy("give each its own: for a name that both have, their files would take turns");
        walker.report(Cost::Element, place, problem);
    }
}

fn tailscale(walker: &mut Walker, place: &Place<'_>) -> Option<Issuer> {
    let fields = walker.fields(place, &keys::TAILSCALE)?;
    let socket = fields.get("socket").and_then(|at| walker.string(&at));
    Some(Issuer::Tailscale(
        socket.unwrap_or_else(|| TAILSCALED.to_owned()).into(),
    ))
}

fn acme(walker: &mut Walker, place: &Place<'_>, entry_points: &[EntryPoint]) -> Option<Issuer> {
    let fields = walker.fields(place, &keys::ACME)?;
    if let Some(at) = fields.get("preferredChain") {
        let problem = Problem::error(at.origin().clone(), "the key \"preferredChain\"")
            .remedy("remove it: weir takes the chain that the authority gives by default; where that offers another \
                     chain as a profile, name it with profile");
        walker.report(Cost::Source, &at, problem);
    }
    let key_types = [
        ("EC256", KeyType::Ec256),
        ("EC384", KeyType::Ec384),
        ("RSA2048", KeyType::Rsa(2048)),
        ("RSA3072", KeyType::Rsa(3072)),
        ("RSA4096", KeyType::Rsa(4096)),
    ];
    let ca_server = fields.get("caServer").and_then(|place| {
        walker.scalar(&place, "the https URL of a directory", |text| {
            text.starts_with("https://").then(|| text.to_owned())
        })
    });
    let mut emails: Vec<String> = texts(walker, &fields, "email");
    emails.extend(texts(walker, &fields, "emailAddresses"));
    let key_type = fields
        .get("keyType")
        .and_then(|place| walker.choice(&place, &key_types));
    let eab = fields.get("eab").and_then(|place| eab(walker, &place));
    let storage = fields
        .get("storage")
        .and_then(|place| walker.string(&place));
    let profile = fields
        .get("profile")
        .and_then(|place| walker.string(&place));
    let timeout = time(walker, &fields, "clientTimeout").unwrap_or(ACME_TIMEOUT);
    let challenge = challenge(walker, &fields, entry_points);
    Some(Issuer::Acme(Box::new(Acme {
        ca_server: ca_server.unwrap_or_else(|| LETS_ENCRYPT.to_owned()),
        emails,
        storage: storage.map(PathBuf::from),
        key_type: key_type.unwrap_or(KeyType::Ec256),
        profile,
        eab,
        ca_certificates: texts(walker, &fields, "caCertificates"),
        system_roots: truth(walker, &fields, "caSystemCertPool"),
        timeout,
        common_name: !truth(walker, &fields, "disableCommonName"),
        challenge: challenge?,
    })))
}

/// The one challenge that is configured.
fn challenge(
    walker: &mut Walker,
    fields: &Fields<'_>,
    entry_points: &[EntryPoint],
) -> Option<Challenge> {
    const KINDS: [&str; 3] = ["httpChallenge", "tlsChallenge", "dnsChallenge"];
    let there: Vec<&'static str> = KINDS.into_iter().filter(|kind| fields.has(kind)).collect();
    let [kind] = there[..] else {
        let found = if there.is_empty() {
            "no challenge".to_owned()
        } else {
            there.join(" and ")
        };
        let problem = Problem::error(fields.place().origin().clone(), found)
            .allowed(format!("one of {}", KINDS.join(", ")));
        walker.report(Cost::Source, fields.place(), problem);
        return None;
    };
    let place = fields.get(kind);
    match (kind, place) {
        ("httpChallenge", Some(place)) => http(walker, &place, entry_points),
        ("dnsChallenge", Some(place)) => dns(walker, &place),
        ("tlsChallenge", Some(place)) => {
            let inner = walker.fields(&place, &keys::TLS_CHALLENGE)?;
            let delay = time(walker, &inner, "delay").unwrap_or_default();
            Some(Challenge::TlsAlpn { delay })
        }
        ("tlsChallenge", None) => Some(Challenge::TlsAlpn {
            delay: Duration::ZERO,
        }),
        _ => {
            let problem = Problem::error(
                fields.place().origin().clone(),
                format!("{kind} with nothing in it"),
            );
            walker.report(Cost::Source, fields.place(), problem);
            None
        }
    }
}

fn http(walker: &mut Walker, place: &Place<'_>, entry_points: &[EntryPoint]) -> Option<Challenge> {
    let fields = walker.fields(place, &keys::HTTP_CHALLENGE)?;
    let delay = time(walker, &fields, "delay").unwrap_or_default();
    let at = fields.required(walker, "entryPoint")?;
    let name = walker.string(&at)?;
    let Some(entry_point) = entry_points.iter().position(|one| one.name == name) else {
        let known: Vec<&str> = entry_points.iter().map(|one| one.name.as_str()).collect();
        let problem = Problem::error(at.origin().clone(), format!("entry point {name:?}"))
            .allowed(known.join(", "));
        walker.report(Cost::Source, &at, problem);
        return None;
    };
    Some(Challenge::Http { entry_point, delay })
}

fn dns(walker: &mut Walker, place: &Place<'_>) -> Option<Challenge> {
    let fields = walker.fields(place, &keys::DNS_CHALLENGE)?;
    let provider = fields.required(walker, "provider").and_then(|at| {
        let name = walker.string(&at)?;
        let mut named = DnsProvider::NAMED.iter();
        let found = named.find(|(known, _)| known.eq_ignore_ascii_case(&name));
        if found.is_none() {
            let problem = Problem::warning(at.origin().clone(), format!("the provider {name:?}"))
                .allowed(DnsProvider::NAMED.map(|(name, _)| name).join(", "))
                .remedy("run that provider's tool by exec, or a service by httpreq; until then this resolver obtains no certificates");
            walker.report(Cost::Element, &at, problem);
        }
        found.map(|(_, provider)| *provider)
    });
    let mut resolvers = Vec::new();
    if let Some(list) = fields.get("resolvers") {
        for text in walker.strings(&list) {
            let with_port = text.value.parse().ok();
            let address = with_port
                .or_else(|| Some((text.value.parse::<std::net::IpAddr>().ok()?, 53).into()));
            match address {
                Some(address) => resolvers.push(address),
                None => {
                    let problem = Problem::error(text.origin, format!("{:?}", text.value))
                        .allowed("addresses of name servers, such as 192.0.2.53:53");
                    walker.report(Cost::Source, &list, problem);
                }
            }
        }
    }
    let mut challenge = DnsChallenge {
        provider: provider?,
        resolvers,
        delay: time(walker, &fields, "delayBeforeCheck").unwrap_or_default(),
        check: match truth(walker, &fields, "disablePropagationCheck") {
            true => DnsCheck::None,
            false => DnsCheck::Authoritative,
        },
        patience: DNS_PROPAGATION,
    };
    if let Some(place) = fields.get("propagation")
        && let Some(inner) = walker.fields(&place, &keys::PROPAGATION)
    {
        challenge.delay = time(walker, &inner, "delayBeforeChecks").unwrap_or(challenge.delay);
        let all = truth(walker, &inner, "requireAllRNS");
        if truth(walker, &inner, "disableANSChecks") {
            challenge.check = DnsCheck::Resolvers { all };
        }
        if truth(walker, &inner, "disableChecks") {
            challenge.check = DnsCheck::None;
        }
    }
    Some(Challenge::Dns(challenge))
}

fn eab(walker: &mut Walker, place: &Place<'_>) -> Option<Eab> {
    let fields = walker.fields(place, &keys::EAB)?;
    let kid = fields
        .required(walker, "kid")
        .and_then(|at| walker.string(&at));
    let key = fields.required(walker, "hmacEncoded").and_then(|at| {
        let text = walker.string(&at)?;
        let decoded = BASE64URL_NOPAD
            .decode(text.trim_end_matches('=').as_bytes())
            .ok();
        if decoded.is_none() {
            // The text is a secret: it is not repeated.
            let problem = Problem::error(at.origin().clone(), "a text that is not Base64 for URLs")
                .remedy("copy hmacEncoded from the authority again");
            walker.report(Cost::Source, &at, problem);
        }
        decoded
    });
    Some(Eab {
        kid: kid?,
        key: key?,
    })
}

fn time(walker: &mut Walker, fields: &Fields<'_>, key: &'static str) -> Option<Duration> {
    let place = fields.get(key)?;
    walker.duration(&place)
}

fn truth(walker: &mut Walker, fields: &Fields<'_>, key: &'static str) -> bool {
    let place = fields.get(key);
    place
        .and_then(|place| walker.boolean(&place))
        .unwrap_or(false)
}

fn texts(walker: &mut Walker, fields: &Fields<'_>, key: &'static str) -> Vec<String> {
    let place = fields.get(key);
    let texts = place
        .map(|place| walker.strings(&place))
        .unwrap_or_default();
    texts.into_iter().map(|text| text.value).collect()
}
