//! HTTP/2 through the real binary: with clients of the `h2` crate for what is usual, with raw frames for what is not.

mod client;
mod exchange;

use std::net::SocketAddr;

use crate::support::free_port;
use crate::support::weir::{Setup, Weir};

/// weir with one entry point in the clear, all of it routed to the server with this URL. `more` goes into the entry
/// point.
fn before(url: &str, more: &str) -> (Weir, SocketAddr) {
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\n{more}providers:\n  file:\n    directory: \
         \"{{dir}}/rules\"\nruntimeDir: \"{{dir}}/run\"\nworkers: 1\nlog:\n  level: DEBUG\n"
    ));
    let rules = format!(
        "http:\n  routers:\n    all:\n      rule: \"PathPrefix(`/`)\"\n      service: origin\n  services:\n    origin:\n      \
         loadBalancer:\n        servers:\n          - url: \"{url}\"\n"
    );
    (
        setup.rules("rules.yml", &rules).start().listening(address),
        address,
    )
}
