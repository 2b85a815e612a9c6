//! How many idle connections are kept, and for how long.

use std::net::TcpListener;

use super::*;
use crate::limits::{UPSTREAM_IDLE_PER_HOST, UPSTREAM_IDLE_PER_WORKER, UPSTREAM_IDLE_TIME};
use crate::net::Stream;
use crate::service::ServiceKind;
use crate::test_rules::{loaded, service};
use crate::uring::Config;

/// Runs this on a worker, with so many servers and the address of somebody who takes all connections.
fn with_servers<F: Future<Output = ()>>(
    count: u16,
    run: impl FnOnce(Vec<Arc<Server>>, SocketAddr) -> F,
) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    // Held until the test's process ends.
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    // The first of them is the one that listens.
    let ports = [address.port()].into_iter().chain(1..count);
    let rules = loaded(&service(ports, ""));
    let ServiceKind::LoadBalancer(balancer) = &rules.services[0].1.kind else {
        panic!("a load balancer");
    };
    crate::net::tests::raise_descriptor_limit();
    uring::run(&Config::default(), || {
        run(balancer.servers.clone(), address)
    })
    .expect("a worker");
}

async fn open(address: SocketAddr) -> Transport {
    Transport::plain(Stream::connect(address, None).await.expect("connected"))
}

#[test]
fn so_many_are_kept_for_one_server_and_no_more() {
    with_servers(1, async |servers, address| {
        let pool = Pool::new(1);
        for _ in 0..=UPSTREAM_IDLE_PER_HOST {
            pool.put(&servers[0], open(address).await);
        }
        assert_eq!(pool.total.get(), UPSTREAM_IDLE_PER_HOST);
        let taken = std::iter::from_fn(|| pool.take(&servers[0], None));
        assert_eq!(taken.count(), UPSTREAM_IDLE_PER_HOST);
    });
}

#[test]
fn so_many_are_kept_on_a_worker_and_no_more() {
    let servers = UPSTREAM_IDLE_PER_WORKER / UPSTREAM_IDLE_PER_HOST + 1;
    let servers = u16::try_from(servers).expect("few");
    with_servers(servers, async |servers, address| {
        let pool = Pool::new(1);
        let turns = servers.iter().cycle();
        for (count, server) in (1..=UPSTREAM_IDLE_PER_WORKER).zip(turns) {
            pool.put(server, open(address).await);
            assert_eq!(pool.total.get(), count);
        }
        pool.put(&servers[0], open(address).await);
        assert_eq!(pool.total.get(), UPSTREAM_IDLE_PER_WORKER);
    });
}

#[test]
fn one_is_kept_so_long_and_no_longer() {
    const SECOND: Duration = Duration::from_secs(1);
    with_servers(1, async |servers, address| {
        let (server, pool) = (&servers[0], Pool::new(1));
        for (age, kept) in [
            (UPSTREAM_IDLE_TIME - SECOND, true),
            (UPSTREAM_IDLE_TIME, false),
        ] {
            pool.put(server, open(address).await);
            for idle in pool.idle.borrow_mut().values_mut().flatten() {
                idle.since = uring::now() - age;
            }
            pool.sweep();
            assert_eq!(pool.take(server, None).is_some(), kept, "{age:?}");
        }
    });
}
