//! The XDP plane: loads, attaches, fills and detaches the program that steers connections in the NIC.
//!
//! Owns the maps and the pins; runs on the control thread alone. It never decides where a connection goes: both planes
//! read the same [`SteeredTable`], so that a kernel without XDP gives the same answers slower. Hence its one rule for
//! errors: what the program cannot do is left to user space, with a line in the log; only a configuration that
//! contradicts the host ends the start.

pub mod maps;
pub mod mode;
pub mod network;
pub mod program;
pub mod servers;
pub mod snat;
pub mod status;
pub mod tables;

mod active;
mod attachments;
mod checks;
mod leftovers;
mod listens;
mod world;

use std::sync::Arc;

use self::active::{Active, NotActive};
use self::mode::InterfaceMode;
use self::program::Pins;
use crate::config::static_file::{EntryPoint, OnStop};
use crate::config::{Problem, Snapshot, StaticConfig};
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
/// does nothing but end what an earlier process left.
pub struct Plane {
    active: Option<Active>,
    /// Why there is none.
    inactive: String,
    /// An earlier process's program steers by the last rules until this one serves.
    leftovers: Option<Pins>,
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
        let pins = Pins::below(&config.steering.pin_path);
        let (active, inactive) = match Active::start(config, &pins).await {
            Ok(active) => (Some(active), String::new()),
            Err(NotActive::Contradicted(problems)) => return Err(problems),
            Err(NotActive::Unwanted) => (None, String::new()),
            Err(NotActive::Refused(reason)) => {
                tracing::warn!(%reason, "steering happens in user space");
                (None, reason)
            }
        };
        let leftovers = active.is_none().then(|| leftovers::find(pins)).flatten();
        Ok(Self {
            active,
            inactive,
            leftovers,
        })
    }

    /// The program runs on at least one interface.
    pub fn is_running(&self) -> bool {
        self.active.as_ref().is_some_and(Active::is_running)
    }

    /// Nobody has detached the program by hand; it may wait for its interfaces to come back.
    pub fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// For each entry point, the interfaces that it steers on and where their clients are steered now; none where it
    /// steers in user space only.
    pub fn modes(&self, entry_points: &[EntryPoint]) -> Vec<Vec<(String, InterfaceMode)>> {
        let off = self.active.as_ref().is_some_and(Active::is_switched_off);
        let mode = |name: &str| match &self.active {
            None => InterfaceMode::user_space(&*self.inactive),
            Some(_) if off => {
                InterfaceMode::user_space("`weir steer off` was said; `weir steer on` ends it")
            }
            Some(active) => active.mode(name),
        };
        let of_one = |entry_point: &EntryPoint| {
            let steering = entry_point.steering.as_ref();
            let interfaces = steering
                .filter(|_| listens::steers(entry_point))
                .into_iter();
            let names = interfaces.flat_map(|steering| &steering.interfaces);
            names.map(|name| (name.clone(), mode(name))).collect()
        };
        entry_points.iter().map(of_one).collect()
    }

    /// Makes the program steer by the snapshot's rules. Returns when it does. Call it first when the workers serve.
    pub async fn apply(&mut self, snapshot: &Snapshot) {
        let tables = snapshot.entry_points.iter();
        self.steer(tables.map(|table| table.steered.clone()).collect())
            .await;
        if let Some(active) = &mut self.active {
            active.reset(&snapshot.falls);
        }
    }

    /// Makes the program steer by these tables, one for each entry point of the static file, same index.
    pub async fn steer(&mut self, tables: Vec<Arc<SteeredTable>>) {
        if let Some(pins) = self.leftovers.take() {
            leftovers::retire(&pins);
        }
        if let Some(active) = &mut self.active {
            active.steer(tables).await;
        }
    }

    /// Follows the network (addresses, routes, neighbours). Returns only when [`Self::is_running`] has changed: the
    /// program was detached by hand, or its interfaces went or came back. Safe to cancel and call again.
    pub async fn follow(&mut self) {
        let Some(active) = &mut self.active else {
            return std::future::pending().await;
        };
        let before = active.is_running();
        while !active.detached_by_hand() {
            active.follow().await;
            if active.is_running() != before && !active.detached_by_hand() {
                return;
            }
        }
        tracing::warn!(
            "the XDP program was detached by hand: steering happens in user space until a restart"
        );
        self.active = None;
        self.inactive = "the program was detached by hand; a restart attaches it".to_owned();
    }

    /// A clean end: keeps the program steering, or detaches it, as `steering.onStop` says.
    pub fn stop(self) {
        let Some(settings) = self.active.as_ref().map(Active::settings) else {
            return;
        };
        if settings.on_stop == OnStop::Keep {
            return;
        }
        match status::detach(&settings.pin_path) {
            Ok(detached) => tracing::info!(
                connections = detached.connections,
                "the XDP program is detached"
            ),
            Err(error) => tracing::error!(%error, "the XDP program stays attached"),
        }
    }
}
