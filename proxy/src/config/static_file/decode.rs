//! The tree of the static file to [`StaticConfig`], key by key.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::{
    EntryPoint, EntryPointSteering, Limits, Log, LogFormat, OnStop, RuleSource, Snat, StaticConfig,
    SteeringMode, SteeringSettings, Timeouts, keys, limits,
};
use crate::config::Problem;
use crate::config::walker::{Cost, Fields, Place, Walker};
use crate::limits::{ENTRY_POINTS_MAX, SNAT_PORTS_DEFAULT, WORKERS_MAX};

const SSH_PORT: u16 = 22;

/// The whole file. `None` only together with a problem.
pub(super) fn config(walker: &mut Walker, root: &Place<'_>) -> Option<StaticConfig> {
    let fields = walker.fields(root, &keys::ROOT)?;
    let steering = steering(walker, fields.get("steering").as_ref());
    let (connections, limits) = match fields.get("limits") {
        Some(place) => limits::shared(walker, &place),
        None => (None, Limits::default()),
    };
    let shared = Shared {
        limits,
        reason_header: truth(walker, &fields, "reasonHeader", true),
    };
    let entry_points = match fields.required(walker, "entryPoints") {
        Some(place) => entry_points(walker, &place, &shared),
        None => Vec::new(),
    };
    Some(StaticConfig {
        entry_points,
        connections,
        rules: providers(walker, fields.get("providers").as_ref()),
        log: log(walker, fields.get("log").as_ref()),
        runtime_dir: path_or(walker, fields.get("runtimeDir").as_ref(), "/run/weir"),
        workers: workers(walker, fields.get("workers").as_ref()),
        steering: steering?,
    })
}

/// What entry points have where they say nothing themselves.
struct Shared {
    limits: Limits,
    reason_header: bool,
}

fn truth(walker: &mut Walker, fields: &Fields<'_>, key: &'static str, default: bool) -> bool {
    fields
        .get(key)
        .and_then(|place| walker.boolean(&place))
        .unwrap_or(default)
}

fn workers(walker: &mut Walker, place: Option<&Place<'_>>) -> Option<usize> {
    let allowed = format!("auto, or a whole number from 1 to {WORKERS_MAX}");
    walker.scalar(place?, &allowed, |text| match text {
        "auto" => Some(None),
        number => number
            .parse()
            .ok()
            .filter(|number| (1..=WORKERS_MAX).contains(number))
            .map(Some),
    })?
}

fn entry_points(walker: &mut Walker, place: &Place<'_>, shared: &Shared) -> Vec<EntryPoint> {
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
        .and_then(|place| entry_point_steering(walker, &place));
    let in_nic = steering
        .as_ref()
        .is_some_and(|steering| steering.mode != SteeringMode::Off);
    if in_nic && address.port() == 0 {
        let origin = address_place.origin().clone();
        let problem = Problem::error(origin, "port 0 with steering")
            .allowed("a port from 1 to 65535")
            .remedy("name the port that clients connect to, or set steering.mode: off");
        walker.report(Cost::Source, &address_place, problem);
    }
    Some(EntryPoint {
        name: name.to_owned(),
        address,
        as_default: truth(walker, &fields, "asDefault", false),
        steering,
        timeouts: timeouts(walker, fields.get("transport").as_ref()),
        limits: match fields.get("limits") {
            Some(place) => limits::entry_point(walker, &place, &shared.limits),
            None => shared.limits.clone(),
        },
        reason_header: truth(walker, &fields, "reasonHeader", shared.reason_header),
        origin: address_place.origin().clone(),
    })
}

/// Traefik's `[host]:port[/tcp]`, the host an IP address or nothing.
fn address(walker: &mut Walker, place: &Place<'_>) -> Option<SocketAddr> {
    let text = walker.string(place)?;
    let (text, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
    if protocol == "udp" {
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
    if parsed.is_none() || protocol != "tcp" {
        walker.wrong(
            place,
            "[address]:port such as :443, 192.0.2.1:443 or [2001:db8::1]:443",
        );
        return None;
    }
    parsed
}

fn entry_point_steering(walker: &mut Walker, place: &Place<'_>) -> Option<EntryPointSteering> {
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

fn timeouts(walker: &mut Walker, place: Option<&Place<'_>>) -> Timeouts {
    let transport = place.and_then(|place| walker.fields(place, &keys::TRANSPORT));
    let child = |key| transport.as_ref().and_then(|fields| fields.get(key));
    let (responding, life_cycle) = (child("respondingTimeouts"), child("lifeCycle"));
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
    let or_none = |duration: Duration| (!duration.is_zero()).then_some(duration);
    let timeouts = Timeouts {
        idle: or_none(value(&responding, "idleTimeout", 180)),
        read: or_none(value(&responding, "readTimeout", 0)),
        write: or_none(value(&responding, "writeTimeout", 0)),
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

fn providers(walker: &mut Walker, place: Option<&Place<'_>>) -> RuleSource {
    let mut source = RuleSource {
        path: None,
        watch: true,
    };
    let file = place
        .and_then(|place| walker.fields(place, &keys::PROVIDERS))
        .and_then(|fields| fields.get("file"));
    let Some(place) = file else { return source };
    let Some(fields) = walker.fields(&place, &keys::FILE) else {
        return source;
    };
    source.watch = fields
        .get("watch")
        .and_then(|place| walker.boolean(&place))
        .unwrap_or(true);
    match (fields.get("directory"), fields.get("filename")) {
        (Some(place), None) | (None, Some(place)) => {
            source.path = walker.string(&place).map(PathBuf::from)
        }
        (found, _) => {
            let found = if found.is_some() {
                "directory and filename"
            } else {
                "neither directory nor filename"
            };
            let problem = Problem::error(place.origin().clone(), found)
                .allowed("one of directory and filename");
            walker.report(Cost::Source, &place, problem);
        }
    }
    source
}

fn log(walker: &mut Walker, place: Option<&Place<'_>>) -> Log {
    let mut log = Log {
        level: LevelFilter::INFO,
        format: LogFormat::Common,
        file: None,
    };
    let Some(fields) = place.and_then(|place| walker.fields(place, &keys::LOG)) else {
        return log;
    };
    let levels = [
        ("TRACE", LevelFilter::TRACE),
        ("DEBUG", LevelFilter::DEBUG),
        ("INFO", LevelFilter::INFO),
        ("WARN", LevelFilter::WARN),
        ("ERROR", LevelFilter::ERROR),
        ("FATAL", LevelFilter::ERROR),
        ("PANIC", LevelFilter::ERROR),
    ];
    let formats = [("common", LogFormat::Common), ("json", LogFormat::Json)];
    if let Some(level) = fields
        .get("level")
        .and_then(|place| walker.choice(&place, &levels))
    {
        log.level = level;
    }
    if let Some(format) = fields
        .get("format")
        .and_then(|place| walker.choice(&place, &formats))
    {
        log.format = format;
    }
    log.file = fields
        .get("filePath")
        .and_then(|place| walker.string(&place))
        .map(PathBuf::from);
    log
}

fn steering(walker: &mut Walker, place: Option<&Place<'_>>) -> Option<SteeringSettings> {
    let fields = place
        .map(|place| walker.fields(place, &keys::STEERING))
        .unwrap_or_default();
    let child = |key| fields.as_ref().and_then(|fields| fields.get(key));
    let policies = [("keep", OnStop::Keep), ("detach", OnStop::Detach)];
    Some(SteeringSettings {
        snat: child("snat").and_then(|place| snat(walker, &place)),
        on_stop: child("onStop")
            .and_then(|place| walker.choice(&place, &policies))
            .unwrap_or(OnStop::Keep),
        pin_path: path_or(walker, child("pinPath").as_ref(), "/sys/fs/bpf/weir"),
        protected_ports: protected_ports(walker, child("protectedPorts").as_ref()),
    })
}

fn snat(walker: &mut Walker, place: &Place<'_>) -> Option<Snat> {
    let fields = walker.fields(place, &keys::SNAT)?;
    let addresses = fields
        .get("addresses")
        .map_or_else(Vec::new, |list| snat_addresses(walker, &list));
    let range = fields
        .get("ports")
        .and_then(|place| port_range(walker, &place));
    let (first_port, last_port) = range.unwrap_or(SNAT_PORTS_DEFAULT.into_inner());
    Some(Snat {
        addresses,
        first_port,
        last_port,
        origin: place.origin().clone(),
    })
}

fn snat_addresses(walker: &mut Walker, list: &Place<'_>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    let written = walker.strings(list);
    if written.is_empty() {
        walker.wrong(list, "a list of at least one address");
    }
    for text in written {
        match text
            .value
            .parse::<IpAddr>()
            .map(|address| address.to_canonical())
        {
            Ok(address) if is_host_address(address) && !addresses.contains(&address) => {
                addresses.push(address)
            }
            _ => {
                let problem = Problem::error(text.origin, format!("{:?}", text.value)).allowed(
                    "addresses of this machine, each once, such as 192.0.2.1 or 2001:db8::1",
                );
                walker.report(Cost::Source, list, problem);
            }
        }
    }
    addresses
}

fn is_host_address(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}

fn port_range(walker: &mut Walker, place: &Place<'_>) -> Option<(u16, u16)> {
    const FIRST_UNPRIVILEGED_PORT: u16 = 1_024;
    walker.scalar(
        place,
        "two ports from 1024 to 65535, the lower first, such as 16384-32767",
        |text| {
            let (first, last) = text.split_once('-')?;
            let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            (FIRST_UNPRIVILEGED_PORT <= first && first <= last).then_some((first, last))
        },
    )
}

/// SSH is always among them: a list of other ports must not take its protection away.
fn protected_ports(walker: &mut Walker, place: Option<&Place<'_>>) -> Vec<u16> {
    let mut ports = vec![SSH_PORT];
    let Some(place) = place else { return ports };
    for text in walker.strings(place) {
        match text.value.parse::<u16>() {
            Ok(port) if port > 0 => ports.push(port),
            _ => {
                let problem = Problem::error(text.origin, format!("{:?}", text.value))
                    .allowed("ports from 1 to 65535");
                walker.report(Cost::Source, place, problem);
            }
        }
    }
    ports
}

fn path_or(walker: &mut Walker, place: Option<&Place<'_>>, default: &str) -> PathBuf {
    let Some(place) = place else {
        return PathBuf::from(default);
    };
    walker
        .scalar(place, "an absolute path", |text| {
            text.starts_with('/').then(|| PathBuf::from(text))
        })
        .unwrap_or_default()
}
