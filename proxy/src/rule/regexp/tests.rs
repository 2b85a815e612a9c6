//! Go's syntax by table; each case is what Go's `regexp` package does.

use super::*;

fn regexp(text: &str) -> Regexp {
    Regexp::new(text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

#[test]
fn what_go_takes_means_what_it_means_in_go() {
    let cases = [
        (r"^.+\.usegalaxy\.eu", "a.usegalaxy.eu.evil.com", true),
        (
            r"^.+\\.climate\\.usegalaxy.eu",
            "x.climate.usegalaxy.eu",
            false,
        ),
        (r"\d", "٣", false),
        (r"^\w+$", "é", false),
        (r"^\w+$", "a_9", true),
        (r"^\s$", "\x0b", false),
        (r"^[\s\d]+$", " 7", true),
        (r"^[^\D]$", "7", true),
        (r"\bcat\b", "a cat.", true),
        (r"\Bat", "cat", true),
        (r"{domain:[a-z]+}", "a.com", false),
        (r"^a{$", "a{", true),
        (r"^a{,2}$", "a{,2}", true),
        (r"^a{2,3}?$", "aaa", true),
        (r"^[[a]$", "[", true),
        (r"^[a&&b]+$", "a&b", true),
        (r"^[a~~b]+$", "~", true),
        (r"^[]a]+$", "]a", true),
        (r"^[^]]$", "]", false),
        (r"^[a-]$", "-", true),
        (r"^[[:alpha:]]$", "x", true),
        (r"^[[:^alpha:]]$", "x", false),
        (r"^\Qa.b*\E$", "a.b*", true),
        (r"^\Qa.b", "axb", false),
        (r"^\101$", "A", true),
        (r"^\0$", "\0", true),
        (r"^\x41\x{42}$", "AB", true),
        (r"^\<a\>$", "<a>", true),
        (r"^\pL+$", "é", true),
        (r"^\p{^Greek}$", "a", true),
        (r"(?i)^ABC$", "abc", true),
        (r"(?P<n>a)(?<m>b)", "ab", true),
        (r"^(?:a|b||c)$", "", true),
        (r"a b # c", "a b # c", true),
        (r"^.$", "\n", false),
        (r"(?s)^.$", "\n", true),
        (r"a$", "a\n", false),
        (r"(?U)a+", "a", true),
        (r"", "anything", true),
    ];
    for (text, subject, expected) in cases {
        assert_eq!(
            regexp(text).is_match(subject.as_bytes()),
            expected,
            "{text} on {subject:?}"
        );
    }
    assert!(regexp(r"^[+--]+$").is_match(b"+,-"), "a range from + to -");
}

#[test]
fn what_go_refuses_is_refused_with_a_remedy() {
    let cases = [
        ("(?=a)", "lookahead", "&& !"),
        ("(?!a)", "lookahead", "&& !"),
        ("(?<=a)", "lookbehind", "&&"),
        (r"(a)\1", "backreference", "no backreferences"),
        ("(?x)a b", "the group", "flags i, m, s, U"),
        ("(?#c)", "the group", "flags"),
        ("(?>a)", "the group", "flags"),
        (r"\Z", "the escape", "no such escape"),
        (r"\y", "the escape", "no such escape"),
        ("\\", "a backslash at the end", "\\\\"),
        ("a**", "a repetition of a repetition", "parentheses"),
        ("a{2}{3}", "a repetition of a repetition", "parentheses"),
        ("a{1001}", "the repetition {1001}", "1000"),
        ("a{3,2}", "the repetition {3,2}", "lower number"),
        ("[a--z]", "the range a--", "lower end"),
        ("[b-a]", "the range b-a", "lower end"),
        ("[[:foo:]]", "the class", "[:alpha:]"),
        ("[a", "a class without", "]"),
        ("(a", "unclosed group", ""),
        ("a)", "unopened group", ""),
        ("*", "missing expression", ""),
        (r"[\A]", "the escape", ""),
        (r"\p{Nope}", "property", ""),
        (
            "((a{1000}){1000}){1000}",
            "compiles to more than",
            "smaller",
        ),
    ];
    for (text, found, remedy) in cases {
        let error = Regexp::new(text).expect_err(text);
        assert!(error.found.contains(found), "{text}: {error:?}");
        assert!(error.remedy.contains(remedy), "{text}: {error:?}");
    }
}

#[test]
fn replacements_are_gos() {
    let replaced = |text: &str, subject: &str, with: &str| {
        String::from_utf8(
            regexp(text)
                .replace_all(subject.as_bytes(), with)
                .into_owned(),
        )
        .unwrap()
    };
    assert_eq!(replaced(r"^/api/(.*)", "/api/x/y", "/$1"), "/x/y");
    assert_eq!(replaced(r"(.*)", "/foo", "/bar$1"), "/bar/foo");
    assert_eq!(replaced(r"(a)(b)", "ab", "${2}1$1x$$"), "b1$");
    assert_eq!(replaced(r"(?P<n>a)", "aa", "<${n}>"), "<a><a>");
}

#[test]
fn literals_that_every_match_contains() {
    let literals = |text: &str| {
        let literals = regexp(text).required_literals();
        literals
            .iter()
            .map(|literal| String::from_utf8_lossy(literal).into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        literals(r"^t17-.+\.usegalaxy\.eu$"),
        ["t17-", ".usegalaxy.eu"]
    );
    assert_eq!(literals(r"(?i)^abc"), ["abc"]);
    assert_eq!(literals(r"^(a|b)xy(zz)?q+$"), ["xy"]);
    assert_eq!(literals(r"^.+$"), Vec::<String>::new());
    assert_eq!(literals(r"(ab)+"), ["ab"]);
}

#[test]
fn a_program_takes_as_much_memory_as_it_may_and_no_more() {
    let text = |letters: usize| "a".repeat(letters);
    let taken = |letters: usize| Regexp::new(&text(letters)).is_ok();
    let most = (0..REGEXP_BYTES_MAX).collect::<Vec<_>>();
    let most = most.partition_point(|letters| taken(*letters)) - 1;
    let needs = |letters: usize, bytes: usize| compile(&text(letters), bytes).is_err();
    assert!(!needs(most, REGEXP_BYTES_MAX) && needs(most + 1, REGEXP_BYTES_MAX));
    assert!(needs(most, REGEXP_BYTES_MAX / 2), "it is about the limit");
    let error = Regexp::new(&text(most + 1)).expect_err("too large");
    assert!(error.found.contains("1048576 bytes"), "{error:?}");
}
