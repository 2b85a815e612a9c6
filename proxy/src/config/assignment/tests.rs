//! Flags and variables to trees, and trees over one another.

use super::*;

fn shown(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Scalar(scalar) => scalar.text.clone(),
        Value::List(items) => {
            format!(
                "[{}]",
                items.iter().map(shown).collect::<Vec<_>>().join(",")
            )
        }
        Value::Map(entries) => {
            let entry = |entry: &Entry| format!("{}:{}", entry.key, shown(&entry.node));
            format!(
                "{{{}}}",
                entries.iter().map(entry).collect::<Vec<_>>().join(",")
            )
        }
    }
}

fn of_flags(arguments: &[&str]) -> Result<String, Vec<String>> {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    match flags(&arguments) {
        Ok(node) => Ok(shown(&node)),
        Err(problems) => Err(problems.iter().map(Problem::to_string).collect()),
    }
}

#[test]
fn flags_become_a_tree() {
    for (arguments, expected) in [
        (&[][..], "null"),
        (
            &[
                "--entryPoints.web.address=:80",
                "--entrypoints.WEB.asDefault",
            ],
            "{entryPoints:{web:{address::80,asDefault:true}}}",
        ),
        (&["--ping", "--ping.entryPoint=x"], "{ping:{entryPoint:x}}"),
        (
            &["--ping.entryPoint=x", "--ping=true"],
            "{ping:{entryPoint:x}}",
        ),
        (&["--a.b=1,2", "--A.B=3"], "{a:{b:[1,2,3]}}"),
        (
            &["--d[0].main=x", "--d[0].sans=y,z", "--d[1].main=w"],
            "{d:[{main:x,sans:y,z},{main:w}]}",
        ),
        (&["--d[1].main=w"], "{d:[null,{main:w}]}"),
        (&["--a=b=c"], "{a:b=c}"),
    ] {
        assert_eq!(
            of_flags(arguments).as_deref(),
            Ok(expected),
            "{arguments:?}"
        );
    }
}

#[test]
fn bad_flags_are_named_all_at_once() {
    let problems = of_flags(&[
        "--a..b=1",
        "--a[x]=1",
        "--a[99999999]=1",
        "--c=1",
        "--c.d=2",
        "--e.f=1",
        "--e=2",
    ]);
    let problems = problems.unwrap_err();
    assert_eq!(problems.len(), 5, "{problems:#?}");
    assert!(
        problems[0].starts_with("--a..b=1: found no key in"),
        "{problems:#?}"
    );
    assert!(
        problems[3].ends_with("remove this or --c=1"),
        "{problems:#?}"
    );
}

#[test]
fn variables_become_a_tree_and_weirs_count_more() {
    let all = [
        ("PATH", "/bin"),
        ("TRAEFIK_ENTRYPOINTS_WEB_ADDRESS", ":80"),
        ("TRAEFIK_SERVICE_HOST", "10.0.0.1"),
        ("WEIR_ENTRYPOINTS_WEB_ADDRESS", ":8080"),
        ("WEIR_ENTRYPOINTS_WEB_HTTP_TLS_DOMAINS_0_MAIN", "a.example"),
    ];
    let all = all.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let node = variables(&all, &["entryPoints"]).unwrap();
    let expected = "{entrypoints:{web:{address::8080,http:{tls:{domains:[{main:a.example}]}}}}}";
    assert_eq!(shown(&node), expected);
    let Value::Map(entries) = &node.value else {
        panic!()
    };
    let Value::Map(web) = &entries[0].node.value else {
        panic!()
    };
    let Value::Map(keys) = &web[0].node.value else {
        panic!()
    };
    assert_eq!(
        keys[0].node.origin.to_string(),
        "WEIR_ENTRYPOINTS_WEB_ADDRESS"
    );
}

#[test]
fn an_upper_tree_wins_key_by_key() {
    let tree = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        flags(&arguments).unwrap()
    };
    for (lower, upper, expected) in [
        (
            &["--a.b=1", "--a.c=2"][..],
            &["--A.B=3"][..],
            "{a:{b:3,c:2}}",
        ),
        (&["--a.b=1"], &["--a"], "{a:{b:1}}"),
        (&["--a"], &["--a.b=1"], "{a:{b:1}}"),
        (&["--a.b=1"], &["--a=false"], "{a:false}"),
        (&["--a[0]=1", "--a[1]=2"], &["--a[0]=3"], "{a:[3]}"),
        (&["--a=1"], &[], "{a:1}"),
        (&[], &["--a=1"], "{a:1}"),
    ] {
        assert_eq!(shown(&over(tree(lower), tree(upper))), expected);
    }
}

#[test]
fn limits_hold_exactly() {
    let many = |count: usize| {
        let arguments: Vec<String> = (0..count).map(|at| format!("--a.k{at}=1")).collect();
        flags(&arguments)
            .map(drop)
            .map_err(|problems| problems.len())
    };
    assert_eq!(many(ASSIGNMENTS_MAX), Ok(()));
    assert_eq!(many(ASSIGNMENTS_MAX + 1), Err(1));
    let last = ASSIGNMENT_INDEX_MAX - 1;
    assert!(of_flags(&[&format!("--a[{last}]=1")]).is_ok());
    assert!(of_flags(&[&format!("--a[{}]=1", last + 1)]).is_err());
}
