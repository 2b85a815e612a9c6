//! Every key of a rule file: those that mean something, and those of Traefik that weir has not yet.

use crate::config::walker::Keys;
use crate::middleware;

/// The root of a rule file.
pub const ROOT: Keys = Keys {
    known: &["http", "tcp", "tls"],
    later: &["udp"],
};

/// `http`
pub const HTTP: Keys = Keys {
    known: &["routers", "services", "middlewares", "serversTransports"],
    later: &["models"],
};

/// `http.middlewares.X`
pub const MIDDLEWARE: Keys = Keys {
    known: &middleware::NAMES,
    later: middleware::LATER,
};

/// `tcp`
pub const TCP: Keys = Keys {
    known: &["routers", "services", "serversTransports"],
    later: &["middlewares", "models"],
};

/// `http.serversTransports.X`
pub const HTTP_TRANSPORT: Keys = Keys {
    known: &[
        "serverName",
        "insecureSkipVerify",
        "rootCAs",
        "certificates",
        "peerCertURI",
        "maxIdleConnsPerHost",
        "disableHTTP2",
        "forwardingTimeouts",
        "maxStreamsPerConnection",
        "maxResponseHeaderBytes",
        "maxResponseHeaderFields",
    ],
    later: &[
        "cipherSuites",
        "maxVersion",
        "minVersion",
        "peerCertSANs",
        "spiffe",
    ],
};

/// `http.serversTransports.X.forwardingTimeouts`
pub const FORWARDING_TIMEOUTS: Keys = Keys {
    known: &[
        "dialTimeout",
        "tlsHandshakeTimeout",
        "responseHeaderTimeout",
        "idleConnTimeout",
        "readIdleTimeout",
        "pingTimeout",
    ],
    later: &[],
};

/// `tcp.serversTransports.X`
pub const TCP_TRANSPORT: Keys = Keys {
    known: &[
        "dialTimeout",
        "dialKeepAlive",
        "tlsHandshakeTimeout",
        "terminationDelay",
        "proxyProtocol",
        "tls",
    ],
    later: &[],
};

/// `tcp.serversTransports.X.tls`
pub const TRANSPORT_TLS: Keys = Keys {
    known: &[
        "serverName",
        "insecureSkipVerify",
        "rootCAs",
        "certificates",
        "peerCertURI",
    ],
    later: &["cipherSuites", "maxVersion", "minVersion", "spiffe"],
};

/// `proxyProtocol` towards servers
pub const PROXY_PROTOCOL: Keys = Keys {
    known: &["version"],
    later: &[],
};

/// `tls`
pub const TLS: Keys = Keys {
    known: &["certificates", "options", "stores"],
    later: &[],
};

/// `tls.certificates[]`
pub const FILE_CERTIFICATE: Keys = Keys {
    known: &["certFile", "deploy", "keyFile", "stores"],
    later: &[],
};

/// `serversTransports.X.certificates[]`, `tls.stores.default.defaultCertificate`
pub const CERTIFICATE: Keys = Keys {
    known: &["certFile", "keyFile", "stores"],
    later: &[],
};

/// `tls.options.X`
pub const TLS_OPTIONS: Keys = Keys {
    known: &[
        "minVersion",
        "maxVersion",
        "cipherSuites",
        "curvePreferences",
        "clientAuth",
        "sniStrict",
        "alpnProtocols",
        "disableSessionTickets",
        "preferServerCipherSuites",
    ],
    later: &[],
};

/// `tls.options.X.clientAuth`
pub const CLIENT_AUTH: Keys = Keys {
    known: &["caFiles", "clientAuthType"],
    later: &[],
};

/// `tls.stores.default`
pub const TLS_STORE: Keys = Keys {
    known: &["defaultCertificate", "defaultGeneratedCert"],
    later: &[],
};

/// `tls.stores.default.defaultGeneratedCert`
pub const GENERATED_CERTIFICATE: Keys = Keys {
    known: &["resolver", "domain"],
    later: &[],
};

/// `http.routers.X`
pub const HTTP_ROUTER: Keys = Keys {
    known: &[
        "rule",
        "service",
        "entryPoints",
        "priority",
        "tls",
        "middlewares",
        "ruleSyntax",
    ],
    later: &["observability", "parentRefs"],
};

/// `http.routers.X.tls`
pub const HTTP_ROUTER_TLS: Keys = Keys {
    known: &["certResolver", "domains", "options"],
    later: &[],
};

/// `http.routers.X.tls.domains[]`
pub const DOMAIN: Keys = Keys {
    known: &["main", "sans"],
    later: &[],
};

/// `tcp.routers.X`. `middlewares` and `proxyProtocol` are known only to be refused where they stand.
pub const TCP_ROUTER: Keys = Keys {
    known: &[
        "rule",
        "service",
        "entryPoints",
        "priority",
        "tls",
        "steer",
        "middlewares",
        "proxyProtocol",
        "ruleSyntax",
    ],
    later: &[],
};

/// `tcp.routers.X.tls`
pub const TCP_ROUTER_TLS: Keys = Keys {
    known: &["passthrough", "certResolver", "domains", "options"],
    later: &[],
};

/// `http.services.X`
pub const HTTP_SERVICE: Keys = Keys {
    known: &["loadBalancer", "weighted", "failover"],
    later: &["highestRandomWeight", "middlewares", "mirroring"],
};

/// `http.services.X.loadBalancer`
pub const HTTP_LOAD_BALANCER: Keys = Keys {
    known: &[
        "servers",
        "passHostHeader",
        "sticky",
        "strategy",
        "responseForwarding",
        "healthCheck",
        "passiveHealthCheck",
        "serversTransport",
        "queue",
        "holdTime",
        "unavailablePage",
    ],
    later: &[],
};

/// `sticky` of a service.
pub const STICKY: Keys = Keys {
    known: &["cookie"],
    later: &[],
};

/// `sticky.cookie`
pub const COOKIE: Keys = Keys {
    known: &[
        "name", "secure", "httpOnly", "sameSite", "maxAge", "path", "domain",
    ],
    later: &[],
};

/// `loadBalancer.responseForwarding`
pub const RESPONSE_FORWARDING: Keys = Keys {
    known: &["flushInterval"],
    later: &[],
};

/// `loadBalancer.healthCheck`
pub const HEALTH_CHECK: Keys = Keys {
    known: &[
        "path",
        "scheme",
        "port",
        "hostname",
        "method",
        "headers",
        "status",
        "mode",
        "interval",
        "unhealthyInterval",
        "timeout",
        "followRedirects",
        "rise",
        "fall",
    ],
    later: &[],
};

/// `tcp.services.X.loadBalancer.healthCheck`
pub const TCP_HEALTH_CHECK: Keys = Keys {
    known: &[
        "port",
        "send",
        "expect",
        "onDown",
        "interval",
        "unhealthyInterval",
        "timeout",
        "rise",
        "fall",
    ],
    later: &[],
};

/// `loadBalancer.passiveHealthCheck`
pub const PASSIVE_HEALTH_CHECK: Keys = Keys {
    known: &["failureWindow", "maxFailedAttempts"],
    later: &[],
};

/// A mapping that may only be empty.
pub const NO_KEYS: Keys = Keys {
    known: &[],
    later: &[],
};

/// `http.services.X.loadBalancer.servers[]`
pub const HTTP_SERVER: Keys = Keys {
    known: &["url", "weight", "preservePath", "backup", "maxConnections"],
    later: &[],
};

/// `tcp.services.X`
pub const TCP_SERVICE: Keys = Keys {
    known: &["loadBalancer", "weighted", "failover"],
    later: &[],
};

/// `tcp.services.X.loadBalancer`
pub const TCP_LOAD_BALANCER: Keys = Keys {
    known: &[
        "servers",
        "serversTransport",
        "proxyProtocol",
        "terminationDelay",
        "healthCheck",
        "queue",
    ],
    later: &[],
};

/// `tcp.services.X.loadBalancer.servers[]`
pub const TCP_SERVER: Keys = Keys {
    known: &["address", "weight", "tls", "backup", "maxConnections"],
    later: &[],
};

/// `services.X.weighted`
pub const WEIGHTED: Keys = Keys {
    known: &["services", "sticky", "healthCheck"],
    later: &[],
};

/// `services.X.weighted.services[]`
pub const WEIGHTED_SERVICE: Keys = Keys {
    known: &["name", "weight"],
    later: &[],
};

/// `services.X.failover`
pub const FAILOVER: Keys = Keys {
    known: &["service", "fallback", "healthCheck"],
    later: &["errors"],
};

/// `loadBalancer.queue`
pub const QUEUE: Keys = Keys {
    known: &["length", "timeout"],
    later: &[],
};

/// All of the above, for the test that holds the documentation to them.
#[cfg(test)]
pub const ALL: [&Keys; 37] = [
    &ROOT,
    &HTTP,
    &MIDDLEWARE,
    &DOMAIN,
    &TCP,
    &TLS,
    &FILE_CERTIFICATE,
    &CERTIFICATE,
    &TLS_OPTIONS,
    &CLIENT_AUTH,
    &TLS_STORE,
    &GENERATED_CERTIFICATE,
    &HTTP_TRANSPORT,
    &FORWARDING_TIMEOUTS,
    &TCP_TRANSPORT,
    &TRANSPORT_TLS,
    &PROXY_PROTOCOL,
    &HTTP_ROUTER,
    &HTTP_ROUTER_TLS,
    &TCP_ROUTER,
    &TCP_ROUTER_TLS,
    &HTTP_SERVICE,
    &HTTP_LOAD_BALANCER,
    &STICKY,
    &COOKIE,
    &RESPONSE_FORWARDING,
    &HEALTH_CHECK,
    &TCP_HEALTH_CHECK,
    &PASSIVE_HEALTH_CHECK,
    &HTTP_SERVER,
    &TCP_SERVICE,
    &TCP_LOAD_BALANCER,
    &TCP_SERVER,
    &WEIGHTED,
    &WEIGHTED_SERVICE,
    &FAILOVER,
    &QUEUE,
];
