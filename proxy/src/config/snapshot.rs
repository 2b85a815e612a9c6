//! What the rules say at one moment, compiled. Immutable, shared by all workers, swapped as a whole.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{FileCertificate, Inventory, Needs, Problem, Severity};
use crate::router::steered::SteeredTable;
use crate::router::{Certainty, HttpsNames, RouterTable, TcpRouter, TcpTable, TcpTls, TermsTable};
use crate::rule::ConnectionView;
use crate::service::standing::Standings;
use crate::service::{Falls, Protocol, Service, Target};
use crate::tls::{Shared, Terms};

/// The compiled rules. Published by one pointer swap (`arc_swap::ArcSwap<Snapshot>`); nothing long-lived holds one: a
/// request clones the `Arc`s it needs.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts loads, from 1.
    pub generation: u64,
    /// One for each of [`super::StaticConfig::entry_points`], same index.
    pub entry_points: Vec<EntryPointTable>,
    /// Which certificates the rules need.
    pub needs: Arc<Needs>,
    /// The certificates of files.
    pub certificates: Arc<[FileCertificate]>,
    /// Names of routers whose clients get the self-signed certificate, as nobody has or obtains one for them.
    pub uncertified: Arc<[Box<str>]>,
    /// What authorities are shown that look whether a name is ours: the same in all snapshots.
    pub shared: Arc<Shared>,
    /// All services, by name, those of HTTP first.
    pub services: Vec<(Protocol, Arc<Service>)>,
    /// Servers with a health check, and which.
    pub targets: Vec<Target>,
    /// Servers whose connections are reset when they go down (`onDown: reset`), in both planes.
    pub falls: Arc<Falls>,
    /// What administrators have said of servers.
    pub standings: Arc<Standings>,
    /// What the rules consist of, by name.
    pub inventory: Arc<Inventory>,
    /// What was left out and why, and warnings; in the order of files and lines.
    pub problems: Vec<Problem>,
}

/// What one entry point does with a connection: `steered` is asked first; then [`Self::at_once`], [`Self::of_plain`]
/// and [`Self::of_tls`] say who takes it. Traefik's order (`ServeTCP` in its `pkg/server/router/tcp/router.go`).
#[derive(Debug, Default)]
pub struct EntryPointTable {
    /// Steered TCP routers: asked first, by the client's address alone. Shared with the control half of the XDP plane.
    pub steered: Arc<SteeredTable>,
    /// TCP routers without `tls`: plain connections, before `http`.
    pub tcp: TcpTable,
    /// TCP routers with `tls`.
    pub tcp_tls: TcpTable,
    /// HTTP routers without `tls`.
    pub http: Arc<RouterTable>,
    /// HTTP routers with `tls`.
    pub https: Arc<RouterTable>,
    /// The server names of `https`.
    pub https_names: HttpsNames,
    /// What is agreed on with clients of `https`.
    pub terms: TermsTable,
    /// What is agreed on with clients of those of `tcp_tls` that end TLS, by the router's name.
    pub tcp_terms: HashMap<Arc<str>, Arc<Terms>>,
}

/// Who takes a connection.
#[derive(Debug)]
pub enum Taker<'a> {
    /// A TCP router.
    Tcp(&'a Arc<TcpRouter>),
    /// HTTP, which answers 404 where no router takes a request.
    Http,
    /// It depends on what the client sends.
    Undecided,
    /// Nobody.
    Nobody,
}

impl Snapshot {
    /// How many problems cost something.
    pub fn errors(&self) -> usize {
        self.problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count()
    }
}

impl EntryPointTable {
    /// Before the client has sent anything. Where no router looks at TLS, one for plain connections takes what it
    /// matches at once, as protocols need in which the server speaks first.
    pub fn at_once(&self, client: IpAddr) -> Taker<'_> {
        if self.tcp.is_empty() || !self.tcp_tls.is_empty() || !self.https.is_empty() {
            return Taker::Undecided;
        }
        match self.tcp.find(&ConnectionView::plain(client)) {
            Some(router) => Taker::Tcp(router),
            None if self.http.is_empty() => Taker::Nobody,
            None => Taker::Undecided,
        }
    }

    /// A connection that begins with something else than TLS.
    pub fn of_plain(&self, client: IpAddr) -> Taker<'_> {
        let router = self.tcp.find(&ConnectionView::plain(client));
        router.map_or(Taker::Http, Taker::Tcp)
    }

    /// A connection that begins with TLS: an HTTP router that names the server, then TCP routers but for a lone
    /// ``HostSNI(`*`)``, then HTTP routers that name none, then that.
    pub fn of_tls(&self, connection: &ConnectionView<'_>) -> Taker<'_> {
        let certainty = self.https_names.find(connection.server_name());
        if certainty == Certainty::Named {
            return Taker::Http;
        }
        match self.tcp_tls.find(connection) {
            Some(router) if certainty == Certainty::No || !router.rule.is_catch_all() => {
                Taker::Tcp(router)
            }
            Some(_) | None => Taker::Http,
        }
    }

    /// Whether the ClientHello decides who takes a TLS connection, or what is agreed on.
    pub fn reads_hello(&self) -> bool {
        !self.tcp_tls.is_empty() || self.terms.looks_at_names()
    }

    /// What is agreed on with clients of a TCP router whose TLS ends here; `None` where it does not, or the router has
    /// an error.
    pub fn terms_of(&self, router: &TcpRouter) -> Option<&Arc<Terms>> {
        let ends = router.tls == Some(TcpTls::Terminate);
        ends.then(|| self.tcp_terms.get(&router.name)).flatten()
    }
}
