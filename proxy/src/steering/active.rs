//! The plane while the program is attached: what it was last told, what it knows of the network, and the one way from
//! there to the maps ([`Active::refresh`]), taken after every change of either.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::{self, Interval, MissedTickBehavior};

use super::attachments::{self, Attachments};
use super::listens::{self, steers};
use super::maps::{MapFailure, Maps};
use super::mode::InterfaceMode;
use super::network::{Interfaces, Network};
use super::program::{Pins, Program};
use super::snat::{self, SourcePorts};
use super::status::Names;
use super::tables::{Reaches, Tables};
use super::world::{self, Exits, Ways};
use super::{OBJECT, checks};
use crate::config::static_file::{EntryPoint, SteeringSettings};
use crate::config::{Problem, StaticConfig};
use crate::limits::{NEIGHBOUR_WAIT, NETWORK_QUIET, STEERING_INTERVAL};
use crate::router::steered::SteeredTable;
use crate::service::Falls;

/// The attached program and all that feeds it.
pub struct Active {
    settings: SteeringSettings,
    entry_points: Vec<EntryPoint>,
    runtime_dir: PathBuf,
    program: Program,
    attachments: Attachments,
    network: Network,
    /// As they were when netlink last answered.
    interfaces: Interfaces,
    reaches: Reaches,
    ways: Ways,
    tables: Tables,
    /// By entry point, same index; empty until the first snapshot.
    steered: Vec<Arc<SteeredTable>>,
    /// The names in the runtime directory are those of the maps.
    named: bool,
    walk: Option<Walk>,
    /// Servers that had gone down when flows were last removed.
    falls: Arc<Falls>,
    interval: Interval,
    /// Something has changed since the maps were last filled.
    stale: bool,
}

/// Why the program is not attached.
pub enum NotActive {
    /// No entry point asks for it.
    Unwanted,
    /// The configuration contradicts the host.
    Contradicted(Vec<Problem>),
    /// The kernel does not take it.
    Refused(String),
}

impl From<Vec<Problem>> for NotActive {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Contradicted(problems)
    }
}

impl NotActive {
    fn refused(error: impl ToString) -> Self {
        Self::Refused(error.to_string())
    }
}

impl Active {
    /// Attaches; see [`super::Plane::start`].
    pub async fn start(config: &StaticConfig, pins: &Pins) -> Result<Self, NotActive> {
        let steered: Vec<&EntryPoint> = config
            .entry_points
            .iter()
            .filter(|entry_point| steers(entry_point))
            .collect();
        let first = steered.first().ok_or(NotActive::Unwanted)?;
        let network = Network::open().map_err(NotActive::refused)?;
        let interfaces = network.interfaces().await.map_err(NotActive::refused)?;
        let modes = checks::interfaces(&steered, &interfaces)?;
        let object = loadable(pins).map_err(NotActive::refused)?;
        checks::source_ports(config, &first.origin)?;
        checks::source_addresses(config, &interfaces);
        let mut program = Program::load(object, pins.clone()).map_err(NotActive::refused)?;
        let tables = Maps::open(&pins.maps())
            .and_then(Tables::adopt)
            .map_err(NotActive::refused)?;
        if tables.is_switched_off().map_err(NotActive::refused)? {
            tracing::warn!(
                "new connections are steered in user space: weir steer off was said; weir steer on ends it"
            );
        }
        let attachments = Attachments::attach(&mut program, &modes, &interfaces)
            .ok_or_else(|| NotActive::refused("the XDP program is attached to no interface"))?;
        attachments::detach_others(pins, &modes, &attachments);
        let mut interval = time::interval(STEERING_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            settings: config.steering.clone(),
            entry_points: config.entry_points.clone(),
            runtime_dir: config.runtime_dir.clone(),
            program,
            attachments,
            network,
            interfaces,
            reaches: Reaches::new(),
            ways: Ways::default(),
            tables,
            steered: Vec::new(),
            named: false,
            walk: None,
            falls: Arc::default(),
            interval,
            stale: false,
        })
    }

    /// `steering` of the static file.
    pub fn settings(&self) -> &SteeringSettings {
        &self.settings
    }

    /// See [`super::Plane::steer`].
    pub async fn steer(&mut self, tables: Vec<Arc<SteeredTable>>) {
        self.steered = tables;
        (self.stale, self.named) = (true, false);
        self.find_new_servers().await;
        self.refresh().await;
    }

    /// Removes the flows of those of these servers that have gone down since the last call: their clients' next packets
    /// pass up, and the kernel, which knows nothing of such a connection, answers them with a reset. Call it when rings
    /// lead there no longer, or again.
    pub fn reset(&mut self, falls: &Arc<Falls>) {
        let before = std::mem::replace(&mut self.falls, Arc::clone(falls));
        let indices = self.tables.indices(&falls.since(&before));
        if indices.is_empty() {
            return;
        }
        let maps = self.program.pins().maps();
        // As a walk: not for this thread. Nobody waits for it.
        tokio::task::spawn_blocking(move || {
            let removed = Maps::open(&maps).and_then(|mut maps| maps.remove_flows(&indices));
            match removed {
                Ok(connections) => {
                    tracing::info!(
                        connections,
                        "steered connections to servers that are down are reset"
                    );
                }
                Err(error) => {
                    tracing::error!(%error, "steered connections to servers that are down stay");
                }
            }
        });
    }

    /// Waits for the next change of the network, or the next interval, and acts on it. Safe to cancel.
    pub async fn follow(&mut self) {
        if !self.stale {
            tokio::select! {
                () = self.network.changed() => {}
                _ = self.interval.tick() => self.start_walk(),
                connections = walked(&mut self.walk) => return self.sweep(connections),
            }
            self.stale = true;
        }
        time::sleep(NETWORK_QUIET).await;
        self.network.caught_up();
        self.refresh().await;
    }

    /// The program sees packets of at least one interface.
    pub fn is_running(&self) -> bool {
        !self.attachments.running(&self.interfaces).is_empty()
    }

    /// Where the clients of an interface are steered.
    pub fn mode(&self, interface: &str) -> InterfaceMode {
        self.attachments.mode(interface, &self.interfaces)
    }

    /// An operator has turned it off for new connections; also `false` where the map cannot be read.
    pub fn is_switched_off(&self) -> bool {
        self.tables.is_switched_off().unwrap_or(false)
    }

    /// An operator has removed every link.
    pub fn detached_by_hand(&self) -> bool {
        self.attachments.all_removed()
    }

    /// Brings the maps up to what the rules and the network say now. Rules reach the program also while netlink is
    /// silent: the next interval asks it again.
    async fn refresh(&mut self) {
        if let Err(error) = self.learn().await {
            tracing::error!(%error, "netlink: the XDP plane goes by what it knew of the network until the next interval");
        }
        self.stale = false;
        self.configure();
        // Before the first snapshot the maps go on as an earlier process left them.
        if !self.steered.is_empty() {
            self.fill();
        }
    }

    /// Asks for what of the network may have changed.
    async fn learn(&mut self) -> Result<(), rtnetlink::Error> {
        self.interfaces = self.network.interfaces().await?;
        self.attachments.renew(&mut self.program, &self.interfaces);
        let running = self.attachments.running(&self.interfaces);
        let exits = Exits {
            interfaces: running.iter().map(|interface| interface.index).collect(),
            sources: snat::default_addresses(&self.settings, &running),
        };
        let servers = self.servers();
        self.reaches = self
            .ways
            .find(&self.network, &self.interfaces, &exits, &servers)
            .await?;
        Ok(())
    }

    fn fill(&mut self) {
        let wanted = listens::wanted(&self.entry_points, &self.steered, &self.interfaces);
        let renumbered = self.tables.fill(&wanted, &self.reaches);
        if renumbered || !self.named {
            self.named = tell_names(&self.tables.names(&wanted), &self.runtime_dir);
        }
    }

    /// A walk takes two system calls for each flow: too long for this thread.
    fn start_walk(&mut self) {
        if self.walk.is_none() && self.tables.has_retired() {
            let maps = self.program.pins().maps();
            self.walk = Some(tokio::task::spawn_blocking(move || {
                Maps::open(&maps)?.connections()
            }));
        }
    }

    fn sweep(&mut self, connections: Result<BTreeMap<u16, u64>, String>) {
        let swept = connections.and_then(|connections| {
            let swept = self.tables.sweep(&connections);
            swept.map_err(|error| error.to_string())
        });
        if let Err(error) = swept {
            tracing::error!(%error, "the entries of unused servers stay in the XDP maps");
        }
    }

    /// Gives the neighbours of new servers a moment to answer, so that the first client finds the way known.
    async fn find_new_servers(&mut self) {
        let servers = self.servers();
        let known = async {
            while !world::all_known(&self.network, &servers)
                .await
                .unwrap_or(true)
            {
                self.network.changed().await;
            }
        };
        // Later it comes as an event; until then the program asks the FIB.
        let _ = time::timeout(NEIGHBOUR_WAIT, known).await;
    }

    /// Every server a client may be at, or may be sent to.
    fn servers(&self) -> Vec<SocketAddr> {
        let wanted = self
            .steered
            .iter()
            .flat_map(|table| table.rules())
            .flat_map(|rule| rule.pool.servers());
        let mut servers = self.tables.servers();
        servers.extend(wanted.map(|server| server.addr));
        servers.sort();
        servers.dedup();
        servers
    }

    fn configure(&mut self) {
        let running = self.attachments.running(&self.interfaces);
        let sources = snat::addresses(&self.settings, &running);
        let (ports, generic) = (
            SourcePorts::configured(&self.settings),
            self.attachments.any_generic(),
        );
        if let Err(error) = self.tables.configure(&sources, ports, generic) {
            tracing::error!(%error, "the XDP program keeps its settings");
        }
    }
}

/// The object, when this process can load it; else what stands against it and what would help.
fn loadable(pins: &Pins) -> Result<&'static [u8], String> {
    let object = OBJECT
        .ok_or("this binary has no XDP object: run cargo xtask build-ebpf, then build it again")?;
    if !checks::privileged() {
        return Err(
            "attaching an XDP program needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON".into(),
        );
    }
    if !pins.on_bpffs() {
        return Err("steering.pinPath is not on a bpffs: mount -t bpf bpf /sys/fs/bpf".into());
    }
    Ok(object)
}

/// Says whether they are written.
fn tell_names(names: &Names, runtime_dir: &Path) -> bool {
    let written = names.write(runtime_dir);
    if let Err(error) = &written {
        tracing::warn!(
            directory = %runtime_dir.display(), %error,
            "weir steer status will show numbers for names"
        );
    }
    written.is_ok()
}

/// What a walk over the flow tables counts: live connections by server.
type Walk = JoinHandle<Result<BTreeMap<u16, u64>, MapFailure>>;

/// The end of the walk under way; never without one. Safe to cancel.
async fn walked(walk: &mut Option<Walk>) -> Result<BTreeMap<u16, u64>, String> {
    let Some(under_way) = walk else {
        return std::future::pending().await;
    };
    let counted = under_way.await;
    *walk = None;
    counted
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())
}
