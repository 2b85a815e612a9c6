//! How an administrator talks to the running process: a Unix socket, `admin.sock` in the runtime directory.
//!
//! Owns: the protocol, its two ends, the socket file. Never: the work itself; what is asked is handed to the control
//! thread. One request as a line of JSON, answers as lines of JSON, the last of them [`Answer::Done`] or
//! [`Answer::Refused`]. Whoever may open the socket (mode 0600: the user that weir runs as, and root) may ask anything.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::config::inventory::Change;
use crate::service::Protocol;
use crate::service::standing::{Said, Standing};

mod client;
mod server;

pub use self::client::ask;
pub use self::server::{Asked, Server};

/// The socket's name in the runtime directory.
const SOCKET: &str = "admin.sock";

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Request {
    /// To read the rule files again.
    #[serde(rename_all = "camelCase")]
    Reload {
        /// Only to say what would change.
        #[serde(default)]
        dry_run: bool,
    },
    /// To renew the certificates that have one of these names, and to try names that failed.
    RenewCertificates {
        /// Names of hosts.
        names: Vec<String>,
    },
    /// To read the store of certificates again.
    ReadCertificates,
    /// How servers are: those of a load balancer, or of all.
    Servers {
        /// Its name; `None`: all.
        service: Option<String>,
    },
    /// To let a server serve, drain it, or take it out.
    Stand {
        /// The name of its load balancer.
        service: String,
        /// Its URL or address as written.
        server: String,
        /// What it is to do.
        standing: Standing,
    },
    /// To give a server, or an entry of a weighted service, a weight.
    Weigh {
        /// The name of its service.
        service: String,
        /// Its URL or address as written; the name of an entry.
        server: String,
        /// At least 1; `None`: what the rule files say.
        weight: Option<u32>,
    },
}

/// A server and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerState {
    /// That of its service.
    pub protocol: Protocol,
    /// `name@file`
    pub service: String,
    /// As written.
    pub server: String,
    /// Its share, as it is now.
    #[serde(default)]
    pub weight: u32,
    /// What an administrator has said; `None`: it is to serve.
    pub said: Option<Said>,
    /// What its health check says; `None`: it has none.
    pub health: Option<Health>,
    /// Why it gets nothing while another server can; `None`: nothing has failed there lately.
    #[serde(default)]
    pub suspicion: Option<Suspected>,
    /// About how many clients a sticky cookie has kept there lately; `None`: no cookie keeps any.
    #[serde(default)]
    pub users: Option<u32>,
    /// In how many seconds that is known: who came before weir was started was not counted.
    #[serde(default)]
    pub users_known_in: u64,
    /// Where it is.
    #[serde(default)]
    pub addresses: Vec<SocketAddr>,
    /// Requests and connections that it has through workers.
    pub in_flight: u32,
    /// How many more wait for it; `None`: it may have any number.
    #[serde(default)]
    pub waiting: Option<u32>,
}

/// Why a server gets nothing for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspected {
    /// In words.
    pub reason: String,
    /// How much longer, in milliseconds.
    pub left: u64,
}

/// What a health check says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Or down.
    pub up: bool,
    /// Why.
    pub reason: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

/// A line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// An element of the rules is different now.
    Change {
        /// How.
        change: Change,
        /// Which, such as `http.routers.app`.
        name: String,
    },
    /// More changes than are named.
    MoreChanges(usize),
    /// Something is wrong with the rules, as one line.
    Problem {
        /// Something is left out because of it.
        error: bool,
        /// What is wrong, and where.
        line: String,
    },
    /// A server.
    Server(Box<ServerState>),
    /// That was all.
    #[serde(rename_all = "camelCase")]
    Done {
        /// How many times the rules have been loaded.
        generation: u64,
        /// How many errors there are.
        errors: usize,
        /// Nothing has been changed.
        dry_run: bool,
    },
    /// The request was not taken, and why.
    Refused(String),
}
