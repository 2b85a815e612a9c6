//! Incremental Internet checksums (RFC 1624, equation 3). Ones' complement sums do not care for byte order, so the raw
//! words of the packet are summed as they lie. What a flow does to the checksums of its packets is the same for each of
//! them: it is summed up once, when the flow is opened.

use crate::address::Address;

/// What taking one hop from an IPv4 header adds to the sum of its words: minus one in the byte of the TTL.
pub const HOP_LESS: u64 = !u16::from_ne_bytes([1, 0]) as u64;

/// The checksum after a change of the words it covers.
#[inline(always)]
pub const fn updated(checksum: u16, change: u16) -> u16 {
    !fold(!checksum as u64 + change as u64)
}

/// What replacing one word adds to the sum.
#[inline(always)]
pub const fn replaced(old: u32, new: u32) -> u64 {
    !old as u64 + new as u64
}

/// What replacing an address adds to the sum.
#[inline(always)]
pub fn replaced_address<A: Address>(old: A, new: A) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (old.words(), new.words());
    if A::FAMILY == crate::address::FAMILY_V4 {
        return replaced(a, e);
    }
    replaced(a, e) + replaced(b, f) + replaced(c, g) + replaced(d, h)
}

/// A sum in sixteen bits; never 0 but for 0.
#[inline(always)]
pub const fn fold(mut sum: u64) -> u16 {
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;

    fn whole(words: &[u32]) -> u16 {
        !fold(words.iter().map(|word| u64::from(*word)).sum())
    }

    #[test]
    fn an_update_equals_a_sum_over_the_new_words() {
        let mut words = [0u32; 10];
        for round in 0..20_000u64 {
            words = words.map(|word| mix(u64::from(word) ^ round) as u32);
            let before = whole(&words);
            let (at, new) = (
                round as usize % 10,
                [0, u32::MAX, 0xffff, mix(round) as u32][round as usize % 4],
            );
            let change = fold(replaced(words[at], new));
            words[at] = new;
            assert_eq!(updated(before, change), whole(&words), "round {round}");
        }
    }

    #[test]
    fn a_hop_less_is_the_same_change_for_every_ttl() {
        for ttl in 1..=255u8 {
            let word = |ttl| u32::from_ne_bytes([ttl, 6, 0x12, 0x34]);
            let before = whole(&[word(ttl), 0xdead_beef]);
            let after = whole(&[word(ttl - 1), 0xdead_beef]);
            assert_eq!(updated(before, fold(HOP_LESS)), after, "TTL {ttl}");
        }
    }

    #[test]
    fn the_largest_sum_folds_whole() {
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!((fold(0x1_0000), fold(0)), (1, 0));
    }
}
