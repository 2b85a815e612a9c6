//! The sections with tables of keys, and what must be there for a key of each to mean something.

use serde_json::{Value, json};

use super::super::tree::set;

/// What a section is about.
pub struct Section {
    pub heading: &'static str,
    /// What goes before its keys.
    pub prefix: &'static str,
    /// A document in which everything but the keys of the section is there.
    pub base: fn() -> Value,
}

pub const SECTIONS: &[Section] = &[
    Section {
        heading: "The static configuration",
        prefix: "",
        base: nothing,
    },
    Section {
        heading: "`entryPoints.X`",
        prefix: "entryPoints.web.",
        base: nothing,
    },
    Section {
        heading: "`limits` (own)",
        prefix: "",
        base: nothing,
    },
    Section {
        heading: "`providers.file`",
        prefix: "providers.file.",
        base: nothing,
    },
    Section {
        heading: "`certificatesResolvers.X`",
        prefix: "certificatesResolvers.r.acme.",
        base: || json!({"certificatesResolvers": {"r": {"acme": {}}}}),
    },
    Section {
        heading: "`certificatesResolvers.X.tailscale`",
        prefix: "certificatesResolvers.r.tailscale.",
        base: || json!({"certificatesResolvers": {"r": {"tailscale": {}}}}),
    },
    Section {
        heading: "`certificatesResolvers.X.deploy` (own)",
        prefix: "certificatesResolvers.r.deploy.",
        base: || json!({"certificatesResolvers": {"r": {"acme": {"tlsChallenge": {}}}}}),
    },
    Section {
        heading: "`log`",
        prefix: "log.",
        base: nothing,
    },
    Section {
        heading: "`serversTransport`, `tcpServersTransport`",
        prefix: "",
        base: nothing,
    },
    Section {
        heading: "`steering` (own)",
        prefix: "steering.",
        base: nothing,
    },
    Section {
        heading: "`http.routers.X`",
        prefix: "http.routers.r.",
        base: http,
    },
    Section {
        heading: "`http.services.X`",
        prefix: "http.services.s.",
        base: http,
    },
    Section {
        heading: "`tcp.routers.X`",
        prefix: "tcp.routers.r.",
        base: tcp,
    },
    Section {
        heading: "`tcp.services.X`",
        prefix: "tcp.services.s.",
        base: tcp,
    },
    Section {
        heading: "`http.serversTransports.X`",
        prefix: "http.serversTransports.t.",
        base: || {
            let mut root = http();
            set(
                &mut root,
                "http.services.s.loadBalancer.serversTransport",
                "t".into(),
            );
            set(&mut root, "http.serversTransports.t", json!({}));
            root
        },
    },
    Section {
        heading: "`tcp.serversTransports.X`",
        prefix: "tcp.serversTransports.t.",
        base: || {
            let mut root = tcp();
            set(
                &mut root,
                "tcp.services.s.loadBalancer.serversTransport",
                "t".into(),
            );
            set(&mut root, "tcp.serversTransports.t", json!({}));
            root
        },
    },
    Section {
        heading: "`tls.certificates[]`",
        prefix: "tls.certificates[].",
        base: || json!({}),
    },
    Section {
        heading: "`tls.stores.default`",
        prefix: "tls.stores.default.",
        base: nothing,
    },
    Section {
        heading: "`tls.options.X`",
        prefix: "tls.options.t.",
        base: || {
            let mut root = http();
            set(&mut root, "http.routers.r.tls.options", "t".into());
            set(&mut root, "tls.options.t", json!({}));
            root
        },
    },
    Section {
        heading: "`http.middlewares.X`",
        prefix: "http.middlewares.m.",
        base: || {
            let mut root = http();
            set(&mut root, "http.routers.r.middlewares", json!(["m"]));
            root
        },
    },
];

fn nothing() -> Value {
    json!({})
}

fn http() -> Value {
    json!({"http": {
        "routers": {"r": {"rule": "Host(`a.example`)", "service": "s"}},
        "services": {"s": {"loadBalancer": {"servers": [{"url": "http://192.0.2.1"}]}}},
    }})
}

fn tcp() -> Value {
    json!({"tcp": {
        "routers": {"r": {"rule": "HostSNI(`*`)", "service": "s"}},
        "services": {"s": {"loadBalancer": {"servers": [{"address": "192.0.2.1:1"}]}}},
    }})
}

/// What must stand beside a key that begins so.
pub const BESIDE: &[(&str, &str, &str)] = &[
    ("deploy", "certFile", r#""/c.pem""#),
    ("deploy", "keyFile", r#""/k.pem""#),
    ("stores", "certFile", r#""/c.pem""#),
    ("stores", "keyFile", r#""/k.pem""#),
    ("steering.", "steering.interfaces", r#"["eth0"]"#),
    (
        "http.redirections.",
        "http.redirections.entryPoint.to",
        r#"":443""#,
    ),
    (
        "proxyProtocol.insecure",
        "proxyProtocol.trustedIPs",
        r#"["192.0.2.1"]"#,
    ),
    ("allowDeploy", "directory", r#""/tmp""#),
    ("watch", "directory", r#""/tmp""#),
    ("mode", "directory", r#""/tmp""#),
    ("names", "directory", r#""/tmp""#),
    ("owner", "directory", r#""/tmp""#),
    ("command", "directory", r#""/tmp""#),
    ("dnsChallenge.", "dnsChallenge.provider", r#""exec""#),
    ("httpChallenge.", "httpChallenge.entryPoint", r#""web""#),
    ("eab.kid", "eab.hmacEncoded", r#""AAAA""#),
    ("eab.hmacEncoded", "eab.kid", r#""k""#),
    (
        "loadBalancer.healthCheck.",
        "loadBalancer.healthCheck.path",
        r#""/""#,
    ),
    ("weighted.", "weighted.services[].name", r#""o""#),
    ("failover.", "failover.service", r#""o""#),
    ("failover.", "failover.fallback", r#""p""#),
    (
        "loadBalancer.queue.",
        "loadBalancer.servers[].maxConnections",
        "10",
    ),
    (
        "certificates[].certFile",
        "certificates[].keyFile",
        r#""/k.pem""#,
    ),
    (
        "certificates[].keyFile",
        "certificates[].certFile",
        r#""/c.pem""#,
    ),
    ("certFile", "keyFile", r#""/k.pem""#),
    (
        "defaultCertificate.certFile",
        "defaultCertificate.keyFile",
        r#""/k.pem""#,
    ),
    (
        "defaultCertificate.keyFile",
        "defaultCertificate.certFile",
        r#""/c.pem""#,
    ),
    (
        "defaultGeneratedCert.",
        "defaultGeneratedCert.resolver",
        r#""r""#,
    ),
    (
        "defaultGeneratedCert.",
        "defaultGeneratedCert.domain.main",
        r#""a.example""#,
    ),
    ("keyFile", "certFile", r#""/c.pem""#),
    ("headers.", "headers.referrerPolicy", r#""none""#),
    (
        "ipAllowList.",
        "ipAllowList.sourceRange",
        r#"["192.0.2.1"]"#,
    ),
    ("tls.domains[].sans", "tls.domains[].main", r#""a.example""#),
    (
        "ipAllowList.ipStrategy.ipv6Subnet",
        "ipAllowList.ipStrategy.depth",
        "1",
    ),
    ("redirectRegex.", "redirectRegex.regex", r#""a""#),
    ("redirectRegex.", "redirectRegex.replacement", r#""b""#),
    ("redirectScheme.", "redirectScheme.scheme", r#""https""#),
    ("replacePathRegex.", "replacePathRegex.regex", r#""a""#),
    (
        "replacePathRegex.",
        "replacePathRegex.replacement",
        r#""b""#,
    ),
    ("stripPrefix.", "stripPrefix.prefixes", r#"["/a"]"#),
];
