//! The two entries of a connection: opening both, keeping them in step, removing them.

use core::hint::black_box;

use weir_common::Counter;
use weir_common::address::{Address, destination_port, ports, source_port};
use weir_common::flow::{Clock, Connection, FORWARD, Flow, FlowKey, RETURN};
use weir_common::map::{Config, Hop, NO_POOL};
use weir_common::snat::{self, PROBES, Port, Ports};
use weir_common::{hash, ring, verdict};

use crate::hop;
use crate::maps::{self, Family, Key};
use crate::packet::Frame;

/// Opens a flow for a SYN from `client`: `FlowNew`, or the reason to pass the packet. A function of its own in the
/// object: the way of established packets stays short, and the stack within the kernel's 512 bytes.
#[inline(never)]
pub fn open<I: Family>(config: &Config, key: &Key<I::Address>, client: &Hop) -> Counter {
    match try_open::<I>(config, key, client) {
        Ok(()) => Counter::FlowNew,
        Err(reason) => reason,
    }
}

#[inline(always)]
fn try_open<I: Family>(
    config: &Config,
    key: &Key<I::Address>,
    client: &Hop,
) -> Result<(), Counter> {
    let hash = hash::client(config.seed, key.source);
    let index = choose::<I>(key, hash)?;
    let server = maps::server(index).ok_or(Counter::PassPoolEmpty)?;
    let count = I::snat_count(config);
    if count == 0 {
        return Err(Counter::PassNoSnat);
    }
    verdict::reachable::<I::Address>(server)?;
    let mut entry = Key(FlowKey {
        source: I::Address::from_words(server.address),
        destination: *I::snat(snat::address_index(hash, count)).ok_or(Counter::PassNoSnat)?,
        ports: ports(server.port, 0),
    });
    let clock = maps::clock(config);
    // From here on the key is read anew: the words read so far would each be kept on the stack, which is nearly full.
    let key = black_box(key);
    let connection = Connection {
        server: index,
        client: *client,
        now: clock.now,
    };
    let candidates = Ports::new(config, hash, source_port(key.ports));
    claim_port::<I>(&candidates, &mut entry, key, (&connection, &clock))?;
    if maps::put_flow::<I>(
        key,
        &Flow::new(key, &entry.reversed(), FORWARD, &connection),
    ) {
        return Ok(());
    }
    maps::remove_flow::<I>(&entry);
    Err(Counter::PassFlowRefused)
}

/// The server for a new connection: table of the listener, pool of the client, slot of the ring.
#[inline(always)]
fn choose<I: Family>(key: &Key<I::Address>, client: u32) -> Result<u16, Counter> {
    let table =
        I::table(key.destination, destination_port(key.ports)).ok_or(Counter::PassNotSteered)?;
    let number = match I::pool(table, key.source) {
        Some(number) if number != NO_POOL => number,
        _ => return Err(Counter::PassNoRule),
    };
    let pool = maps::pool(number).ok_or(Counter::PassPoolEmpty)?;
    if pool.servers == 0 {
        return Err(Counter::PassPoolEmpty);
    }
    maps::ring_server(number, pool.active, ring::slot(client)).ok_or(Counter::PassPoolEmpty)
}

/// Makes the return entry on the first port that is to be had, and leaves that port in its key: the insertion, which
/// fails if there is an entry by then, is what claims the port.
#[inline(always)]
fn claim_port<I: Family>(
    candidates: &Ports,
    entry: &mut Key<I::Address>,
    asking: &Key<I::Address>,
    (connection, clock): (&Connection, &Clock),
) -> Result<(), Counter> {
    let port = find_port::<I>(candidates, entry, asking, clock);
    if port != Port::Free {
        take::<I>(entry, port, clock.now)?;
    }
    let flow = Flow::new(entry, &asking.reversed(), RETURN, connection);
    if !maps::claim_flow::<I>(entry, &flow) {
        return Err(Counter::PassFlowRefused);
    }
    Ok(())
}

/// The state of the first port that is to be had, `Taken` if none is.
#[inline(always)]
fn find_port<I: Family>(
    candidates: &Ports,
    entry: &mut Key<I::Address>,
    asking: &Key<I::Address>,
    clock: &Clock,
) -> Port {
    for n in 0..PROBES {
        entry.ports = ports(source_port(entry.ports), candidates.nth(n));
        let Some(found) = maps::flow::<I>(entry) else {
            return Port::Free;
        };
        let port = snat::occupied(&found.peer(), asking, (found.state, found.last), clock);
        if port != Port::Taken {
            return port;
        }
    }
    Port::Taken
}

/// Takes a port from whoever has its return entry.
#[inline(always)]
fn take<I: Family>(entry: &Key<I::Address>, port: Port, now: u32) -> Result<(), Counter> {
    match port {
        Port::Taken => return Err(Counter::PassNoPort),
        Port::Abandoned => maps::count(Counter::PortTaken),
        Port::Free | Port::Ours | Port::Expired => {}
    }
    let Some(found) = maps::flow::<I>(entry) else {
        return Ok(());
    };
    if port != Port::Ours {
        evict::<I>(&Key(found.peer()), entry, now);
    }
    remove::<I>(entry, found, now);
    Ok(())
}

/// Removes the client's entry of a connection that loses its port, unless it has another port by now.
#[inline(always)]
fn evict<I: Family>(owner: &Key<I::Address>, key: &Key<I::Address>, now: u32) {
    if let Some(entry) = maps::flow::<I>(owner)
        && entry.peer().same(key)
    {
        remove::<I>(owner, entry, now);
    }
}

/// Removes an entry that was found, and with it the copies of it: there are some only if it was used in this tick.
#[inline(always)]
pub fn remove<I: Family>(key: &Key<I::Address>, found: &Flow<I::Address>, now: u32) {
    let copied = found.last == now;
    maps::remove_flow::<I>(key);
    if copied {
        maps::end_epoch();
    }
}

/// Removes both entries of a flow that was just opened.
#[inline(always)]
pub fn withdraw<I: Family>(key: &Key<I::Address>, flow: &Flow<I::Address>) {
    maps::remove_flow::<I>(&Key(flow.peer()));
    maps::remove_flow::<I>(key);
}

/// Whether the other direction of a flow is still there.
#[inline(always)]
pub fn has_peer<I: Family>(key: &Key<I::Address>, flow: &Flow<I::Address>) -> bool {
    maps::flow::<I>(&Key(flow.peer())).is_some_and(|peer| peer.peer().same(key))
}

/// Notes the time and, in both directions, a change of state. Once per tick also whether the client is still reached by
/// the same hop: a router may have taken over from another.
#[inline(always)]
pub fn note<I: Family>(
    frame: &Frame<I>,
    key: &Key<I::Address>,
    flow: &mut Flow<I::Address>,
    (state, now, epoch): (u8, u32, u64),
) {
    let mut news = flow.state != state;
    if flow.last != now {
        flow.last = now;
        if flow.direction == FORWARD && !flow.client.same(&hop::back(frame)) {
            flow.client = hop::back(frame);
            news = true;
        }
        maps::keep_recent::<I>(key, flow, (now, epoch));
    }
    if !news {
        return;
    }
    flow.state |= state;
    if let Some(peer) = maps::flow::<I>(&Key(flow.peer()))
        && peer.peer().same(key)
    {
        peer.state |= state;
        peer.last = now;
        peer.client = flow.client;
    }
}
