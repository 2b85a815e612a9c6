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
    /// What it is to do.
    pub standing: Standing,
    /// Its weight in place of the one in the rule files; at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// The server as it was in the rule files; what has been said holds until that changes. Empty: always.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub written: String,
    /// The name of a user.
    pub by: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

impl Said {
    /// Whether it says nothing at all.
    pub fn is_nothing(&self) -> bool {
        self.standing == Standing::Ready && self.weight.is_none()
    }

    /// Whether it still holds of a server that is written so now.
    pub fn holds(&self, written: &str) -> bool {
        self.written.is_empty() || self.written == written
    }
}

/// A server over reloads and restarts: protocol, service as in the rule files, address as written; or an entry of a
/// weighted service by its name.
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
        for (hindrance, on) in self.steps() {
            readiness.set(server, hindrance, on);
        }
    }

    /// What begins comes before what ends: in between the server is out twice, and never ready for an instant.
    fn steps(self) -> [(Hindrance, bool); 2] {
        let mut steps = [
            (Hindrance::Drained, self == Self::Drain),
            (Hindrance::Maintenance, self == Self::Maint),
        ];
        steps.sort_by_key(|(_, on)| !on);
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_comes_before_what_ends() {
        for standing in [Standing::Ready, Standing::Drain, Standing::Maint] {
            let on = standing.steps().map(|(_, on)| on);
            assert!(on.is_sorted_by(|a, b| a >= b), "{standing:?}: {on:?}");
            assert_eq!(on[0], standing != Standing::Ready);
        }
    }
}
