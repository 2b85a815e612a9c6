//! Incremental Internet checksums (RFC 1624, equation 3). Ones' complement sums do not care for byte order, so the raw
//! words of the packet are summed as they lie.

/// The checksum that follows from `checksum` after a change that [`replaced`] and its like have summed up.
#[inline(always)]
pub const fn updated(checksum: u16, change: u64) -> u16 {
    !fold(!checksum as u64 + change)
}

/// What replacing one 32-bit word adds to the sum.
#[inline(always)]
pub const fn replaced(old: u32, new: u32) -> u64 {
    !old as u64 + new as u64
}

/// What replacing one 16-bit word adds to the sum.
#[inline(always)]
pub const fn replaced_half(old: u16, new: u16) -> u64 {
    !old as u64 + new as u64
}

#[inline(always)]
const fn fold(mut sum: u64) -> u16 {
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
            let change = replaced(words[at], new);
            words[at] = new;
            assert_eq!(updated(before, change), whole(&words), "round {round}");
        }
    }

    #[test]
    fn the_largest_change_folds_whole() {
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(fold(0x1_0000), 1);
        assert_eq!(updated(!1, replaced_half(1, 2)), !2);
    }
}
