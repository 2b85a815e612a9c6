//! Opening a flow and keeping the two entries of a connection in step.

use weir_common::Counter;
use weir_common::address::{destination_port, ports, source_port};
use weir_common::flow::{FORWARD, Flow, FlowKey, RETURN};
use weir_common::map::{Config, Hop};
use weir_common::snat::{self, Occupied, PROBES, Ports};

use crate::maps::{self, Family};

/// A connection about to be steered.
pub struct Opening<'a, A> {
    /// Key of the client's packets.
    pub key: &'a FlowKey<A>,
    /// The client's hash.
    pub client: u32,
    /// The client's next hop.
    pub hop: Hop,
    /// Index of the server.
    pub server: u16,
    /// The server's address.
    pub server_address: A,
    /// The server's port, network order.
    pub server_port: u16,
    /// Address to forward from.
    pub source: A,
    /// The time in ticks.
    pub now: u32,
}

/// Makes both entries and gives the client's.
#[inline(always)]
pub fn open<I: Family>(
    config: &Config,
    opening: &Opening<'_, I::Address>,
) -> Result<Flow<I::Address>, Counter> {
    let port = claim_port::<I>(config, opening)?;
    let flow = Flow {
        source: opening.source,
        destination: opening.server_address,
        ports: ports(port, opening.server_port),
        server: opening.server,
        direction: FORWARD,
        state: 0,
        last: opening.now,
        client: opening.hop,
    };
    if !maps::put_flow::<I>(opening.key, &flow) {
        maps::remove_flow::<I>(&flow.peer());
        return Err(Counter::PassFlowRefused);
    }
    maps::count(Counter::FlowNew);
    maps::count_flow(opening.server);
    Ok(flow)
}

/// Makes the return entry on the first port that is to be had: its insertion is what claims the port.
#[inline(always)]
fn claim_port<I: Family>(
    config: &Config,
    opening: &Opening<'_, I::Address>,
) -> Result<u16, Counter> {
    let FlowKey {
        source,
        destination,
        ports: client_ports,
    } = *opening.key;
    let flow = Flow {
        source: destination,
        destination: source,
        ports: ports(destination_port(client_ports), source_port(client_ports)),
        server: opening.server,
        direction: RETURN,
        state: 0,
        last: opening.now,
        client: opening.hop,
    };
    let candidates = Ports::new(config, opening.client, source_port(client_ports));
    for n in 0..PROBES {
        let port = candidates.nth(n);
        let key = FlowKey {
            source: opening.server_address,
            destination: opening.source,
            ports: ports(opening.server_port, port),
        };
        if claim::<I>(&key, &flow, opening.key) {
            return Ok(port);
        }
    }
    Err(Counter::PassNoPort)
}

/// Makes the return entry `key` if it is to be had.
#[inline(always)]
fn claim<I: Family>(
    key: &FlowKey<I::Address>,
    flow: &Flow<I::Address>,
    asking: &FlowKey<I::Address>,
) -> bool {
    let Some(entry) = maps::flow::<I>(key) else {
        return maps::claim_flow::<I>(key, flow);
    };
    let owner = entry.peer();
    match snat::occupied(
        &owner,
        asking,
        entry.state,
        flow.last.wrapping_sub(entry.last),
    ) {
        Occupied::Taken => return false,
        Occupied::Ours => {}
        Occupied::Expired => evict::<I>(&owner, key),
        Occupied::Abandoned => {
            maps::count(Counter::PortTaken);
            evict::<I>(&owner, key);
        }
    }
    maps::put_flow::<I>(key, flow)
}

/// Removes the client's entry of a connection that loses its port, unless it has another port by now.
#[inline(always)]
fn evict<I: Family>(owner: &FlowKey<I::Address>, key: &FlowKey<I::Address>) {
    if maps::flow::<I>(owner).is_some_and(|entry| entry.peer() == *key) {
        maps::remove_flow::<I>(owner);
    }
}

/// Whether the other direction of a flow is still there.
#[inline(always)]
pub fn has_peer<I: Family>(key: &FlowKey<I::Address>, flow: &Flow<I::Address>) -> bool {
    maps::flow::<I>(&flow.peer()).is_some_and(|peer| peer.peer() == *key)
}

/// Notes the time and, in both directions, a change of state.
#[inline(always)]
pub fn note<I: Family>(
    key: &FlowKey<I::Address>,
    flow: &mut Flow<I::Address>,
    state: u8,
    now: u32,
) {
    if flow.last != now {
        flow.last = now;
    }
    if flow.state == state {
        return;
    }
    flow.state |= state;
    if let Some(peer) = maps::flow::<I>(&flow.peer())
        && peer.peer() == *key
    {
        peer.state |= state;
        peer.last = now;
    }
}
