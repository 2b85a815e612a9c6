//! Drafts to what workers use: names become references, references that lead nowhere cost their router alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::{
    Document, Named, RouterDraft, ServiceDraft, StoreDraft, TlsOptionsDraft, TransportDraft,
};
use super::pem_files::PemFiles;
use super::resolve::Resolver;
use super::walker::Spanned;
use super::{EntryPointTable, FileCertificate, FileNames, Problem, StaticConfig, Wanted};
use crate::middleware::Middleware;
use crate::rule::{HttpMatcher, TcpMatcher};
use crate::service::standing::{Said, ServerName, Standings};
use crate::service::{Falls, Protocol, Registry, Service, Target};
use crate::tls::{self, KeyPair};

mod deploys;
mod middlewares;
mod routers;
mod services;
mod steered;
mod store;
mod terms;
mod transports;
mod uncertified;

pub(super) use self::deploys::Deploys;
use self::middlewares::Middlewares;

pub(super) use terms::TermsKept;
pub(super) use transports::{Transports, check as check_transport};

/// What compiling needs from outside.
pub(super) struct Context<'a> {
    pub(super) config: &'a StaticConfig,
    pub(super) registry: &'a mut Registry,
    pub(super) resolver: &'a Resolver,
    pub(super) transports: &'a mut Transports,
    pub(super) standings: &'a Standings,
    pub(super) pems: &'a mut PemFiles,
    pub(super) terms: &'a mut TermsKept,
    pub(super) shared: &'a tls::Shared,
    /// For names that have no certificate.
    pub(super) default_certificate: &'a KeyPair,
    /// Seconds since 1970.
    pub(super) now: i64,
    /// Of those, what was said of servers that are written otherwise now.
    pub(super) outdated: Vec<ServerName>,
    /// In any order.
    pub(super) problems: Vec<Problem>,
    /// In the order of the routers' names.
    pub(super) wanted: Vec<Wanted>,
    /// In the order of their directories.
    pub(super) deploys: Deploys,
    /// Servers to check.
    pub(super) targets: Vec<Target>,
    /// Servers that are down and whose connections are to be reset.
    pub(super) falls: Falls,
}

/// What documents compile to.
pub(super) struct Compiled {
    /// One for each entry point.
    pub(super) entry_points: Vec<EntryPointTable>,
    /// Of both protocols, by name.
    pub(super) services: Vec<(Protocol, Arc<Service>)>,
    /// What certificates of files serve.
    pub(super) files: FileNames,
    /// These certificates.
    pub(super) certificates: Vec<FileCertificate>,
    /// Names of routers that nobody has a certificate for.
    pub(super) uncertified: Vec<Box<str>>,
}

impl Context<'_> {
    /// What administrators have said of a server that is written so.
    fn said(&mut self, name: ServerName, written: &str) -> Option<&Said> {
        let said = self.standings.get(&name)?;
        if said.holds(written) {
            return Some(said);
        }
        self.outdated.push(name);
        None
    }
}

/// Named elements of all files, by name: the same order, and so the same ties, at every load.
type Merged<T> = BTreeMap<Arc<str>, Arc<Named<T>>>;

#[derive(Default)]
struct Drafts {
    http_routers: Merged<RouterDraft<HttpMatcher>>,
    http_services: Merged<ServiceDraft>,
    middlewares: Merged<Arc<Middleware>>,
    tcp_routers: Merged<RouterDraft<TcpMatcher>>,
    tcp_services: Merged<ServiceDraft>,
    http_transports: Merged<TransportDraft>,
    tcp_transports: Merged<TransportDraft>,
    tls_options: Merged<TlsOptionsDraft>,
    stores: Merged<StoreDraft>,
}

/// Compiles the documents, given in the order of their paths.
pub(super) fn compile(context: &mut Context<'_>, documents: Vec<Document>) -> Compiled {
    let mut drafts = Drafts::default();
    let mut certificates = Vec::new();
    for document in documents {
        certificates.extend(document.certificates);
        let problems = &mut context.problems;
        merge(
            problems,
            "http.routers",
            &mut drafts.http_routers,
            document.http.routers,
        );
        merge(
            problems,
            "http.services",
            &mut drafts.http_services,
            document.http.services,
        );
        merge(
            problems,
            "http.middlewares",
            &mut drafts.middlewares,
            document.middlewares,
        );
        merge(
            problems,
            "tcp.routers",
            &mut drafts.tcp_routers,
            document.tcp.routers,
        );
        merge(
            problems,
            "tcp.services",
            &mut drafts.tcp_services,
            document.tcp.services,
        );
        merge(
            problems,
            "http.serversTransports",
            &mut drafts.http_transports,
            document.http.transports,
        );
        merge(
            problems,
            "tcp.serversTransports",
            &mut drafts.tcp_transports,
            document.tcp.transports,
        );
        merge(
            problems,
            "tls.options",
            &mut drafts.tls_options,
            document.tls_options,
        );
        merge(problems, "tls.stores", &mut drafts.stores, document.stores);
    }
    let (store, files, certificates) = store::compile(context, &certificates, &drafts.stores);
    let terms = terms::compile(context, &drafts.tls_options, &store);
    let both = [&drafts.http_services, &drafts.tcp_services];
    context.resolver.want(
        both.into_iter()
            .flat_map(|drafts| drafts.values())
            .flat_map(|named| services::names(named)),
    );
    let (transports, pems) = (&mut *context.transports, &mut *context.pems);
    let problems = &mut context.problems;
    transports.begin(pems, problems, context.config);
    transports.add(pems, problems, Protocol::Http, &drafts.http_transports);
    transports.add(pems, problems, Protocol::Tcp, &drafts.tcp_transports);
    let http = services::compile(context, Protocol::Http, &drafts.http_services);
    let tcp = services::compile(context, Protocol::Tcp, &drafts.tcp_services);
    let services = http.all(Protocol::Http).chain(tcp.all(Protocol::Tcp));
    let services = services.collect();
    let http = routers::Parts {
        services: http,
        middlewares: Middlewares::new(&drafts.middlewares),
        terms,
    };
    let entry_points = routers::compile(
        context,
        &drafts.http_routers,
        &http,
        &drafts.tcp_routers,
        &tcp,
    );
    deploys::spare_sources(context);
    let uncertified = uncertified::names(&store, &entry_points, &context.wanted);
    Compiled {
        entry_points,
        services,
        files,
        certificates,
        uncertified,
    }
}

/// Adds the elements of one more file; for a name in two files the first wins, as in Traefik.
fn merge<T>(
    problems: &mut Vec<Problem>,
    path: &str,
    merged: &mut Merged<T>,
    more: Vec<Arc<Named<T>>>,
) {
    for named in more {
        if let Some(first) = merged.get(&named.name) {
            problems.push(
                Problem::warning(named.origin.clone(), format!("{} again", named.name))
                    .at(format!("{path}.{}", named.name))
                    .remedy(format!(
                        "the one at {} counts: rename or remove one",
                        first.origin
                    ))
                    .lost("this one"),
            );
        } else {
            merged.insert(named.name.clone(), named);
        }
    }
}

/// The name a reference means: `a` or `a@file`.
fn local(reference: &Spanned<String>) -> Result<&str, Problem> {
    match reference.value.split_once('@') {
        None | Some((_, "file")) => Ok(reference.value.split('@').next().unwrap_or_default()),
        Some((name, provider)) => Err(Problem::error(
            reference.origin.clone(),
            format!("provider {provider:?}"),
        )
        .allowed(format!("{name} or {name}@file"))
        .remedy("weir has the provider file only")),
    }
}
