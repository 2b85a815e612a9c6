//! One rule file as drafts: decoded and checked as far as the file alone allows. References to other files and to
//! entry points are still names.
//!
//! Invariant: a draft has no key that weir would ignore. An element with a key that Traefik has and weir not yet is
//! kept by name only, so that what refers to it is refused with it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::deploy::{Deploy, deploy};
use super::node::Node;
use super::walker::{Cost, Fields, Place, Spanned, Walker};
use super::{
    Inventory, Origin, Problem, Severity, Source, servers_transport, template, toml, yaml,
};
use crate::middleware::Middleware;
use crate::proxy_protocol;
use crate::rule::{HttpMatcher, Rule, TcpMatcher};
use crate::service::sticky::Cookie;
use crate::service::{HealthCheck, OnFailure};

mod balancing;
mod health_check;
pub mod keys;
mod middleware;
mod router;
mod server;
mod service;
mod tls;

pub(super) use self::router::certificate as wanted_certificate;
pub use self::server::{Host, ServerDraft};
pub use self::tls::{GeneratedDraft, StoreDraft, TlsOptionsDraft};
pub use super::servers_transport::{TlsDraft, TransportDraft};

/// What one rule file says. A clone shares the elements.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// `http`
    pub http: Section<HttpMatcher>,
    /// `tcp`
    pub tcp: Section<TcpMatcher>,
    /// `http.middlewares`
    pub middlewares: Vec<Arc<Named<Arc<Middleware>>>>,
    /// `tls.certificates`
    pub certificates: Vec<CertificateDraft>,
    /// `tls.options`
    pub tls_options: Vec<Arc<Named<TlsOptionsDraft>>>,
    /// `tls.stores`: `default` alone.
    pub stores: Vec<Arc<Named<StoreDraft>>>,
    /// All of it by name.
    pub inventory: Inventory,
    /// All of it as written, for lints; nothing that serves keeps it.
    pub tree: Option<Arc<Node>>,
}

/// The routers and services of one protocol.
#[derive(Clone, Debug)]
pub struct Section<M> {
    /// `routers`
    pub routers: Vec<Arc<Named<RouterDraft<M>>>>,
    /// `services`
    pub services: Vec<Arc<Named<ServiceDraft>>>,
    /// `serversTransports`
    pub transports: Vec<Arc<Named<TransportDraft>>>,
}

/// An element and its name.
#[derive(Debug)]
pub struct Named<T> {
    /// The key.
    pub name: Arc<str>,
    /// Where the key is.
    pub origin: Origin,
    /// `None` where nothing of it can be used.
    pub draft: Option<T>,
    /// It has a key that weir has not yet, or another error that concerns it alone: it must not serve.
    pub refused: bool,
}

/// A router whose references are names.
#[derive(Debug)]
pub struct RouterDraft<M> {
    /// `None`: those that are default.
    pub entry_points: Option<Vec<Spanned<String>>>,
    /// Checked.
    pub rule: Rule<M>,
    /// A name.
    pub service: Spanned<String>,
    /// `None`: the length of the rule.
    pub priority: Option<i64>,
    /// For TLS connections.
    pub tls: bool,
    /// TLS goes on to the server; else it ends here. TCP only.
    pub passthrough: bool,
    /// Names, in order. HTTP only.
    pub middlewares: Vec<Spanned<String>>,
    /// `tls.options`: a name; `None` is the default.
    pub tls_options: Option<Spanned<String>>,
    /// `tls.certResolver` and `tls.domains`.
    pub wanted: Option<WantedCertificate>,
    /// `steer: true`, and where. TCP only.
    pub steer: Option<Origin>,
}

/// What a router, or an entry point for its routers, says about the certificate to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedCertificate {
    /// The name of a certificate resolver.
    pub resolver: Option<Spanned<String>>,
    /// Each the names of one certificate, the main one first.
    pub domains: Vec<Vec<String>>,
}

/// A service whose references are names.
#[derive(Debug)]
pub enum ServiceDraft {
    /// `loadBalancer`
    LoadBalancer(Box<LoadBalancerDraft>),
    /// `weighted`: names and weights; those with weight 0 are not here. And its cookie, HTTP only.
    Weighted(Vec<(Spanned<String>, u32)>, Option<Cookie>),
    /// `failover`: the names of `service` and `fallback`.
    Failover([Spanned<String>; 2]),
}

/// `loadBalancer`
#[derive(Debug)]
pub struct LoadBalancerDraft {
    /// Those with a weight.
    pub servers: Vec<ServerDraft>,
    /// HTTP only.
    pub pass_host_header: bool,
    /// `queue`: how many may wait for each server with a cap, and for how long.
    pub queue: (u32, Duration),
    /// `passiveHealthCheck` and `holdTime`.
    pub on_failure: OnFailure,
    /// `unavailablePage`
    pub page: Option<Spanned<String>>,
    /// `serversTransport`; `None` is the default one.
    pub transport: Option<Spanned<String>>,
    /// `sticky.cookie`. HTTP only.
    pub sticky: Option<Cookie>,
    /// `healthCheck`
    pub health: Option<Arc<HealthCheck>>,
    /// What Traefik's first versions had here instead. TCP only.
    pub older: OlderTcp,
}

/// `loadBalancer.proxyProtocol` and `loadBalancer.terminationDelay`: changes of the default transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OlderTcp {
    /// `proxyProtocol`
    pub proxy_protocol: Option<proxy_protocol::Version>,
    /// `terminationDelay`; inside, `None` is for ever.
    pub termination_delay: Option<Option<Duration>>,
}

/// An entry of `tls.certificates`.
#[derive(Clone)]
pub struct CertificateDraft {
    /// A path, or PEM text.
    pub cert_file: Spanned<String>,
    /// A path, or PEM text, which is never shown.
    pub key_file: String,
    /// `deploy`, at its key. Of `tls.certificates` only.
    pub deploy: Option<Spanned<Deploy>>,
}

impl std::fmt::Debug for CertificateDraft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key_file = match crate::tls::is_pem_text(&self.key_file) {
            true => "PEM text",
            false => &*self.key_file,
        };
        f.debug_struct("CertificateDraft")
            .field("cert_file", &self.cert_file)
            .field("key_file", &key_file)
            .field("deploy", &self.deploy)
            .finish()
    }
}

impl<T> Named<T> {
    /// The draft, unless an error keeps it from serving.
    pub fn usable(&self) -> Option<&T> {
        self.draft.as_ref().filter(|_| !self.refused)
    }
}

impl<M> Default for Section<M> {
    fn default() -> Self {
        Self {
            routers: Vec::new(),
            services: Vec::new(),
            transports: Vec::new(),
        }
    }
}

/// Decodes the text of a rule file. Where the file as a whole cannot be used, the document is `None`.
pub fn decode(file: &Path, text: &str) -> (Option<Document>, Vec<Problem>) {
    let file = &Source::file(file);
    let tree = match tree(file, text) {
        Ok(tree) => tree,
        Err(problem) => return (None, vec![problem.lost("the file")]),
    };
    let mut walker = Walker::default();
    let document =
        document(&mut walker, &Place::root(&tree)).filter(|_| !walker.has_source_errors());
    let document = document.map(|document| Document {
        inventory: Inventory::of(&tree),
        tree: Some(Arc::new(tree)),
        ..document
    });
    let lost = |(problem, cost): (Problem, Cost)| match (cost, problem.severity) {
        (Cost::Source, Severity::Error) => problem.lost("the file"),
        (Cost::Element, Severity::Error) if problem.lost.is_empty() => {
            let path = problem.path.clone();
            problem.lost(path)
        }
        _ => problem,
    };
    (
        document,
        walker.into_problems().into_iter().map(lost).collect(),
    )
}

/// The tree of a rule file, by the file's name: TOML, else YAML; a template is expanded before.
fn tree(file: &Arc<Source>, text: &str) -> Result<Node, Problem> {
    if !template::is_template(text) {
        return parsed(file, text);
    }
    let expanded = template::expand(file, text)?;
    match parsed(file, &expanded.text) {
        Ok(mut tree) => {
            expanded.trace_all(&mut tree);
            Ok(tree)
        }
        Err(mut problem) => {
            expanded.trace(&mut problem.origin);
            Err(problem)
        }
    }
}

fn parsed(file: &Arc<Source>, text: &str) -> Result<Node, Problem> {
    let extension = file.path().and_then(Path::extension);
    match extension.is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
        true => toml::read(file, text),
        false => yaml::read(file, text),
    }
}

fn document(walker: &mut Walker, root: &Place<'_>) -> Option<Document> {
    let fields = walker.fields(root, &keys::ROOT)?;
    let mut document = Document::default();
    if let Some(place) = fields.get("http")
        && let Some(fields) = walker.fields(&place, &keys::HTTP)
    {
        document.http.routers = elements(walker, fields.get("routers"), "router", router::http);
        document.http.services = elements(walker, fields.get("services"), "service", service::http);
        let place = fields.get("middlewares");
        document.middlewares = elements(walker, place, "middleware", |walker, place| {
            middleware::http(walker, place).map(Arc::new)
        });
        let transports = fields.get("serversTransports");
        let decode = |walker: &mut Walker, place: &Place<'_>| {
            servers_transport::http(walker, place, &keys::HTTP_TRANSPORT)
        };
        document.http.transports = elements(walker, transports, "serversTransport", decode);
    }
    if let Some(place) = fields.get("tcp")
        && let Some(fields) = walker.fields(&place, &keys::TCP)
    {
        document.tcp.routers = elements(walker, fields.get("routers"), "router", router::tcp);
        document.tcp.services = elements(walker, fields.get("services"), "service", service::tcp);
        let transports = fields.get("serversTransports");
        let decode = |walker: &mut Walker, place: &Place<'_>| {
            servers_transport::tcp(walker, place, &keys::TCP_TRANSPORT)
        };
        document.tcp.transports = elements(walker, transports, "serversTransport", decode);
    }
    if let Some(place) = fields.get("tls")
        && let Some(fields) = walker.fields(&place, &keys::TLS)
    {
        tls_section(walker, &fields, &mut document);
    }
    Some(document)
}

fn tls_section(walker: &mut Walker, fields: &Fields<'_>, document: &mut Document) {
    if let Some(place) = fields.get("certificates") {
        let items = walker.items(&place);
        document
            .certificates
            .extend(items.iter().filter_map(|place| {
                walker.part("the certificate", |walker| file_certificate(walker, place))
            }));
    }
    let place = fields.get("options");
    document.tls_options = elements(walker, place, "tls.options", tls::options);
    let Some(place) = fields.get("stores") else {
        return;
    };
    for (name, place) in &walker.named(&place) {
        tls::only_default(walker, place, name);
    }
    let stores = elements(walker, Some(place), "tls.stores", tls::store).into_iter();
    document.stores = stores.filter(|store| *store.name == *"default").collect();
}

/// The named elements of a section.
fn elements<T>(
    walker: &mut Walker,
    place: Option<Place<'_>>,
    kind: &str,
    decode: fn(&mut Walker, &Place<'_>) -> Option<T>,
) -> Vec<Arc<Named<T>>> {
    let Some(place) = place else {
        return Vec::new();
    };
    let mut elements = Vec::new();
    for (name, place) in &walker.named(&place) {
        if name.is_empty() || name.contains('@') {
            let problem = Problem::error(place.origin().clone(), format!("the name {name:?}"))
                .allowed("a name without @, which stands before the provider in references");
            walker.report(Cost::Source, place, problem);
        }
        let (draft, refused) =
            walker.element(&format!("{kind} {name}"), |walker| decode(walker, place));
        elements.push(Arc::new(Named {
            name: Arc::from(*name),
            origin: place.origin().clone(),
            draft,
            refused,
        }));
    }
    elements
}

/// One of `tls.certificates`.
fn file_certificate(walker: &mut Walker, place: &Place<'_>) -> Option<CertificateDraft> {
    let fields = walker.fields(place, &keys::FILE_CERTIFICATE)?;
    let mut draft = pair(walker, &fields)?;
    // What is wrong with it does not keep the certificate from clients.
    draft.deploy = fields.get("deploy").and_then(|at| {
        let found = walker.part("the deployment", |walker| deploy(walker, &at));
        Some(at.spanned(found?))
    });
    Some(draft)
}

/// One that is given elsewhere.
pub(super) fn certificate(walker: &mut Walker, place: &Place<'_>) -> Option<CertificateDraft> {
    let fields = walker.fields(place, &keys::CERTIFICATE)?;
    pair(walker, &fields)
}

fn pair(walker: &mut Walker, fields: &Fields<'_>) -> Option<CertificateDraft> {
    let cert_place = fields.required(walker, "certFile")?;
    let key_place = fields.required(walker, "keyFile")?;
    let cert_file = cert_place.spanned(walker.string(&cert_place)?);
    if let Some(place) = fields.get("stores") {
        for name in walker.strings(&place) {
            tls::only_default(walker, &place, &name.value);
        }
    }
    Some(CertificateDraft {
        cert_file,
        key_file: walker.string(&key_place)?,
        deploy: None,
    })
}

#[cfg(test)]
mod tests;
