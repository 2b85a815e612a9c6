//! The index against a scan of the whole table.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn rules(texts: &[&str]) -> Vec<HttpRule> {
    let parse =
        |text: &&str| HttpRule::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    texts.iter().map(parse).collect()
}

fn candidates(texts: &[&str], host: &str) -> Vec<u32> {
    let rules = rules(texts);
    let index = HostIndex::new(rules.iter());
    index
        .candidates(&RequestView::new(host, "/", CLIENT))
        .collect()
}

#[test]
fn few_rules_are_candidates_for_a_host() {
    let texts = [
        "Host(`a.example`)",
        "Host(`*.example`)",
        "HostRegexp(`^t17-.+\\.site\\.example$`)",
        "HostRegexp(`^t18-.+\\.site\\.example$`)",
        "Host(`a.example`) && HostRegexp(`.`)",
        "PathPrefix(`/`)",
        "Host(`b.example`) || !Host(`c.example`)",
        "Host(`b.example`) || Host(`a.example`) && PathPrefix(`/x`)",
        "HostRegexp(`(?i)^ADMIN\\.`)",
    ];
    assert_eq!(candidates(&texts, "a.example"), [0, 1, 4, 5, 6, 7]);
    assert_eq!(candidates(&texts, "A.EXAMPLE.:443"), [0, 1, 4, 5, 6, 7]);
    assert_eq!(candidates(&texts, "t17-x.site.example"), [2, 5, 6]);
    assert_eq!(candidates(&texts, "admin.other"), [5, 6, 8]);
    assert_eq!(candidates(&texts, ""), [5, 6]);
}

fn matchers() -> impl Strategy<Value = String> {
    let hosts = prop_oneof![
        Just("a.example"),
        Just("b.a.example"),
        Just("*.a.example"),
        Just("*.example"),
        Just("*"),
        Just("c")
    ];
    let regexps = prop_oneof![
        Just("^.+$"),
        Just("^b\\.a"),
        Just("example"),
        Just("(?i)A\\.EX"),
        Just("^(a|b)\\.example$"),
        Just("a\\.example\\.?$"),
        Just("(xx)?c"),
        Just("[ab]+\\.example"),
        Just(""),
        Just("\\.a\\."),
    ];
    prop_oneof![
        4 => hosts.prop_map(|host| format!("Host(`{host}`)")),
        4 => regexps.prop_filter("not empty", |text| !text.is_empty()).prop_map(|text| format!("HostRegexp(`{text}`)")),
        1 => Just("PathPrefix(`/x`)".to_owned()),
        1 => Just("Method(`GET`)".to_owned()),
    ]
}

fn rule_texts() -> impl Strategy<Value = String> {
    matchers().prop_recursive(4, 12, 3, |inner| {
        let several = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.prop_map(|part| format!("!({part})")),
            several
                .clone()
                .prop_map(|parts| format!("({})", parts.join(" && "))),
            several.prop_map(|parts| format!("({})", parts.join(" || "))),
        ]
    })
}

fn hosts() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("a.example"),
        Just("A.Example."),
        Just("b.a.example:80"),
        Just("x.example"),
        Just("c"),
        Just(""),
        Just("b.example"),
        Just("xxc"),
        Just(".a.example"),
        Just("d.b.a.example"),
        Just("[::1]:80"),
        Just("a.example..")
    ]
}

proptest! {
    #[test]
    fn the_first_candidate_that_holds_is_the_first_rule_that_holds(
        texts in proptest::collection::vec(rule_texts(), 1..12),
        host in hosts(),
        path in prop_oneof![Just("/x"), Just("/y")],
    ) {
        let rules = rules(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let request = RequestView::new(host, path, CLIENT);
        let holds = |rank: &u32| rules[*rank as usize].holds(|matcher| matcher.matches(&request));
        let found = HostIndex::new(rules.iter()).candidates(&request).find(holds);
        let scanned = (0..rules.len() as u32).find(holds);
        prop_assert_eq!(found, scanned, "{:?} {}", texts, host);
    }
}
