//! The interfaces the program is to run on, and whether it does: a link may go with its interface, or by an operator's
//! hand. Only where the program runs now do addresses and next hops count.

use std::collections::BTreeMap;

use super::mode::InterfaceMode;
use super::network::{Interface, Interfaces};
use super::program::{AttachMode, Pins, Program};
use crate::config::static_file::SteeringMode;

/// The interfaces of steered entry points, by name.
pub struct Attachments {
    /// Those the program was attached to at the start.
    held: BTreeMap<String, Attachment>,
    /// Those that refused it then, and why.
    refused: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct Attachment {
    /// The interface the state is about; 0 while there is none of this name.
    index: u32,
    configured: SteeringMode,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Runs(AttachMode),
    /// The interface was made again and refuses the program so far, and why.
    Lost(String),
    /// An operator has removed the link: it stays away until a restart.
    Removed,
}

impl Attachments {
    /// Attaches to each interface in its mode; an interface that refuses is logged and left out. `None` where all do.
    pub fn attach(
        program: &mut Program,
        modes: &BTreeMap<String, SteeringMode>,
        interfaces: &Interfaces,
    ) -> Option<Self> {
        let (mut held, mut refused) = (BTreeMap::new(), BTreeMap::new());
        for (name, &configured) in modes {
            match program.attach(name, configured) {
                Ok(mode) => {
                    tracing::info!(interface = name, %mode, "the XDP program is attached");
                    let attachment = Attachment {
                        index: index(interfaces, name),
                        configured,
                        state: State::Runs(mode),
                    };
                    held.insert(name.clone(), attachment);
                }
                Err(reason) => {
                    tracing::warn!(interface = name, %reason, "clients of this interface are steered in user space");
                    refused.insert(name.clone(), reason.to_string());
                }
            }
        }
        (!held.is_empty()).then_some(Self { held, refused })
    }

    /// Sees which links have gone, and attaches again where an interface was deleted and made again.
    pub fn renew(&mut self, program: &mut Program, interfaces: &Interfaces) {
        for (name, attachment) in &mut self.held {
            attachment.renew(name, index(interfaces, name), program);
        }
    }

    /// The interfaces that run the program now, in the order of their names.
    pub fn running<'i>(&self, interfaces: &'i Interfaces) -> Vec<&'i Interface> {
        let running = self.held.iter().filter_map(|(name, attachment)| {
            let interface = interfaces.get(name)?;
            attachment.runs_on(interface).then_some(interface)
        });
        running.collect()
    }

    /// How the clients of an interface are steered.
    pub fn mode(&self, name: &str, interfaces: &Interfaces) -> InterfaceMode {
        let Some(attachment) = self.held.get(name) else {
            let reason = self
                .refused
                .get(name)
                .map_or("it is not steered", String::as_str);
            return InterfaceMode::user_space(reason);
        };
        match &attachment.state {
            State::Runs(mode) => match interfaces.get(name) {
                Some(interface) if attachment.runs_on(interface) => (*mode).into(),
                Some(_) => {
                    InterfaceMode::lost("the interface was made again, and is looked at soon")
                }
                None => InterfaceMode::lost("the interface is not there; waited for"),
            },
            State::Lost(_) if !interfaces.contains_key(name) => {
                InterfaceMode::lost("the interface is not there; waited for")
            }
            State::Lost(reason) => {
                InterfaceMode::lost(format!("{reason}; tried again at each interval"))
            }
            State::Removed => {
                InterfaceMode::user_space("the program was detached by hand; a restart attaches it")
            }
        }
    }

    /// The program runs behind a driver somewhere.
    pub fn any_generic(&self) -> bool {
        self.held
            .values()
            .any(|attachment| attachment.state == State::Runs(AttachMode::Generic))
    }

    /// An operator has removed every link.
    pub fn all_removed(&self) -> bool {
        self.held
            .values()
            .all(|attachment| attachment.state == State::Removed)
    }
}

impl Attachment {
    fn runs_on(&self, interface: &Interface) -> bool {
        matches!(self.state, State::Runs(_)) && interface.index == self.index
    }

    fn renew(&mut self, name: &str, index: u32, program: &mut Program) {
        match &self.state {
            State::Removed => return,
            State::Runs(mode) if !program.is_pinned(name, *mode) => {
                tracing::warn!(
                    interface = name,
                    "the XDP program was detached by hand: clients of this interface are steered in user space"
                );
                self.state = State::Removed;
                return;
            }
            State::Runs(_) if index == 0 || index == self.index => {}
            State::Lost(_) if index == 0 => {}
            State::Runs(_) | State::Lost(_) => self.attach(name, program),
        }
        self.index = index;
    }

    fn attach(&mut self, name: &str, program: &mut Program) {
        match program.attach(name, self.configured) {
            Ok(mode) => {
                tracing::info!(interface = name, %mode, "the XDP program is attached again");
                self.state = State::Runs(mode);
            }
            Err(reason) => {
                if !matches!(self.state, State::Lost(_)) {
                    tracing::warn!(
                        interface = name, %reason,
                        "the XDP program is not attached again: tried again at each interval"
                    );
                }
                self.state = State::Lost(reason.to_string());
            }
        }
    }
}

fn index(interfaces: &Interfaces, name: &str) -> u32 {
    interfaces.get(name).map_or(0, |interface| interface.index)
}

/// Detaches interfaces that the configuration names no more, and removes maps of other versions of weir: unless an
/// earlier process's program, which may use them, still runs on an interface that took no new one.
pub fn detach_others(
    pins: &Pins,
    configured: &BTreeMap<String, SteeringMode>,
    taken: &Attachments,
) {
    let stay: Vec<&str> = configured.keys().map(String::as_str).collect();
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
    let held = pins.attached().unwrap_or_default();
    let old = held.iter().map(|(interface, _)| interface);
    let old: Vec<&str> = old
        .filter(|interface| !taken.held.contains_key(*interface))
        .map(String::as_str)
        .collect();
    if !old.is_empty() {
        tracing::error!(
            interfaces = old.join(", "),
            "an earlier process's XDP program stays attached: weir steer detach, then a restart, ends it"
        );
    } else if let Err(error) = pins.remove_other_schemas() {
        tracing::warn!(%error, "maps of another version of weir stay pinned");
    }
}
