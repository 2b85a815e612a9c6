//! The choice of the address and port a packet is forwarded from.
//!
//! A server remembers closed connections for a minute (TIME_WAIT) and refuses a SYN on such a port from another
//! client, whose timestamps do not fit (RFC 7323, PAWS). So the same client port always asks for the same source ports
//! in the same order, and a port stays taken until the server has certainly forgotten it. The insertion of the return
//! entry, which fails if there is one, is the allocation.

use crate::address::Address;
use crate::flow::{Clock, FlowKey, STATE_ESTABLISHED, closed};
use crate::hash::{mix, scale};
use crate::map::Config;

/// Ports tried for one SYN. With half of all ports taken, one SYN in 16 million finds none within so many; with two
/// thirds taken, one in 17,000, and that one goes to user space. More would cost the kernel's verifier too much.
pub const PROBES: u32 = 24;
/// How long the port of a closed connection stays taken, in seconds.
pub const TIME_WAIT: u32 = 60;
/// How long a port may wait for the client's answer to the server's SYN before another may take it, in seconds.
pub const HALF_OPEN: u32 = 5;
/// How long a connection may be silent before another may take its port, in seconds.
pub const SILENT: u32 = 3600;

/// The source ports for one client port, in the order they are tried.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    first: u32,
    step: u32,
    base: u16,
    mask: u16,
}

impl Ports {
    /// `client` is the client's hash, `port` its port in network order.
    #[inline(always)]
    pub const fn new(config: &Config, client: u32, port: u16) -> Self {
        let port = u16::from_be(port) as u32;
        let spread = mix(client as u64 | (port as u64) << 32) as u32;
        // Neighbouring ports of one client never meet at the first try.
        let first = port.wrapping_add(mix(client as u64) as u32);
        Self {
            first,
            step: spread | 1,
            base: config.port_base,
            mask: config.port_mask,
        }
    }

    /// The port of try number `n`, network order.
    #[inline(always)]
    pub const fn nth(&self, n: u32) -> u16 {
        let offset = self.first.wrapping_add(n.wrapping_mul(self.step)) as u16 & self.mask;
        self.base.wrapping_add(offset).to_be()
    }
}

/// Which of `count` source addresses serves a client.
#[inline(always)]
pub const fn address_index(client: u32, count: u32) -> u32 {
    scale((mix(client as u64) >> 32) as u32, count)
}

/// Who has a source port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Nobody: there is no return entry.
    Free,
    /// The same client port: the same connection again.
    Ours,
    /// A connection that is over and forgotten.
    Expired,
    /// One that never came about, or that has long been silent.
    Abandoned,
    /// One that lives, or which the server may remember: the port is not to be had.
    Taken,
}

/// Who has the port of a return entry, of which `owner` is the key of its client's packets; `asking` is that of the
/// SYN.
#[inline(always)]
pub fn occupied<A: Address>(
    owner: &FlowKey<A>,
    asking: &FlowKey<A>,
    (state, last): (u8, u32),
    clock: &Clock,
) -> Port {
    if owner.same(asking) {
        return Port::Ours;
    }
    let (patience, over) = if closed(state) {
        (TIME_WAIT, Port::Expired)
    } else if state & STATE_ESTABLISHED == 0 {
        (HALF_OPEN, Port::Abandoned)
    } else {
        (SILENT, Port::Abandoned)
    };
    if clock.passed(last, patience) {
        over
    } else {
        Port::Taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{STATE_CLIENT_FIN, STATE_RESET, STATE_SERVER_FIN};
    use std::collections::HashSet;

    const CONFIG: Config = Config {
        schema: 1,
        flags: 0,
        seed: 0,
        snat_v4: 1,
        snat_v6: 1,
        port_base: 16384,
        port_mask: 0x3fff,
        hz: 100,
    };

    fn key(ports: u32) -> FlowKey<u32> {
        FlowKey {
            source: 1,
            destination: 2,
            ports,
        }
    }

    #[test]
    fn ports_stay_within_the_range_and_cover_it() {
        let ports = Ports::new(&CONFIG, 0xdead_beef, 50000u16.to_be());
        let all: HashSet<u16> = (0..16384).map(|n| u16::from_be(ports.nth(n))).collect();
        assert_eq!(
            (all.len(), all.iter().min(), all.iter().max()),
            (16384, Some(&16384), Some(&32767))
        );
    }

    #[test]
    fn ten_thousand_ports_of_one_client_all_find_one() {
        for client in 0..8 {
            let mut taken = HashSet::new();
            for n in 0..10_000u32 {
                // An ephemeral range of 28232 ports, walked in the kernel's odd-even manner from anywhere.
                let port = (32768 + (client * 9973 + n * 2 + n / 14116) % 28232) as u16;
                let ports = Ports::new(&CONFIG, mix(client.into()) as u32, port.to_be());
                assert!(
                    (0..PROBES).any(|try_number| taken.insert(ports.nth(try_number))),
                    "client {client}, {n}"
                );
            }
        }
    }

    #[test]
    fn a_port_is_free_only_when_nobody_can_remember_it() {
        let fins = STATE_ESTABLISHED | STATE_CLIENT_FIN | STATE_SERVER_FIN;
        let cases = [
            (key(1), STATE_ESTABLISHED, 0, Port::Ours),
            (key(2), STATE_ESTABLISHED, SILENT, Port::Taken),
            (key(2), STATE_ESTABLISHED, SILENT + 2, Port::Abandoned),
            (
                key(2),
                STATE_ESTABLISHED | STATE_CLIENT_FIN,
                TIME_WAIT * 2,
                Port::Taken,
            ),
            (key(2), fins, TIME_WAIT, Port::Taken),
            (key(2), fins, TIME_WAIT + 2, Port::Expired),
            (key(2), STATE_RESET, TIME_WAIT + 2, Port::Expired),
            (key(2), 0, HALF_OPEN, Port::Taken),
            (key(2), 0, HALF_OPEN + 2, Port::Abandoned),
        ];
        for (owner, state, age, expected) in cases {
            // At 64 Hz a tick is a second.
            let clock = Clock::new(64 * u64::from(1000 + age), 64);
            assert_eq!(
                occupied(&owner, &key(1), (state, 1000), &clock),
                expected,
                "{state} {age}"
            );
        }
    }

    #[test]
    fn clients_spread_over_the_addresses() {
        let mut counts = [0; 3];
        for client in 0..30_000 {
            counts[address_index(mix(client) as u32, 3) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (9_500..10_500).contains(count)),
            "{counts:?}"
        );
    }
}
