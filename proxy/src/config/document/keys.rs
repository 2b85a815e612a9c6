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
    known: &["routers", "services", "middlewares"],
    later: &["models", "serversTransports"],
};

/// `http.middlewares.X`
pub const MIDDLEWARE: Keys = Keys {
    known: &middleware::NAMES,
    later: middleware::LATER,
};

/// `tcp`
pub const TCP: Keys = Keys {
    known: &["routers", "services"],
    later: &["middlewares", "models", "serversTransports"],
};

/// `tls`
pub const TLS: Keys = Keys {
    known: &["certificates"],
    later: &["options", "stores"],
};

/// `tls.certificates[]`
pub const CERTIFICATE: Keys = Keys {
    known: &["certFile", "keyFile"],
    later: &["stores"],
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
    known: &["passthrough"],
    later: &["certResolver", "domains", "options"],
};

/// `http.services.X`
pub const HTTP_SERVICE: Keys = Keys {
    known: &["loadBalancer", "weighted"],
    later: &[
        "failover",
        "highestRandomWeight",
        "middlewares",
        "mirroring",
    ],
};

/// `http.services.X.loadBalancer`
pub const HTTP_LOAD_BALANCER: Keys = Keys {
    known: &["servers", "passHostHeader"],
    later: &[
        "healthCheck",
        "passiveHealthCheck",
        "responseForwarding",
        "serversTransport",
        "sticky",
        "strategy",
    ],
};

/// `http.services.X.loadBalancer.servers[]`
pub const HTTP_SERVER: Keys = Keys {
    known: &["url", "weight"],
    later: &["preservePath"],
};

/// `tcp.services.X`
pub const TCP_SERVICE: Keys = Keys {
    known: &["loadBalancer", "weighted"],
    later: &[],
};

/// `tcp.services.X.loadBalancer`
pub const TCP_LOAD_BALANCER: Keys = Keys {
    known: &["servers"],
    later: &[
        "healthCheck",
        "proxyProtocol",
        "serversTransport",
        "terminationDelay",
    ],
};

/// `tcp.services.X.loadBalancer.servers[]`
pub const TCP_SERVER: Keys = Keys {
    known: &["address", "weight"],
    later: &["tls"],
};

/// `services.X.weighted`
pub const WEIGHTED: Keys = Keys {
    known: &["services"],
    later: &["healthCheck", "sticky"],
};

/// `services.X.weighted.services[]`
pub const WEIGHTED_SERVICE: Keys = Keys {
    known: &["name", "weight"],
    later: &[],
};

/// All of the above, for the test that holds the documentation to them.
#[cfg(test)]
pub const ALL: [&Keys; 19] = [
    &ROOT,
    &HTTP,
    &MIDDLEWARE,
    &DOMAIN,
    &TCP,
    &TLS,
    &CERTIFICATE,
    &HTTP_ROUTER,
    &HTTP_ROUTER_TLS,
    &TCP_ROUTER,
    &TCP_ROUTER_TLS,
    &HTTP_SERVICE,
    &HTTP_LOAD_BALANCER,
    &HTTP_SERVER,
    &TCP_SERVICE,
    &TCP_LOAD_BALANCER,
    &TCP_SERVER,
    &WEIGHTED,
    &WEIGHTED_SERVICE,
];
