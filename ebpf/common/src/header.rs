//! The headers as they lie in a packet: aligned to two bytes, as frames are; fields in network order unless said
//! otherwise. Bytes become headers in
//! the program's `packet` module; what is done with a header is decided here.

use crate::Counter;
use crate::address::{Address, Macs, V4, V6};
use crate::checksum;
use crate::flow::Flow;

/// EtherType of IPv4, host order.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6, host order.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// EtherType of an IEEE 802.1Q tag, host order.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// EtherType of an IEEE 802.1ad service tag (QinQ), host order.
pub const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;

/// Ethernet.
#[repr(C, packed(2))]
#[derive(Clone, Copy)]
pub struct Ethernet {
    /// Destination and source.
    pub macs: Macs,
    /// EtherType.
    pub ethertype: u16,
}

/// A VLAN tag after the EtherType that announces it.
#[repr(C, packed(2))]
#[derive(Clone, Copy)]
pub struct VlanTag {
    /// Priority and VLAN number.
    pub control: u16,
    /// EtherType of what follows.
    pub ethertype: u16,
}

/// IPv4 without options (RFC 791, section 3.1).
#[repr(C, packed(2))]
#[derive(Clone, Copy)]
pub struct Ipv4 {
    /// 4 in the upper half, header length in words in the lower.
    pub version_and_length: u8,
    /// Type of service.
    pub service: u8,
    /// Bytes of the whole packet.
    pub length: u16,
    /// Identification.
    pub id: u16,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// Hops left.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Header checksum.
    pub checksum: u16,
    /// Source.
    pub source: V4,
    /// Destination.
    pub destination: V4,
}

/// IPv6 (RFC 8200, section 3).
#[repr(C, packed(2))]
#[derive(Clone, Copy)]
pub struct Ipv6 {
    /// Version, traffic class, flow label.
    pub version_class_label: u32,
    /// Bytes after this header.
    pub payload_length: u16,
    /// Type of the next header.
    pub next: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// Source.
    pub source: V6,
    /// Destination.
    pub destination: V6,
}

/// TCP without options (RFC 9293, section 3.1).
#[repr(C, packed(2))]
#[derive(Clone, Copy)]
pub struct Tcp {
    /// Both ports, see [`crate::address::ports`].
    pub ports: u32,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Header length in words in the upper half.
    pub offset: u8,
    /// `tcp::*`.
    pub flags: u8,
    /// Window.
    pub window: u16,
    /// Checksum over the pseudo header, header and payload.
    pub checksum: u16,
    /// Urgent pointer.
    pub urgent: u16,
}

/// TCP's flags.
pub mod tcp {
    /// No more data from the sender.
    pub const FIN: u8 = 1;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 2;
    /// Reset the connection.
    pub const RST: u8 = 4;
    /// The acknowledgement field counts.
    pub const ACK: u8 = 16;
}

const PROTOCOL_TCP: u8 = 6;
const VERSION_4_NO_OPTIONS: u8 = 0x45;
const MORE_FRAGMENTS_AND_OFFSET: u16 = 0x3fff;
const TCP_LENGTH_MIN: u16 = size_of::<Tcp>() as u16;

/// IPv6 extension headers (IANA, "IPv6 Extension Header Types"), the fragment header apart.
const EXTENSION_HEADERS: [u8; 7] = [0, 43, 51, 60, 135, 139, 140];
const FRAGMENT_HEADER: u8 = 44;

/// What steering asks of an IP header of either version.
pub trait Ip: Copy {
    /// Its address.
    type Address: Address;
    /// Whether a TCP header follows and the packet may be forwarded; else the reason to pass it.
    fn check(&self) -> Result<(), Counter>;
    /// Source address.
    fn source(&self) -> Self::Address;
    /// Destination address.
    fn destination(&self) -> Self::Address;
    /// Bytes of the whole packet.
    fn packet_length(&self) -> u32;
    /// Gives the packet the addresses of its flow and one hop less. To be called on a header that passed [`Ip::check`],
    /// by the flow whose key the packet has.
    fn forward(&mut self, flow: &Flow<Self::Address>);
}

impl Ip for Ipv4 {
    type Address = V4;

    #[inline(always)]
    fn check(&self) -> Result<(), Counter> {
        if self.protocol != PROTOCOL_TCP {
            return Err(Counter::PassNotTcp);
        }
        if self.version_and_length != VERSION_4_NO_OPTIONS {
            let options =
                self.version_and_length > VERSION_4_NO_OPTIONS && self.version_and_length <= 0x4f;
            return Err(if options {
                Counter::PassIpOptions
            } else {
                Counter::PassTruncated
            });
        }
        if self.fragment & MORE_FRAGMENTS_AND_OFFSET.to_be() != 0 {
            return Err(Counter::PassFragment);
        }
        if self.ttl <= 1 {
            return Err(Counter::PassTtl);
        }
        if u16::from_be(self.length) < size_of::<Self>() as u16 + TCP_LENGTH_MIN {
            return Err(Counter::PassTruncated);
        }
        Ok(())
    }

    #[inline(always)]
    fn source(&self) -> V4 {
        self.source
    }

    #[inline(always)]
    fn destination(&self) -> V4 {
        self.destination
    }

    #[inline(always)]
    fn packet_length(&self) -> u32 {
        u16::from_be(self.length) as u32
    }

    #[inline(always)]
    fn forward(&mut self, flow: &Flow<V4>) {
        self.source = flow.source;
        self.destination = flow.destination;
        self.ttl = self.ttl.wrapping_sub(1);
        self.checksum = checksum::updated(self.checksum, flow.header_change);
    }
}

impl Ip for Ipv6 {
    type Address = V6;

    #[inline(always)]
    fn check(&self) -> Result<(), Counter> {
        if self.next != PROTOCOL_TCP {
            return Err(match self.next {
                FRAGMENT_HEADER => Counter::PassFragment,
                next if EXTENSION_HEADERS.contains(&next) => Counter::PassIpOptions,
                _ => Counter::PassNotTcp,
            });
        }
        if self.hop_limit <= 1 {
            return Err(Counter::PassTtl);
        }
        if u16::from_be(self.payload_length) < TCP_LENGTH_MIN {
            return Err(Counter::PassTruncated);
        }
        Ok(())
    }

    #[inline(always)]
    fn source(&self) -> V6 {
        self.source
    }

    #[inline(always)]
    fn destination(&self) -> V6 {
        self.destination
    }

    #[inline(always)]
    fn packet_length(&self) -> u32 {
        u16::from_be(self.payload_length) as u32 + size_of::<Self>() as u32
    }

    #[inline(always)]
    fn forward(&mut self, flow: &Flow<V6>) {
        self.source = flow.source;
        self.destination = flow.destination;
        self.hop_limit = self.hop_limit.wrapping_sub(1);
    }
}

const _: () = {
    assert!(size_of::<Ethernet>() == 14);
    assert!(size_of::<VlanTag>() == 4);
    assert!(size_of::<Ipv4>() == 20);
    assert!(size_of::<Ipv6>() == 40);
    assert!(size_of::<Tcp>() == 20);
};

#[cfg(test)]
mod tests;
