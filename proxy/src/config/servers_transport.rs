//! `serversTransports` of rule files, and `serversTransport` and `tcpServersTransport` of the static file, as drafts.
//!
//! Source: Traefik, "ServersTransport", `pkg/config/dynamic` and `pkg/config/static`.

use std::time::Duration;

use super::document::{CertificateDraft, certificate, keys};
use super::walker::{Fields, Keys, Place, Spanned, Walker};
use crate::limits;
use crate::proxy_protocol::Version;
use crate::service::{HttpTransport, TcpTransport};

/// A transport whose files are not read yet.
#[derive(Clone, Debug)]
pub struct TransportDraft {
    /// `forwardingTimeouts.dialTimeout`, `dialTimeout`; `None` is for ever.
    pub dial_timeout: Option<Duration>,
    /// `forwardingTimeouts.tlsHandshakeTimeout`, `tlsHandshakeTimeout`; `None` is for ever.
    pub tls_handshake: Option<Duration>,
    /// HTTP only.
    pub http: HttpTransport,
    /// TCP only.
    pub tcp: TcpTransport,
    /// `disableHTTP2`. HTTP only.
    pub disable_http2: bool,
    /// HTTP: of the transport itself; TCP: `tls`.
    pub tls: TlsDraft,
}

/// The TLS settings of a transport.
#[derive(Clone, Debug, Default)]
pub struct TlsDraft {
    /// `serverName`
    pub server_name: Option<Spanned<String>>,
    /// `insecureSkipVerify`
    pub skip_verify: bool,
    /// `rootCAs`: paths or PEM texts.
    pub root_cas: Vec<Spanned<String>>,
    /// `certificates`
    pub certificates: Vec<CertificateDraft>,
    /// `peerCertURI`
    pub peer_uri: Option<String>,
}

impl Default for TransportDraft {
    fn default() -> Self {
        Self {
            dial_timeout: Some(limits::UPSTREAM_CONNECT),
            tls_handshake: Some(limits::UPSTREAM_TLS_HANDSHAKE),
            http: HttpTransport::default(),
            tcp: TcpTransport::default(),
            disable_http2: false,
            tls: TlsDraft::default(),
        }
    }
}

/// A transport of HTTP: `keys` are those of the rule files or of the static file.
pub(super) fn http(walker: &mut Walker, place: &Place<'_>, keys: &Keys) -> Option<TransportDraft> {
    let fields = walker.fields(place, keys)?;
    let mut draft = TransportDraft {
        tls: tls(walker, &fields),
        disable_http2: flag(walker, &fields, "disableHTTP2"),
        ..TransportDraft::default()
    };
    if let Some(place) = fields.get("maxIdleConnsPerHost") {
        draft.http.idle_per_host = match walker.integer(&place, -1..=1_000_000)? {
            // Go's http.DefaultMaxIdleConnsPerHost, which it takes for 0.
            0 => 2,
            most => usize::try_from(most).unwrap_or(0),
        };
    }
    let most = limits::UPSTREAM_HTTP2_STREAMS as i64;
    if let Some(streams) = fields.integer(walker, "maxStreamsPerConnection", 1..=most) {
        draft.http.streams = streams as usize;
    }
    let bytes = limits::HEAD_BYTES_RANGE;
    if let Some(bytes) = fields.integer(walker, "maxResponseHeaderBytes", bytes) {
        draft.http.head_bytes = bytes as usize;
    }
    let most = limits::HEAD_FIELDS_RANGE;
    if let Some(most) = fields.integer(walker, "maxResponseHeaderFields", most) {
        draft.http.head_fields = most as usize;
    }
    if let Some(place) = fields.get("forwardingTimeouts") {
        let fields = walker.fields(&place, &keys::FORWARDING_TIMEOUTS)?;
        time(walker, &fields, "dialTimeout", &mut draft.dial_timeout);
        let handshake = &mut draft.tls_handshake;
        time(walker, &fields, "tlsHandshakeTimeout", handshake);
        let http = &mut draft.http;
        time(
            walker,
            &fields,
            "responseHeaderTimeout",
            &mut http.response_header,
        );
        time(walker, &fields, "idleConnTimeout", &mut http.idle_time);
        time(walker, &fields, "readIdleTimeout", &mut http.read_idle);
        let mut ping = None;
        time(walker, &fields, "pingTimeout", &mut ping);
        http.ping = ping.unwrap_or(limits::UPSTREAM_PING);
    }
    Some(draft)
}

/// A transport of TCP: `keys` are those of the rule files or of the static file.
pub(super) fn tcp(walker: &mut Walker, place: &Place<'_>, keys: &Keys) -> Option<TransportDraft> {
    let fields = walker.fields(place, keys)?;
    let mut draft = TransportDraft::default();
    time(walker, &fields, "dialTimeout", &mut draft.dial_timeout);
    let handshake = &mut draft.tls_handshake;
    time(walker, &fields, "tlsHandshakeTimeout", handshake);
    time(walker, &fields, "dialKeepAlive", &mut draft.tcp.keep_alive);
    if let Some(place) = fields.get("terminationDelay") {
        draft.tcp.termination_delay = termination_delay(walker, &place)?;
    }
    if let Some(place) = fields.get("proxyProtocol") {
        draft.tcp.proxy_protocol = Some(proxy_protocol(walker, &place)?);
    }
    if let Some(place) = fields.get("tls") {
        let fields = walker.fields(&place, &keys::TRANSPORT_TLS)?;
        draft.tls = tls(walker, &fields);
    }
    Some(draft)
}

/// `proxyProtocol`: 2 where no version is given.
pub(super) fn proxy_protocol(walker: &mut Walker, place: &Place<'_>) -> Option<Version> {
    let fields = walker.fields(place, &keys::PROXY_PROTOCOL)?;
    let Some(place) = fields.get("version") else {
        return Some(Version::V2);
    };
    walker.choice(&place, &[("1", Version::V1), ("2", Version::V2)])
}

/// `terminationDelay`: a negative one is for ever.
pub(super) fn termination_delay(
    walker: &mut Walker,
    place: &Place<'_>,
) -> Option<Option<Duration>> {
    match place.text() {
        Some(text) if text.starts_with('-') => Some(None),
        _ => walker.duration(place).map(Some),
    }
}

fn tls(walker: &mut Walker, fields: &Fields<'_>) -> TlsDraft {
    let mut draft = TlsDraft {
        skip_verify: flag(walker, fields, "insecureSkipVerify"),
        ..TlsDraft::default()
    };
    if let Some(place) = fields.get("serverName") {
        draft.server_name = walker.string(&place).map(|name| place.spanned(name));
    }
    if let Some(place) = fields.get("rootCAs") {
        draft.root_cas = texts(walker, &place);
    }
    if let Some(place) = fields.get("certificates") {
        let items = walker.items(&place);
        let pairs = items.iter().filter_map(|place| certificate(walker, place));
        draft.certificates = pairs.collect();
    }
    if let Some(place) = fields.get("peerCertURI") {
        draft.peer_uri = walker.string(&place).filter(|uri| !uri.is_empty());
    }
    draft
}

/// A list of paths and PEM texts; one path alone too. PEM texts may have commas.
fn texts(walker: &mut Walker, place: &Place<'_>) -> Vec<Spanned<String>> {
    match place.text() {
        Some(text) if text.contains("-----BEGIN") => vec![place.spanned(text.to_owned())],
        _ => walker.strings(place),
    }
}

fn flag(walker: &mut Walker, fields: &Fields<'_>, key: &'static str) -> bool {
    let place = fields.get(key);
    place
        .and_then(|place| walker.boolean(&place))
        .unwrap_or(false)
}

/// A time, where the key is there; 0 is none.
fn time(walker: &mut Walker, fields: &Fields<'_>, key: &'static str, to: &mut Option<Duration>) {
    if let Some(place) = fields.get(key)
        && let Some(time) = walker.duration(&place)
    {
        *to = (!time.is_zero()).then_some(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_traefik_has_it() {
        let draft = TransportDraft::default();
        assert_eq!(draft.dial_timeout, Some(limits::UPSTREAM_CONNECT));
        assert_eq!(draft.http.idle_per_host, limits::UPSTREAM_IDLE_PER_HOST);
        assert_eq!(draft.http.idle_time, Some(limits::UPSTREAM_IDLE_TIME));
        assert_eq!(draft.http.ping, limits::UPSTREAM_PING);
    }
}
