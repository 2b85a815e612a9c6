//! Every key of the static file: those that mean something, and those of Traefik that weir has not yet.

use crate::config::walker::Keys;

/// The root of the document.
pub const ROOT: Keys = Keys {
    known: &[
        "certificatesResolvers",
        "entryPoints",
        "providers",
        "log",
        "steering",
        "runtimeDir",
        "stateDir",
        "workers",
        "limits",
        "reasonHeader",
        "serversTransport",
        "tcpServersTransport",
    ],
    later: &[
        "accessLog",
        "api",
        "core",
        "global",
        "hostResolver",
        "metrics",
        "ping",
        "spiffe",
        "tracing",
    ],
};

/// `serversTransport`
pub const SERVERS_TRANSPORT: Keys = Keys {
    known: &[
        "insecureSkipVerify",
        "rootCAs",
        "maxIdleConnsPerHost",
        "maxStreamsPerConnection",
        "maxResponseHeaderBytes",
        "maxResponseHeaderFields",
        "forwardingTimeouts",
    ],
    later: &["cipherSuites", "maxVersion", "minVersion", "spiffe"],
};

/// `tcpServersTransport`
pub const TCP_SERVERS_TRANSPORT: Keys = Keys {
    known: &[
        "dialTimeout",
        "dialKeepAlive",
        "terminationDelay",
        "tls",
        "tlsHandshakeTimeout",
    ],
    later: &[],
};

/// `entryPoints.X`
pub const ENTRY_POINT: Keys = Keys {
    known: &[
        "address",
        "asDefault",
        "limits",
        "reasonHeader",
        "forwardedHeaders",
        "http",
        "http2",
        "proxyProtocol",
        "reusePort",
        "steering",
        "transport",
    ],
    later: &["allowACMEByPass"],
};

/// `entryPoints.X.http2`
pub const HTTP2: Keys = Keys {
    known: &[
        "maxConcurrentStreams",
        "maxDecoderHeaderTableSize",
        "maxEncoderHeaderTableSize",
    ],
    later: &[],
};

/// `entryPoints.X.steering`
pub const ENTRY_POINT_STEERING: Keys = Keys {
    known: &["interfaces", "mode"],
    later: &[],
};

/// `entryPoints.X.proxyProtocol`
pub const PROXY_PROTOCOL: Keys = Keys {
    known: &["insecure", "trustedIPs"],
    later: &[],
};

/// `entryPoints.X.forwardedHeaders`
pub const FORWARDED_HEADERS: Keys = Keys {
    known: &[
        "insecure",
        "trustedIPs",
        "notAppendXForwardedFor",
        "addXForwardedSchemeHeaders",
    ],
    later: &["connection"],
};

/// `entryPoints.X.http`
pub const HTTP_OPTIONS: Keys = Keys {
    known: &[
        "maxHeaderBytes",
        "sanitizePath",
        "encodedCharacters",
        "encodeQuerySemicolons",
        "underscoreHeadersStrategy",
        "middlewares",
        "redirections",
        "tls",
    ],
    later: &[],
};

/// `entryPoints.X.http.tls`
pub const HTTP_TLS: Keys = Keys {
    known: &["options", "certResolver", "domains"],
    later: &[],
};

/// `entryPoints.X.http.redirections`
pub const REDIRECTIONS: Keys = Keys {
    known: &["entryPoint"],
    later: &[],
};

/// `entryPoints.X.http.redirections.entryPoint`
pub const REDIRECTION: Keys = Keys {
    known: &["to", "scheme", "permanent", "priority"],
    later: &[],
};

/// `entryPoints.X.http.encodedCharacters`
pub const ENCODED_CHARACTERS: Keys = Keys {
    known: &[
        "allowEncodedSlash",
        "allowEncodedBackSlash",
        "allowEncodedNullCharacter",
        "allowEncodedSemicolon",
        "allowEncodedPercent",
        "allowEncodedQuestionMark",
        "allowEncodedHash",
    ],
    later: &[],
};

/// `entryPoints.X.transport`
pub const TRANSPORT: Keys = Keys {
    known: &[
        "respondingTimeouts",
        "lifeCycle",
        "keepAliveMaxRequests",
        "keepAliveMaxTime",
    ],
    later: &[],
};

/// `entryPoints.X.transport.respondingTimeouts`
pub const RESPONDING_TIMEOUTS: Keys = Keys {
    known: &["idleTimeout", "readTimeout", "writeTimeout"],
    later: &[],
};

/// `entryPoints.X.transport.lifeCycle`
pub const LIFE_CYCLE: Keys = Keys {
    known: &["graceTimeOut", "requestAcceptGraceTimeout"],
    later: &[],
};

/// `providers`
pub const PROVIDERS: Keys = Keys {
    known: &["file"],
    later: &[
        "consul",
        "consulCatalog",
        "docker",
        "ecs",
        "etcd",
        "http",
        "knative",
        "kubernetesCRD",
        "kubernetesGateway",
        "kubernetesIngress",
        "nomad",
        "plugin",
        "precedence",
        "providersThrottleDuration",
        "redis",
        "rest",
        "swarm",
        "zooKeeper",
    ],
};

/// `providers.file`
pub const FILE: Keys = Keys {
    known: &["allowDeploy", "directory", "filename", "watch"],
    later: &["debugLogGeneratedTemplate"],
};

/// `log`
pub const LOG: Keys = Keys {
    known: &["level", "format", "filePath"],
    later: &[
        "compress",
        "maxAge",
        "maxBackups",
        "maxSize",
        "noColor",
        "otlp",
    ],
};

/// `steering`
pub const STEERING: Keys = Keys {
    known: &["snat", "onStop", "pinPath", "protectedPorts"],
    later: &[],
};

/// `steering.snat`
pub const SNAT: Keys = Keys {
    known: &["addresses", "ports"],
    later: &[],
};

/// `limits`
pub const LIMITS: Keys = Keys {
    known: &[
        "connections",
        "connectionsPerClient",
        "clientPrefixV6",
        "requestLineBytes",
        "headerBytes",
        "headerFields",
        "trailerBytes",
        "trailerFields",
        "bodyBytes",
        "tlsHandshakeTimeout",
        "headerTimeout",
        "bodyIdleTimeout",
        "firstBytesTimeout",
        "proxyHeaderTimeout",
        "halfClosedTimeout",
        "tunnelIdleTimeout",
        "http2",
    ],
    later: &[],
};

/// `entryPoints.X.limits`
pub const ENTRY_POINT_LIMITS: Keys = Keys {
    known: LIMITS.known.split_at(1).1,
    later: &[],
};

/// `limits.http2`
pub const HTTP2_LIMITS: Keys = Keys {
    known: &[
        "workerWindowBytes",
        "connectionWindowBytes",
        "streamWindowBytes",
        "resets",
        "madeResets",
        "settings",
        "pings",
        "priorities",
        "emptyData",
        "windowUpdates",
        "unknownFrames",
        "zeroWindows",
        "continuations",
        "emptyContinuations",
        "unendedStreams",
        "zeroWindowTimeout",
    ],
    later: &[],
};

/// `entryPoints.X.limits.http2`
pub const ENTRY_POINT_HTTP2_LIMITS: Keys = Keys {
    known: HTTP2_LIMITS.known.split_at(1).1,
    later: &[],
};

/// `limits.http2.resets` and the other rates.
pub const HTTP2_RATE: Keys = Keys {
    known: &["burst", "perSecond"],
    later: &[],
};

/// `certificatesResolvers.X`. `tailscale` is known only to be told where it stands.
pub const RESOLVER: Keys = Keys {
    known: &["acme", "deploy", "tailscale"],
    later: &[],
};

/// `certificatesResolvers.X.tailscale`
pub const TAILSCALE: Keys = Keys {
    known: &["socket"],
    later: &[],
};

/// `certificatesResolvers.X.deploy`, and that of rule files: `tls.certificates[].deploy`
pub const DEPLOY: Keys = Keys {
    known: &["command", "directory", "mode", "names", "owner"],
    later: &[],
};

/// `certificatesResolvers.X.acme`. `preferredChain` is known only to be refused with its remedy.
pub const ACME: Keys = Keys {
    known: &[
        "caCertificates",
        "caServer",
        "caSystemCertPool",
        "clientTimeout",
        "disableCommonName",
        "dnsChallenge",
        "eab",
        "email",
        "emailAddresses",
        "httpChallenge",
        "keyType",
        "preferredChain",
        "profile",
        "storage",
        "tlsChallenge",
    ],
    later: &[],
};

/// `certificatesResolvers.X.acme.eab`
pub const EAB: Keys = Keys {
    known: &["hmacEncoded", "kid"],
    later: &[],
};

/// `certificatesResolvers.X.acme.httpChallenge`
pub const HTTP_CHALLENGE: Keys = Keys {
    known: &["delay", "entryPoint"],
    later: &[],
};

/// `certificatesResolvers.X.acme.tlsChallenge`
pub const TLS_CHALLENGE: Keys = Keys {
    known: &["delay"],
    later: &[],
};

/// `certificatesResolvers.X.acme.dnsChallenge`
pub const DNS_CHALLENGE: Keys = Keys {
    known: &[
        "delayBeforeCheck",
        "disablePropagationCheck",
        "propagation",
        "provider",
        "resolvers",
    ],
    later: &[],
};

/// `certificatesResolvers.X.acme.dnsChallenge.propagation`
pub const PROPAGATION: Keys = Keys {
    known: &[
        "delayBeforeChecks",
        "disableANSChecks",
        "disableChecks",
        "requireAllRNS",
    ],
    later: &[],
};

/// All of the above, for the test that holds the documentation to them.
#[cfg(test)]
pub const ALL: [&Keys; 35] = [
    &ROOT,
    &SERVERS_TRANSPORT,
    &TCP_SERVERS_TRANSPORT,
    &ENTRY_POINT,
    &HTTP2,
    &ENTRY_POINT_STEERING,
    &PROXY_PROTOCOL,
    &FORWARDED_HEADERS,
    &HTTP_OPTIONS,
    &HTTP_TLS,
    &REDIRECTIONS,
    &REDIRECTION,
    &ENCODED_CHARACTERS,
    &TRANSPORT,
    &RESPONDING_TIMEOUTS,
    &LIFE_CYCLE,
    &PROVIDERS,
    &FILE,
    &LOG,
    &STEERING,
    &SNAT,
    &LIMITS,
    &ENTRY_POINT_LIMITS,
    &HTTP2_LIMITS,
    &ENTRY_POINT_HTTP2_LIMITS,
    &HTTP2_RATE,
    &RESOLVER,
    &TAILSCALE,
    &DEPLOY,
    &ACME,
    &EAB,
    &HTTP_CHALLENGE,
    &TLS_CHALLENGE,
    &DNS_CHALLENGE,
    &PROPAGATION,
];
