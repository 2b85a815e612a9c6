//! End-to-end tests of the real `weir` binary: one test binary, one module per feature, shared support.
//!
//! Add a feature as `mod feature;` here and `tests/feature.rs` beside this file. A test that needs root begins with
//! `if !require_root("what for") { return; }`, so that `cargo xtask test` counts it as skipped and never as passed.
//! Nobody sleeps for luck: wait for a state with [`support::eventually`].

mod support;

mod certificates;
mod check;
mod configuration;
mod differential;
mod ending;
mod entry_point;
mod failures;
mod flows;
mod galaxy;
mod harness;
mod health;
mod http1;
mod http2;
mod http_suites;
mod idle;
mod limits;
mod middlewares;
mod proxy_protocol;
mod reload;
mod routing;
mod stalls;
mod status;
mod steering;
mod tcp;
mod tls;
mod tls_options;
mod upgrades;
mod upstream;
mod websocket_suite;
mod xdp_packets;
