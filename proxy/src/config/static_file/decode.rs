//! The tree of the static file to [`StaticConfig`], key by key.

use std::net::IpAddr;
use std::path::PathBuf;

use tracing::level_filters::LevelFilter;

use super::{
    Limits, Log, LogFormat, OnStop, RuleSource, Snat, StaticConfig, SteeringSettings, keys, limits,
    resolver,
};
use crate::config::Problem;
use crate::config::compile::check_transport;
use crate::config::servers_transport::{self, TransportDraft};
use crate::config::walker::{Cost, Fields, Place, Walker};
use crate::limits::{SNAT_PORTS_DEFAULT, WORKERS_MAX};

mod entry_point;

const SSH_PORT: u16 = 22;

/// The whole file. `None` only together with a problem.
pub(super) fn config(walker: &mut Walker, root: &Place<'_>) -> Option<StaticConfig> {
    let fields = walker.fields(root, &keys::ROOT)?;
    let steering = steering(walker, fields.get("steering").as_ref());
    let limits = match fields.get("limits") {
        Some(place) => limits::global(walker, &place),
        None => limits::Global::default(),
    };
    let shared = Shared {
        limits: limits.shared,
        window_bytes: limits.window_bytes,
        reason_header: truth(walker, &fields, "reasonHeader", true),
    };
    let entry_points = match fields.required(walker, "entryPoints") {
        Some(place) => entry_point::all(walker, &place, &shared),
        None => Vec::new(),
    };
    let resolvers = match fields.get("certificatesResolvers") {
        Some(place) => resolver::all(walker, &place, &entry_points),
        None => Vec::new(),
    };
    Some(StaticConfig {
        entry_points,
        connections: limits.connections,
        window_bytes: limits.window_bytes,
        resolvers,
        rules: providers(walker, fields.get("providers").as_ref()),
        log: log(walker, fields.get("log").as_ref()),
        runtime_dir: path_or(walker, fields.get("runtimeDir").as_ref(), "/run/weir"),
        state_dir: path_or(walker, fields.get("stateDir").as_ref(), "/var/lib/weir"),
        workers: workers(walker, fields.get("workers").as_ref()),
        servers_transport: transport(walker, &fields, "serversTransport", |walker, place| {
            servers_transport::http(walker, place, &keys::SERVERS_TRANSPORT)
        }),
        tcp_servers_transport: transport(
            walker,
            &fields,
            "tcpServersTransport",
            |walker, place| servers_transport::tcp(walker, place, &keys::TCP_SERVERS_TRANSPORT),
        ),
        steering: steering?,
    })
}

/// What entry points have where they say nothing themselves.
struct Shared {
    limits: Limits,
    window_bytes: usize,
    reason_header: bool,
}

fn truth(walker: &mut Walker, fields: &Fields<'_>, key: &'static str, default: bool) -> bool {
    fields
        .get(key)
        .and_then(|place| walker.boolean(&place))
        .unwrap_or(default)
}

/// A default transport. Its files are read already here: nothing is to start without them.
fn transport(
    walker: &mut Walker,
    fields: &Fields<'_>,
    key: &'static str,
    decode: fn(&mut Walker, &Place<'_>) -> Option<TransportDraft>,
) -> TransportDraft {
    let Some(place) = fields.get(key) else {
        return TransportDraft::default();
    };
    let draft = decode(walker, &place).unwrap_or_default();
    if let Err(problem) = check_transport(&draft) {
        walker.report(Cost::Source, &place, problem);
    }
    draft
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

fn providers(walker: &mut Walker, place: Option<&Place<'_>>) -> RuleSource {
    let mut source = RuleSource {
        path: None,
        watch: true,
        allow_deploy: false,
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
    source.allow_deploy = fields
        .get("allowDeploy")
        .and_then(|place| walker.boolean(&place))
        .unwrap_or(false);
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
