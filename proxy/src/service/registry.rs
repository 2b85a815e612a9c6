//! Who is who over reloads: ids for services and servers, by identity.
//!
//! Lives on the control side. Who uses a service or server holds its [`Lease`]; as long as one is held anywhere, the
//! same identity is given the same id. Afterwards ([`Registry::collect`]) its slot is used again under another
//! generation, so that an id never means two things.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};

use super::{Gate, Readiness, Users};
use crate::limits::{SERVERS_MAX, SERVICES_MAX};

/// A service over reloads: its protocol and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(Id);

/// A server over reloads: its service and address as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(Id);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Id {
    slot: u32,
    generation: u32,
}

/// Above every slot.
const IN_USE: u64 = 1 << 31;

impl ServiceId {
    /// The place of the service in tables, below [`SERVICES_MAX`]. At any time no two services in use have the same;
    /// a later service may get it.
    pub fn slot(self) -> usize {
        self.0.slot as usize
    }
}

impl ServerId {
    /// As a number that is never 0.
    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.0.generation) << 32 | IN_USE | u64::from(self.0.slot)
    }

    /// The id of such a number.
    pub(super) fn of_bits(bits: u64) -> Option<Self> {
        let id = Id {
            slot: (bits & (IN_USE - 1)) as u32,
            generation: (bits >> 32) as u32,
        };
        (bits & IN_USE != 0).then_some(Self(id))
    }

    /// The place of the server in fixed tables, below [`SERVERS_MAX`]. At any time no two servers in use have the
    /// same; a later server may get it.
    pub fn slot(self) -> usize {
        self.0.slot as usize
    }
}

/// Keeps an id from being given to another identity.
#[derive(Clone, Debug)]
pub struct Lease(#[expect(dead_code, reason = "held for its count alone")] Arc<()>);

/// Which protocol a service serves: `http.services.a` and `tcp.services.a` are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// `http.services`
    Http,
    /// `tcp.services`
    Tcp,
}

/// Gives ids to identities.
#[derive(Debug)]
pub struct Registry {
    services: Slots<(Protocol, Arc<str>)>,
    servers: Slots<(Protocol, Arc<str>, Arc<str>)>,
    readiness: Readiness,
    /// Of servers with a cap, for as long as somebody holds them.
    gates: HashMap<ServerId, Weak<Gate>>,
    /// Of all, likewise.
    users: HashMap<ServerId, Weak<Users>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            services: Slots::new(SERVICES_MAX),
            servers: Slots::new(SERVERS_MAX),
            readiness: Readiness::default(),
            gates: HashMap::new(),
            users: HashMap::new(),
        }
    }
}

impl Registry {
    /// Takes back the ids nobody holds a lease of. Call before a load: what the load asks for first may be new.
    pub fn collect(&mut self) {
        self.services.collect(|_| ());
        let readiness = &self.readiness;
        self.servers.collect(|slot| readiness.clear(slot));
        self.gates.retain(|_, gate| gate.strong_count() > 0);
        self.users.retain(|_, users| users.strong_count() > 0);
    }

    /// The gate of a server with a cap: the same over reloads.
    pub fn gate(&mut self, server: ServerId) -> Arc<Gate> {
        shared(&mut self.gates, server)
    }

    /// The users of a server: the same over reloads.
    pub fn users(&mut self, server: ServerId) -> Arc<Users> {
        shared(&mut self.users, server)
    }

    /// Which servers take requests now.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The id of the service of this name; `None` while [`SERVICES_MAX`] others are in use.
    pub fn service(&mut self, protocol: Protocol, name: &Arc<str>) -> Option<(ServiceId, Lease)> {
        let (id, lease) = self.services.id((protocol, name.clone()))?;
        Some((ServiceId(id), lease))
    }

    /// The id of the server `address` of the service of this name; `None` while [`SERVERS_MAX`] others are in use.
    pub fn server(
        &mut self,
        protocol: Protocol,
        service: &Arc<str>,
        address: &Arc<str>,
    ) -> Option<(ServerId, Lease)> {
        let (id, lease) = self
            .servers
            .id((protocol, service.clone(), address.clone()))?;
        Some((ServerId(id), lease))
    }
}

/// What a server has, or something fresh where nobody holds it any more.
fn shared<T: Default>(known: &mut HashMap<ServerId, Weak<T>>, server: ServerId) -> Arc<T> {
    let known = known.entry(server).or_default();
    let one = known.upgrade().unwrap_or_default();
    *known = Arc::downgrade(&one);
    one
}

#[derive(Debug)]
struct Slots<K> {
    known: HashMap<K, (Id, Weak<()>)>,
    /// Slots nobody holds, under the generation they get next.
    free: Vec<Id>,
    used: u32,
    most: u32,
}

impl<K: Eq + Hash> Slots<K> {
    fn new(most: usize) -> Self {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        Self {
            known: HashMap::new(),
            free: Vec::new(),
            used: 0,
            most,
        }
    }

    fn id(&mut self, identity: K) -> Option<(Id, Lease)> {
        if let Some((id, last)) = self.known.get_mut(&identity) {
            let lease = last.upgrade().unwrap_or_default();
            *last = Arc::downgrade(&lease);
            return Some((*id, Lease(lease)));
        }
        let id = self.fresh()?;
        let lease = Arc::new(());
        self.known.insert(identity, (id, Arc::downgrade(&lease)));
        Some((id, Lease(lease)))
    }

    fn fresh(&mut self) -> Option<Id> {
        self.free.pop().or_else(|| {
            let slot = (self.used < self.most).then_some(self.used)?;
            self.used += 1;
            Some(Id {
                slot,
                generation: 0,
            })
        })
    }

    /// Frees the slots of identities nobody holds, and says which.
    fn collect(&mut self, freed: impl Fn(usize)) {
        let free = &mut self.free;
        self.known.retain(|_, (id, lease)| {
            let held = lease.strong_count() > 0;
            if !held {
                freed(id.slot as usize);
                free.push(Id {
                    generation: id.generation.wrapping_add(1),
                    ..*id
                });
            }
            held
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_keeps_its_id_while_held() {
        let mut slots = Slots::new(2);
        let (first, lease) = slots.id("a").unwrap();
        assert_eq!(slots.id("a").unwrap().0, first);
        let (second, other) = slots.id("b").unwrap();
        assert_ne!(first.slot, second.slot);
        assert!(slots.id("c").is_none(), "both slots are held");
        drop(other);
        slots.collect(|_| ());
        let (third, _held) = slots.id("c").unwrap();
        assert_eq!(third.slot, second.slot);
        assert_ne!(third, second, "a slot used again has another generation");
        drop(lease);
        assert_eq!(
            slots.id("a").unwrap().0,
            first,
            "not collected: still known"
        );
    }

    #[test]
    fn a_gate_and_its_users_are_the_same_for_as_long_as_somebody_holds_them() {
        let mut registry = Registry::default();
        let name = "a".into();
        let (id, _lease) = registry.server(Protocol::Http, &name, &name).unwrap();
        let (gate, users) = (registry.gate(id), registry.users(id));
        registry.collect();
        assert!(Arc::ptr_eq(&gate, &registry.gate(id)), "over a reload");
        assert!(Arc::ptr_eq(&users, &registry.users(id)));
        drop((gate, users));
        registry.collect();
        assert!(registry.gates.is_empty() && registry.users.is_empty());
    }

    #[test]
    fn protocols_and_services_are_apart() {
        let mut registry = Registry::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let (http, _one) = registry.service(Protocol::Http, &a).unwrap();
        let (tcp, _two) = registry.service(Protocol::Tcp, &a).unwrap();
        assert_ne!(http, tcp);
        let (first, _three) = registry.server(Protocol::Http, &a, &b).unwrap();
        let (second, _four) = registry.server(Protocol::Http, &b, &b).unwrap();
        assert_ne!(first, second);
    }

    #[test]
    fn so_many_services_and_servers_have_ids_and_no_more() {
        let mut registry = Registry::default();
        let own: Arc<str> = "s".into();
        let name = |number: usize| -> Arc<str> { number.to_string().into() };
        let services: Vec<_> = (0..SERVICES_MAX)
            .map_while(|number| registry.service(Protocol::Http, &name(number)))
            .collect();
        assert_eq!(services.len(), SERVICES_MAX);
        assert!(registry.service(Protocol::Http, &own).is_none());
        let servers: Vec<_> = (0..SERVERS_MAX)
            .map_while(|number| registry.server(Protocol::Http, &own, &name(number)))
            .collect();
        assert_eq!(servers.len(), SERVERS_MAX);
        assert!(registry.server(Protocol::Http, &own, &own).is_none());
        let slots = servers.iter().map(|(id, _)| id.slot());
        assert_eq!(
            slots.max(),
            Some(SERVERS_MAX - 1),
            "below the tables' length"
        );
    }
}
