//! The way of a packet through the program, cheapest question first.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::programs::XdpContext;
use weir_common::Counter;
use weir_common::flow::{Clock, Copied, FORWARD, Flow};
use weir_common::header::{Ipv4, Ipv6, tcp::SYN};
use weir_common::map::Config;
use weir_common::verdict::{self, Segment};

use crate::flows;
use crate::hop;
use crate::maps::{self, Family, Key};
use crate::packet::{self, Frame, Network};

/// What becomes of a frame: an `XDP_*` action.
#[inline(always)]
pub fn run(ctx: &mut XdpContext) -> u32 {
    let outcome = match packet::network(ctx) {
        Ok(Network::Ipv4(offset)) => Frame::<Ipv4>::new(ctx, offset).and_then(steer),
        Ok(Network::Ipv6(offset)) => Frame::<Ipv6>::new(ctx, offset).and_then(steer),
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

/// Finds the flow of a packet or opens one, then forwards by it.
#[inline(always)]
fn steer<I: Family>(mut frame: Frame<I>) -> Result<u32, Counter> {
    let config = maps::config()?;
    let key = Key(frame.key());
    // Before any look-up: a copy of what is found is worth nothing if it is removed from here on.
    let moment = (maps::clock(config), maps::epoch());
    match maps::recent::<I>(&key, (moment.0.now, moment.1)) {
        Some(Copied::Flow(flow, _)) if verdict::ordinary(flow, frame.tcp.flags) => {
            return follow(config, &mut frame, flow);
        }
        Some(Copied::NoFlow(_)) if frame.tcp.flags & SYN == 0 => return Err(Counter::PassNoFlow),
        Some(Copied::Flow(..)) if frame.tcp.flags & SYN != 0 => maps::forget_recent::<I>(&key),
        _ => {}
    }
    // As above, for a copy that says that there is nothing.
    let stamp = maps::opened(&key);
    let (flow, new) = match known(&frame, &key, &moment) {
        Some(flow) => (flow, false),
        None if verdict::opens(frame.tcp.flags) => (open(config, &frame, &key)?, true),
        None => {
            maps::keep_no_flow::<I>(&key, (moment.0.now, stamp));
            return Err(Counter::PassNoFlow);
        }
    };
    let outcome = follow(config, &mut frame, flow);
    if new {
        return opened::<I>(&key, flow, outcome);
    }
    outcome
}

/// The flow a packet belongs to, with its state after this packet.
#[inline(always)]
fn known<I: Family>(
    frame: &Frame<I>,
    key: &Key<I::Address>,
    (clock, epoch): &(Clock, u64),
) -> Option<&'static mut Flow<I::Address>> {
    let flow = maps::flow::<I>(key)?;
    match verdict::segment(flow, frame.tcp.flags, clock) {
        Segment::Belongs { state } => {
            flows::note(frame, key, flow, (state, clock.now, *epoch));
        }
        Segment::Retransmitted if flows::has_peer::<I>(key, flow) => {}
        Segment::Retransmitted | Segment::Reopens => {
            // Gone before anything can pass this SYN up: what follows it belongs to user space then.
            flows::remove::<I>(key, flow, clock.now);
            return None;
        }
    }
    Some(flow)
}

#[inline(always)]
fn open<I: Family>(
    config: &Config,
    frame: &Frame<I>,
    key: &Key<I::Address>,
) -> Result<&'static mut Flow<I::Address>, Counter> {
    verdict::may_open(config, frame.tcp.flags)?;
    match flows::open::<I>(config, key, &hop::back(frame)) {
        Counter::FlowNew => maps::flow::<I>(key).ok_or(Counter::PassFlowRefused),
        reason => Err(reason),
    }
}

/// The outcome of a SYN that opened a flow: there is none if it could not be forwarded.
#[inline(always)]
fn opened<I: Family>(
    key: &Key<I::Address>,
    flow: &Flow<I::Address>,
    outcome: Result<u32, Counter>,
) -> Result<u32, Counter> {
    if outcome.is_err() {
        flows::withdraw::<I>(key, flow);
        return Err(Counter::PassNoHop);
    }
    // The entries are in the table, and what will come for them comes after this SYN has left.
    maps::note_opened(&key.0);
    maps::note_opened(&flow.peer());
    maps::count(Counter::FlowNew);
    maps::count_flow(flow.server);
    outcome
}

/// Forwards a packet of a flow.
#[inline(always)]
fn follow<I: Family>(
    config: &Config,
    frame: &mut Frame<I>,
    flow: &Flow<I::Address>,
) -> Result<u32, Counter> {
    let length = frame.ip.packet_length();
    let (hop, counter) = if flow.direction == FORWARD {
        (hop::towards(config, frame, flow, length)?, Counter::Forward)
    } else {
        (flow.client, Counter::Return)
    };
    // Nothing can fail from here on.
    maps::count(counter);
    maps::count_packet(flow.server, length);
    verdict::translate(frame.ip, frame.tcp, flow);
    Ok(hop::send(frame, hop))
}
