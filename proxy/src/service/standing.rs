//! What administrators say of servers: whether they serve, let their users leave, or are out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Hindrance, Protocol, Readiness, ServerId};

/// What a server is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// Serve, as long as its health check does not say otherwise.
    Ready,
    /// Keep the users that its cookie names, and what runs; get nothing else.
    Drain,
    /// Get nothing.
    Maint,
}

/// That, and who said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Never [`Standing::Ready`], which is what is said of nobody.
    pub standing: Standing,
    /// The name of a user.
    pub by: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// A server over reloads and restarts: protocol, service as in the rule files, address as written.
pub type ServerName = (Protocol, Arc<str>, Arc<str>);

/// All that has been said and not taken back.
pub type Standings = BTreeMap<ServerName, Said>;

impl Standing {
    /// As commands say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }

    /// Makes it so; see [`Readiness::set`].
    pub fn apply(self, readiness: &Readiness, server: ServerId) {
        readiness.set(server, Hindrance::Drained, self == Self::Drain);
        readiness.set(server, Hindrance::Maintenance, self == Self::Maint);
    }
}
