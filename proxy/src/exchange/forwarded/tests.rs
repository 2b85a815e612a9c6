//! Who is trusted, what came, what goes on.

use super::*;
use crate::config::static_file::Trust;

const CLIENT: &str = "192.0.2.7";

/// What a request for `a.example:8443` becomes, fields in lower case, in the order of their names.
fn forwarded(options: &ForwardedHeaders, tls: bool, sent: &[(&str, &str)]) -> Vec<String> {
    of_authority("a.example:8443", options, tls, sent)
}

fn of_authority(
    authority: &str,
    options: &ForwardedHeaders,
    tls: bool,
    sent: &[(&str, &str)],
) -> Vec<String> {
    let mut head = RequestHead::default();
    head.set_authority(authority);
    for (name, value) in sent {
        head.headers
            .append(Name::parse(name).unwrap(), value.as_bytes());
    }
    let peer = Peer {
        address: format!("{CLIENT}:40000").parse().unwrap(),
        tls,
        hostname: "edge",
    };
    set(&mut head, options, &peer);
    add_address(&mut head, options, peer.address.ip());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let line = |(name, value): (Name<'_>, &[u8])| {
        format!("{}: {}", text(name.as_bytes()).to_lowercase(), text(value))
    };
    let mut lines: Vec<_> = head.headers.iter().map(line).collect();
    lines.sort();
    lines
}

fn trusting(networks: &[&str]) -> ForwardedHeaders {
    let networks = networks.iter().map(|network| network.parse().unwrap());
    ForwardedHeaders {
        trust: Trust {
            everybody: false,
            networks: networks.collect(),
        },
        ..ForwardedHeaders::default()
    }
}

/// Everything a peer may claim.
const CLAIMS: [(&str, &str); 15] = [
    ("X-Forwarded-For", "6.6.6.6"),
    ("x-forwarded-for", "7.7.7.7"),
    ("X_Forwarded_For", "8.8.8.8"),
    ("X-Forwarded-Host", "b.example"),
    ("X-Forwarded-Port", "99"),
    ("X-Forwarded-Proto", "wss"),
    ("X-Forwarded-Server", "other"),
    ("X-Forwarded-Uri", "/u"),
    ("X-Forwarded-Method", "PUT"),
    ("X-Forwarded-Prefix", "/p"),
    ("X-Forwarded-Scheme", "gopher"),
    ("X-Scheme", "gopher"),
    ("X-Forwarded-Tls-Client-Cert", "c"),
    ("X-Real-Ip", "6.6.6.6"),
    ("X-Forwarded-Other", "stays"),
];

#[test]
fn nobody_is_believed_unless_trusted() {
    let expected = [
        "x-forwarded-for: 192.0.2.7",
        "x-forwarded-host: a.example:8443",
        "x-forwarded-other: stays",
        "x-forwarded-port: 8443",
        "x-forwarded-proto: https",
        "x-forwarded-server: edge",
        "x-real-ip: 192.0.2.7",
    ];
    for options in [
        ForwardedHeaders::default(),
        trusting(&["192.0.2.8/32", "2001:db8::/32"]),
    ] {
        assert_eq!(forwarded(&options, true, &CLAIMS), expected);
    }
}

#[test]
fn what_a_trusted_peer_says_is_kept() {
    let everybody = ForwardedHeaders {
        trust: Trust {
            everybody: true,
            networks: Box::default(),
        },
        ..ForwardedHeaders::default()
    };
    let expected = [
        "x-forwarded-for: 6.6.6.6, 7.7.7.7, 192.0.2.7",
        "x-forwarded-host: b.example",
        "x-forwarded-method: PUT",
        "x-forwarded-other: stays",
        "x-forwarded-port: 99",
        "x-forwarded-prefix: /p",
        "x-forwarded-proto: wss",
        "x-forwarded-scheme: gopher",
        "x-forwarded-server: edge",
        "x-forwarded-tls-client-cert: c",
        "x-forwarded-uri: /u",
        "x-real-ip: 6.6.6.6",
        "x-scheme: gopher",
        "x_forwarded_for: 8.8.8.8",
    ];
    for options in [everybody, trusting(&["192.0.2.0/24"])] {
        assert_eq!(forwarded(&options, false, &CLAIMS), expected);
    }
}

#[test]
fn what_a_trusted_peer_leaves_out_is_added() {
    let sent = [("X-Forwarded-Proto", "https"), ("X-Real-Ip", "")];
    let expected = [
        "x-forwarded-for: 192.0.2.7",
        "x-forwarded-host: a.example",
        "x-forwarded-port: 443",
        "x-forwarded-proto: https",
        "x-forwarded-server: edge",
        "x-real-ip: 192.0.2.7",
    ];
    let trusting = trusting(&["192.0.2.7/32"]);
    assert_eq!(of_authority("a.example", &trusting, false, &sent), expected);
}

#[test]
fn the_address_is_not_appended_if_not_wanted() {
    for (options, expected) in [
        (trusting(&[]), None),
        (
            trusting(&["192.0.2.0/24"]),
            Some("x-forwarded-for: 6.6.6.6"),
        ),
    ] {
        let options = ForwardedHeaders {
            not_append_for: true,
            ..options
        };
        let lines = forwarded(&options, false, &[("X-Forwarded-For", "6.6.6.6")]);
        let found = lines
            .iter()
            .find(|line| line.starts_with("x-forwarded-for"));
        assert_eq!(found.map(String::as_str), expected);
    }
}

#[test]
fn scheme_fields_repeat_the_proto() {
    let options = ForwardedHeaders {
        add_scheme: true,
        ..trusting(&["192.0.2.0/24"])
    };
    for (sent, expected) in [
        (&[][..], "https"),
        (&[("X-Forwarded-Proto", "ws"), ("X-Scheme", "x")], "ws"),
    ] {
        let lines = forwarded(&options, true, sent);
        for name in ["x-scheme", "x-forwarded-scheme"] {
            assert!(lines.contains(&format!("{name}: {expected}")), "{lines:?}");
        }
    }
}

#[test]
fn ports_come_from_the_authority_or_the_scheme() {
    for (authority, tls, expected) in [
        ("a.example", false, "80"),
        ("a.example", true, "443"),
        ("a.example:81", true, "81"),
        ("[2001:db8::1]", false, "80"),
        ("[2001:db8::1]:82", false, "82"),
        ("", false, "80"),
    ] {
        let lines = of_authority(authority, &ForwardedHeaders::default(), tls, &[]);
        assert!(
            lines.contains(&format!("x-forwarded-port: {expected}")),
            "{authority}: {lines:?}"
        );
    }
}

#[test]
fn schemes_of_websockets() {
    for (websocket, tls, expected) in [
        (false, false, "http"),
        (false, true, "https"),
        (true, false, "ws"),
        (true, true, "wss"),
    ] {
        assert_eq!(scheme(websocket, tls), expected.as_bytes());
    }
}
