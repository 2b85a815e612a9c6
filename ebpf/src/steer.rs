//! The way of a packet through the program, cheapest question first.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::programs::XdpContext;
use weir_common::Counter;
use weir_common::address::destination_port;
use weir_common::flow::{FORWARD, Flow, FlowKey};
use weir_common::header::{Ipv4, Ipv6};
use weir_common::map::{Config, Hop, NO_POOL};
use weir_common::verdict::{self, Segment};
use weir_common::{hash, ring, snat};

use crate::flows::{self, Opening};
use crate::hop;
use crate::maps::{self, Family};
use crate::packet::{self, Frame, Network};

/// What becomes of a frame: an `XDP_*` action.
#[inline(always)]
pub fn run(ctx: &XdpContext) -> u32 {
    let outcome = match packet::network(ctx) {
        Ok(Network::Ipv4(offset)) => {
            Frame::<Ipv4>::new(ctx, offset).and_then(|frame| steer(ctx, frame))
        }
        Ok(Network::Ipv6(offset)) => {
            Frame::<Ipv6>::new(ctx, offset).and_then(|frame| steer(ctx, frame))
        }
        Err(reason) => Err(reason),
    };
    settle(outcome)
}

/// The action; a reason to pass or drop is counted.
#[inline(always)]
fn settle(outcome: Result<u32, Counter>) -> u32 {
    outcome.unwrap_or_else(|reason| {
        maps::count(reason);
        if reason.drops() { XDP_DROP } else { XDP_PASS }
    })
}

#[inline(always)]
fn steer<I: Family>(ctx: &XdpContext, mut frame: Frame<I>) -> Result<u32, Counter> {
    let config = maps::config()?;
    let key = frame.key();
    if let Some(flow) = maps::flow::<I>(&key) {
        let now = maps::now();
        match verdict::segment(flow, frame.tcp.flags, now) {
            Segment::Belongs { state } => {
                flows::note::<I>(&key, flow, state, now);
                return follow(ctx, config, &mut frame, flow);
            }
            Segment::Retransmitted if flows::has_peer::<I>(&key, flow) => {
                return follow(ctx, config, &mut frame, flow);
            }
            // Gone before anything can pass this SYN up: what follows it belongs to user space then.
            Segment::Retransmitted | Segment::Reopens => maps::remove_flow::<I>(&key),
        }
    }
    verdict::may_open(config, frame.tcp.flags)?;
    Ok(open(ctx, config, &mut frame, &key))
}

/// Forwards a packet of a flow.
#[inline(always)]
fn follow<I: Family>(
    ctx: &XdpContext,
    config: &Config,
    frame: &mut Frame<I>,
    flow: &Flow<I::Address>,
) -> Result<u32, Counter> {
    if flow.direction != FORWARD {
        maps::count(Counter::Return);
        return Ok(forward(frame, flow, flow.client));
    }
    let server = maps::server(flow.server).ok_or(Counter::DropNoHop)?;
    let length = frame.ip.packet_length();
    let hop = hop::towards::<I>(ctx, config, server, (flow.source, flow.destination), length)?;
    maps::count(Counter::Forward);
    Ok(forward(frame, flow, hop))
}

/// A SYN that belongs to no flow. A function of its own in the object: the way of established packets stays short, and
/// the stack of both together within the kernel's 512 bytes.
#[inline(never)]
fn open<I: Family>(
    ctx: &XdpContext,
    config: &Config,
    frame: &mut Frame<I>,
    key: &FlowKey<I::Address>,
) -> u32 {
    settle(try_open(ctx, config, frame, key))
}

#[inline(always)]
fn try_open<I: Family>(
    ctx: &XdpContext,
    config: &Config,
    frame: &mut Frame<I>,
    key: &FlowKey<I::Address>,
) -> Result<u32, Counter> {
    let client = hash::client(config.seed, key.source);
    let index = choose::<I>(key, client)?;
    let server = maps::server(index).ok_or(Counter::PassPoolEmpty)?;
    let server_address = verdict::server_address(server)?;
    let snat_index = snat::address_index(client, I::snat_count(config));
    let source = match I::snat(snat_index) {
        Some(source) if I::snat_count(config) > 0 => source,
        _ => return Err(Counter::PassNoSnat),
    };
    let length = frame.ip.packet_length();
    let hop = hop::towards::<I>(ctx, config, server, (source, server_address), length)
        .map_err(|_| Counter::PassNoHop)?;
    let opening = Opening {
        key,
        client,
        hop: hop::back(frame),
        server: index,
        server_address,
        server_port: server.port,
        source,
        now: maps::now(),
    };
    let flow = flows::open::<I>(config, &opening)?;
    maps::count(Counter::Forward);
    Ok(forward(frame, &flow, hop))
}

/// The server for a new connection: table of the listener, pool of the client, slot of the ring.
#[inline(always)]
fn choose<I: Family>(key: &FlowKey<I::Address>, client: u32) -> Result<u16, Counter> {
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

/// Nothing can fail from here on.
#[inline(always)]
fn forward<I: Family>(frame: &mut Frame<I>, flow: &Flow<I::Address>, hop: Hop) -> u32 {
    maps::count_packet(flow.server, frame.ip.packet_length());
    verdict::translate(frame.ip, frame.tcp, flow);
    hop::send(frame, hop)
}
