//! weir: an edge proxy for bare-metal Linux. The life of a packet and of a request, and the direction in which
//! modules may depend on each other, are in docs/ARCHITECTURE.md. Modules are listed from the lowest layer up.
#![deny(unsafe_code)]

pub mod limits;

// The doors to the kernel.
pub mod sys;
pub mod uring;
pub mod net;

// Pure: bytes in, events out.
pub mod http;
pub mod http1;
pub mod tls;

// The rule language and what it compiles to.
pub mod rule;
pub mod service;
pub mod router;
pub mod config;

// The two planes and what starts them.
pub mod steering;
pub mod upstream;
pub mod exchange;
pub mod app;
pub mod cli;
