//! The client hash: by address alone, so that every connection of one user meets the same server.

use crate::address::Address;

/// Hash of a client's address; every bit is as good as any other. Equal on both planes for equal `seed`.
#[inline(always)]
pub fn client<A: Address>(seed: u64, address: A) -> u32 {
    let [a, b, c, d] = address.words();
    let mut hash = mix(seed ^ pair(a, b));
    if A::FAMILY == crate::address::FAMILY_V6 {
        hash = mix(hash ^ pair(c, d));
    }
    (hash >> 32) as u32
}

/// Scales a hash to `0..bound` without a division, in a way the kernel's verifier can follow.
#[inline(always)]
pub const fn scale(hash: u32, bound: u32) -> u32 {
    ((hash as u64 * bound as u64) >> 32) as u32
}

/// One round of a 64-bit mixer (the finalizer of SplitMix64): bijective, full avalanche.
#[inline(always)]
pub const fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[inline(always)]
const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{v4, v6};

    #[test]
    fn known_answers_are_kept() {
        // A changed hash moves every client to another server: these answers are part of the product.
        let four = client(7, v4([192, 0, 2, 1].into()));
        let six = client(7, v6("2001:db8::1".parse().unwrap()));
        assert_eq!((four, six), (2_688_299_282, 2_807_595_200));
    }

    #[test]
    fn neighbouring_clients_spread_evenly() {
        let mut slots = [0u32; 64];
        for host in 0..65536u32 {
            slots[scale(client(1, (0x0a00_0000 + host).to_be()), 64) as usize] += 1;
        }
        assert!(
            slots.iter().all(|count| (900..1150).contains(count)),
            "{slots:?}"
        );
    }
}
