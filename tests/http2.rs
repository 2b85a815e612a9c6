//! HTTP/2 through the real binary: with clients of the `h2` crate for what is usual, with raw frames for what is not.

mod abuse;
pub mod client;
mod conformance;
mod exchange;
pub mod frames;
mod grpc;
pub mod peer;
mod secure;
mod servers;
mod slow;
mod unprocessed;
mod windows;

use std::net::SocketAddr;

use frames::Raw;

use crate::support::free_port;
use crate::support::weir::{Setup, Weir};

/// weir with one entry point in the clear, all of it routed to the server with this URL. `more` goes into the entry
/// point.
pub fn before(url: &str, more: &str) -> (Weir, SocketAddr) {
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

/// weir with an entry point in the clear and one with TLS.
struct Edge {
    _weir: Weir,
    plain: SocketAddr,
    tls: SocketAddr,
}

impl Edge {
    fn open(&self) -> Raw {
        Raw::open(self.plain)
    }

    fn open_tls(&self) -> Raw {
        Raw::open_tls(self.tls)
    }
}

/// As [`before`], with both.
fn both(url: &str) -> Edge {
    let [plain, tls] =
        [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{plain}\"\n  tls:\n    address: \"{tls}\"\nproviders:\n  file:\n    \
         directory: \"{{dir}}/rules\"\nruntimeDir: \"{{dir}}/run\"\nworkers: 1\n"
    ));
    let rules = format!(
        "http:\n  routers:\n    plain:\n      rule: \"PathPrefix(`/`)\"\n      entryPoints: [web]\n      service: origin\n    \
         tls:\n      rule: \"PathPrefix(`/`)\"\n      entryPoints: [tls]\n      service: origin\n      tls: {{}}\n  \
         services:\n    origin:\n      loadBalancer:\n        servers:\n          - url: \"{url}\"\n"
    );
    Edge {
        _weir: setup.rules("rules.yml", &rules).start().listening(plain),
        plain,
        tls,
    }
}
