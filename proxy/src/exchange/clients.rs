//! How many connections each client's address has, over all workers, where `limits.connectionsPerClient` is set.
//!
//! Owns: one table of fixed size, of atomics only; nobody waits for anybody. An address belongs to one bucket, which is
//! one cache line; a bucket that is full of other addresses lets a client in uncounted, so that the table is no means
//! to shut others out. Two workers that count a new address at the very same moment may give it two entries: each
//! is then counted by itself until it is empty. Without the limit there is no table, and nothing here is touched.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::static_file::EntryPoint;
use crate::limits;

const WAYS: usize = 8;
const BUCKETS: usize = limits::CLIENT_ADDRESSES / WAYS;
/// An entry is this many bits of count below the hash of an address; 0 is free.
const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

#[repr(align(64))]
#[derive(Default)]
struct Bucket([AtomicU64; WAYS]);

/// The table of one entry point.
pub struct Clients {
    buckets: Box<[Bucket]>,
    hasher: RandomState,
    most: u64,
    prefix_v6: u32,
}

/// A connection that is counted, until it is dropped.
#[derive(Default)]
pub struct Seat(Option<(Arc<Clients>, usize, usize)>);

impl Clients {
    /// For at most `most` connections of one address, of IPv6 of one network of so many bits.
    pub fn new(most: u32, prefix_v6: u32) -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(),
            hasher: RandomState::new(),
            most: u64::from(most).min(COUNT - 1),
            prefix_v6,
        }
    }

    /// The tables of these entry points, in their order; `None` for those without the limit.
    pub fn tables(entry_points: &[EntryPoint]) -> Arc<[Option<Arc<Self>>]> {
        let table = |entry_point: &EntryPoint| {
            let limits = &entry_point.limits;
            let most = limits.connections_per_client?;
            Some(Arc::new(Self::new(most, limits.client_prefix_v6)))
        };
        entry_points.iter().map(table).collect()
    }

    /// Counts a connection; `None` if its address has as many as it may.
    pub fn sit(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let hash = self.hasher.hash_one(prefix(address, self.prefix_v6));
        let index = hash as usize % BUCKETS;
        // Never zero, so that no entry looks free.
        let tag = (hash >> COUNT_BITS | 1) << COUNT_BITS;
        let bucket = &self.buckets[index].0;
        let seat = |way| Some(Seat(Some((Arc::clone(self), index, way))));
        for (way, entry) in bucket.iter().enumerate() {
            let mut now = entry.load(Ordering::Relaxed);
            while now & !COUNT == tag {
                if now & COUNT >= self.most {
                    return None;
                }
                match entry.compare_exchange_weak(
                    now,
                    now + 1,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => return seat(way),
                    Err(other) => now = other,
                }
            }
        }
        let free = bucket.iter().position(|entry| {
            let taken = entry.compare_exchange(0, tag | 1, Ordering::Relaxed, Ordering::Relaxed);
            taken.is_ok()
        });
        match free {
            Some(way) => seat(way),
            None => Some(Seat(None)),
        }
    }

    fn leave(&self, index: usize, way: usize) {
        let entry = &self.buckets[index].0[way];
        let mut now = entry.load(Ordering::Relaxed);
        loop {
            let next = if now & COUNT == 1 { 0 } else { now - 1 };
            match entry.compare_exchange_weak(now, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => now = other,
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some((clients, index, way)) = self.0.take() {
            clients.leave(index, way);
        }
    }
}

/// What counts as one client: an IPv4 address, or the network of an IPv6 address.
fn prefix(address: IpAddr, bits: u32) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() >> (128 - bits) << 64 | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn used(clients: &Clients) -> usize {
        let entries = clients.buckets.iter().flat_map(|bucket| &bucket.0);
        entries
            .filter(|entry| entry.load(Ordering::Relaxed) != 0)
            .count()
    }

    #[test]
    fn an_address_has_as_many_as_it_may_and_no_more() {
        let clients = Arc::new(Clients::new(3, 64));
        let sit = |text: &str| clients.sit(text.parse().expect("an address"));
        let mut seats: Vec<_> = (0..3).map(|_| sit("192.0.2.1").expect("room")).collect();
        assert!(sit("192.0.2.1").is_none() && sit("::ffff:192.0.2.1").is_none());
        let other = sit("192.0.2.2").expect("another client");
        seats.pop();
        seats.push(sit("192.0.2.1").expect("room again"));
        assert!(sit("192.0.2.1").is_none());
        let network = [
            sit("2001:db8::1"),
            sit("2001:db8::2"),
            sit("2001:db8:0:0:f::"),
        ];
        assert!(network.iter().all(Option::is_some) && sit("2001:db8::3").is_none());
        assert!(sit("2001:db8:0:1::1").is_some());
        drop((seats, other, network));
        assert_eq!(used(&clients), 0);
    }

    #[test]
    fn an_ipv6_client_is_a_network_of_so_many_bits() {
        for (bits, same, other) in [
            (64, "2001:db8::2", "2001:db8:0:1::1"),
            (48, "2001:db8:0:ffff::1", "2001:db8:1::1"),
            (16, "2001:ffff::1", "2002::1"),
        ] {
            let clients = Arc::new(Clients::new(1, bits));
            let sit = |text: &str| clients.sit(text.parse().expect("an address"));
            let _seat = sit("2001:db8::1").expect("room");
            assert!(sit(same).is_none() && sit(other).is_some(), "{bits}");
        }
    }

    #[test]
    fn a_full_table_lets_everybody_in() {
        let clients = Arc::new(Clients::new(1, 64));
        let addresses = (0..4 * limits::CLIENT_ADDRESSES as u32).map(Ipv4Addr::from_bits);
        let seats: Vec<_> = addresses
            .map(|address| clients.sit(address.into()))
            .collect();
        assert!(seats.iter().all(Option::is_some));
        assert_eq!(used(&clients), limits::CLIENT_ADDRESSES);
        drop(seats);
        assert_eq!(used(&clients), 0);
    }

    #[test]
    fn threads_lose_no_count() {
        let clients = Arc::new(Clients::new(1000, 64));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..10_000u32 {
                        let address = Ipv4Addr::from_bits(round % 7);
                        drop((clients.sit(address.into()), clients.sit(address.into())));
                    }
                });
            }
        });
        assert_eq!(used(&clients), 0);
    }
}
