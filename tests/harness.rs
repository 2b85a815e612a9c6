//! The harness itself: a test that needs root says so, namespaces leave nothing behind, nodes reach each other.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;

use xtask::backend::Backend;
use xtask::lab::Switch;
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

#[test]
fn nodes_on_a_switch_reach_each_other_over_both_families() {
    if !require_root("network namespaces") {
        return;
    }
    let switch = Switch::create().expect("a switch");
    let left = switch
        .plug("left", &["10.9.0.1/24", "fd09::1/64"])
        .expect("a node");
    let right = switch
        .plug("right", &["10.9.0.2/24", "fd09::2/64"])
        .expect("a node");
    for address in ["10.9.0.2", "fd09::2"] {
        let address: IpAddr = address.parse().expect("an address");
        left.greet(&[address]).expect("the neighbour answers");
        let server = right.within(|| Backend::plain("right", (address, 0)).expect("bind"));
        let target: SocketAddr = server.address();
        left.within(|| TcpStream::connect(target).expect("connect across the switch"));
        TcpStream::connect_timeout(&target, std::time::Duration::from_millis(50))
            .expect_err("another network");
    }
}
