//! Maps whose keys weir has given itself: numbers and addresses of its own memory. No peer chooses them, so none can
//! make them collide, and a multiplication is hash enough: every request looks some of them up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map of such keys; never one of what a peer sends.
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// The hasher: multiplies by an odd number near 2^64 divided by the golden ratio (Fibonacci hashing).
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// A map takes the lowest bits and the highest ones; the product's low bits are its poorest.
    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;

    #[test]
    fn neighbours_spread_over_a_table() {
        let hasher = BuildHasherDefault::<IdHasher>::default();
        // Numbers in a row, and addresses of memory, whose last bits are all zero.
        for step in [1_usize, 16, 4096] {
            let places: HashSet<u64> = (0..1024)
                .map(|number| hasher.hash_one(number * step) % 4096)
                .collect();
            assert!(places.len() > 700, "{step}: {}", places.len());
        }
    }
}
