//! Lenient scalars, suggestions, and the form of every message.

use std::path::Path;

use super::*;
use crate::config::yaml;
use crate::rule::HttpMatcher;

const KEYS: Keys = Keys {
    known: &["middlewares", "rule", "priority", "a", "b"],
    later: &["observability"],
};

/// The messages of decoding `text` with `decode`.
fn messages(text: &str, decode: impl FnOnce(&mut Walker, &Place<'_>)) -> Vec<String> {
    let tree = yaml::read(&crate::config::Source::file(Path::new("f.yml")), text).unwrap();
    let mut walker = Walker::default();
    decode(&mut walker, &Place::root(&tree));
    walker
        .into_problems()
        .into_iter()
        .map(|(problem, _)| problem.to_string())
        .collect()
}

#[test]
fn keys_are_checked_with_a_suggestion() {
    let cases = [
        ("Rule: x\nPRIORITY: 1", vec![]),
        (
            "middleware: x",
            vec![
                "f.yml:1:1: middleware: found unknown key \"middleware\"; allowed middlewares, rule, priority, a, b; did you mean middlewares?",
            ],
        ),
        (
            "zzz: x",
            vec![
                "f.yml:1:1: zzz: found unknown key \"zzz\"; allowed middlewares, rule, priority, a, b; remove it",
            ],
        ),
        (
            "rule: x\nRule: y",
            vec![
                "f.yml:2:1: Rule: found the key \"Rule\" again; remove one of the two (case does not matter)",
            ],
        ),
        (
            "observability: x",
            vec![
                "f.yml:1:1: observability: found the key \"observability\"; Traefik has it, weir not yet",
            ],
        ),
        (
            "[a]",
            vec!["f.yml:1:1: found a list of 1; allowed a mapping"],
        ),
    ];
    for (text, expected) in cases {
        let found = messages(text, |walker, root| {
            walker.fields(root, &KEYS);
        });
        assert_eq!(found, expected, "{text:?}");
    }
}

#[test]
fn scalars_are_lenient_and_typed() {
    fn first<T>(
        text: &str,
        decode: impl FnOnce(&mut Walker, &Place<'_>) -> Option<T>,
    ) -> Option<T> {
        let mut value = None;
        messages(&format!("a: {text}"), |walker, root| {
            let fields = walker.fields(root, &KEYS).unwrap();
            value = fields.get("a").and_then(|place| decode(walker, &place));
        });
        value
    }
    for (text, expected) in [
        ("443", Some(443)),
        ("\"443\"", Some(443)),
        ("-1", None),
        ("x", None),
        ("[1]", None),
    ] {
        assert_eq!(
            first(text, |walker, place| walker.integer(place, 0..=1000)),
            expected,
            "{text}"
        );
    }
    for (text, expected) in [
        ("true", Some(true)),
        ("'F'", Some(false)),
        ("1", Some(true)),
        ("yes", None),
    ] {
        assert_eq!(first(text, Walker::boolean), expected, "{text}");
    }
    let milliseconds = |number| Some(Duration::from_millis(number));
    for (text, expected) in [
        ("10", milliseconds(10_000)),
        ("300ms", milliseconds(300)),
        ("1m30.5s", milliseconds(90_500)),
        ("0", milliseconds(0)),
        ("-1s", None),
        ("1x", None),
        ("s", None),
        ("1.5", None),
        ("99999999999999999999h", None),
        ("2562047h", Some(Duration::from_secs(2_562_047 * 3600))),
        ("2562048h", None),
    ] {
        assert_eq!(first(text, Walker::duration), expected, "{text}");
    }
    let words = |walker: &mut Walker, place: &Place<'_>| {
        walker.choice(place, &[("keep", 1), ("detach", 2)])
    };
    assert_eq!(first("DETACH", words), Some(2));
    let texts = |walker: &mut Walker, place: &Place<'_>| {
        Some(
            walker
                .strings(place)
                .into_iter()
                .map(|text| text.value)
                .collect::<Vec<_>>()
                .join("|"),
        )
    };
    assert_eq!(first("[a, b]", texts).as_deref(), Some("a|b"));
    assert_eq!(first("a, b", texts).as_deref(), Some("a|b"));
}

#[test]
fn a_rule_error_points_into_the_rule() {
    let cases = [
        (
            "a: Host(`a`) &",
            "f.yml:1:14: a: found '&'; allowed matchers, &&, ||, !, ( and ); write && for \"and\"",
        ),
        (
            "a: \"Host(`a`) &\"",
            "f.yml:1:15: a: found '&'; allowed matchers, &&, ||, !, ( and ); write && for \"and\"",
        ),
        (
            "a: [x]",
            "f.yml:1:1: a: found a list of 1; allowed a rule such as \"Host(`a.example`)\"",
        ),
        (
            "a: >\n  Host(`a`)\n  #",
            "f.yml:2:3: a: found '#' at character 11 of the rule; allowed matchers, &&, ||, !, ( and )",
        ),
    ];
    for (text, expected) in cases {
        let found = messages(text, |walker, root| {
            let fields = walker.fields(root, &KEYS).unwrap();
            walker.rule::<HttpMatcher>(&fields.get("a").unwrap(), |error| error);
        });
        assert_eq!(found, [expected], "{text:?}");
    }
}

#[test]
fn paths_lead_through_keys_and_lists() {
    let found = messages("a:\n  - b:\n      - 1\n      - [2]\n", |walker, root| {
        let fields = walker.fields(root, &KEYS).unwrap();
        for item in walker.items(&fields.get("a").unwrap()) {
            let fields = walker.fields(&item, &KEYS).unwrap();
            walker.strings(&fields.get("b").unwrap());
        }
    });
    assert_eq!(
        found,
        ["f.yml:4:9: a[0].b[1]: found a list of 1; allowed text"]
    );
}

#[test]
fn problems_are_counted_beyond_the_limit() {
    let text = (0..FILE_PROBLEMS_MAX + 5)
        .map(|n| format!("zz{n}: 1\n"))
        .collect::<String>();
    let found = messages(&text, |walker, root| {
        walker.fields(root, &KEYS);
    });
    assert_eq!(found.len(), FILE_PROBLEMS_MAX);
    assert!(
        found
            .last()
            .unwrap()
            .ends_with("5 more errors in this file")
    );
}
