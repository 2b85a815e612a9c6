//! The tree, its origins, and what is refused.

use super::*;

fn file() -> Arc<Source> {
    Source::file(std::path::Path::new("rules.yml"))
}

/// The tree on one line, each scalar and key with `line:column`.
fn show(text: &str) -> String {
    fn node(tree: &Node) -> String {
        let place = format!("{}:{}", tree.origin.line, tree.origin.column);
        match &tree.value {
            Value::Null => "null".to_owned(),
            Value::Scalar(scalar) => format!("{}@{place}", scalar.text),
            Value::List(items) => format!(
                "[{}]",
                items.iter().map(node).collect::<Vec<_>>().join(", ")
            ),
            Value::Map(entries) => {
                let entry = |entry: &Entry| {
                    let key = format!(
                        "{}@{}:{}",
                        entry.key, entry.origin.line, entry.origin.column
                    );
                    format!("{key}: {}", node(&entry.node))
                };
                format!(
                    "{{{}}}",
                    entries.iter().map(entry).collect::<Vec<_>>().join(", ")
                )
            }
        }
    }
    match read(&file(), text) {
        Ok(tree) => node(&tree),
        Err(problem) => problem.to_string(),
    }
}

#[test]
fn every_node_knows_its_place() {
    let cases = [
        ("", "null"),
        ("# nothing\n", "null"),
        ("a:\n  - b\n  - 'c d'\n", "{a@1:1: [b@2:5, c d@3:5]}"),
        (
            "a: {b: 443, c: [true]}",
            "{a@1:1: {b@1:5: 443@1:8, c@1:13: [true@1:17]}}",
        ),
        (
            "a:\nb: ~\nc: 'null'\n",
            "{a@1:1: null, b@2:1: null, c@3:1: null@3:4}",
        ),
        ("\u{feff}a: b\r\nc: d\r\n", "{a@1:1: b@1:4, c@2:1: d@2:4}"),
        ("a: &x [b]\nc: *x\n", "{a@1:1: [b@1:8], c@2:1: [b@1:8]}"),
        (
            "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}",
            "{a@1:1: {b@1:8: 1@1:11, c@1:14: 2@1:17}, d@2:1: {c@2:13: 3@2:16, b@1:8: 1@1:11}}",
        ),
        ("a: \"Host(`^.+\\\\.b`)\"", "{a@1:1: Host(`^.+\\.b`)@1:4}"),
        ("a: Host(`^.+\\\\.b`)", "{a@1:1: Host(`^.+\\\\.b`)@1:4}"),
        ("a: !!str 5", "{a@1:1: 5@1:4}"),
    ];
    for (text, expected) in cases {
        assert_eq!(show(text), expected, "{text:?}");
    }
}

#[test]
fn what_is_refused_names_its_place() {
    let cases = [
        (
            "a: 1\na: 2\n",
            "rules.yml:2:1: found the key \"a\" again; remove one of the two",
        ),
        (
            "---\na: 1\n---\nb: 2\n",
            "rules.yml:3:1: found a second document; allowed one for each file; put it into a file of its own",
        ),
        (
            "? [a]\n: b\n",
            "rules.yml:1:3: found a list of 1 as a key; allowed text",
        ),
        (
            "a: !secret b",
            "rules.yml:1:4: found the tag \"!secret\"; remove the tag",
        ),
        (
            "a: {<<: b}",
            "rules.yml:1:9: found \"b\"; allowed a mapping, or a list of mappings, after <<",
        ),
        (
            "a: &x [*x]",
            "rules.yml:1:8: found an alias of what contains it; write the content out",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(show(text), expected, "{text:?}");
    }
    for text in [
        "a: [",
        "a: *b",
        "a:\n\t- b",
        "a: 'b",
        "a: b: c",
        "%",
        "a: \0",
    ] {
        let message = show(text);
        assert!(
            message.starts_with("rules.yml:") && message.contains("no YAML"),
            "{text:?}: {message}"
        );
    }
}

#[test]
fn depth_aliases_and_size_are_bounded() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&file(), &deep(DOCUMENT_DEPTH_MAX)).is_ok());
    assert!(show(&deep(DOCUMENT_DEPTH_MAX + 1)).contains("a deeper nesting"));
    assert!(read(&file(), &deep(100_000)).is_err());
    let chained = |links: usize| {
        (1..links).fold("- &a0 [[x]]\n".to_owned(), |text, link| {
            text + &format!("- &a{link} [*a{}]\n", link - 1)
        })
    };
    assert!(read(&file(), &chained(DOCUMENT_DEPTH_MAX - 2)).is_ok());
    let refused = format!("rules.yml:{}:", DOCUMENT_DEPTH_MAX - 1);
    for links in [DOCUMENT_DEPTH_MAX - 1, 20_000] {
        let message = show(&chained(links));
        assert!(
            message.starts_with(&refused) && message.contains("a deeper nesting"),
            "{message}"
        );
    }
    let laughs = (1..12).fold(
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(),
        |text, level| {
            let last = level - 1;
            text + &format!(
                "a{level}: &a{level} [{}]\n",
                vec![format!("*a{last}"); 10].join(", ")
            )
        },
    );
    assert!(show(&laughs).contains("aliases resolved"));
    assert!(show(&" ".repeat(DOCUMENT_BYTES_MAX + 1)).contains("split the file"));
}

#[test]
fn a_place_inside_a_scalar_is_found_where_it_is_written_as_it_is() {
    for (text, column) in [
        ("a: 'bcd'", 7),
        ("a: bcd", 6),
        ("a: \"bcd\"", 7),
        ("a: \"\\x62cd\"", 4),
        ("a: |\n  bcd\n", 3),
    ] {
        let tree = read(&file(), text).unwrap();
        let Value::Map(entries) = tree.value else {
            panic!("{text}")
        };
        let Value::Scalar(scalar) = &entries[0].node.value else {
            panic!("{text}")
        };
        let place = scalar.place(&entries[0].node.origin, 2);
        assert_eq!(place.column, column, "{text}");
    }
}

#[test]
fn a_file_is_as_large_as_it_may_be_and_no_larger() {
    let comment = |bytes: usize| format!("#{}", " ".repeat(bytes - 1));
    assert!(read(&file(), &comment(DOCUMENT_BYTES_MAX)).is_ok());
    assert!(show(&comment(DOCUMENT_BYTES_MAX + 1)).contains("split the file"));
    // The list, one of 998 items with the copy that is kept of it, that again and again, and the rest.
    let nodes = |rest: usize| {
        let items = ["x"; 998].join(", ");
        let again = "*a, ".repeat(998);
        format!("[&a [{items}], {again}{}]", vec!["x"; rest].join(", "))
    };
    let rest = DOCUMENT_NODES_MAX - 1 - 1_000 * 999;
    assert!(read(&file(), &nodes(rest)).is_ok());
    assert!(show(&nodes(rest + 1)).contains("aliases resolved"));
}
