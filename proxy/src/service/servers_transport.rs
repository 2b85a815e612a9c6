//! `serversTransports`: how servers are reached and kept.
//!
//! Source: Traefik, "ServersTransport" of HTTP and of TCP.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::{limits, proxy_protocol};

/// Settings of a transport as they are: other settings under the same name are another transport. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransportId(pub u64);

/// How the servers of a load balancer are reached, beside TLS, which is with the server ([`ServerTls`]).
#[derive(Debug)]
pub struct ServersTransport {
    /// The same over reloads as long as name and settings stay.
    pub id: TransportId,
    /// `name@file`, or `default@internal`.
    pub name: Arc<str>,
    /// `forwardingTimeouts.dialTimeout`, `dialTimeout`: to a TCP connection; `None` is for ever.
    pub dial_timeout: Option<Duration>,
    /// `forwardingTimeouts.tlsHandshakeTimeout`, `tlsHandshakeTimeout`: from there to the end of the TLS handshake;
    /// `None` is for ever.
    pub tls_handshake: Option<Duration>,
    /// What only `http.serversTransports` have.
    pub http: HttpTransport,
    /// What only `tcp.serversTransports` have.
    pub tcp: TcpTransport,
}

/// `http.serversTransports.X`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpTransport {
    /// `maxIdleConnsPerHost`: idle connections kept to one server, over all workers.
    pub idle_per_host: usize,
    /// `forwardingTimeouts.idleConnTimeout`: how long one is kept; `None` is for ever.
    pub idle_time: Option<Duration>,
    /// `forwardingTimeouts.responseHeaderTimeout`: from the end of the request to the head of its response; `None` is
    /// for ever.
    pub response_header: Option<Duration>,
    /// `forwardingTimeouts.readIdleTimeout`: silence of an HTTP/2 connection before a PING; `None`: no PING.
    pub read_idle: Option<Duration>,
    /// `forwardingTimeouts.pingTimeout`: how long that PING may be unanswered.
    pub ping: Duration,
    /// `maxStreamsPerConnection`: on one HTTP/2 connection, at most [`limits::UPSTREAM_HTTP2_STREAMS`].
    pub streams: usize,
    /// `maxResponseHeaderBytes`: of the head of a response; over it 502.
    pub head_bytes: usize,
    /// `maxResponseHeaderFields`: of such a head; over it 502.
    pub head_fields: usize,
}

/// `tcp.serversTransports.X`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TcpTransport {
    /// `dialKeepAlive`: silence before the first TCP keep-alive probe; `None`: no probes.
    pub keep_alive: Option<Duration>,
    /// `terminationDelay`: how long the other side may go on once one has ended; `None` is for ever.
    pub termination_delay: Option<Duration>,
    /// `proxyProtocol`: who the client is, said ahead of its bytes.
    pub proxy_protocol: Option<proxy_protocol::Version>,
}

/// TLS to a server.
#[derive(Clone)]
pub struct ServerTls {
    /// What is offered and accepted. Each worker resumes sessions from a memory of its own.
    pub config: Arc<ClientConfig>,
    /// Who the server must prove to be: `serverName`, or the host of its URL. Sent as SNI where it is a name.
    pub name: ServerName<'static>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ServerTls({})", self.name.to_str())
    }
}

impl Default for HttpTransport {
    /// What Traefik takes where the static file says nothing.
    fn default() -> Self {
        Self {
            idle_per_host: limits::UPSTREAM_IDLE_PER_HOST,
            idle_time: Some(limits::UPSTREAM_IDLE_TIME),
            response_header: None,
            read_idle: None,
            ping: limits::UPSTREAM_PING,
            streams: limits::UPSTREAM_HTTP2_STREAMS,
            head_bytes: limits::HEAD_BYTES_MAX,
            head_fields: limits::HEAD_FIELDS_MAX,
        }
    }
}

impl Default for TcpTransport {
    fn default() -> Self {
        Self {
            keep_alive: Some(limits::UPSTREAM_KEEPALIVE),
            termination_delay: None,
            proxy_protocol: None,
        }
    }
}
