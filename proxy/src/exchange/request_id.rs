//! `X-Request-Id`: one name for a request on its whole way, in the server's log, in the client's hands and here.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use crate::http::{Headers, name};
use crate::limits;

/// The names that one worker gives: unique, cheap, and nothing to keep secret behind.
#[derive(Debug)]
pub struct RequestIds {
    count: Cell<u64>,
    salt: u64,
}

impl Default for RequestIds {
    /// From the random keys that the standard library takes from the kernel once for each thread.
    fn default() -> Self {
        Self::new(random(), random())
    }
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}

impl RequestIds {
    /// Counts from `start`; two generators meet only where both numbers do.
    pub fn new(start: u64, salt: u64) -> Self {
        Self {
            count: Cell::new(start),
            salt,
        }
    }

    /// The next number, as unpredictable as the start was.
    pub fn random(&self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014): a Weyl sequence, then mixed.
        let count = self.count.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.count.set(count);
        mix(count)
    }

    /// The next name: 32 hexadecimal digits, as nginx's `$request_id`.
    pub fn next(&self) -> [u8; 32] {
        let halves = [self.random(), mix(self.count.get() ^ self.salt)];
        let mut text = [0; 32];
        for (index, digit) in text.iter_mut().enumerate() {
            let nibble = halves[index / 16] >> (60 - 4 * (index % 16)) & 0xf;
            *digit = b"0123456789abcdef"[nibble as usize];
        }
        text
    }

    /// Gives the request whose fields these are a name: the one it has, if it is one of printable characters from a
    /// peer that is `trusted`, such as a proxy before this one; else weir's own.
    pub fn assign(&self, headers: &mut Headers, trusted: bool) {
        let mut named = headers.get_all(name::X_REQUEST_ID);
        let kept = match (named.next(), named.next()) {
            (Some(one), None) => trusted && is_name(one),
            _ => false,
        };
        drop(named);
        if kept {
            return;
        }
        headers.remove(name::X_REQUEST_ID);
        headers.append(name::X_REQUEST_ID, &self.next());
    }
}

fn is_name(text: &[u8]) -> bool {
    (1..=limits::REQUEST_ID_BYTES_MAX).contains(&text.len())
        && text.iter().all(u8::is_ascii_graphic)
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_digits_and_none_comes_twice() {
        let (ids, others) = (RequestIds::new(1, 2), RequestIds::new(2, 2));
        let names = |ids: &RequestIds| (0..10_000).map(|_| ids.next()).collect::<Vec<_>>();
        let all: HashSet<_> = names(&ids).into_iter().chain(names(&others)).collect();
        assert_eq!(all.len(), 20_000);
        assert!(all.iter().flatten().all(u8::is_ascii_hexdigit));
    }

    #[test]
    fn what_the_client_says_is_replaced() {
        let mut headers = Headers::new();
        headers.append(name::X_REQUEST_ID, b"mine");
        headers.append(name::X_REQUEST_ID, b"and mine");
        let ids = RequestIds::new(1, 2);
        let expected = RequestIds::new(1, 2).next();
        ids.assign(&mut headers, true);
        let found: Vec<_> = headers.get_all(name::X_REQUEST_ID).collect();
        assert_eq!(found, [&expected[..]]);
    }

    #[test]
    fn a_trusted_peer_s_name_is_kept_if_it_is_one() {
        let kept = |text: &[u8], trusted| {
            let mut headers = Headers::new();
            headers.append(name::X_REQUEST_ID, text);
            RequestIds::new(1, 2).assign(&mut headers, trusted);
            headers.get(name::X_REQUEST_ID) == Some(text)
        };
        let most = vec![b'x'; limits::REQUEST_ID_BYTES_MAX];
        assert!(kept(b"4f2-a", true) && kept(&most, true));
        assert!(!kept(b"4f2-a", false) && !kept(b"", true) && !kept(b"a b", true));
        assert!(!kept(&[&most[..], b"x"].concat(), true));
    }
}
