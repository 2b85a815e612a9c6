//! `entryPoints`, key by key.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{Shared, truth};
use crate::config::Problem;
use crate::config::static_file::{
    EntryPoint, EntryPointSteering, KeepAlive, SteeringMode, Timeouts, Trust, http2, keys, limits,
};
use crate::config::walker::{Cost, Fields, Place, Walker};
use crate::limits::ENTRY_POINTS_MAX;
use crate::rule;

mod http;
mod routers;

pub(super) fn all(walker: &mut Walker, place: &Place<'_>, shared: &Shared) -> Vec<EntryPoint> {
    let named = walker.named(place);
    if named.is_empty() || named.len() > ENTRY_POINTS_MAX {
        let problem = Problem::error(
            place.origin().clone(),
            format!("{} entry points", named.len()),
        )
        .allowed(format!("1 to {ENTRY_POINTS_MAX}"));
        walker.report(Cost::Source, place, problem);
    }
    let mut used = HashMap::new();
    let mut entry_points = Vec::new();
    for (name, place) in &named {
        let Some(entry_point) = entry_point(walker, name, place, shared) else {
            continue;
        };
        if let Some(other) = used.insert(conflict_key(entry_point.address), name)
            && entry_point.address.port() != 0
        {
            let problem = Problem::error(
                entry_point.origin.clone(),
                format!("the address of entry point {other}"),
            )
            .remedy("give each entry point an address of its own");
            walker.report(Cost::Source, place, problem);
        }
        entry_points.push(entry_point);
    }
    routers::check(walker, place, &entry_points);
    entry_points
}

/// Two addresses with one key cannot both be listened on: the IPv6 wildcard takes IPv4 too.
fn conflict_key(address: SocketAddr) -> (Option<IpAddr>, u16) {
    let ip = address.ip();
    ((!ip.is_unspecified()).then_some(ip), address.port())
}

fn entry_point(
    walker: &mut Walker,
    name: &str,
    place: &Place<'_>,
    shared: &Shared,
) -> Option<EntryPoint> {
    let fields = walker.fields(place, &keys::ENTRY_POINT)?;
    let address_place = fields.required(walker, "address")?;
    let address = address(walker, &address_place)?;
    let steering = fields
        .get("steering")
        .and_then(|place| steering(walker, &place));
    let proxy_place = fields.get("proxyProtocol");
    let in_nic = steering
        .as_ref()
        .is_some_and(|steering| steering.mode != SteeringMode::Off);
    if in_nic {
        refuse_in_nic(walker, address, &address_place, proxy_place.as_ref());
    }
    // weir always shares its ports between its workers.
    let _ = fields
        .get("reusePort")
        .and_then(|place| walker.boolean(&place));
    let mut limits = match fields.get("limits") {
        Some(place) => limits::entry_point(walker, &place, &shared.limits),
        None => shared.limits.clone(),
    };
    let http = http::options(walker, fields.get("http").as_ref(), &mut limits.head);
    let transport = fields.get("transport");
    let transport = transport
        .as_ref()
        .and_then(|place| walker.fields(place, &keys::TRANSPORT));
    Some(EntryPoint {
        name: name.to_owned(),
        address,
        as_default: truth(walker, &fields, "asDefault", false),
        steering,
        timeouts: timeouts(walker, transport.as_ref()),
        keep_alive: keep_alive(walker, transport.as_ref()),
        proxy_protocol: match fields.has("proxyProtocol") {
            true => Some(proxy_protocol(walker, &fields, proxy_place.as_ref())),
            false => None,
        },
        forwarded_headers: http::forwarded_headers(walker, fields.get("forwardedHeaders").as_ref()),
        http,
        http2: http2::decode(walker, &fields, &limits, shared.window_bytes),
        limits,
        reason_header: truth(walker, &fields, "reasonHeader", shared.reason_header),
        origin: address_place.origin().clone(),
    })
}

/// What the XDP program cannot know.
fn refuse_in_nic(
    walker: &mut Walker,
    address: SocketAddr,
    place: &Place<'_>,
    proxy_protocol: Option<&Place<'_>>,
) {
    if address.port() == 0 {
        let problem = Problem::error(place.origin().clone(), "port 0 with steering")
            .allowed("a port from 1 to 65535")
            .remedy("name the port that clients connect to, or set steering.mode: off");
        walker.report(Cost::Source, place, problem);
    }
    if let Some(place) = proxy_protocol {
        let problem = Problem::error(place.origin().clone(), "proxyProtocol with steering")
            .remedy("set steering.mode: off: the NIC sees the proxy's address only, user space reads the header");
        walker.report(Cost::Source, place, problem);
    }
}

/// Traefik's `[host]:port[/tcp]`, the host an IP address or nothing.
fn address(walker: &mut Walker, place: &Place<'_>) -> Option<SocketAddr> {
    let text = walker.string(place)?;
    let (text, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
    if protocol.eq_ignore_ascii_case("udp") {
        let problem = Problem::error(place.origin().clone(), "a UDP entry point")
            .remedy("Traefik has it, weir not yet");
        walker.report(Cost::Source, place, problem);
        return None;
    }
    let parsed = match text.strip_prefix(':') {
        Some(port) => port
            .parse()
            .ok()
            .map(|port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        None => text.parse().ok(),
    };
    if parsed.is_none() || !protocol.eq_ignore_ascii_case("tcp") {
        walker.wrong(
            place,
            "[address]:port such as :443, 192.0.2.1:443 or [2001:db8::1]:443",
        );
        return None;
    }
    parsed
}

fn steering(walker: &mut Walker, place: &Place<'_>) -> Option<EntryPointSteering> {
    let fields = walker.fields(place, &keys::ENTRY_POINT_STEERING)?;
    let modes = [
        ("auto", SteeringMode::Auto),
        ("native", SteeringMode::Native),
        ("generic", SteeringMode::Generic),
        ("off", SteeringMode::Off),
    ];
    let mode = fields
        .get("mode")
        .and_then(|place| walker.choice(&place, &modes))
        .unwrap_or(SteeringMode::Auto);
    let list = fields.required(walker, "interfaces")?;
    let mut interfaces: Vec<String> = Vec::new();
    let written = walker.strings(&list);
    if written.is_empty() {
        walker.wrong(&list, "a list of at least one network interface");
    }
    for interface in written {
        if !is_interface_name(&interface.value) || interfaces.contains(&interface.value) {
            let problem = Problem::error(interface.origin, format!("{:?}", interface.value))
                .allowed("names of network interfaces, each once, such as eth0");
            walker.report(Cost::Source, &list, problem);
        } else {
            interfaces.push(interface.value);
        }
    }
    Some(EntryPointSteering {
        interfaces,
        mode,
        origin: list.origin().clone(),
    })
}

/// What the kernel takes as a name (`dev_valid_name` in net/core/dev.c): 1 to 15 bytes without `/`, `:` and blanks.
fn is_interface_name(name: &str) -> bool {
    let forbidden = |c: char| c == '/' || c == ':' || c.is_whitespace();
    (1..=15).contains(&name.len()) && name != "." && name != ".." && !name.contains(forbidden)
}

fn timeouts(walker: &mut Walker, transport: Option<&Fields<'_>>) -> Timeouts {
    let place = |key| transport.and_then(|fields| fields.get(key));
    let (responding, life_cycle) = (place("respondingTimeouts"), place("lifeCycle"));
    let responding = responding
        .as_ref()
        .and_then(|place| walker.fields(place, &keys::RESPONDING_TIMEOUTS));
    let life_cycle = life_cycle
        .as_ref()
        .and_then(|place| walker.fields(place, &keys::LIFE_CYCLE));
    let mut value = |fields: &Option<Fields<'_>>, key: &'static str, default: u64| {
        let place = fields.as_ref().and_then(|fields| fields.get(key));
        place
            .and_then(|place| walker.duration(&place))
            .unwrap_or(Duration::from_secs(default))
    };
    let timeouts = Timeouts {
        idle: or_none(value(&responding, "idleTimeout", 180)),
        read: or_none(value(&responding, "readTimeout", 0)),
        write: or_none(value(&responding, "writeTimeout", 0)),
        accept_grace: value(&life_cycle, "requestAcceptGraceTimeout", 0),
        grace: value(&life_cycle, "graceTimeOut", 10),
    };
    let killed = [
        (
            "readTimeout",
            timeouts.read,
            "each request whose body takes longer, however steadily it comes: uploads",
        ),
        (
            "writeTimeout",
            timeouts.write,
            "each response that takes longer: downloads, event streams, slow servers",
        ),
    ];
    for (key, set, what) in killed {
        let place = responding.as_ref().and_then(|fields| fields.get(key));
        if let (Some(place), Some(time)) = (place, set) {
            let problem = Problem::warning(
                place.origin().clone(),
                format!("{time:?}, which ends {what}"),
            )
            .remedy("leave it out: what stalls ends by limits.bodyIdleTimeout");
            walker.report(Cost::Element, &place, problem);
        }
    }
    timeouts
}

fn keep_alive(walker: &mut Walker, transport: Option<&Fields<'_>>) -> KeepAlive {
    let place = |key| transport.and_then(|fields| fields.get(key));
    let requests = place("keepAliveMaxRequests")
        .and_then(|place| walker.integer(&place, 0..=i64::from(u32::MAX)));
    let time = place("keepAliveMaxTime").and_then(|place| walker.duration(&place));
    KeepAlive {
        requests: requests
            .and_then(|requests| u64::try_from(requests).ok())
            .filter(|requests| *requests > 0),
        time: time.and_then(or_none),
    }
}

/// 0 means that there is none.
fn or_none(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

fn proxy_protocol(walker: &mut Walker, parent: &Fields<'_>, place: Option<&Place<'_>>) -> Trust {
    let fields = place.and_then(|place| walker.fields(place, &keys::PROXY_PROTOCOL));
    let trust = fields
        .as_ref()
        .map(|fields| trust(walker, fields))
        .unwrap_or_default();
    let nobody = !trust.everybody && trust.networks.is_empty();
    if nobody
        && fields
            .as_ref()
            .is_none_or(|fields| !fields.has("trustedIPs"))
    {
        let place = place.unwrap_or(parent.place());
        let problem = Problem::error(place.origin().clone(), "proxyProtocol that trusts nobody")
            .allowed("trustedIPs, or insecure: true")
            .remedy("add trustedIPs with the addresses of the proxies in front");
        walker.report(Cost::Source, place, problem);
    }
    trust
}

/// `insecure` and `trustedIPs`.
fn trust(walker: &mut Walker, fields: &Fields<'_>) -> Trust {
    let mut networks = Vec::new();
    if let Some(place) = fields.get("trustedIPs") {
        for written in walker.strings(&place) {
            match rule::network(&written.value) {
                Ok(network) => networks.push(network),
                Err(remedy) => {
                    let problem = Problem::error(written.origin, format!("{:?}", written.value))
                        .allowed(rule::NETWORK_ALLOWED)
                        .remedy(remedy);
                    walker.report(Cost::Source, &place, problem);
                }
            }
        }
    }
    Trust {
        everybody: truth(walker, fields, "insecure", false),
        networks: networks.into(),
    }
}
