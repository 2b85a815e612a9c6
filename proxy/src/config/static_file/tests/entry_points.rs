//! Whom an entry point believes, and how it reads requests.

use super::*;

const WEB: &str = "entryPoints:\n  web:\n    address: :80\n";

fn web(options: &str) -> EntryPoint {
    let mut config =
        parse(&format!("{WEB}{options}")).unwrap_or_else(|problems| panic!("{problems:?}"));
    config.entry_points.remove(0)
}

#[test]
fn by_default_nobody_is_believed_and_paths_are_cleaned() {
    let web = web("    reusePort: false\n");
    assert_eq!(web.proxy_protocol, None);
    assert_eq!(web.forwarded_headers, ForwardedHeaders::default());
    assert_eq!(web.keep_alive, KeepAlive::default());
    assert!(web.http.path.sanitize && web.http.path.denied.is_empty());
    assert!(!web.http.encode_query_semicolons);
    assert_eq!(web.limits, Limits::default());
    assert!(!web.forwarded_headers.trust.covers([127, 0, 0, 1].into()));
}

#[test]
fn trust_is_read() {
    let web = web(
        "    proxyProtocol: {trustedIPs: [10.0.0.0/8, '::ffff:192.0.2.1', '2001:db8::/32']}\n    \
         forwardedHeaders: {insecure: true, notAppendXForwardedFor: true, addXForwardedSchemeHeaders: true}\n",
    );
    let trust = web.proxy_protocol.unwrap();
    for (address, covered) in [
        ("10.1.2.3", true),
        ("192.0.2.1", true),
        ("2001:db8::7", true),
        ("192.0.2.2", false),
        ("::1", false),
    ] {
        assert_eq!(trust.covers(address.parse().unwrap()), covered, "{address}");
    }
    let headers = web.forwarded_headers;
    assert!(headers.not_append_for && headers.add_scheme);
    assert!(headers.trust.covers([192, 0, 2, 9].into()));
}

#[test]
fn options_of_http_and_transport_are_read() {
    let web = web(
        "    http:\n      maxHeaderBytes: 131072\n      sanitizePath: false\n      encodeQuerySemicolons: true\n      \
         underscoreHeadersStrategy: reject\n      encodedCharacters: {allowEncodedSlash: false, allowEncodedHash: false}\n    \
         transport: {keepAliveMaxRequests: 7, keepAliveMaxTime: 1m}\n",
    );
    assert_eq!(web.limits.head.bytes, 131_072);
    assert!(!web.http.path.sanitize && web.http.encode_query_semicolons);
    assert_eq!(*web.http.path.denied, *b"/#");
    assert_eq!(web.http.underscore_headers, UnderscoreHeaders::Reject);
    let expected = KeepAlive {
        requests: Some(7),
        time: Some(Duration::from_secs(60)),
    };
    assert_eq!(web.keep_alive, expected);
}

#[test]
fn refusals() {
    for (options, expected) in [
        (
            "    proxyProtocol: {}\n",
            "weir.yml:4:5: entryPoints.web.proxyProtocol: found proxyProtocol that trusts nobody; allowed trustedIPs, or insecure: true; add trustedIPs with the addresses of the proxies in front",
        ),
        (
            "    proxyProtocol: {trustedIPs: [10.0.0.0/40]}\n",
            "weir.yml:4:34: entryPoints.web.proxyProtocol.trustedIPs: found \"10.0.0.0/40\"; allowed an IP address or CIDR such as 10.0.0.0/8 or 2001:db8::/32; use a prefix length from 0 to 32",
        ),
        (
            "    proxyProtocol: {insecure: true}\n    steering: {interfaces: [eth0]}\n",
            "weir.yml:4:5: entryPoints.web.proxyProtocol: found proxyProtocol with steering; set steering.mode: off: the NIC sees the proxy's address only, user space reads the header",
        ),
        (
            "    forwardedHeaders: {connection: [foo]}\n",
            "weir.yml:4:24: entryPoints.web.forwardedHeaders.connection: found the key \"connection\"; Traefik has it, weir not yet",
        ),
        (
            "    http: {maxHeaderBytes: 100}\n",
            "weir.yml:4:28: entryPoints.web.http.maxHeaderBytes: found \"100\"; allowed a whole number from 1024 to 16777216",
        ),
        (
            "    http: {underscoreHeadersStrategy: drop}\n",
            "weir.yml:4:39: entryPoints.web.http.underscoreHeadersStrategy: found \"drop\"; allowed keep, delete, reject",
        ),
    ] {
        let text = format!("{WEB}{options}");
        assert_eq!(parse(&text).expect_err(options), [expected], "{options}");
    }
}
