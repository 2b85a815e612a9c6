//! What a load balancer does when its servers fail.

use std::time::Duration;

use bytes::Bytes;

use crate::limits::{PASSIVE_FAILURES, PASSIVE_WINDOW, SUSPECT_TIME};

/// `passiveHealthCheck`, `holdTime` and `unavailablePage`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnFailure {
    /// When a server gets nothing for a while.
    pub passive: Passive,
    /// How long a request is held that no server can be found for; zero: not at all.
    pub hold_time: Duration,
    /// What is answered in place of a server, in HTML; `None`: a line of text.
    pub page: Option<Bytes>,
}

/// Which failures of requests take a server out, beside a connection that cannot be had or ends before an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passive {
    /// How many in a row; at least 1.
    pub failures: u32,
    /// In which time.
    pub window: Duration,
    /// For how long it is out.
    pub out: Duration,
    /// A status of 500 and above is one, too.
    pub server_errors: bool,
}

impl Default for Passive {
    fn default() -> Self {
        Self {
            failures: PASSIVE_FAILURES,
            window: PASSIVE_WINDOW,
            out: SUSPECT_TIME,
            server_errors: false,
        }
    }
}
