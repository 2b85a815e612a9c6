//! The decisions about a TCP segment: what it does to the flow it belongs to, and whether it may open one.

use crate::Counter;
use crate::address::Address;
use crate::checksum;
use crate::flow::{
    Clock, FORWARD, Flow, STATE_CLIENT_FIN, STATE_ESTABLISHED, STATE_RESET, STATE_SERVER_FIN,
};
use crate::header::{
    Ip, Tcp,
    tcp::{ACK, FIN, RST, SYN},
};
use crate::map::{Config, FLAG_STEER_NEW, Server};

/// A flow silent for so many seconds gives way to a new SYN of the same client port: its client is gone.
pub const SILENT: u32 = 300;

/// Whether a segment asks for a new connection.
#[inline(always)]
pub const fn opens(tcp_flags: u8) -> bool {
    tcp_flags & (SYN | ACK | RST | FIN) == SYN
}

/// What a segment means to the flow it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Part of the connection; the state is now this.
    Belongs {
        /// `STATE_*`.
        state: u8,
    },
    /// The client's SYN once more: it goes to the same server, if the return entry is still there.
    Retransmitted,
    /// The SYN of a new connection on the ports of one that is over.
    Reopens,
}

/// Judges a segment by the flow whose key it has.
#[inline(always)]
pub fn segment<A>(flow: &Flow<A>, tcp_flags: u8, clock: &Clock) -> Segment {
    if flow.direction == FORWARD && opens(tcp_flags) {
        const ENDING: u8 = STATE_CLIENT_FIN | STATE_SERVER_FIN | STATE_RESET;
        if flow.state & ENDING != 0 || clock.passed(flow.last, SILENT) {
            return Segment::Reopens;
        }
        if flow.state & STATE_ESTABLISHED == 0 {
            return Segment::Retransmitted;
        }
    }
    Segment::Belongs {
        state: flow.state | news(flow.direction, tcp_flags),
    }
}

/// Whether a segment is but one more of its connection: no SYN, and nothing new about the state. True of a copy that
/// has missed news, it is true of the flow: bits of state are never taken away.
#[inline(always)]
pub fn ordinary<A>(flow: &Flow<A>, tcp_flags: u8) -> bool {
    tcp_flags & SYN == 0 && news(flow.direction, tcp_flags) & !flow.state == 0
}

/// The bits of state a segment adds.
#[inline(always)]
fn news(direction: u8, tcp_flags: u8) -> u8 {
    let mut state = 0;
    if direction == FORWARD && tcp_flags & (SYN | ACK) == ACK {
        state |= STATE_ESTABLISHED;
    }
    if tcp_flags & FIN != 0 {
        state |= if direction == FORWARD {
            STATE_CLIENT_FIN
        } else {
            STATE_SERVER_FIN
        };
    }
    if tcp_flags & RST != 0 {
        state |= STATE_RESET;
    }
    state
}

/// Whether a segment without a flow may open one.
#[inline(always)]
pub const fn may_open(config: &Config, tcp_flags: u8) -> Result<(), Counter> {
    if !opens(tcp_flags) {
        return Err(Counter::PassNoFlow);
    }
    if config.flags & FLAG_STEER_NEW == 0 {
        return Err(Counter::PassOff);
    }
    Ok(())
}

/// Whether a server can serve a client of family `A`.
#[inline(always)]
pub const fn reachable<A: Address>(server: &Server) -> Result<(), Counter> {
    if server.family != A::FAMILY {
        return Err(Counter::PassOtherFamily);
    }
    Ok(())
}

/// Rewrites a packet as its flow says: addresses, ports, hops left and both checksums.
#[inline(always)]
pub fn translate<I: Ip>(ip: &mut I, tcp: &mut Tcp, flow: &Flow<I::Address>) {
    ip.forward(flow);
    tcp.ports = flow.ports;
    tcp.checksum = checksum::updated(tcp.checksum, flow.segment_change);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::RETURN;
    use crate::map::Hop;

    /// At 64 Hz a tick is a second.
    fn at(second: u32) -> Clock {
        Clock::new(64 * u64::from(second), 64)
    }

    fn flow(direction: u8, state: u8) -> Flow<u32> {
        Flow {
            source: 1,
            destination: 2,
            ports: 3,
            server: 0,
            direction,
            state,
            last: 1000,
            client: Hop::default(),
            header_change: 0,
            segment_change: 0,
        }
    }

    #[test]
    fn state_follows_both_directions() {
        let cases = [
            (FORWARD, 0, ACK, STATE_ESTABLISHED),
            (RETURN, 0, SYN | ACK, 0),
            (RETURN, 0, ACK, 0),
            (FORWARD, 0, SYN | ACK, 0),
            (FORWARD, 0, ACK | FIN, STATE_ESTABLISHED | STATE_CLIENT_FIN),
            (
                RETURN,
                STATE_ESTABLISHED,
                ACK | FIN,
                STATE_ESTABLISHED | STATE_SERVER_FIN,
            ),
            (RETURN, 0, RST | ACK, STATE_RESET),
            (
                FORWARD,
                STATE_ESTABLISHED,
                RST,
                STATE_ESTABLISHED | STATE_RESET,
            ),
        ];
        for (direction, before, tcp_flags, state) in cases {
            let got = segment(&flow(direction, before), tcp_flags, &at(1000));
            assert_eq!(
                got,
                Segment::Belongs { state },
                "{direction} {before} {tcp_flags}"
            );
        }
    }

    #[test]
    fn a_segment_is_ordinary_if_it_changes_nothing() {
        for direction in [FORWARD, RETURN] {
            for state in 0..16 {
                for tcp_flags in 0..64 {
                    let flow = flow(direction, state);
                    let same = segment(&flow, tcp_flags, &at(1000)) == Segment::Belongs { state };
                    let expected = same && tcp_flags & SYN == 0;
                    assert_eq!(ordinary(&flow, tcp_flags), expected, "{flow:?} {tcp_flags}");
                }
            }
        }
    }

    #[test]
    fn a_syn_is_a_retransmission_or_a_new_connection() {
        assert_eq!(
            segment(&flow(FORWARD, 0), SYN, &at(1000)),
            Segment::Retransmitted
        );
        assert_eq!(
            segment(&flow(FORWARD, 0), SYN, &at(1001 + SILENT)),
            Segment::Retransmitted
        );
        assert_eq!(
            segment(&flow(FORWARD, 0), SYN, &at(1002 + SILENT)),
            Segment::Reopens
        );
        for state in [
            STATE_CLIENT_FIN,
            STATE_SERVER_FIN | STATE_ESTABLISHED,
            STATE_RESET,
        ] {
            assert_eq!(
                segment(&flow(FORWARD, state), SYN, &at(1000)),
                Segment::Reopens
            );
        }
        let live = Segment::Belongs {
            state: STATE_ESTABLISHED,
        };
        assert_eq!(
            segment(&flow(FORWARD, STATE_ESTABLISHED), SYN, &at(1000)),
            live
        );
        assert_eq!(
            segment(&flow(RETURN, 0), SYN, &at(1000)),
            Segment::Belongs { state: 0 }
        );
    }

    #[test]
    fn only_a_syn_opens_a_flow_and_only_while_steering_is_on() {
        let on = Config {
            flags: FLAG_STEER_NEW,
            ..Config::default()
        };
        let off = Config::default();
        for (config, tcp_flags, expected) in [
            (on, SYN, Ok(())),
            (on, SYN | ACK, Err(Counter::PassNoFlow)),
            (on, SYN | RST, Err(Counter::PassNoFlow)),
            (on, SYN | FIN, Err(Counter::PassNoFlow)),
            (on, ACK, Err(Counter::PassNoFlow)),
            (on, 0, Err(Counter::PassNoFlow)),
            (off, SYN, Err(Counter::PassOff)),
            (off, ACK, Err(Counter::PassNoFlow)),
        ] {
            assert_eq!(may_open(&config, tcp_flags), expected);
        }
    }

    #[test]
    fn a_server_of_the_other_family_is_refused() {
        let server = Server {
            family: crate::address::FAMILY_V6,
            ..Server::default()
        };
        assert_eq!(reachable::<u32>(&server), Err(Counter::PassOtherFamily));
        assert_eq!(reachable::<[u32; 4]>(&server), Ok(()));
    }
}
