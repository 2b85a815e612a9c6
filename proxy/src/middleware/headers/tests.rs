//! Fields of requests and responses, CORS and security, by table.

use crate::middleware::tests::{Sent, answered, complaints, passed, responded, responded_to};

#[test]
fn own_fields_are_set_and_taken_away() {
    let settings = [
        (
            "customRequestHeaders",
            "X-A=1,Authorization=,Host=b.example",
        ),
        ("customResponseHeaders", "Server=,X-B=2"),
    ];
    let (head, _) = passed("headers", &settings, "/");
    assert_eq!(head.authority(), "b.example");
    let get = |name| head.headers.get(crate::http::Name::literal(name));
    assert_eq!((get("X-A"), get("Authorization")), (Some(&b"1"[..]), None));
    let response = responded(
        "headers",
        &settings,
        &[("Server", "nginx"), ("X-B", "1"), ("x-b", "0")],
    );
    assert_eq!(response, ["X-B: 2"]);
}

#[test]
fn preflights_are_answered() {
    let preflight = Sent {
        method: "OPTIONS",
        fields: &[
            ("Origin", "https://app.example"),
            ("Access-Control-Request-Method", "PUT"),
            ("Access-Control-Request-Headers", "X-A"),
        ],
        ..Sent::get("/")
    };
    let settings = [
        ("accessControlAllowMethods", "GET,PUT"),
        (
            "accessControlAllowOriginListRegex",
            "^https://[a-z]+\\.example$",
        ),
        ("accessControlMaxAge", "100"),
        ("accessControlAllowHeaders", "*"),
    ];
    let answer = answered("headers", &settings, &preflight).expect("an answer");
    assert_eq!(
        answer,
        "200 Access-Control-Allow-Headers: *|Access-Control-Allow-Methods: GET,PUT|\
         Access-Control-Allow-Origin: https://app.example|Access-Control-Max-Age: 100"
    );
    let with_credentials = [
        ("accessControlAllowMethods", "*"),
        ("accessControlAllowOriginList", "*"),
        ("accessControlAllowHeaders", "*"),
        ("accessControlAllowCredentials", "true"),
    ];
    let answer = answered("headers", &with_credentials, &preflight).expect("an answer");
    assert_eq!(
        answer,
        "200 Access-Control-Allow-Credentials: true|Access-Control-Allow-Headers: X-A|\
         Access-Control-Allow-Methods: PUT|Access-Control-Allow-Origin: https://app.example"
    );
    assert_eq!(
        answered(
            "headers",
            &settings,
            &Sent {
                fields: &[],
                ..preflight
            }
        ),
        None
    );
}

#[test]
fn responses_say_who_may_read_them() {
    let settings = [
        (
            "accessControlAllowOriginList",
            "https://a.example,https://b.example",
        ),
        ("accessControlExposeHeaders", "X-A,X-B"),
        ("addVaryHeader", "true"),
    ];
    let sent = Sent {
        fields: &[("Origin", "https://b.example")],
        ..Sent::get("/")
    };
    assert_eq!(
        responded_to("headers", &settings, &sent, &[("Vary", "Accept")]),
        [
            "Access-Control-Allow-Origin: https://b.example",
            "Access-Control-Expose-Headers: X-A,X-B",
            "Vary: Accept,Origin",
        ]
    );
    let other = Sent {
        fields: &[("Origin", "https://c.example")],
        ..Sent::get("/")
    };
    assert_eq!(
        responded_to("headers", &settings, &other, &[])[1..],
        ["Vary: Origin"]
    );
}

#[test]
fn security_fields_are_those_of_traefik() {
    let settings = [
        ("stsSeconds", "63072000"),
        ("stsIncludeSubdomains", "true"),
        ("stsPreload", "true"),
        ("frameDeny", "true"),
        ("contentTypeNosniff", "true"),
        ("browserXssFilter", "true"),
        ("contentSecurityPolicy", "frame-ancestors 'self'"),
        ("referrerPolicy", "no-referrer"),
        ("publicKey", "pin"),
        ("customResponseHeaders", "Referrer-Policy=own"),
    ];
    let always = [
        "X-Frame-Options: DENY",
        "X-XSS-Protection: 1; mode=block",
        "X-Content-Type-Options: nosniff",
        "Content-Security-Policy: frame-ancestors 'self'",
        "Referrer-Policy: own",
    ];
    assert_eq!(responded("headers", &settings, &[]), always);
    let tls = Sent {
        tls: true,
        ..Sent::get("/")
    };
    let secure = responded_to("headers", &settings, &tls, &[]);
    assert_eq!(
        secure[..2],
        [
            "Strict-Transport-Security: max-age=63072000; includeSubdomains; preload",
            "Public-Key-Pins: pin"
        ]
    );
    assert_eq!(secure[2..], always);
    let forced = [("stsSeconds", "1"), ("forceSTSHeader", "true")];
    assert_eq!(
        responded("headers", &forced, &[]),
        ["Strict-Transport-Security: max-age=1"]
    );
    let proxied = [
        ("stsSeconds", "1"),
        ("sslProxyHeaders", "X-Forwarded-Proto=https"),
    ];
    let sent = Sent {
        fields: &[("X-Forwarded-Proto", "https")],
        ..Sent::get("/")
    };
    assert_eq!(responded_to("headers", &proxied, &sent, &[]).len(), 1);
    assert_eq!(responded("headers", &proxied, &[]).len(), 0);
}

#[test]
fn hosts_that_are_not_allowed_are_refused() {
    let settings = [
        ("allowedHosts", "a.example,b.example"),
        ("hostsProxyHeaders", "X-Host"),
    ];
    let status = |host, fields| {
        answered(
            "headers",
            &settings,
            &Sent {
                host,
                fields,
                ..Sent::get("/")
            },
        )
        .map(|answer| answer[..3].to_owned())
    };
    assert_eq!(status("A.example", &[]), None);
    assert_eq!(status("c.example", &[]).as_deref(), Some("500"));
    assert_eq!(status("c.example", &[("X-Host", "b.example")]), None);
}

#[test]
fn what_would_break_a_message_is_refused() {
    for settings in [
        vec![],
        vec![("customRequestHeaders", "X A=1")],
        vec![("customRequestHeaders", "Transfer-Encoding=chunked")],
        vec![("customResponseHeaders", "content-length=1")],
        vec![("customRequestHeaders", "X-A=a\nb")],
        vec![("accessControlAllowOriginListRegex", "(?=a)")],
    ] {
        assert_eq!(complaints("headers", &settings).len(), 1, "{settings:?}");
    }
    let idle = complaints("headers", &[("sslRedirect", "true"), ("frameDeny", "true")]);
    assert!(idle[0].contains("no effect"), "{idle:?}");
}
