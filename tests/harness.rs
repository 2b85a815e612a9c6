//! The harness itself: a test that needs root says so, and namespaces leave nothing behind.

use std::path::Path;

use xtask::netns::Namespace;

use crate::support::require_root;

#[test]
fn a_namespace_is_its_own_network_and_goes_when_dropped() {
    if !require_root("network namespaces") {
        return;
    }
    let namespace = Namespace::create("harness").expect("a new namespace");
    let path = Path::new("/run/netns").join(namespace.name());
    let devices = namespace.within(|| nix::ifaddrs::getifaddrs().expect("addresses").count());
    assert!(path.exists());
    assert!(
        devices <= 3,
        "only lo, at most with its two addresses: {devices}"
    );
    drop(namespace);
    assert!(!path.exists());
}
