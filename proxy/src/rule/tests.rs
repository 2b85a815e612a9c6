//! The grammar and every matcher, by table; and the parser against trees of its own printing.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

fn holds(rule: &str, host: &str, path: &str, client: &str) -> bool {
    let rule = HttpRule::parse(rule).unwrap_or_else(|error| panic!("{rule}: {error:?}"));
    let request = RequestView::new(host, path, client.parse().unwrap());
    rule.holds(|matcher| matcher.matches(&request))
}

#[test]
fn operators_bind_as_in_go() {
    let a = "ClientIP(`10.0.0.1`)";
    let cases = [
        (format!("{a} || {a} && Host(`no`)"), true),
        (format!("({a} || {a}) && Host(`no`)"), false),
        (format!("!{a} && Host(`no`) || {a}"), true),
        (format!("!({a} && Host(`no`))"), true),
        (format!("!({a} || Host(`no`))"), false),
        (format!("!!{a}"), true),
        (format!("!(!{a} || !Host(`h`))"), true),
    ];
    for (rule, expected) in cases {
        assert_eq!(holds(&rule, "h", "/", "10.0.0.1"), expected, "{rule}");
    }
}

#[test]
fn negation_stands_on_leaves_only() {
    let rule = HttpRule::parse("!(Host(`a`) && (Host(`b`) || !Host(`c`)))").unwrap();
    let host = |name: &str| HttpMatcher::Host(host::HostPattern::Exact(name.into()));
    let expected = Tree::Any(vec![
        Tree::Not(host("a")),
        Tree::All(vec![Tree::Not(host("b")), Tree::Is(host("c"))]),
    ]);
    assert_eq!(*rule.tree(), expected);
}

#[test]
fn matchers_mean_what_traefik_means() {
    let cases = [
        ("Host(`A.example`)", "a.EXAMPLE:8443", "/", "10.0.0.1", true),
        ("Host(`a.example`)", "a.example.", "/", "10.0.0.1", true),
        ("Host(`a.example.`)", "a.example", "/", "10.0.0.1", true),
        ("Host(`a.example`)", "b.a.example", "/", "10.0.0.1", false),
        ("Host(`*.a.example`)", "b.a.example", "/", "10.0.0.1", true),
        ("Host(`*.a.example`)", "a.example", "/", "10.0.0.1", false),
        (
            "Host(`*.a.example`)",
            "c.b.a.example",
            "/",
            "10.0.0.1",
            false,
        ),
        ("Host(`*`)", "", "/", "10.0.0.1", true),
        ("Host(`::1`)", "", "/", "10.0.0.1", false),
        ("Host(`::1`)", "[::1]:443", "/", "10.0.0.1", true),
        ("Host(`[::1]`)", "[::1]", "/", "10.0.0.1", true),
        ("Host(`*`) && !HostRegexp(`.`)", "", "/", "10.0.0.1", true),
        (
            "HostRegexp(`^.+\\.usegalaxy\\.eu`)",
            "A.usegalaxy.eu.evil.com:8443",
            "/",
            "10.0.0.1",
            true,
        ),
        ("HostRegexp(`^[A-Z]+$`)", "ABC", "/", "10.0.0.1", false),
        ("HostRegexp(`eu$`)", "a.eu.", "/", "10.0.0.1", false),
        ("Path(`/css`)", "", "/css", "10.0.0.1", true),
        ("Path(`/css`)", "", "/css/", "10.0.0.1", false),
        ("Path(`/a b`)", "", "/a%20b", "10.0.0.1", true),
        (
            "PathRegexp(`\\.(png|jpg)$`)",
            "",
            "/x/y.png",
            "10.0.0.1",
            true,
        ),
        ("PathRegexp(`^/a`)", "", "/b/a", "10.0.0.1", false),
        ("method(`get`) && METHOD(`GET`)", "", "/", "10.0.0.1", true),
        (
            "Hostregexp(`a`) && hostregexp(`a`)",
            "a",
            "/",
            "10.0.0.1",
            true,
        ),
        (
            "HOST(`a`) && host(\"a\") && Host(`a`)",
            "a",
            "/",
            "10.0.0.1",
            true,
        ),
        ("Pathprefix(`/gdpr`)", "", "/gdprfoo", "10.0.0.1", true),
        ("PathPrefix(`/gdpr`)", "", "/gdp", "10.0.0.1", false),
        ("PathPrefix(`/a b`)", "", "/a%20b/c", "10.0.0.1", true),
        ("PathPrefix(`/a/b`)", "", "/a%2Fb", "10.0.0.1", false),
        ("PathPrefix(`/a%2Fb`)", "", "/a%2Fb", "10.0.0.1", true),
        ("PathPrefix(`/%`)", "", "/%", "10.0.0.1", true),
        ("ClientIP(`10.0.0.0/8`)", "", "/", "10.9.9.9", true),
        ("ClientIP(`10.0.0.1/8`)", "", "/", "10.9.9.9", true),
        ("ClientIP(`10.0.0.1`)", "", "/", "10.0.0.2", false),
        ("ClientIP(`10.0.0.1`)", "", "/", "::ffff:10.0.0.1", true),
        ("ClientIP(`::ffff:10.0.0.0/104`)", "", "/", "10.1.2.3", true),
        ("ClientIP(`2001:db8::/32`)", "", "/", "2001:db8:1::1", true),
        ("ClientIP(`::/0`)", "", "/", "10.0.0.1", false),
        ("ClientIP(`10.0.0.0/8`)", "", "/", "2001:db8::1", false),
    ];
    for (rule, host, path, client, expected) in cases {
        assert_eq!(
            holds(rule, host, path, client),
            expected,
            "{rule} {host} {path} {client}"
        );
    }
}

#[test]
fn fields_and_queries_are_looked_at_as_sent() {
    let mut head = crate::http::RequestHead::default();
    head.method = crate::http::Method::from_token("get");
    head.set_target("/a", Some("page=1&empty&q=x+y"));
    head.set_authority("a.example");
    let name = crate::http::Name::literal;
    head.headers.append(name("x-tenant"), b"a");
    head.headers.append(name("X-Tenant"), b"b, c");
    let view = RequestView::of(&head, IpAddr::from([127, 0, 0, 1]));
    for (rule, expected) in [
        ("Header(`X-TENANT`, `a`)", true),
        ("Header(`X-Tenant`, `b`)", false),
        ("Header(`X-Tenant`, `b, c`)", true),
        ("HeaderRegexp(`X-Tenant`, `^b`)", true),
        ("HeaderRegexp(`X-Other`, `.*`)", false),
        ("Header(`Host`, `a.example`)", false),
        ("Query(`page`, `1`)", true),
        ("Query(`page`)", false),
        ("Query(`empty`)", true),
        ("QueryRegexp(`empty`)", true),
        ("QueryRegexp(`q`, `^x y$`)", true),
        ("QueryRegexp(`page`, `^[2-9]`)", false),
        ("Method(`GET`)", false),
    ] {
        let rule_text = rule;
        let rule = HttpRule::parse(rule).unwrap();
        let holds = rule.holds(|matcher| matcher.matches(&view));
        assert_eq!(holds, expected, "{rule_text}");
    }
}

#[test]
fn the_host_of_a_request_may_be_an_address() {
    for (sent, expected) in [
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[::1]", "::1"),
        ("1.2.3.4:80", "1.2.3.4"),
    ] {
        assert_eq!(
            RequestView::new(sent, "/", IpAddr::from([127, 0, 0, 1])).host(),
            expected
        );
    }
}

#[test]
fn literals_are_those_of_go() {
    for (literal, expected) in [
        (r"`/a\b`", r"/a\b"),
        (r#""/a\\b\"\x41\u00e9\101\t""#, "/a\\b\"A\u{e9}A\t"),
        ("`/a\r\nb`", "/a\nb"),
    ] {
        let syntax::Expression::Call(call) = syntax::parse(&format!("M({literal})")).unwrap()
        else {
            panic!("{literal} is no call")
        };
        assert_eq!(call.arguments[0].text, expected, "{literal}");
    }
}

#[test]
fn errors_name_the_place_and_the_remedy() {
    let cases = [
        ("", 0, "the end of the rule"),
        ("Host(`a`", 8, "the end of the rule"),
        ("Host(`a`) &", 10, "'&'"),
        ("Host(`a`) Host(`b`)", 10, "Host"),
        ("Host('a')", 5, "'\\''"),
        ("Host(`a)", 5, "a string without its closing `"),
        ("Host(\"a\n\")", 5, "a string without its closing \""),
        ("Host(\"\\z\")", 6, "an escape Go does not have"),
        ("Host(\"\\xff\")", 5, "escapes that are not UTF-8"),
        ("Host()", 0, "Host()"),
        ("Host(``)", 5, "an empty string"),
        ("Host(`a`, `b`)", 10, "2 arguments for Host"),
        ("Host(`a`,)", 9, ")"),
        ("Host(`ü`)", 5, "\"ü\""),
        ("Host(`a.*`)", 5, "\"a.*\""),
        ("Host(`https://a`)", 5, "\"https://a\""),
        ("PathPrefix(`a`)", 11, "\"a\""),
        ("ClientIP(`10.0.0.0/40`)", 9, "\"10.0.0.0/40\""),
        ("ClientIP(`10.0.0.0/-1`)", 9, "\"10.0.0.0/-1\""),
        ("ClientIP(`10.0.0.300`)", 9, "\"10.0.0.300\""),
        ("Headers(`a`, `b`)", 0, "matcher Headers"),
        ("Path(`a`)", 5, "\"a\""),
        ("Header(`X-A`)", 0, "1 arguments for Header"),
        ("Header(`X A`, `v`)", 7, "\"X A\""),
        ("Header(`X-A`, ``)", 14, "an empty string"),
        ("Query(`a`, `b`, `c`)", 0, "3 arguments for Query"),
        ("HostRegexp(`ü`)", 11, "\"ü\""),
        ("PathRegexp(`(?=a)`)", 11, "\"(?=a)\": lookahead \"(?=\""),
        ("HOSTregexp(`a`)", 0, "matcher HOSTregexp"),
        ("Hots(`a`)", 0, "matcher Hots"),
        ("Host(`a`) # b", 10, "'#'"),
        (")", 0, ")"),
    ];
    for (rule, offset, found) in cases {
        let error = HttpRule::parse(rule).expect_err(rule);
        assert_eq!(
            (error.offset, error.found.as_str()),
            (offset, found),
            "{rule}"
        );
    }
    let error = HttpRule::parse("ClientIP(`10.0.0.0/40`)").unwrap_err();
    assert_eq!(error.remedy, "use a prefix length from 0 to 32");
    for (rule, remedy) in [
        ("Hots(`a`)", "did you mean Host?"),
        ("PathPerfix(`/a`)", "did you mean PathPrefix?"),
        ("Nonsense(`a`)", ""),
    ] {
        assert_eq!(HttpRule::parse(rule).unwrap_err().remedy, remedy, "{rule}");
    }
    let error = TcpRule::parse("HostSni2(`a`)").unwrap_err();
    assert_eq!(error.remedy, "did you mean HostSNI?");
}

#[test]
fn tcp_rules_look_at_the_address_and_the_client_hello() {
    let cases = [
        ("HostSNI(`*`)", "", "10.0.0.1", true),
        ("HostSNI(`A.example.`)", "a.example", "10.0.0.1", true),
        ("HostSNI(`a.example`)", "b.a.example", "10.0.0.1", false),
        ("HostSNI(`*.a.example`)", "b.a.example", "10.0.0.1", true),
        ("HostSNI(`*.a.example`)", "c.b.a.example", "10.0.0.1", false),
        ("!HostSNI(`a.example`)", "", "10.0.0.1", true),
        (
            "HostSNIRegexp(`^[ab]\\.example$`)",
            "b.example",
            "10.0.0.1",
            true,
        ),
        ("HostSNIRegexp(`.`)", "", "10.0.0.1", false),
        ("HostSNIRegexp(`^$`)", "", "10.0.0.1", true),
        (
            "HOSTSNI(`*`) && !ClientIP(`10.0.0.0/8`)",
            "",
            "10.1.1.1",
            false,
        ),
        (
            "clientip(`::ffff:10.0.0.0/104`)",
            "",
            "::ffff:10.1.1.1",
            true,
        ),
        ("ALPN(`mqtt`) || Alpn(`h2`)", "", "10.0.0.1", true),
        ("ALPN(`H2`) || ALPN(`h`)", "", "10.0.0.1", false),
    ];
    for (rule, name, client, expected) in cases {
        let rule = TcpRule::parse(&rule.replace("\\\\", "\\")).unwrap();
        let view = ConnectionView::tls(client.parse().unwrap(), name, vec![b"x", b"h2"]);
        let holds = rule.holds(|matcher| matcher.matches(&view));
        assert_eq!(holds, expected, "{} {name} {client}", rule.text());
    }
    let facts = |rule: &str| {
        let rule = TcpRule::parse(rule).unwrap();
        (rule.is_catch_all(), rule.names_servers())
    };
    assert_eq!(facts("HostSNI(`*`)"), (true, false));
    assert_eq!(facts("HostSNI(`*`) || ClientIP(`::1`)"), (false, false));
    assert_eq!(facts("ClientIP(`::1`) && !HostSNI(`a`)"), (false, true));
    for (rule, found) in [
        ("ALPN(`acme-tls/1`)", "\"acme-tls/1\""),
        ("HostSNI(`a b`)", "\"a b\""),
        ("PathPrefix(`/`)", "matcher PathPrefix"),
    ] {
        assert_eq!(TcpRule::parse(rule).expect_err(rule).found, found);
    }
}

#[test]
fn nesting_and_length_are_bounded() {
    let nested = |depth: usize| format!("{}Host(`a`){}", "(".repeat(depth), ")".repeat(depth));
    assert!(HttpRule::parse(&nested(crate::limits::RULE_DEPTH_MAX - 1)).is_ok());
    assert!(HttpRule::parse(&nested(crate::limits::RULE_DEPTH_MAX)).is_err());
    assert!(HttpRule::parse(&"!".repeat(1000)).is_err());
    let long = vec!["Host(`a`)"; crate::limits::RULE_BYTES_MAX / 8].join("||");
    assert!(HttpRule::parse(&long).is_err());
}

/// The expression as the grammar writes it, with no more parentheses than needed.
fn print(expression: &syntax::Expression, within: u8) -> String {
    use syntax::Expression::{And, Call, Not, Or};
    let parts = |parts: &[syntax::Expression], level: u8, operator: &str| {
        let text = parts
            .iter()
            .map(|part| print(part, level + 1))
            .collect::<Vec<_>>()
            .join(operator);
        if within > level {
            format!("({text})")
        } else {
            text
        }
    };
    match expression {
        Call(call) => format!("{}({:?})", call.name, call.arguments[0].text),
        Not(inner) => format!("!{}", print(inner, 3)),
        And(all) => parts(all, 1, " && "),
        Or(any) => parts(any, 0, " || "),
    }
}

/// Offsets are of one text only; round trips compare without them.
fn without_offsets(expression: syntax::Expression) -> syntax::Expression {
    use syntax::Expression::{And, Call, Not, Or};
    let each = |parts: Vec<syntax::Expression>| parts.into_iter().map(without_offsets).collect();
    match expression {
        Call(mut call) => {
            call.offset = 0;
            call.arguments
                .iter_mut()
                .for_each(|argument| argument.offset = 0);
            Call(call)
        }
        Not(inner) => Not(Box::new(without_offsets(*inner))),
        And(all) => And(each(all)),
        Or(any) => Or(each(any)),
    }
}

fn expressions() -> impl Strategy<Value = syntax::Expression> {
    use syntax::Expression::{And, Call, Not, Or};
    let leaf = ("[A-Za-z]{1,8}", "[ -~]{0,8}").prop_map(|(name, text)| {
        Call(syntax::Call {
            name,
            arguments: vec![syntax::Argument { text, offset: 0 }],
            offset: 0,
        })
    });
    leaf.prop_recursive(5, 40, 4, |inner| {
        let several = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.prop_map(|part| Not(Box::new(part))),
            several.clone().prop_map(And),
            several.prop_map(Or),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_what_is_parsed(expression in expressions()) {
        let parsed = syntax::parse(&print(&expression, 0)).map(without_offsets);
        prop_assert_eq!(parsed, Ok(expression));
    }

    #[test]
    fn no_text_panics(text in "[HostClientIP()`\"\\\\&|!,. /0-9é]{0,40}") {
        if let Err(error) = HttpRule::parse(&text) {
            prop_assert!(text.is_char_boundary(error.offset));
        }
    }
}
