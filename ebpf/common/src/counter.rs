//! What the program counts: one counter for each reason to pass a packet, each reason to drop one, each event.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)*) => {
        /// Index into [`crate::map::COUNTERS`].
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Counter {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Counter {
            /// Every counter, in index order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Name for people and metrics: the first word says what became of the packet.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

counters! {
    /// Steered, client to server.
    Forward = "forward",
    /// Steered, server to client.
    Return = "return",
    /// A connection got its flow.
    FlowNew = "flow_new",
    /// A new connection took the port of a half-open or long silent one.
    PortTaken = "port_taken",
    /// Passed: user space has configured nothing, or for another schema.
    PassNotConfigured = "pass_not_configured",
    /// Passed: the frame ends within its headers, or its lengths contradict each other.
    PassTruncated = "pass_truncated",
    /// Passed: neither IPv4 nor IPv6.
    PassNotIp = "pass_not_ip",
    /// Passed: not TCP.
    PassNotTcp = "pass_not_tcp",
    /// Passed: a fragment; half a connection must not be steered.
    PassFragment = "pass_fragment",
    /// Passed: IPv4 options or an IPv6 extension header.
    PassIpOptions = "pass_ip_options",
    /// Passed: TTL or hop limit does not allow another hop.
    PassTtl = "pass_ttl",
    /// Passed: TCP without a flow, and not a SYN: a connection of user space, or of nobody.
    PassNoFlow = "pass_no_flow",
    /// Passed: a SYN while steering of new connections is off.
    PassOff = "pass_off",
    /// Passed: a SYN to an address and port that is not steered.
    PassNotSteered = "pass_not_steered",
    /// Passed: a SYN from a client for which no steered rule wins.
    PassNoRule = "pass_no_rule",
    /// Passed: the pool has no server.
    PassPoolEmpty = "pass_pool_empty",
    /// Passed: the server is of the other address family, or not behind a steered interface; user space takes that
    /// same server.
    PassOtherFamily = "pass_other_family",
    /// Passed: there is no source address of this family to forward from.
    PassNoSnat = "pass_no_snat",
    /// Passed: no source port is free.
    PassNoPort = "pass_no_port",
    /// Passed: a SYN whose server has no known next hop; user space takes that same server.
    PassNoHop = "pass_no_hop",
    /// Passed: the kernel refused the flow entry.
    PassFlowRefused = "pass_flow_refused",
    /// Dropped: a packet of a flow whose next hop is unknown: no neighbour entry, no route, or forwarding is off.
    DropNoHop = "drop_no_hop",
    /// Dropped: a packet of a flow that is larger than the MTU towards its next hop.
    DropTooBig = "drop_too_big",
}

impl Counter {
    /// Whether the packet counted is dropped rather than passed.
    #[inline(always)]
    pub const fn drops(self) -> bool {
        matches!(self, Self::DropNoHop | Self::DropTooBig)
    }
}

/// Number of counters.
pub const COUNTERS_MAX: u32 = Counter::ALL.len() as u32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_order_is_declaration_order_and_names_differ() {
        for (index, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
            assert!(
                Counter::ALL[..index]
                    .iter()
                    .all(|other| other.name() != counter.name())
            );
        }
    }
}
