//! Frames to feed to the program, and a reader that believes no checksum.

use std::net::{IpAddr, SocketAddr};

/// Where the frames come from, and whom they are for.
pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const EDGE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

const ETHERNET: usize = 14;
const TCP: usize = 20;
const PROTOCOL_TCP: u8 = 6;

/// One TCP segment.
#[derive(Clone, Debug)]
pub struct Segment {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub flags: u8,
    pub payload: Vec<u8>,
    /// VLAN numbers, outermost first.
    pub vlans: Vec<u16>,
    pub ttl: u8,
}

impl Segment {
    pub fn new(source: SocketAddr, destination: SocketAddr, flags: u8) -> Self {
        Self {
            source,
            destination,
            flags,
            payload: Vec::new(),
            vlans: Vec::new(),
            ttl: 64,
        }
    }

    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    pub fn vlans(mut self, vlans: &[u16]) -> Self {
        self.vlans = vlans.to_vec();
        self
    }

    /// The frame, checksums right.
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = [EDGE_MAC, CLIENT_MAC].concat();
        for (depth, vlan) in self.vlans.iter().enumerate() {
            let outer = depth == 0 && self.vlans.len() > 1;
            frame.extend(if outer { [0x88, 0xa8] } else { [0x81, 0x00] });
            frame.extend(vlan.to_be_bytes());
        }
        let tcp = self.tcp();
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut ip = vec![0x45, 0];
                ip.extend(u16::try_from(20 + tcp.len()).unwrap().to_be_bytes());
                ip.extend([0x12, 0x34, 0x40, 0, self.ttl, PROTOCOL_TCP, 0, 0]);
                ip.extend([source.octets(), destination.octets()].concat());
                let checksum = checksum(&ip);
                ip[10..12].copy_from_slice(&checksum.to_be_bytes());
                frame.extend([8, 0]);
                frame.extend(ip);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend(u16::try_from(tcp.len()).unwrap().to_be_bytes());
                frame.extend([PROTOCOL_TCP, self.ttl]);
                frame.extend([source.octets(), destination.octets()].concat());
            }
            _ => panic!("both ends of a segment are of one family"),
        }
        frame.extend(tcp);
        frame
    }

    fn tcp(&self) -> Vec<u8> {
        let mut tcp = [
            self.source.port().to_be_bytes(),
            self.destination.port().to_be_bytes(),
        ]
        .concat();
        tcp.extend([
            1,
            2,
            3,
            4,
            0,
            0,
            0,
            0,
            5 << 4,
            self.flags,
            0xfa,
            0xf0,
            0,
            0,
            0,
            0,
        ]);
        tcp.extend(&self.payload);
        let sum = checksum(
            &[
                pseudo_header(self.source.ip(), self.destination.ip(), tcp.len()),
                tcp.clone(),
            ]
            .concat(),
        );
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        tcp
    }

    /// Reads a frame that has `vlans` tags; panics unless all its checksums are right.
    pub fn read(frame: &[u8], vlans: usize) -> Self {
        let (ip_at, tags) = (ETHERNET + 4 * vlans, &frame[12..12 + 4 * vlans]);
        let ip = &frame[ip_at..];
        let (source, destination, ttl, tcp_at) = if ip[0] >> 4 == 4 {
            assert_eq!(checksum(&ip[..20]), 0, "IPv4 header checksum");
            assert_eq!(
                usize::from(u16::from_be_bytes([ip[2], ip[3]])),
                ip.len(),
                "IPv4 length"
            );
            let address = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&ip[at..at + 4]).unwrap());
            (address(12), address(16), ip[8], 20)
        } else {
            let address = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&ip[at..at + 16]).unwrap());
            (address(8), address(24), ip[7], 40)
        };
        let tcp = &ip[tcp_at..];
        let pseudo = pseudo_header(source, destination, tcp.len());
        assert_eq!(checksum(&[&pseudo, tcp].concat()), 0, "TCP checksum");
        Self {
            source: SocketAddr::new(source, u16::from_be_bytes([tcp[0], tcp[1]])),
            destination: SocketAddr::new(destination, u16::from_be_bytes([tcp[2], tcp[3]])),
            flags: tcp[13],
            payload: tcp[TCP..].to_vec(),
            vlans: tags
                .chunks(4)
                .map(|tag| u16::from_be_bytes([tag[2], tag[3]]))
                .collect(),
            ttl,
        }
    }
}

fn pseudo_header(source: IpAddr, destination: IpAddr, length: usize) -> Vec<u8> {
    let mut bytes = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            [source.octets(), destination.octets()].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            [source.octets(), destination.octets()].concat()
        }
        _ => panic!("both ends of a segment are of one family"),
    };
    bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
    bytes.extend([0, 0, 0, PROTOCOL_TCP]);
    bytes
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
