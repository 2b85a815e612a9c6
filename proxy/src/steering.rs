//! The XDP plane: loads, attaches, fills and detaches the program that steers connections in the NIC.
//!
//! Owns the maps and the pins; runs on the control thread alone. It never decides where a connection goes: both planes
//! read the same [`SteeredTable`], so that a kernel without XDP gives the same answers slower. Hence its one rule for
//! errors: what the program cannot do is left to user space, with a line in the log; only a configuration that
//! contradicts the host ends the start.

pub mod maps;
pub mod network;
pub mod program;
pub mod servers;
pub mod snat;
pub mod status;
pub mod tables;

mod checks;
mod world;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::{self, Interval};

use self::maps::Maps;
use self::network::{Interfaces, Network};
use self::program::{AttachMode, Pins, Program};
use self::snat::SourcePorts;
use self::status::Names;
use self::tables::{Tables, Wanted};
use self::world::Ways;
use crate::config::static_file::{EntryPoint, OnStop, SteeringMode, SteeringSettings};
use crate::config::{Problem, Snapshot, StaticConfig};
use crate::limits::{NEIGHBOUR_WAIT, NETWORK_QUIET, STEERING_INTERVAL};
use crate::router::steered::SteeredTable;

pub use self::status::{detach, set_enabled, status};

/// The XDP object `cargo xtask build-ebpf` made before this build, aligned for the ELF reader; `None` when the binary
/// was built without one: steering then happens in user space.
#[cfg(weir_xdp_object)]
pub static OBJECT: Option<&[u8]> = Some(aya::include_bytes_aligned!(concat!(
    env!("OUT_DIR"),
    "/weir.o"
)));
#[cfg(not(weir_xdp_object))]
#[expect(missing_docs, reason = "documented above")]
pub static OBJECT: Option<&[u8]> = None;

/// The control half of the XDP plane. Without steered entry points, or where the kernel does not run the program, it
/// does nothing.
pub struct Plane(Option<Active>);

struct Active {
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
    /// The world has changed since the maps were last filled.
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

impl Plane {
    /// Attaches the program to the interfaces of steered entry points, taking over what an earlier process left
    /// pinned. Call it on the control thread, inside its runtime, once the listeners are bound: a start that fails
    /// leaves the NIC alone.
    ///
    /// # Errors
    /// Configuration that contradicts the host: a missing interface, source ports in use. Nothing is attached then. A
    /// kernel that refuses is no error: it is logged, and steering happens in user space.
    pub async fn start(config: &StaticConfig) -> Result<Self, Vec<Problem>> {
        let steered: Vec<&EntryPoint> = config
            .entry_points
            .iter()
            .filter(|entry_point| steers(entry_point))
            .collect();
        let Some(first) = steered.first() else {
            return Ok(Self(None));
        };
        let network = match Network::open() {
            Ok(network) => network,
            Err(error) => return Ok(Self::in_user_space(&format!("netlink: {error}"))),
        };
        let interfaces = match network.interfaces().await {
            Ok(interfaces) => interfaces,
            Err(error) => return Ok(Self::in_user_space(&format!("netlink: {error}"))),
        };
        let modes = checks::interfaces(&steered, &interfaces)?;
        let pins = Pins::below(&config.steering.pin_path);
        let object = match loadable(&pins) {
            Ok(object) => object,
            Err(reason) => return Ok(Self::in_user_space(&reason)),
        };
        checks::source_ports(config, &first.origin)?;
        match Active::start(config, object, pins, network, &interfaces, modes) {
            Ok(active) => Ok(Self(Some(active))),
            Err(reason) => Ok(Self::in_user_space(&reason)),
        }
    }

    /// The program runs on at least one interface.
    pub fn is_active(&self) -> bool {
        self.0.is_some()
    }

    /// Makes the program steer by the snapshot's rules. Returns when it does.
    pub async fn apply(&mut self, snapshot: &Snapshot) {
        let tables = snapshot.entry_points.iter();
        self.steer(tables.map(|table| table.steered.clone()).collect())
            .await;
    }

    /// Makes the program steer by these tables, one for each entry point of the static file, same index.
    pub async fn steer(&mut self, tables: Vec<Arc<SteeredTable>>) {
        let Some(active) = &mut self.0 else { return };
        active.steered = tables;
        active.stale = true;
        active.find_new_servers().await;
        active.refresh().await;
    }

    /// Follows the network (addresses, routes, neighbours) for good; never returns. Safe to cancel and call again.
    pub async fn follow(&mut self) {
        loop {
            match &mut self.0 {
                Some(active) => active.follow_once().await,
                None => return future::pending().await,
            }
            if self.0.as_ref().is_some_and(Active::detached_by_hand) {
                tracing::warn!(
                    "the XDP program was detached by hand: steering happens in user space until a restart"
                );
                self.0 = None;
            }
        }
    }

    /// A clean end: keeps the program steering, or detaches it, as `steering.onStop` says.
    pub fn stop(self) {
        let Some(active) = self.0 else { return };
        if active.settings.on_stop == OnStop::Keep {
            return;
        }
        match status::detach(&active.settings.pin_path) {
            Ok(detached) => tracing::info!(
                connections = detached.connections,
                "the XDP program is detached"
            ),
            Err(error) => tracing::error!(%error, "the XDP program stays attached"),
        }
    }

    fn in_user_space(reason: &dyn Display) -> Self {
        tracing::warn!(%reason, "steering happens in user space");
        Self(None)
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

impl Active {
    fn start(
        config: &StaticConfig,
        object: &[u8],
        pins: Pins,
        network: Network,
        interfaces: &Interfaces,
        modes: BTreeMap<String, SteeringMode>,
    ) -> Result<Self, String> {
        let mut program = Program::load(object, pins.clone()).map_err(|error| error.to_string())?;
        let tables = Maps::open(&pins.maps())
            .and_then(Tables::adopt)
            .map_err(|error| error.to_string())?;
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
                    tracing::warn!(interface = name, %reason, "clients of this interface are steered in user space")
                }
            }
        }
        if attached.is_empty() {
            return Err("the XDP program is attached to no interface".into());
        }
        if let Err(error) = pins.remove_other_schemas() {
            tracing::warn!(%error, "maps of another version of weir stay pinned");
        }
        let mut interval = time::interval(STEERING_INTERVAL);
        interval.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
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

    async fn follow_once(&mut self) {
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
        let steered = self.steered.clone();
        let entry_points = self.entry_points.clone();
        let wanted = wanted(&entry_points, &steered, &interfaces);
        self.configure(&interfaces);
        // Before the first snapshot the maps go on as an earlier process left them.
        if !steered.is_empty() {
            self.tables.fill(&wanted, &reaches);
            self.tell_names(&wanted);
        }
        if std::mem::take(&mut self.sweep_due)
            && !steered.is_empty()
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
            let Some(index) = interfaces.get(name).map(|interface| interface.index) else {
                attached.index = 0;
                continue;
            };
            if index == attached.index || !self.program.is_pinned(name, attached.mode) {
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
        let ports = SourcePorts::configured(&self.settings);
        if let Err(error) = self.tables.configure(&sources, ports, generic) {
            tracing::error!(%error, "the XDP program keeps its settings");
        }
    }

    fn tell_names(&mut self, wanted: &[Wanted<'_>]) {
        let names = self.tables.names(wanted);
        if names == self.names {
            return;
        }
        match names.write(&self.runtime_dir) {
            Ok(()) => self.names = names,
            Err(error) => tracing::warn!(
                directory = %self.runtime_dir.display(), %error,
                "weir steer status will show numbers for names"
            ),
        }
    }

    fn detached_by_hand(&self) -> bool {
        !self
            .attached
            .iter()
            .any(|(name, attached)| self.program.is_pinned(name, attached.mode))
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
