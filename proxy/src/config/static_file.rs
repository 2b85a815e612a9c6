//! The static configuration: what weir is started with, from a file, the environment and flags. A change of it needs a
//! restart.
//!
//! Owns the checked types; `decode` makes them of the tree. Invariant: whatever is in a [`StaticConfig`] was checked as
//! far as that is possible without the kernel; ports in use and missing interfaces are found by who needs them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::node::{Entry, Node, Scalar, Value};
use super::servers_transport::TransportDraft;
use super::walker::{Place, Walker};
use super::{Origin, Problem, Severity, Source};

mod accepted;
mod decode;
mod entry_point;
mod http2;
pub mod keys;
mod limits;
mod resolver;
mod sources;

pub use self::entry_point::{
    EntryPoint, EntryPointSteering, EntryPointTls, ForwardedHeaders, HttpOptions, KeepAlive,
    Redirection, SteeringMode, Timeouts, Trust, UnderscoreHeaders,
};
pub use self::http2::Http2Settings;
pub use self::limits::{Http2Limits, Limits};
pub use self::resolver::{
    Acme, Challenge, DnsChallenge, DnsCheck, DnsProvider, Eab, Issuer, KeyType, Resolver,
};
pub use self::sources::Sources;

/// The static configuration, checked.
#[derive(Clone, Debug)]
pub struct StaticConfig {
    /// In the order of the file; their index is theirs in [`super::Snapshot::entry_points`].
    pub entry_points: Vec<EntryPoint>,
    /// `certificatesResolvers`, those that obtain certificates.
    pub resolvers: Vec<Resolver>,
    /// `providers.file`.
    pub rules: RuleSource,
    /// `log`.
    pub log: Log,
    /// `steering`.
    pub steering: SteeringSettings,
    /// `runtimeDir`: sockets and what must outlive the process; default /run/weir.
    pub runtime_dir: PathBuf,
    /// `stateDir`: what outlives a restart of the machine, such as last good rule files; default /var/lib/weir.
    pub state_dir: PathBuf,
    /// `serversTransport`: how HTTP servers are reached where no other transport is named.
    pub servers_transport: TransportDraft,
    /// `tcpServersTransport`: the same for TCP servers.
    pub tcp_servers_transport: TransportDraft,
    /// `workers`: threads that serve; `None` is one per core the process may run on.
    pub workers: Option<usize>,
    /// `limits.connections`: clients' connections at one time; `None` is what the file descriptors allow.
    pub connections: Option<usize>,
    /// `limits.http2.workerWindowBytes`: the receive windows of all HTTP/2 clients of a worker.
    pub window_bytes: usize,
}

/// `steering`: what all steered entry points share.
#[derive(Clone, Debug)]
pub struct SteeringSettings {
    /// `snat`: who weir is towards the servers of steered connections; without it, see the defaults in [`Snat`].
    pub snat: Option<Snat>,
    /// What a clean stop does.
    pub on_stop: OnStop,
    /// `pinPath`: where link and maps are pinned, on a bpffs; default /sys/fs/bpf/weir.
    pub pin_path: PathBuf,
    /// `protectedPorts`: entry points on these ports take no steered rule, so that no rule can lock the administrator
    /// out. 22 always is among them.
    pub protected_ports: Vec<u16>,
}

/// `steering.snat`.
#[derive(Clone, Debug)]
pub struct Snat {
    /// Source addresses towards servers, of either family, no duplicates; empty means for each family the first
    /// address of a steered interface.
    pub addresses: Vec<IpAddr>,
    /// First source port.
    pub first_port: u16,
    /// Last source port, not below the first.
    pub last_port: u16,
    /// Where `snat` is written, for problems found later (a port range in use).
    pub origin: Origin,
}

/// `steering.onStop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// Steered connections go on; the next start adopts them.
    Keep,
    /// The program leaves the NIC and steered connections end.
    Detach,
}

/// `providers.file`: where the rules are.
#[derive(Clone, Debug)]
pub struct RuleSource {
    /// A directory (read with its sub-directories) or one file; `None` where no rules are configured.
    pub path: Option<PathBuf>,
    /// Whether a change is taken up at once; default true.
    pub watch: bool,
    /// `allowDeploy`: whether certificates of rules may name a `deploy`; default false.
    pub allow_deploy: bool,
}

/// `log`.
#[derive(Clone, Debug)]
pub struct Log {
    /// Default info.
    pub level: tracing::level_filters::LevelFilter,
    /// Default common.
    pub format: LogFormat,
    /// `filePath`; `None` is the standard error.
    pub file: Option<PathBuf>,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Common,
    /// One JSON object per line.
    Json,
}

impl StaticConfig {
    /// Reads and checks all sources. On success the problems are warnings; otherwise all problems, in file order.
    pub fn load(sources: &Sources) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let (tree, problems) = sources.read()?;
        Self::decode(&tree, problems)
    }

    /// Checks `text` as the content of `path`.
    pub fn parse(path: &Path, text: &str) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let mut tree = sources::parse(path, text).map_err(|problem| vec![problem])?;
        let problems = accepted::take(&mut tree);
        Self::decode(&tree, problems)
    }

    /// One with nothing but entry points of these names, for rules that are checked without any.
    pub fn of_entry_points(names: &[&str]) -> Self {
        let source = Arc::new(Source::Flag("no static configuration".to_owned()));
        let node = |value| Node {
            origin: Origin::whole(&source),
            value,
        };
        let entry = |key: &str, node: Node| Entry {
            key: key.to_owned(),
            origin: Origin::whole(&source),
            node,
        };
        let text = |text: String| node(Value::Scalar(Scalar { text, inset: None }));
        let entry_points = names.iter().zip(1_u16..).map(|(name, port)| {
            let address = entry("address", text(format!(":{port}")));
            entry(name, node(Value::Map(vec![address])))
        });
        let root = entry("entryPoints", node(Value::Map(entry_points.collect())));
        let tree = node(Value::Map(vec![root]));
        let mut walker = Walker::default();
        let config = decode::config(&mut walker, &Place::root(&tree));
        let mut config = config.expect("entry points alone are complete");
        // Whether it is allowed is not known.
        config.rules.allow_deploy = true;
        config
    }

    fn decode(
        tree: &Node,
        mut problems: Vec<Problem>,
    ) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let mut walker = Walker::default();
        let config = decode::config(&mut walker, &Place::root(tree));
        problems.extend(
            walker
                .into_problems()
                .into_iter()
                .map(|(problem, _)| problem),
        );
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        let errors = problems
            .iter()
            .any(|problem| problem.severity == Severity::Error);
        match config {
            Some(config) if !errors => Ok((config, problems)),
            _ => Err(problems),
        }
    }
}

#[cfg(test)]
mod tests;
