//! `serversTransports`: how servers are reached. Reads their files.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};

use super::store::LAST_GOOD;
use super::{Merged, local};
use crate::config::document::{Host, OlderTcp, ServerDraft, TlsDraft, TransportDraft};
use crate::config::pem_files::{Loaded, PemFiles};
use crate::config::walker::Spanned;
use crate::config::{Cause, Lint, Origin, Problem, StaticConfig};
use crate::service::{
    HttpTransport, Protocol, ServerTls, ServersTransport, TcpTransport, TransportId,
};
use crate::tls::{self, ClientCertificate, ClientSettings};

/// The transports of one load after another: one whose settings stay, and the content of its files, stays the same.
#[derive(Debug, Default)]
pub struct Transports {
    by_name: HashMap<(Protocol, Arc<str>), Outcome>,
    by_settings: HashMap<Settings, Arc<Transport>>,
    /// Those of the load before.
    before: HashMap<Settings, Arc<Transport>>,
    next: u64,
    /// The problem with the system's authorities has been told in this load.
    told: bool,
}

/// Everything that makes a transport what it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Settings {
    name: Arc<str>,
    dial_timeout: Option<Duration>,
    tls_handshake: Option<Duration>,
    http: HttpTransport,
    tcp: TcpTransport,
    server_name: Option<ServerName<'static>>,
    tls: ClientSettings,
}

/// A transport, and its TLS once a server needs it.
#[derive(Debug)]
pub(super) struct Transport {
    settings: Settings,
    transport: Arc<ServersTransport>,
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
}

#[derive(Debug)]
enum Outcome {
    Ready(Arc<Transport>),
    Refused(Origin),
}

/// The name of what applies where nothing is named.
const DEFAULT: &str = "default@internal";

impl Transports {
    /// Begins a load with those of the static file.
    pub(super) fn begin(
        &mut self,
        pems: &mut PemFiles,
        problems: &mut Vec<Problem>,
        config: &StaticConfig,
    ) {
        self.before = std::mem::take(&mut self.by_settings);
        self.by_name.clear();
        self.told = false;
        let http = (
            Protocol::Http,
            &config.servers_transport,
            "serversTransport",
        );
        let tcp = (
            Protocol::Tcp,
            &config.tcp_servers_transport,
            "tcpServersTransport",
        );
        for (protocol, draft, key) in [http, tcp] {
            let mut files = Files::new(pems);
            let settings = settings(&mut files, protocol, DEFAULT.into(), draft);
            problems.extend(files.outdated.into_iter().map(|problem| problem.at(key)));
            let outcome = self.outcome(settings.map_err(|problem| problem.at(key)), problems);
            self.by_name.insert((protocol, DEFAULT.into()), outcome);
        }
    }

    /// Adds those of the rule files.
    pub(super) fn add(
        &mut self,
        pems: &mut PemFiles,
        problems: &mut Vec<Problem>,
        protocol: Protocol,
        drafts: &Merged<TransportDraft>,
    ) {
        for named in drafts.values() {
            let full_name = format!("{}@file", named.name).into();
            let path = format!("{}.serversTransports.{}", root(protocol), named.name);
            let outcome = match &named.draft {
                None => Outcome::Refused(named.origin.clone()),
                Some(draft) => {
                    let mut files = Files::new(pems);
                    let settings = settings(&mut files, protocol, full_name, draft);
                    let lost = format!("serversTransport {}", named.name);
                    let outdated = files.outdated.into_iter();
                    problems.extend(outdated.map(|problem| problem.at(&*path)));
                    let settings = settings.map_err(|problem| problem.at(path).lost(lost));
                    self.outcome(settings, problems)
                }
            };
            self.by_name.insert((protocol, named.name.clone()), outcome);
        }
    }

    fn outcome(
        &mut self,
        settings: Result<Settings, Problem>,
        problems: &mut Vec<Problem>,
    ) -> Outcome {
        match settings {
            Ok(settings) => Outcome::Ready(self.intern(settings)),
            Err(problem) => {
                let origin = problem.origin.clone();
                problems.push(problem);
                Outcome::Refused(origin)
            }
        }
    }

    /// The transport that a load balancer at `origin` names; the default one, with these changes, where it names none.
    pub(super) fn find(
        &mut self,
        protocol: Protocol,
        origin: &Origin,
        reference: Option<&Spanned<String>>,
        older: &OlderTcp,
    ) -> Result<Arc<Transport>, Problem> {
        let (origin, name) = match reference {
            None => (origin, DEFAULT),
            Some(reference) if reference.value == DEFAULT => (&reference.origin, DEFAULT),
            Some(reference) => (&reference.origin, local(reference)?),
        };
        let problem = Problem::error(origin.clone(), format!("serversTransport {name:?}"));
        match self.by_name.get(&(protocol, name.into())) {
            Some(Outcome::Ready(transport)) => {
                let transport = Arc::clone(transport);
                Ok(self.changed(transport, older))
            }
            Some(Outcome::Refused(origin)) => {
                let remedy = format!("correct that serversTransport, at {origin}");
                Err(problem.remedy(remedy).because_of(Cause::ServersTransport))
            }
            None => Err(problem
                .lint(Lint::DanglingReference)
                .allowed(format!(
                    "one of {}.serversTransports of some rule file",
                    root(protocol)
                ))
                .remedy("add it, or correct the name")),
        }
    }

    /// The problem with the system's authorities, once, if this server is the first that needs them.
    pub(super) fn authorities(
        &mut self,
        transport: &Transport,
        draft: &ServerDraft,
    ) -> Option<Problem> {
        let tls = &transport.settings.tls;
        if self.told || !draft.tls || tls.skip_verify || tls.roots.is_some() {
            return None;
        }
        self.told = true;
        let found = tls::system_roots().problem.as_deref()?;
        let problem = Problem::warning(draft.origin.clone(), found);
        Some(problem.remedy(
            "install ca-certificates or correct SSL_CERT_FILE and SSL_CERT_DIR, and restart; or name rootCAs in a \
             serversTransport",
        ))
    }

    fn changed(&mut self, transport: Arc<Transport>, older: &OlderTcp) -> Arc<Transport> {
        if *older == OlderTcp::default() {
            return transport;
        }
        let mut settings = transport.settings.clone();
        let tcp = &mut settings.tcp;
        tcp.proxy_protocol = older.proxy_protocol.or(tcp.proxy_protocol);
        tcp.termination_delay = older.termination_delay.unwrap_or(tcp.termination_delay);
        self.intern(settings)
    }

    fn intern(&mut self, settings: Settings) -> Arc<Transport> {
        if let Some(known) = self.by_settings.get(&settings) {
            return Arc::clone(known);
        }
        let transport = self.before.remove(&settings).unwrap_or_else(|| {
            let transport = ServersTransport {
                id: TransportId(self.next),
                name: settings.name.clone(),
                dial_timeout: settings.dial_timeout,
                tls_handshake: settings.tls_handshake,
                http: settings.http.clone(),
                tcp: settings.tcp.clone(),
            };
            self.next += 1;
            Arc::new(Transport {
                settings: settings.clone(),
                transport: Arc::new(transport),
                tls: OnceLock::new(),
            })
        });
        self.by_settings.insert(settings, Arc::clone(&transport));
        transport
    }
}

impl Transport {
    /// What workers see of it.
    pub(super) fn shared(&self) -> &Arc<ServersTransport> {
        &self.transport
    }

    /// TLS to this server, where it is spoken with it.
    pub(super) fn tls(&self, draft: &ServerDraft) -> Result<Option<ServerTls>, Problem> {
        draft.tls.then(|| self.tls_to(draft)).transpose()
    }

    /// TLS to this server, whether it is spoken with it or not.
    pub(super) fn tls_to(&self, draft: &ServerDraft) -> Result<ServerTls, Problem> {
        let config = self.tls.get_or_init(|| {
            let config = tls::client_config(&self.settings.tls);
            config.map(Arc::new).map_err(|error| error.to_string())
        });
        let problem = |found: String| Problem::error(draft.origin.clone(), found);
        let config = config.clone().map_err(|error| {
            problem(format!("TLS that cannot be set up: {error}"))
                .remedy("report this: it is weir's fault")
        })?;
        let name = self
            .settings
            .server_name
            .clone()
            .or_else(|| server_name(&draft.host));
        let name = name.ok_or_else(|| {
            problem(format!(
                "{}, a host that no certificate can be for",
                draft.name
            ))
            .remedy("set serverName of a serversTransport")
        })?;
        Ok(ServerTls { config, name })
    }
}

/// The files of one transport.
struct Files<'p> {
    pems: &'p mut PemFiles,
    /// Of those whose last good version is taken.
    outdated: Vec<Problem>,
}

impl<'p> Files<'p> {
    fn new(pems: &'p mut PemFiles) -> Self {
        Self {
            pems,
            outdated: Vec::new(),
        }
    }

    /// What there is of a file written at `origin`.
    fn take<T>(&mut self, origin: &Origin, loaded: Loaded<T>) -> Result<T, Problem> {
        let trouble = loaded
            .trouble
            .map(|trouble| Problem::error(origin.clone(), trouble.to_string()));
        match (loaded.good, trouble) {
            (Some(good), trouble) => {
                self.outdated
                    .extend(trouble.map(|problem| problem.lost(LAST_GOOD)));
                Ok(good)
            }
            (None, Some(problem)) => Err(problem),
            (None, None) => Err(Problem::error(origin.clone(), "nothing was read")),
        }
    }

    fn roots(&mut self, draft: &TlsDraft) -> Result<Option<Vec<CertificateDer<'static>>>, Problem> {
        let mut roots = Vec::new();
        for file in &draft.root_cas {
            let loaded = self.pems.authorities("rootCAs", &file.value);
            roots.extend(self.take(&file.origin, loaded)?.iter().cloned());
        }
        Ok((!roots.is_empty()).then_some(roots))
    }

    fn certificates(&mut self, draft: &TlsDraft) -> Result<Vec<ClientCertificate>, Problem> {
        let mut certificates = Vec::new();
        for pair in &draft.certificates {
            let loaded = self.pems.pair(&pair.cert_file.value, &pair.key_file);
            certificates.push(ClientCertificate::new(
                self.take(&pair.cert_file.origin, loaded)?,
            ));
        }
        Ok(certificates)
    }
}

fn settings(
    files: &mut Files<'_>,
    protocol: Protocol,
    name: Arc<str>,
    draft: &TransportDraft,
) -> Result<Settings, Problem> {
    Ok(Settings {
        name,
        dial_timeout: draft.dial_timeout,
        tls_handshake: draft.tls_handshake,
        http: draft.http.clone(),
        tcp: draft.tcp.clone(),
        server_name: match &draft.tls.server_name {
            Some(name) => Some(given_name(name)?),
            None => None,
        },
        tls: ClientSettings {
            roots: files.roots(&draft.tls)?,
            certificates: files.certificates(&draft.tls)?,
            skip_verify: draft.tls.skip_verify,
            peer_uri: draft.tls.peer_uri.as_deref().map(Into::into),
            http: protocol == Protocol::Http,
            disable_http2: draft.disable_http2,
        },
    })
}

/// Whether the files of a transport can be used.
pub fn check(draft: &TransportDraft) -> Result<(), Problem> {
    let mut pems = PemFiles::default();
    settings(
        &mut Files::new(&mut pems),
        Protocol::Http,
        DEFAULT.into(),
        draft,
    )
    .map(|_| ())
}

fn given_name(name: &Spanned<String>) -> Result<ServerName<'static>, Problem> {
    ServerName::try_from(name.value.clone()).map_err(|_| {
        Problem::error(name.origin.clone(), format!("{:?}", name.value))
            .allowed("a host name or an IP address, without a port")
    })
}

/// Who a server must prove to be if `serverName` does not say: the host of its URL.
fn server_name(host: &Host) -> Option<ServerName<'static>> {
    match host {
        Host::Address(address) => Some(ServerName::IpAddress((*address).into())),
        Host::Name(name) => ServerName::try_from(name.clone()).ok(),
    }
}

fn root(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Tcp => "tcp",
    }
}
