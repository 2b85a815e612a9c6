//! Who is who over reloads: ids for services and servers, by identity.
//!
//! Lives on the control side. An id is given again to the same identity as long as any snapshot or request still
//! holds it; a freed slot is used again under another generation, so that an id never means two servers.

/// A service over reloads: its protocol and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(pub(crate) u64);

/// A server over reloads: its service and address as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId {
    slot: u32,
    generation: u32,
}

impl ServerId {
    /// The place of the server in fixed tables, below [`crate::limits::SERVERS_MAX`]. At any time no two servers in
    /// use have the same; a later server may get it.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// Gives ids to identities.
#[derive(Debug, Default)]
pub struct Registry {}
