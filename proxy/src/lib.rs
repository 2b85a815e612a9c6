//! weir: an edge proxy for bare-metal Linux. The life of a packet and of a request, and the direction in which
//! modules may depend on each other, are in docs/ARCHITECTURE.md. Modules are listed from the lowest layer up.
#![deny(unsafe_code)]

pub mod clock;
pub mod limits;

// The doors to the kernel.
pub mod net;
pub mod sys;
pub mod uring;

// Pure: bytes in, events out.
pub mod failure;
pub mod http;
pub mod http1;
pub mod http2;
pub mod proxy_protocol;
pub mod tls;

// The rule language and what it compiles to.
pub mod admin;
pub mod certs;
pub mod config;
pub mod middleware;
pub mod router;
pub mod rule;
pub mod service;

// The two planes and what starts them.
pub mod app;
pub mod cli;
pub mod exchange;
pub mod health;
pub mod steering;
pub mod transport;
pub mod upstream;

/// Rules as they are loaded, for tests on all layers: only these may look up at the configuration.
#[cfg(test)]
use config::rule_files::tests as test_rules;
