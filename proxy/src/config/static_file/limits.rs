//! `limits`: how much a client may send and how long it may take, for all entry points and for one of them.

use std::time::Duration;

use super::keys;
use crate::config::Problem;
use crate::config::walker::{Cost, Fields, Place, Walker};
use crate::http1::HeadLimits;
use crate::limits;

/// What is asked of the clients of one entry point. A key that an entry point has not is the global one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `requestLineBytes`, `headerBytes`, `headerFields`.
    pub head: HeadLimits,
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
    /// `connectionsPerClient`: of one address at one time; 0 is none.
    pub connections_per_client: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            body: None,
            tls_handshake: limits::TLS_HANDSHAKE,
            header: limits::CLIENT_HEAD,
            body_idle: limits::BODY_STALL,
            tunnel_idle: None,
            connections_per_client: None,
        }
    }
}

/// The global `limits`: connections in all, and what entry points have where they say nothing.
pub(super) fn shared(walker: &mut Walker, place: &Place<'_>) -> (Option<usize>, Limits) {
    let Some(fields) = walker.fields(place, &keys::LIMITS) else {
        return (None, Limits::default());
    };
    let connections = fields.integer(walker, "connections", 1..=i64::from(u32::MAX));
    let limits = decode(walker, &fields, Limits::default());
    (connections.map(|number| number as usize), limits)
}

/// The `limits` of one entry point.
pub(super) fn entry_point(walker: &mut Walker, place: &Place<'_>, shared: &Limits) -> Limits {
    match walker.fields(place, &keys::ENTRY_POINT_LIMITS) {
        Some(fields) => decode(walker, &fields, shared.clone()),
        None => shared.clone(),
    }
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
    times(walker, fields, &mut limits);
    limits
}

fn times(walker: &mut Walker, fields: &Fields<'_>, limits: &mut Limits) {
    let mut time = |key| {
        let place = fields.get(key)?;
        let time = walker.duration(&place)?;
        Some((place, time))
    };
    let (handshake, header, body, tunnel) = (
        time("tlsHandshakeTimeout"),
        time("headerTimeout"),
        time("bodyIdleTimeout"),
        time("tunnelIdleTimeout"),
    );
    for (found, limit) in [
        (handshake, &mut limits.tls_handshake),
        (header, &mut limits.header),
        (body, &mut limits.body_idle),
    ] {
        match found {
            Some((_, time)) if !time.is_zero() => *limit = time,
            Some((place, _)) => walker.wrong(&place, "a duration above zero, such as 10s"),
            None => {}
        }
    }
    if let Some((_, time)) = tunnel {
        limits.tunnel_idle = (!time.is_zero()).then_some(time);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::StaticConfig;
    use super::*;

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
        ] {
            let problem = parse(&format!(", limits: {wrong}}}}}\n")).expect_err(wrong);
            assert!(problem.contains(told), "{wrong}: {problem}");
        }
    }
}
