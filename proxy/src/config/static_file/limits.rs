//! `limits`: how much a client may send and how long it may take, for all entry points and for one of them.

use std::time::Duration;

use super::keys;
use crate::config::Problem;
use crate::config::walker::{Cost, Fields, Place, Walker};
use crate::http1::{HeadLimits, TrailerLimits};
use crate::limits;

mod http2;

pub use http2::Http2Limits;

/// What is asked of the clients of one entry point. A key that an entry point has not is the global one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `requestLineBytes`, `headerBytes`, `headerFields`.
    pub head: HeadLimits,
    /// `trailerBytes`, `trailerFields`: of requests and of responses.
    pub trailers: TrailerLimits,
    /// `bodyBytes`; 0 is none.
    pub body: Option<u64>,
    /// `tlsHandshakeTimeout`: from the first byte of a TLS handshake to its end.
    pub tls_handshake: Duration,
    /// `headerTimeout`: from the first byte of a head to its last.
    pub header: Duration,
    /// `bodyIdleTimeout`: a body of which nothing moves for so long has stalled.
    pub body_idle: Duration,
    /// `tunnelIdleTimeout`: ends tunnels (upgrades, TCP routers) on which nothing moves for so long; 0 is none.
    pub tunnel_idle: Option<Duration>,
    /// `firstBytesTimeout`: from a connection to the first byte of its client.
    pub first_bytes: Duration,
    /// `proxyHeaderTimeout`: for the PROXY header of a trusted peer.
    pub proxy_header: Duration,
    /// `halfClosedTimeout`: a client that has ended its side is taken to be gone once nothing of its response has
    /// reached it for so long.
    pub half_closed: Duration,
    /// `connectionsPerClient`: of one address at one time; 0 is none.
    pub connections_per_client: Option<u32>,
    /// `clientPrefixV6`: so many bits of an IPv6 address are one client's.
    pub client_prefix_v6: u32,
    /// `http2`
    pub http2: Http2Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            trailers: TrailerLimits::default(),
            body: None,
            tls_handshake: limits::TLS_HANDSHAKE,
            header: limits::CLIENT_HEAD,
            body_idle: limits::BODY_STALL,
            tunnel_idle: None,
            first_bytes: limits::CLIENT_FIRST_BYTES,
            proxy_header: limits::PROXY_HEADER,
            half_closed: limits::HALF_CLOSED,
            connections_per_client: None,
            client_prefix_v6: limits::CLIENT_PREFIX_V6,
            http2: Http2Limits::default(),
        }
    }
}

/// The global `limits`.
pub(super) struct Global {
    /// `connections`: of all clients; `None` is what the file descriptors allow.
    pub connections: Option<usize>,
    /// `http2.workerWindowBytes`
    pub window_bytes: usize,
    /// What entry points have where they say nothing.
    pub shared: Limits,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            connections: None,
            window_bytes: limits::HTTP2_WINDOWS_BYTES,
            shared: Limits::default(),
        }
    }
}

pub(super) fn global(walker: &mut Walker, place: &Place<'_>) -> Global {
    let mut global = Global::default();
    let Some(fields) = walker.fields(place, &keys::LIMITS) else {
        return global;
    };
    let connections = fields.integer(walker, "connections", 1..=i64::from(u32::MAX));
    global.connections = connections.map(|number| number as usize);
    global.shared = decode(walker, &fields, global.shared);
    if let Some(place) = fields.get("http2")
        && let Some(fields) = walker.fields(&place, &keys::HTTP2_LIMITS)
    {
        let range = limits::HTTP2_WINDOWS_RANGE;
        if let Some(bytes) = fields.integer(walker, "workerWindowBytes", range) {
            global.window_bytes = bytes as usize;
        }
        http2::decode(walker, &fields, &mut global.shared.http2);
    }
    global
}

/// The `limits` of one entry point.
pub(super) fn entry_point(walker: &mut Walker, place: &Place<'_>, shared: &Limits) -> Limits {
    let Some(fields) = walker.fields(place, &keys::ENTRY_POINT_LIMITS) else {
        return shared.clone();
    };
    let mut limits = decode(walker, &fields, shared.clone());
    if let Some(place) = fields.get("http2")
        && let Some(fields) = walker.fields(&place, &keys::ENTRY_POINT_HTTP2_LIMITS)
    {
        http2::decode(walker, &fields, &mut limits.http2);
    }
    limits
}

fn decode(walker: &mut Walker, fields: &Fields<'_>, mut limits: Limits) -> Limits {
    let bytes = limits::HEAD_BYTES_RANGE;
    if let Some(number) = fields.integer(walker, "requestLineBytes", bytes.clone()) {
        limits.head.request_line = number as usize;
    }
    if let Some(number) = fields.integer(walker, "headerBytes", bytes) {
        limits.head.bytes = number as usize;
    }
    if let Some(number) = fields.integer(walker, "headerFields", limits::HEAD_FIELDS_RANGE) {
        limits.head.fields = number as usize;
    }
    if let Some(number) = fields.integer(walker, "trailerBytes", limits::TRAILER_BYTES_RANGE) {
        limits.trailers.bytes = number as usize;
    }
    if let Some(number) = fields.integer(walker, "trailerFields", limits::TRAILER_FIELDS_RANGE) {
        limits.trailers.fields = number as usize;
    }
    if limits.head.request_line >= limits.head.bytes {
        let found = format!(
            "requestLineBytes {} beside headerBytes {}",
            limits.head.request_line, limits.head.bytes
        );
        let place = fields.place();
        let problem = Problem::error(place.origin().clone(), found)
            .allowed("a head larger than its request line")
            .remedy("raise headerBytes, or lower requestLineBytes");
        walker.report(Cost::Source, place, problem);
    }
    if let Some(number) = fields.integer(walker, "bodyBytes", 0..=i64::MAX) {
        limits.body = (number > 0).then_some(number.unsigned_abs());
    }
    let most = i64::from(u32::MAX);
    if let Some(number) = fields.integer(walker, "connectionsPerClient", 0..=most) {
        limits.connections_per_client = u32::try_from(number).ok().filter(|number| *number > 0);
    }
    if let Some(bits) = fields.integer(walker, "clientPrefixV6", limits::CLIENT_PREFIX_V6_RANGE) {
        limits.client_prefix_v6 = bits as u32;
    }
    times(walker, fields, &mut limits);
    limits
}

fn times(walker: &mut Walker, fields: &Fields<'_>, limits: &mut Limits) {
    for (key, limit) in [
        ("tlsHandshakeTimeout", &mut limits.tls_handshake),
        ("headerTimeout", &mut limits.header),
        ("bodyIdleTimeout", &mut limits.body_idle),
        ("firstBytesTimeout", &mut limits.first_bytes),
        ("proxyHeaderTimeout", &mut limits.proxy_header),
        ("halfClosedTimeout", &mut limits.half_closed),
    ] {
        above_zero(walker, fields, key, limit);
    }
    if let Some(place) = fields.get("tunnelIdleTimeout")
        && let Some(time) = walker.duration(&place)
    {
        limits.tunnel_idle = (!time.is_zero()).then_some(time);
    }
}

/// A time, where the key is there, that cannot be none.
fn above_zero(walker: &mut Walker, fields: &Fields<'_>, key: &'static str, limit: &mut Duration) {
    let Some(place) = fields.get(key) else { return };
    match walker.duration(&place) {
        Some(time) if !time.is_zero() => *limit = time,
        Some(_) => walker.wrong(&place, "a duration above zero, such as 10s"),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{EntryPoint, StaticConfig};
    use super::*;
    use crate::http2::{Abuse, Allowed};

    fn parse(limits: &str) -> Result<StaticConfig, String> {
        let text = format!("entryPoints: {{web: {{address: ':80'{limits}");
        let parsed = StaticConfig::parse(Path::new("weir.yml"), &text);
        parsed
            .map(|(config, _)| config)
            .map_err(|problems| problems[0].to_string())
    }

    #[test]
    fn an_entry_points_own_limits_win_over_the_global_ones() {
        let config = parse(
            ", limits: {headerFields: 7, bodyBytes: 0}}, other: {address: ':81'}}\n\
             limits: {connections: 5, headerFields: 9, bodyBytes: 10, headerTimeout: 3, tunnelIdleTimeout: 1h}",
        )
        .expect("valid");
        let [web, other] = &config.entry_points[..] else {
            panic!("two")
        };
        assert_eq!(config.connections, Some(5));
        assert_eq!((web.limits.head.fields, web.limits.body), (7, None));
        assert_eq!((other.limits.head.fields, other.limits.body), (9, Some(10)));
        assert_eq!(web.limits.header, Duration::from_secs(3));
        assert_eq!(web.limits.tunnel_idle, Some(Duration::from_secs(3600)));
        assert_eq!(web.limits.body_idle, limits::BODY_STALL);
        assert_eq!(web.limits.tls_handshake, limits::TLS_HANDSHAKE);
    }

    #[test]
    fn rates_of_http_2_are_set_one_by_one() {
        let config = parse(
            ", limits: {http2: {resets: {burst: 7}}}}, other: {address: ':81'}}\n\
             limits: {headerTimeout: 3, http2: {resets: {burst: 9, perSecond: 4}, pings: {perSecond: 2}, \
             continuations: 3, emptyContinuations: 0, unendedStreams: 500, zeroWindowTimeout: 5s, \
             workerWindowBytes: 4194304, connectionWindowBytes: 2097152, streamWindowBytes: 131072}}",
        )
        .expect("valid");
        let [web, other] = &config.entry_points[..] else {
            panic!("two")
        };
        let rate = |entry_point: &EntryPoint, shape| {
            let rate = entry_point.http2.allowed.rates.of(shape);
            (rate.burst, rate.per_second)
        };
        assert_eq!(rate(web, Abuse::RapidReset), (7, 4));
        assert_eq!(rate(other, Abuse::RapidReset), (9, 4));
        let pings = (limits::HTTP2_PINGS.0, 2);
        assert_eq!(rate(web, Abuse::Ping), pings);
        assert_eq!(rate(web, Abuse::Settings), limits::HTTP2_SETTINGS);
        let allowed = web.http2.allowed;
        assert_eq!((allowed.continuations, allowed.empty_continuations), (3, 0));
        assert_eq!(allowed.unended_streams, 500);
        assert_eq!(allowed.unfinished, Duration::from_secs(3));
        let http2 = web.limits.http2;
        assert_eq!(http2.zero_window, Duration::from_secs(5));
        assert_eq!(
            (
                config.window_bytes,
                http2.connection_window,
                http2.stream_window
            ),
            (4 << 20, 2 << 20, 128 << 10)
        );
    }

    #[test]
    fn what_is_not_said_of_http_2_follows_from_other_limits() {
        let allowed = |settings: &str| {
            let config = parse(&format!("{settings}}}}}")).expect(settings);
            config.entry_points[0].http2.allowed
        };
        assert_eq!(allowed(""), Allowed::default());
        let long = allowed(", http: {maxHeaderBytes: 262144}");
        assert_eq!((long.block_bytes, long.continuations), (262_144, 20));
        let short = allowed(", limits: {headerBytes: 1025, requestLineBytes: 1024}");
        assert_eq!(short, Allowed::default(), "a longer one is answered 431");
        let many = allowed(", http2: {maxConcurrentStreams: 5000}");
        assert_eq!(many.unended_streams, 10_000);
    }

    #[test]
    fn nonsense_is_refused() {
        for (wrong, told) in [
            ("{connections: 5}", "unknown key"),
            ("{headerBytes: 0}", "from 1024 to 16777216"),
            ("{headerFields: many}", "a whole number"),
            (
                "{requestLineBytes: 65536}",
                "a head larger than its request line",
            ),
            ("{tlsHandshakeTimeout: 0}", "above zero"),
            ("{headerTimeout: 0}", "above zero"),
            ("{bodyIdleTimeout: soon}", "a duration"),
            ("{http2: {reset: {burst: 1}}}", "did you mean resets?"),
            ("{http2: {resets: 10}}", "a mapping"),
            ("{http2: {resets: {burst: 0}}}", "from 1 to 1000000"),
            ("{http2: {pings: {perSecond: 0}}}", "from 1 to 1000000"),
            ("{http2: {settings: {burst: 1}}}", "from 2 to 1000000"),
            ("{http2: {emptyData: {burst: 101}}}", "from 1 to 100"),
            ("{http2: {zeroWindowTimeout: 0}}", "above zero"),
            ("{http2: {continuations: 6}}", "at most 5 for so many bytes"),
            (
                "{http2: {workerWindowBytes: 1048576}}",
                "unknown key \"workerWindowBytes\"",
            ),
            ("{http2: {streamWindowBytes: 65534}}", "from 65535 to"),
            (
                "{http2: {connectionWindowBytes: 50331649}}",
                "at most 50331648 bytes",
            ),
            (
                "{http2: {unendedStreams: 249}}",
                "at least as many as may be open",
            ),
        ] {
            let problem = parse(&format!(", limits: {wrong}}}}}\n")).expect_err(wrong);
            assert!(problem.contains(told), "{wrong}: {problem}");
        }
    }
}
