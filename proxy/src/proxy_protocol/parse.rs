//! A header at the beginning of a connection, if there is one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Addresses, LINE_START, SIGNATURE, TLV_CRC32C, crc32c};
use crate::limits::PROXY_HEADER_BYTES_MAX;

/// A line of version 1 with its CR LF.
const LINE_BYTES_MAX: usize = 107;
const FIXED_BYTES: usize = 16;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Too few to tell, or only a part of a header.
    NeedMore {
        /// It can be nothing but a header.
        begun: bool,
    },
    /// No header: the client's own bytes.
    Absent,
    /// A header.
    Header {
        /// How long it is; the client's bytes follow.
        length: usize,
        /// What it says; `None` where the proxy speaks for itself (LOCAL) or says nothing of use (UNKNOWN, a Unix
        /// socket): the connection's own addresses count then.
        addresses: Option<Addresses>,
    },
}

/// What is wrong with a header: the fault of the proxy that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Longer than it may be.
    TooLong,
    /// Not as the specification wants it.
    Malformed,
    /// Its checksum is of other bytes.
    Checksum,
}

/// Looks at all that has been received of a connection.
///
/// # Errors
/// It begins as a header does, but is none: the connection is of no use.
pub fn parse(received: &[u8]) -> Result<Parsed, HeaderError> {
    for (start, parse) in [
        (LINE_START, line as fn(&[u8]) -> _),
        (&SIGNATURE[..], binary),
    ] {
        let common = received.len().min(start.len());
        if received[..common] == start[..common] {
            return match common == start.len() {
                true => parse(received),
                false => Ok(Parsed::NeedMore { begun: false }),
            };
        }
    }
    Ok(Parsed::Absent)
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 40000 443` and CR LF.
fn line(received: &[u8]) -> Result<Parsed, HeaderError> {
    let within = &received[..received.len().min(LINE_BYTES_MAX)];
    let Some(end) = memchr::memchr(b'\n', within) else {
        return match within.len() < LINE_BYTES_MAX {
            true => Ok(Parsed::NeedMore { begun: true }),
            false => Err(HeaderError::TooLong),
        };
    };
    let text = within[LINE_START.len()..end]
        .strip_suffix(b"\r")
        .and_then(|text| str::from_utf8(text).ok())
        .ok_or(HeaderError::Malformed)?;
    let mut words = text.split(' ');
    let addresses = match words.next() {
        // Whatever follows is to be ignored.
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(pair::<Ipv4Addr>(words)?),
        Some("TCP6") => Some(pair::<Ipv6Addr>(words)?),
        _ => return Err(HeaderError::Malformed),
    };
    Ok(Parsed::Header {
        length: end + 1,
        addresses,
    })
}

/// The four words after the family.
fn pair<'a, A>(words: impl Iterator<Item = &'a str>) -> Result<Addresses, HeaderError>
where
    A: std::str::FromStr + Into<IpAddr>,
{
    let address = |word: &str| word.parse::<A>().ok().map(Into::into);
    let parsed = || {
        let mut words = words;
        let (source, destination) = (address(words.next()?)?, address(words.next()?)?);
        let (from, to) = (port(words.next()?)?, port(words.next()?)?);
        let whole = words.next().is_none();
        whole.then(|| addresses((source, from), (destination, to)))
    };
    parsed().ok_or(HeaderError::Malformed)
}

/// Decimal digits without a sign or a leading zero.
fn port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let padded = word.len() > 1 && word.starts_with('0');
    word.parse().ok().filter(|_| plain && !padded)
}

/// Version 2: signature, version and command, family and transport, length; addresses; TLVs.
fn binary(received: &[u8]) -> Result<Parsed, HeaderError> {
    let Some((fixed, rest)) = received.split_first_chunk::<FIXED_BYTES>() else {
        return Ok(Parsed::NeedMore { begun: true });
    };
    let [.., command, family, high, low] = *fixed;
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if !matches!(command, 0x20 | 0x21) {
        return Err(HeaderError::Malformed);
    }
    if length > PROXY_HEADER_BYTES_MAX {
        return Err(HeaderError::TooLong);
    }
    let Some(block) = rest.get(..length - FIXED_BYTES) else {
        return Ok(Parsed::NeedMore { begun: true });
    };
    // LOCAL: whatever follows is to be ignored, the family too.
    let addresses = match command {
        0x20 => None,
        _ => proxied(family, block, &received[..length])?,
    };
    Ok(Parsed::Header { length, addresses })
}

/// What the block of a PROXY command says.
fn proxied(family: u8, block: &[u8], header: &[u8]) -> Result<Option<Addresses>, HeaderError> {
    const STREAM: u8 = 1;
    let (family, transport) = (family >> 4, family & 0xf);
    let size = match family {
        0 => 0,
        1 => 12,
        2 => 36,
        3 => 216,
        _ => return Err(HeaderError::Malformed),
    };
    let Some((ends, tlvs)) = block.split_at_checked(size).filter(|_| transport <= 2) else {
        return Err(HeaderError::Malformed);
    };
    check_tlvs(tlvs, header)?;
    let of_use = transport == STREAM;
    Ok(match ends.len() {
        12 if of_use => Some(v4(ends)),
        36 if of_use => Some(v6(ends)),
        _ => None,
    })
}

fn v4(ends: &[u8]) -> Addresses {
    let ip = |at: usize| Ipv4Addr::from([ends[at], ends[at + 1], ends[at + 2], ends[at + 3]]);
    addresses(
        (ip(0).into(), port_at(ends, 8)),
        (ip(4).into(), port_at(ends, 10)),
    )
}

fn v6(ends: &[u8]) -> Addresses {
    let ip = |at: usize| {
        let octets: [u8; 16] = std::array::from_fn(|index| ends[at + index]);
        Ipv6Addr::from(octets)
    };
    addresses(
        (ip(0).into(), port_at(ends, 32)),
        (ip(16).into(), port_at(ends, 34)),
    )
}

fn port_at(ends: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([ends[at], ends[at + 1]])
}

/// IPv4 mapped into IPv6 is IPv4.
fn addresses(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Addresses {
    let canonical = |(ip, port): (IpAddr, u16)| SocketAddr::new(ip.to_canonical(), port);
    Addresses {
        source: canonical(source),
        destination: canonical(destination),
    }
}

/// Type-length-values to the end of the header; nothing is taken from them but the checksum.
fn check_tlvs(mut tlvs: &[u8], header: &[u8]) -> Result<(), HeaderError> {
    while !tlvs.is_empty() {
        let Some(([kind, high, low], rest)) = tlvs.split_first_chunk() else {
            return Err(HeaderError::Malformed);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((value, rest)) = rest.split_at_checked(length) else {
            return Err(HeaderError::Malformed);
        };
        if *kind == TLV_CRC32C {
            let sum: [u8; 4] = value.try_into().map_err(|_| HeaderError::Malformed)?;
            let (before, after) = (header.len() - rest.len() - 4, header.len() - rest.len());
            // Its own place counts as zeroes.
            let parts = [&header[..before], &[0; 4], &header[after..]];
            if crc32c(parts) != u32::from_be_bytes(sum) {
                return Err(HeaderError::Checksum);
            }
        }
        tlvs = rest;
    }
    Ok(())
}

impl fmt::Display for HeaderError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::TooLong => "the PROXY header is too long",
            Self::Malformed => "the PROXY header is malformed",
            Self::Checksum => "the PROXY header's checksum is wrong",
        })
    }
}

impl std::error::Error for HeaderError {}

#[cfg(test)]
mod tests;
