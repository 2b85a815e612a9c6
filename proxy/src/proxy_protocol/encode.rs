//! A header to send ahead of a client's bytes.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::{Addresses, LINE_START, SIGNATURE};

/// Which of the two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Version 2, command PROXY.
const PROXY: u8 = 0x21;
/// Version 2: a stream over IPv4, and over IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// The header that says these addresses. Where only one is IPv4, both are written as IPv6: the header has one family.
pub fn encode(version: Version, addresses: &Addresses) -> Vec<u8> {
    let (source, destination) = one_family(addresses);
    match version {
        Version::V1 => line(source, destination),
        Version::V2 => binary(source, destination),
    }
}

fn one_family(addresses: &Addresses) -> (SocketAddr, SocketAddr) {
    let Addresses {
        source,
        destination,
    } = *addresses;
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (mapped(source), mapped(destination))
}

fn line(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let mut line = String::from_utf8_lossy(LINE_START).into_owned();
    // Writing to a string cannot fail.
    let _ = write!(
        line,
        "{family} {} {} {} {}\r\n",
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    );
    line.into_bytes()
}

fn binary(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut addresses = Vec::with_capacity(36);
    for ip in [source.ip(), destination.ip()] {
        match ip {
            IpAddr::V4(ip) => addresses.extend(ip.octets()),
            IpAddr::V6(ip) => addresses.extend(ip.octets()),
        }
    }
    addresses.extend(source.port().to_be_bytes());
    addresses.extend(destination.port().to_be_bytes());
    let family = if source.is_ipv4() { TCP4 } else { TCP6 };
    let mut header = SIGNATURE.to_vec();
    header.extend([PROXY, family]);
    header.extend((addresses.len() as u16).to_be_bytes());
    header.extend(addresses);
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Parsed, parse};
    use super::*;

    fn addresses(source: &str, destination: &str) -> Addresses {
        Addresses {
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
        }
    }

    #[test]
    fn headers_are_those_of_the_specification() {
        let v4 = addresses("192.0.2.1:56324", "198.51.100.2:443");
        assert_eq!(
            encode(Version::V1, &v4),
            b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
        );
        let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
        expected.extend([192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb]);
        assert_eq!(encode(Version::V2, &v4), expected);
        let mixed = addresses("192.0.2.1:1", "[2001:db8::1]:2");
        assert_eq!(
            encode(Version::V1, &mixed),
            b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n"
        );
    }

    proptest! {
        #[test]
        fn the_parser_reads_what_is_written(
            v6 in any::<bool>(),
            ips in any::<[u128; 2]>(),
            ports in any::<[u16; 2]>(),
        ) {
            let ip = |bits: u128| match v6 {
                true => IpAddr::from((bits | 1 << 127).to_be_bytes()),
                false => IpAddr::from((bits as u32).to_be_bytes()),
            };
            let said = Addresses {
                source: (ip(ips[0]), ports[0]).into(),
                destination: (ip(ips[1]), ports[1]).into(),
            };
            for version in [Version::V1, Version::V2] {
                let header = encode(version, &said);
                let parsed = Parsed::Header { length: header.len(), addresses: Some(said) };
                prop_assert_eq!(parse(&header), Ok(parsed));
            }
        }
    }
}
