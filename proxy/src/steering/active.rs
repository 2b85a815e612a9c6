//! The plane while the program is attached: what it was last told, what it knows of the network, and the one way from
//! there to the maps ([`Active::refresh`]), taken after every change of either.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::{self, Interval, MissedTickBehavior};

use super::maps::Maps;
use super::network::{Interfaces, Network};
use super::program::{AttachMode, Pins, Program};
use super::snat::{self, SourcePorts};
use super::status::Names;
use super::tables::{Tables, Wanted};
use super::world::{self, Ways};
use super::{OBJECT, checks};
use crate::config::static_file::{EntryPoint, SteeringMode, SteeringSettings};
use crate::config::{Problem, StaticConfig};
use crate::limits::{NEIGHBOUR_WAIT, NETWORK_QUIET, STEERING_INTERVAL};
use crate::router::steered::SteeredTable;

/// The attached program and all that feeds it.
pub struct Active {
    settings: SteeringSettings,
    entry_points: Vec<EntryPoint>,
    runtime_dir: PathBuf,
    program: Program,
    attached: BTreeMap<String, Attached>,
    network: Network,
    ways: Ways,
    tables: Tables,
    /// By entry point, same index; empty until the first snapshot.
    steered: Vec<Arc<SteeredTable>>,
    names: Names,
    interval: Interval,
    /// Something has changed since the maps were last filled.
    stale: bool,
    /// An interval has passed since the last sweep.
    sweep_due: bool,
}

/// An interface that runs the program.
#[derive(Clone, Copy, Debug)]
struct Attached {
    index: u32,
    mode: AttachMode,
    configured: SteeringMode,
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
        let attached = attach(&mut program, modes, &interfaces)?;
        detach_others(pins, &attached);
        let mut interval = time::interval(STEERING_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            settings: config.steering.clone(),
            entry_points: config.entry_points.clone(),
            runtime_dir: config.runtime_dir.clone(),
            program,
            attached,
            network,
            ways: Ways::default(),
            tables,
            steered: Vec::new(),
            names: Names::default(),
            interval,
            stale: false,
            sweep_due: false,
        })
    }

    /// `steering` of the static file.
    pub fn settings(&self) -> &SteeringSettings {
        &self.settings
    }

    /// See [`super::Plane::steer`].
    pub async fn steer(&mut self, tables: Vec<Arc<SteeredTable>>) {
        self.steered = tables;
        self.stale = true;
        self.find_new_servers().await;
        self.refresh().await;
    }

    /// Waits for the next change of the network, or the next interval, and acts on it. Safe to cancel.
    pub async fn follow(&mut self) {
        if !self.stale {
            tokio::select! {
                () = self.network.changed() => {}
                _ = self.interval.tick() => self.sweep_due = true,
            }
            self.stale = true;
        }
        time::sleep(NETWORK_QUIET).await;
        self.network.caught_up();
        self.refresh().await;
    }

    /// An operator has removed every pin.
    pub fn detached_by_hand(&self) -> bool {
        !self
            .attached
            .iter()
            .any(|(name, attached)| self.program.is_pinned(name, attached.mode))
    }

    /// Brings the maps up to what the rules and the network say now.
    async fn refresh(&mut self) {
        if let Err(error) = self.try_refresh().await {
            tracing::error!(%error, "netlink: the XDP plane goes by what it knew of the network until the next interval");
        }
        self.stale = false;
    }

    async fn try_refresh(&mut self) -> Result<(), rtnetlink::Error> {
        let interfaces = self.network.interfaces().await?;
        self.attach_again(&interfaces);
        let indices: Vec<u32> = self
            .attached
            .values()
            .map(|attached| attached.index)
            .collect();
        let reaches = self
            .ways
            .find(&self.network, &interfaces, &indices, &self.servers())
            .await?;
        self.configure(&interfaces);
        // Before the first snapshot the maps go on as an earlier process left them.
        if self.steered.is_empty() {
            return Ok(());
        }
        let wanted = wanted(&self.entry_points, &self.steered, &interfaces);
        self.tables.fill(&wanted, &reaches);
        tell_names(
            &self.tables.names(&wanted),
            &mut self.names,
            &self.runtime_dir,
        );
        if std::mem::take(&mut self.sweep_due)
            && let Err(error) = self.tables.sweep()
        {
            tracing::error!(%error, "the entries of unused servers stay in the XDP maps");
        }
        Ok(())
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

    /// An interface that was deleted and made again lost the program.
    fn attach_again(&mut self, interfaces: &Interfaces) {
        for (name, attached) in &mut self.attached {
            let index = interfaces.get(name).map_or(0, |interface| interface.index);
            if index == 0 || index == attached.index || !self.program.is_pinned(name, attached.mode)
            {
                attached.index = index;
                continue;
            }
            match self.program.attach(name, attached.configured) {
                Ok(mode) => {
                    *attached = Attached {
                        index,
                        mode,
                        ..*attached
                    }
                }
                Err(reason) => {
                    tracing::warn!(interface = name, %reason, "the XDP program is not attached again")
                }
            }
        }
    }

    fn configure(&mut self, interfaces: &Interfaces) {
        let held = self
            .attached
            .keys()
            .filter_map(|name| interfaces.get(name))
            .flat_map(|held| &held.addresses);
        let sources = snat::addresses(&self.settings, held);
        let generic = self
            .attached
            .values()
            .any(|attached| attached.mode == AttachMode::Generic);
        if let Err(error) =
            self.tables
                .configure(&sources, SourcePorts::configured(&self.settings), generic)
        {
            tracing::error!(%error, "the XDP program keeps its settings");
        }
    }
}

fn steers(entry_point: &EntryPoint) -> bool {
    entry_point
        .steering
        .as_ref()
        .is_some_and(|steering| steering.mode != SteeringMode::Off)
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

/// Attaches to each interface in its mode; an interface that refuses is logged and left out.
fn attach(
    program: &mut Program,
    modes: BTreeMap<String, SteeringMode>,
    interfaces: &Interfaces,
) -> Result<BTreeMap<String, Attached>, NotActive> {
    let mut attached = BTreeMap::new();
    for (name, configured) in modes {
        let index = interfaces.get(&name).map_or(0, |interface| interface.index);
        match program.attach(&name, configured) {
            Ok(mode) => {
                tracing::info!(interface = name, %mode, "the XDP program is attached");
                attached.insert(
                    name,
                    Attached {
                        index,
                        mode,
                        configured,
                    },
                );
            }
            Err(reason) => {
                tracing::warn!(interface = name, %reason, "clients of this interface are steered in user space");
            }
        }
    }
    if attached.is_empty() {
        return Err(NotActive::refused(
            "the XDP program is attached to no interface",
        ));
    }
    Ok(attached)
}

/// Detaches interfaces that the configuration names no more, and removes maps of other versions of weir.
fn detach_others(pins: &Pins, attached: &BTreeMap<String, Attached>) {
    let stay: Vec<&str> = attached.keys().map(String::as_str).collect();
    match pins.detach_all_but(&stay) {
        Ok(detached) if detached.is_empty() => {}
        Ok(detached) => tracing::warn!(
            interfaces = detached.join(", "),
            "the XDP program is detached from interfaces that no entry point steers on any more"
        ),
        Err(error) => {
            tracing::error!(%error, "the XDP program stays attached to interfaces not named any more")
        }
    }
    if let Err(error) = pins.remove_other_schemas() {
        tracing::warn!(%error, "maps of another version of weir stay pinned");
    }
}

/// The program of an earlier process may still be attached where this one cannot or must not use it: leaves new
/// connections to user space, lest they go by rules that nobody updates. Steered connections go on.
pub fn retire_leftovers(pins: &Pins) {
    match pins.attached() {
        Ok(attached) if !attached.is_empty() => {}
        // Maps without a program are of no use to anybody.
        _ => return drop(pins.remove()),
    }
    match Maps::open(&pins.maps()).and_then(Tables::adopt) {
        Ok(mut tables) => {
            tables.fill(&[], &Default::default());
            tracing::warn!(
                "steered connections of an earlier process go on in the NIC; weir steer detach ends them"
            );
        }
        Err(error) => {
            tracing::error!(%error, "an earlier process steers on by its last rules: run weir steer detach")
        }
    }
}

fn tell_names(names: &Names, told: &mut Names, runtime_dir: &Path) {
    if names == told {
        return;
    }
    match names.write(runtime_dir) {
        Ok(()) => *told = names.clone(),
        Err(error) => tracing::warn!(
            directory = %runtime_dir.display(), %error,
            "weir steer status will show numbers for names"
        ),
    }
}

/// What the steered entry points want, wildcards first: a more specific address takes its listener from a wildcard, as
/// the kernel does.
fn wanted<'p>(
    entry_points: &'p [EntryPoint],
    steered: &'p [Arc<SteeredTable>],
    interfaces: &Interfaces,
) -> Vec<Wanted<'p>> {
    let both = entry_points
        .iter()
        .zip(steered)
        .filter(|(entry_point, _)| steers(entry_point));
    let mut wanted: Vec<_> = both
        .map(|(entry_point, table)| Wanted {
            entry_point: &entry_point.name,
            listens: listens(entry_point, interfaces),
            table,
            wildcard: entry_point.address.ip().is_unspecified(),
        })
        .collect();
    wanted.sort_by_key(|wanted| !wanted.wildcard);
    wanted
}

/// The addresses whose connections come to this entry point: its own, or those its interfaces hold now.
fn listens(entry_point: &EntryPoint, interfaces: &Interfaces) -> Vec<SocketAddr> {
    let (ip, port) = (entry_point.address.ip(), entry_point.address.port());
    if !ip.is_unspecified() {
        return vec![SocketAddr::new(ip.to_canonical(), port)];
    }
    let named = entry_point
        .steering
        .iter()
        .flat_map(|steering| &steering.interfaces);
    let held = named
        .filter_map(|name| interfaces.get(name))
        .flat_map(|interface| &interface.addresses);
    // [::] is bound for both families, 0.0.0.0 for one (net.ipv6.bindv6only is not asked: the listener clears it).
    let taken = held.filter(|held| ip.is_ipv6() || held.is_ipv4());
    taken
        .map(|held: &IpAddr| SocketAddr::new(*held, port))
        .collect()
}
