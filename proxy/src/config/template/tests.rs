//! Templates: Go's language and sprig's functions by table, places, and that nothing goes on without end.

use std::path::Path;

use super::*;

fn file() -> Arc<Source> {
    Source::file(Path::new("t.yml"))
}

fn expanded(text: &str) -> Result<String, String> {
    expand(&file(), text)
        .map(|expanded| expanded.text)
        .map_err(|problem| problem.to_string())
}

#[test]
fn the_language() {
    for (text, expected) in [
        (
            "{{define \"a\"}}<{{.}}>{{end}}x{{template \"a\" \"y\"}}",
            "x<y>",
        ),
        ("{{block \"b\" 1}}{{.}}{{end}}", "1"),
        ("{{if eq 1 2}}a{{else if lt 1 2}}b{{else}}c{{end}}", "b"),
        (
            "{{range $i, $e := until 3}}{{$i}}{{$e}},{{end}}",
            "00,11,22,",
        ),
        ("{{range list}}x{{else}}none{{end}}", "none"),
        (
            "{{with \"w\"}}{{.}}{{end}}{{$x := 1}}{{$x = add $x 2}}{{$x}}",
            "w3",
        ),
        ("a {{- /* c */ -}} b", "ab"),
        ("{{\"a\" | upper | printf \"%s-%s\" \"x\" | len}}", "3"),
        ("{{if .}}yes{{else}}no{{end}}", "no"),
        (
            "{{index (list 7 8) 1}}{{len \"abc\"}}{{not true}}{{and 1 0}}{{or 0 2}}{{print 1 2 \"a\"}}",
            "83false021 2a",
        ),
        ("{{`{{`}}", "{{"),
        ("{{define \"only\"}}x{{end}}\n", ""),
    ] {
        assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn the_functions() {
    for (call, expected) in [
        ("env \"WEIR_TEST_UNSET\"", ""),
        ("expandenv \"a$WEIR_TEST_UNSET${WEIR_TEST_UNSET}b\"", "ab"),
        ("until 3", "[0 1 2]"),
        ("untilStep 5 0 -2", "[5 3 1]"),
        ("dict \"a\" 1 \"b\" 2", "map[a:1 b:2]"),
        ("get (dict \"a\" 1) \"a\"", "1"),
        ("default \"d\" \"\"", "d"),
        ("default \"d\" \"v\"", "v"),
        ("quote \"a\" 1", "\"a\" \"1\""),
        ("squote \"a\"", "'a'"),
        ("indent 2 \"a\\nb\"", "  a\n  b"),
        ("nindent 1 \"a\"", "\n a"),
        ("b64enc \"ab\" | b64dec", "ab"),
        (
            "sha256sum \"\"",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        ("splitList \",\" \"a,b\" | join \"-\"", "a-b"),
        ("split \"a,b\" \",\" | last", "b"),
        ("hasPrefix \"a\" \"ab\"", "true"),
        ("contains \"b\" \"abc\"", "true"),
        ("ternary 1 2 false", "2"),
        (
            "toJson (dict \"a\" (list 1 \"b\" true))",
            "{\"a\":[1,\"b\",true]}",
        ),
        ("normalize \"a.b_c d--é\"", "a-b-c-d-é"),
        ("trimSuffix \".x\" \"a.x\"", "a"),
        ("trimAll \"-\" \"--a--\"", "a"),
        ("replace \".\" \"-\" \"a.b\"", "a-b"),
        ("title \"ab cd\"", "Ab Cd"),
        ("substr 1 3 \"abcd\"", "bc"),
        ("trunc -2 \"abcd\"", "cd"),
        ("repeat 3 \"ab\"", "ababab"),
        ("regexMatch \"^a+$\" \"aaa\"", "true"),
        ("uniq (list 1 1 2) | reverse | sortAlpha | rest", "[2]"),
        ("coalesce \"\" 0 \"x\"", "x"),
        ("max 1 3 2 | add 1 | mul 2 | sub 10", "2"),
        (
            "printf \"%q %v %5s|\" \"a\" true \"b\"",
            "\"a\" true     b|",
        ),
    ] {
        assert_eq!(
            expanded(&format!("{{{{{call}}}}}")).as_deref(),
            Ok(expected),
            "{call}"
        );
    }
}

#[test]
fn mistakes_are_named_at_their_place() {
    for (text, expected) in [
        (
            "a\n  {{ zzz 1 }}",
            "t.yml:2:6: found the function \"zzz\"; use one of Go's",
        ),
        (
            "{{if false}}{{ uper \"a\" }}{{end}}",
            "t.yml:1:16: found the function \"uper\"; did you mean upper?",
        ),
        ("a\n{{ if }}", "t.yml:2:"),
        ("a\n{{ fail \"no\" }}", "t.yml:2:"),
        ("x\n\n {{template \"none\"}}", "t.yml:3:"),
        (
            "a\n{{ end }}b",
            "t.yml:2:1: found an end of no block; remove it",
        ),
        (
            "{{if true}}{{end}}\n{{- else}}",
            "t.yml:2:1: found an else of no block",
        ),
        (
            "x{{define \"a\"}}{{/* {{end}} */}}{{\"{{end}}\"}}",
            "t.yml:1:2: found a block without its end; add {{end}}",
        ),
        ("{{ $x }}", "t.yml:1:"),
        ("{{", "t.yml:1:"),
        ("a\0{{.}}", "t.yml:1:2: found a NUL character; remove it"),
    ] {
        let said = expanded(text).expect_err(text);
        assert!(
            said.starts_with(expected) && !said.contains('\n'),
            "{text}: {said}"
        );
    }
}

#[test]
fn nothing_goes_on_without_end() {
    for text in [
        "{{range until 1000000000}}x{{end}}",
        "{{range 1000000000}}x{{end}}",
        "{{range $i := until 2000}}{{range until 2000}}{{end}}{{end}}",
        "{{define \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}",
        "{{$x := \"aa\"}}{{range until 60}}{{$x = print $x $x}}{{end}}",
        "{{$x := list 1 2}}{{range until 60}}{{$x = concat $x $x}}{{end}}",
        "{{repeat 1000000000 \"x\"}}",
        "{{printf \"%1000000000d\" 1}}",
        "{{printf \"%*d\" 1000000000 1}}",
        "{{indent 1000000000 \"x\"}}",
        "{{$x := repeat 1000000 \"x\"}}{{range until 100}}{{$x}}{{end}}",
        "{{$x := list 1}}{{range until 60}}{{$x = list $x $x}}{{end}}{{$x}}",
    ] {
        let said = expanded(text).unwrap_err();
        assert!(said.starts_with("t.yml:1:"), "{text}: {said}");
    }
    // Thirty templates that call the next one twice each: 2^30 calls without a word of output.
    let mut text = String::new();
    for level in 0..30 {
        let next = level + 1;
        text += &format!(
            "{{{{define \"a{level}\"}}}}{{{{template \"a{next}\"}}}}{{{{template \"a{next}\"}}}}{{{{end}}}}"
        );
    }
    text += "{{define \"a30\"}}{{end}}{{template \"a0\"}}";
    assert!(expanded(&text).unwrap_err().contains("too many steps"));
}

#[test]
fn every_line_knows_the_templates_line() {
    let text = "{{define \"s\"}}\n  {{.}}:\n    x: 1\n{{end}}\nhttp:\n{{template \"s\" \"a\"}}\n{{template \"s\" \"b\"}}\nend\n";
    let expanded = expand(&file(), text).unwrap();
    let lines: Vec<&str> = expanded.text.lines().collect();
    let line_of = |wanted: &str| {
        let line = lines.iter().position(|line| line.trim() == wanted).unwrap() + 1;
        let mut origin = Origin::at(&file(), line, 1);
        expanded.trace(&mut origin);
        origin.to_string()
    };
    assert_eq!(line_of("http:"), "t.yml:2:1 (template line 5)");
    assert!(
        line_of("a:").ends_with("(template line 2)"),
        "{}",
        line_of("a:")
    );
    assert!(line_of("b:").ends_with("(template line 2)"));
    assert!(line_of("x: 1").ends_with("(template line 3)"));
    assert!(line_of("end").ends_with("(template line 8)"));
}

#[test]
fn a_template_does_as_much_as_it_may_and_no_more() {
    let mut writer = Writer::new("");
    let took = (0..=TEMPLATE_STEPS_MAX).find(|_| writer.mark("v0").is_err());
    assert_eq!(took, Some(TEMPLATE_STEPS_MAX));
    let repeated = |bytes: usize| expanded(&format!("{{{{repeat {bytes} \"x\"}}}}"));
    let most = TEMPLATE_OUTPUT_BYTES_MAX;
    assert_eq!(repeated(most).map(|text| text.len()), Ok(most));
    assert!(repeated(most + 1).unwrap_err().contains("a longer output"));
    let rounds = |rounds: u64| expanded(&format!("{{{{range {rounds}}}}}{{{{end}}}}"));
    assert_eq!(rounds(TEMPLATE_ROUNDS_MAX), Ok(String::new()));
    let more = rounds(TEMPLATE_ROUNDS_MAX + 1).unwrap_err();
    assert!(more.contains("more rounds of range"), "{more}");
}
