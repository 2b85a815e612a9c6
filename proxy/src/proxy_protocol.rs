//! The PROXY protocol: who the client of a connection is, said ahead of its bytes by a proxy in between.
//!
//! Bytes in, addresses out, and the other way round; both versions. Never: sockets, or whom to believe, which the
//! entry point's configuration says. Source: <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>.

mod encode;
mod parse;

pub use encode::{Version, encode};
pub use parse::{HeaderError, Parsed, parse};

use std::net::SocketAddr;

/// The two ends of the connection that a header is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Who connected.
    pub source: SocketAddr,
    /// To where.
    pub destination: SocketAddr,
}

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with.
const LINE_START: &[u8] = b"PROXY ";
/// TLV type of a checksum over the whole header.
const TLV_CRC32C: u8 = 0x03;

/// CRC-32C (RFC 3720 appendix B.4), over `parts` one after the other.
fn crc32c<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |crc: u32, _| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !parts.into_iter().flatten().fold(u32::MAX, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_rfc() {
        assert_eq!(crc32c([&b"123456789"[..]]), 0xe306_9283);
        assert_eq!(crc32c([&[0; 32][..]]), 0x8a91_36aa);
        assert_eq!(crc32c([&b"1234"[..], b"", b"56789"]), 0xe306_9283);
    }
}
