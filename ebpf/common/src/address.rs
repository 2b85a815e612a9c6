//! Addresses and ports as the data path handles them: raw words, exactly as they lie in the packet.
//!
//! IPv4-mapped IPv6 addresses are the caller's business: they become IPv4 before they come here.

use core::net::{Ipv4Addr, Ipv6Addr};

/// An IPv4 address: its four bytes in network order, read as one native word.
pub type V4 = u32;
/// An IPv6 address: its sixteen bytes in network order, read as four native words.
pub type V6 = [u32; 4];

/// Family tag of IPv4 in map values (`AF_INET`).
pub const FAMILY_V4: u8 = 2;
/// Family tag of IPv6 in map values (`AF_INET6`).
pub const FAMILY_V6: u8 = 10;

/// What the shared code asks of an address of either family.
pub trait Address: Copy + PartialEq + 'static {
    /// [`FAMILY_V4`] or [`FAMILY_V6`].
    const FAMILY: u8;
    /// The address in the four words of [`crate::map::Server::address`], unused words zero.
    fn words(self) -> [u32; 4];
    /// The inverse of [`Address::words`].
    fn from_words(words: [u32; 4]) -> Self;
    /// 0 if both are equal. (On the eBPF side `==` of arrays becomes a call of `bcmp`, a byte loop.)
    fn difference(self, other: Self) -> u32;
}

impl Address for V4 {
    const FAMILY: u8 = FAMILY_V4;

    #[inline(always)]
    fn words(self) -> [u32; 4] {
        [self, 0, 0, 0]
    }

    #[inline(always)]
    fn from_words(words: [u32; 4]) -> Self {
        words[0]
    }

    #[inline(always)]
    fn difference(self, other: Self) -> u32 {
        self ^ other
    }
}

impl Address for V6 {
    const FAMILY: u8 = FAMILY_V6;

    #[inline(always)]
    fn words(self) -> [u32; 4] {
        self
    }

    #[inline(always)]
    fn from_words(words: [u32; 4]) -> Self {
        words
    }

    #[inline(always)]
    fn difference(self, [e, f, g, h]: Self) -> u32 {
        let [a, b, c, d] = self;
        (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h)
    }
}

/// The raw word of an IPv4 address.
pub const fn v4(address: Ipv4Addr) -> V4 {
    u32::from_ne_bytes(address.octets())
}

/// The raw words of an IPv6 address.
pub const fn v6(address: Ipv6Addr) -> V6 {
    let o = address.octets();
    [
        u32::from_ne_bytes([o[0], o[1], o[2], o[3]]),
        u32::from_ne_bytes([o[4], o[5], o[6], o[7]]),
        u32::from_ne_bytes([o[8], o[9], o[10], o[11]]),
        u32::from_ne_bytes([o[12], o[13], o[14], o[15]]),
    ]
}

/// The IPv4 address of a raw word.
pub const fn to_ipv4(address: V4) -> Ipv4Addr {
    let [a, b, c, d] = address.to_ne_bytes();
    Ipv4Addr::new(a, b, c, d)
}

/// The IPv6 address of four raw words.
pub fn to_ipv6(address: V6) -> Ipv6Addr {
    let mut octets = [0; 16];
    for (chunk, word) in octets.as_chunks_mut::<4>().0.iter_mut().zip(address) {
        *chunk = word.to_ne_bytes();
    }
    Ipv6Addr::from(octets)
}

/// Source and destination port as the one word they are in a TCP header; both arguments in network order.
#[inline(always)]
pub const fn ports(source: u16, destination: u16) -> u32 {
    let ([a, b], [c, d]) = (source.to_ne_bytes(), destination.to_ne_bytes());
    u32::from_ne_bytes([a, b, c, d])
}

/// Source port of a word of ports, in network order.
#[inline(always)]
pub const fn source_port(ports: u32) -> u16 {
    let [a, b, ..] = ports.to_ne_bytes();
    u16::from_ne_bytes([a, b])
}

/// Destination port of a word of ports, in network order.
#[inline(always)]
pub const fn destination_port(ports: u32) -> u16 {
    let [.., c, d] = ports.to_ne_bytes();
    u16::from_ne_bytes([c, d])
}

/// A MAC address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl From<[u8; 6]> for Mac {
    fn from(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }
}

/// Destination and source MAC as they begin a frame, in three raw words: the data path moves them together.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Macs([u32; 3]);

impl Macs {
    /// From both addresses.
    #[inline(always)]
    pub const fn new(destination: Mac, source: Mac) -> Self {
        let (Mac([a, b, c, d, e, f]), Mac([g, h, i, j, k, l])) = (destination, source);
        Self([
            u32::from_ne_bytes([a, b, c, d]),
            u32::from_ne_bytes([e, f, g, h]),
            u32::from_ne_bytes([i, j, k, l]),
        ])
    }

    /// 0 if both are equal, see [`Address::difference`].
    #[inline(always)]
    pub const fn difference(self, other: Self) -> u32 {
        let ([a, b, c], [d, e, f]) = (self.0, other.0);
        (a ^ d) | (b ^ e) | (c ^ f)
    }

    /// The way back: each in the other's place.
    #[inline(always)]
    pub const fn reversed(self) -> Self {
        let [x, y, z] = self.0;
        let ([a, b, c, d], [e, f, g, h], [i, j, k, l]) =
            (x.to_ne_bytes(), y.to_ne_bytes(), z.to_ne_bytes());
        Self::new(Mac([g, h, i, j, k, l]), Mac([a, b, c, d, e, f]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ports_survive_the_round_trip() {
        let four = Ipv4Addr::new(192, 0, 2, 1);
        let six: Ipv6Addr = "2001:db8:1:2:3:4:5:6".parse().unwrap();
        assert_eq!(to_ipv4(v4(four)), four);
        assert_eq!(to_ipv6(v6(six)), six);
        assert_eq!(u32::from_words(v4(four).words()), v4(four));
        let word = ports(443u16.to_be(), 50000u16.to_be());
        assert_eq!(word.to_ne_bytes(), [1, 187, 195, 80]);
        assert_eq!(
            (source_port(word), destination_port(word)),
            (443u16.to_be(), 50000u16.to_be())
        );
        let (here, there) = (Mac([1, 2, 3, 4, 5, 6]), Mac([7, 8, 9, 10, 11, 12]));
        assert_eq!(Macs::new(here, there).reversed(), Macs::new(there, here));
    }
}
