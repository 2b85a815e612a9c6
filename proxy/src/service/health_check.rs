//! `healthCheck` of a load balancer, checked: what is asked of a server, how often, and how many answers count.
//!
//! Source: Traefik, "Health Check" of HTTP and of TCP services; `rise` and `fall` are weir's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Scheme, Server, ServerTls};

/// `healthCheck`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub question: Question,
    /// `port`; `None`: the server's.
    pub port: Option<u16>,
    /// How often.
    pub pace: Pace,
    /// `timeout`, for all of one probe.
    pub timeout: Duration,
    /// `onDown: reset`: connections to a server that goes down are reset. TCP only.
    pub resets: bool,
}

impl HealthCheck {
    /// `scheme`, where the check has one of its own.
    pub fn scheme(&self) -> Option<Scheme> {
        match &self.question {
            Question::Http(question) | Question::Grpc(question) => question.scheme,
            Question::Tcp { .. } => None,
        }
    }
}

/// How often a server is asked, and what it takes to change one's mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// `interval`
    pub interval: Duration,
    /// `unhealthyInterval`
    pub unhealthy_interval: Duration,
    /// `rise`: good answers in a row that bring a server back; at least 1.
    pub rise: u32,
    /// `fall`: bad ones that take it out; at least 1.
    pub fall: u32,
}

/// What a server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A request of HTTP.
    Http(HttpQuestion),
    /// `mode: grpc`: `grpc.health.v1.Health/Check`, of which SERVING is the good answer.
    Grpc(HttpQuestion),
    /// Of a TCP server.
    Tcp {
        /// `send`: what is said first; may be empty.
        send: Arc<[u8]>,
        /// `expect`: what the answer must begin with; empty: connecting is enough.
        expect: Arc<[u8]>,
    },
}

/// A request and what its answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpQuestion {
    /// `path`, with its query.
    pub path: Arc<str>,
    /// `scheme`; `None`: that of the server's URL.
    pub scheme: Option<Scheme>,
    /// `hostname`, for the Host header; `None`: the server's.
    pub hostname: Option<Arc<str>>,
    /// `method`
    pub method: Arc<str>,
    /// `headers`
    pub headers: Arc<[(Arc<str>, Arc<str>)]>,
    /// `status`; `None`: from 200 to 399.
    pub status: Option<u16>,
    /// `followRedirects`
    pub follow_redirects: bool,
}

/// A server and how it is checked.
#[derive(Clone)]
pub struct Target {
    /// `name@file` of its service.
    pub service: Arc<str>,
    /// The server.
    pub server: Arc<Server>,
    /// How.
    pub check: Arc<HealthCheck>,
    /// TLS to it where the check speaks any: the server's own, or that of its transport where `scheme` adds it.
    pub tls: Option<ServerTls>,
}

impl fmt::Debug for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Target({} of {})", self.server.name, self.service)
    }
}
