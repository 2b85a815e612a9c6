//! The servers that one request or connection need not be sent to any more.

use super::ServerId;
use crate::limits::SERVER_TRIES_MAX;

/// At most [`SERVER_TRIES_MAX`] of them: then no other one is tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    servers: [Option<ServerId>; SERVER_TRIES_MAX],
    count: usize,
}

impl Tried {
    /// One more.
    pub fn add(&mut self, server: ServerId) {
        if let Some(place) = self.servers.get_mut(self.count) {
            *place = Some(server);
            self.count += 1;
        }
    }

    /// Whether this is one of them.
    pub fn contains(&self, server: ServerId) -> bool {
        self.servers[..self.count].contains(&Some(server))
    }

    /// Whether none was tried.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether no other one is tried.
    pub fn is_over(&self) -> bool {
        self.count == SERVER_TRIES_MAX
    }
}
