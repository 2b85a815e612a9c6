//! The ring: a Maglev table (Eisenbud et al., NSDI 2016, section 3.4) with weights. Deterministic: the same servers
//! give the same ring, whatever their order and their indices, on both planes and after a restart.

use core::net::SocketAddr;

use crate::address::{Address, v4, v6};
use crate::hash::{mix, scale};

/// Slots of a ring. The paper wants a prime, so that any skip walks through all of them; here it is a power of two and
/// skips are odd, which does the same and lets the kernel's verifier see that a slot lies within the ring.
pub const RING_SIZE: usize = 1 << 14;

/// Slot of a client hash (see [`crate::hash::client`]).
#[inline(always)]
pub const fn slot(hash: u32) -> usize {
    scale(hash, RING_SIZE as u32) as usize
}

/// A server that is to have a part of a ring, and the builder's notes about it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    identity: u64,
    server: u16,
    weight: u32,
    position: u32,
    skip: u32,
    taken: u32,
}

impl Candidate {
    /// `server` is what the ring will hold for it; its place on the ring follows from `address` alone. Weight 0 keeps
    /// it out.
    pub fn new(address: SocketAddr, server: u16, weight: u32) -> Self {
        Self {
            identity: identity(address),
            server,
            weight,
            position: 0,
            skip: 0,
            taken: 0,
        }
    }

    /// Back to the start of this server's permutation.
    fn rewind(&mut self) {
        let [start, skip] = [self.identity, mix(self.identity)].map(|hash| (hash >> 32) as u32);
        self.position = scale(start, RING_SIZE as u32);
        self.skip = scale(skip, RING_SIZE as u32) | 1;
        self.taken = 0;
    }

    /// Takes the next free slot of this server's permutation. There must be one.
    fn next_free(&mut self, filled: &mut [bool; RING_SIZE]) -> usize {
        loop {
            let slot = self.position as usize;
            self.position = (self.position + self.skip) % RING_SIZE as u32;
            if !filled[slot] {
                filled[slot] = true;
                self.taken += 1;
                return slot;
            }
        }
    }
}

/// Fills `ring` from `candidates`, which are left sorted. Says how many servers have a part; with 0 the ring is left
/// as it was. Each server with a weight gets at least one slot as long as there are slots, and shares are exact to
/// about one slot.
///
/// Round `n` brings each server up to `n * weight / heaviest` slots, rounded up: a turn order that follows the weights
/// and not the number of servers, so that one server's removal hardly disturbs the others.
pub fn fill(ring: &mut [u16; RING_SIZE], candidates: &mut [Candidate]) -> usize {
    let heaviest = u64::from(
        candidates
            .iter()
            .map(|candidate| candidate.weight)
            .max()
            .unwrap_or(0),
    );
    if heaviest == 0 {
        return 0;
    }
    candidates.sort_unstable_by_key(|candidate| (candidate.identity, candidate.server));
    candidates.iter_mut().for_each(Candidate::rewind);
    let mut filled = [false; RING_SIZE];
    let mut free = RING_SIZE;
    for round in 1..=RING_SIZE as u64 {
        for candidate in candidates.iter_mut() {
            let due = (round * u64::from(candidate.weight)).div_ceil(heaviest);
            while u64::from(candidate.taken) < due {
                if free == 0 {
                    return candidates
                        .iter()
                        .filter(|candidate| candidate.taken > 0)
                        .count();
                }
                ring[candidate.next_free(&mut filled)] = candidate.server;
                free -= 1;
            }
        }
    }
    candidates
        .iter()
        .filter(|candidate| candidate.taken > 0)
        .count()
}

fn identity(address: SocketAddr) -> u64 {
    let words = match address {
        SocketAddr::V4(address) => v4(*address.ip()).words(),
        SocketAddr::V6(address) => v6(*address.ip()).words(),
    };
    words
        .into_iter()
        .fold(u64::from(address.port()), |hash, word| {
            mix(hash ^ u64::from(word) << 16)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn address(n: u16) -> SocketAddr {
        let [high, low] = n.to_be_bytes();
        SocketAddr::from(([10, 0, high, low], 443))
    }

    fn candidates(weights: &[u32]) -> Vec<Candidate> {
        (0u16..)
            .zip(weights)
            .map(|(n, weight)| Candidate::new(address(n), n, *weight))
            .collect()
    }

    fn build(candidates: &mut [Candidate]) -> [u16; RING_SIZE] {
        let mut ring = [u16::MAX; RING_SIZE];
        fill(&mut ring, candidates);
        ring
    }

    fn slots(ring: &[u16], server: u16) -> usize {
        ring.iter().filter(|entry| **entry == server).count()
    }

    #[test]
    fn shares_are_the_weights_within_a_hundredth() {
        for weights in [
            &[1][..],
            &[3, 1],
            &[1; 100],
            &[5, 3, 2, 90],
            &[u32::MAX, u32::MAX],
            &[70, 20, 10, 0],
        ] {
            let ring = build(&mut candidates(weights));
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            for (server, weight) in (0u16..).zip(weights) {
                let due = f64::from(*weight) / total * RING_SIZE as f64;
                let got = slots(&ring, server) as f64;
                assert!(
                    (got - due).abs() <= (due * 0.01).max(1.0),
                    "{weights:?}: {server} has {got}, due {due}"
                );
            }
        }
    }

    #[test]
    fn a_light_server_still_has_a_slot_and_an_empty_pool_has_none() {
        let mut lopsided = candidates(&[1_000_000, 1]);
        let mut ring = [0; RING_SIZE];
        assert_eq!(fill(&mut ring, &mut lopsided), 2);
        assert!(slots(&ring, 1) >= 1);
        assert_eq!(fill(&mut ring, &mut candidates(&[0, 0])), 0);
        assert_eq!(fill(&mut ring, &mut []), 0);
    }

    #[test]
    fn neither_order_nor_index_matters() {
        let mut forth = candidates(&[3, 1, 2]);
        let mut back: Vec<_> = [(2u16, 2), (0, 3), (1, 1)]
            .map(|(n, weight)| Candidate::new(address(n), n + 100, weight))
            .to_vec();
        let (first, back) = (build(&mut forth), build(&mut back));
        assert_eq!(first, build(&mut forth), "a second fill");
        assert!(
            first
                .iter()
                .zip(back)
                .all(|(one, other)| *one + 100 == other)
        );
    }

    #[test]
    fn a_removed_server_moves_few_clients_of_the_others() {
        for weights in [&[1; 10][..], &[8, 1, 1, 2, 4], &[1; 50]] {
            let before = build(&mut candidates(weights));
            for gone in 0..weights.len() as u16 {
                let mut rest = candidates(weights);
                rest.retain(|candidate| candidate.server != gone);
                let after = build(&mut rest);
                let moved = before
                    .iter()
                    .zip(after)
                    .filter(|(was, is)| **was != gone && **was != *is)
                    .count();
                assert!(
                    moved * 100 <= RING_SIZE * 5,
                    "{weights:?} without {gone}: {moved} slots moved"
                );
            }
        }
    }

    #[test]
    fn every_hash_has_a_slot() {
        assert_eq!((slot(0), slot(u32::MAX)), (0, RING_SIZE - 1));
    }
}
