//! Servers by table: what their text means.

use super::*;
use crate::config::node::{Node, Scalar, Value};
use crate::service::Scheme;

fn server(
    text: &str,
    decode: fn(&mut Walker, &Place<'_>, u32, bool) -> Option<ServerDraft>,
) -> (Option<ServerDraft>, Vec<String>) {
    let origin = Origin::at(&Source::file(Path::new("a.yml")), 1, 1);
    let value = Value::Scalar(Scalar {
        text: text.to_owned(),
        inset: Some(0),
    });
    let node = Node { origin, value };
    let mut walker = Walker::default();
    let draft = decode(&mut walker, &Place::root(&node), 1, false);
    (
        draft,
        walker
            .into_problems()
            .into_iter()
            .map(|(problem, _)| problem.to_string())
            .collect(),
    )
}

#[test]
fn urls_of_servers() {
    let address = |text: &str| Host::Address(text.parse().unwrap());
    let name = |text: &str| Host::Name(text.to_owned());
    for (url, host, port, authority) in [
        ("http://192.0.2.1", address("192.0.2.1"), 80, "192.0.2.1"),
        (
            "HTTP://App.Example:8080/",
            name("app.example"),
            8080,
            "app.example:8080",
        ),
        (
            "http://[2001:db8::1]:81/",
            address("2001:db8::1"),
            81,
            "[2001:db8::1]:81",
        ),
        (
            "http://[::ffff:192.0.2.1]",
            address("192.0.2.1"),
            80,
            "[::ffff:192.0.2.1]",
        ),
        ("http://app_1", name("app_1"), 80, "app_1"),
        ("http://7.example", name("7.example"), 80, "7.example"),
    ] {
        let (draft, problems) = server(url, server::http);
        let draft = draft.unwrap_or_else(|| panic!("{url}: {problems:?}"));
        assert_eq!(
            (draft.host, draft.port, &*draft.authority),
            (host, port, authority),
            "{url}"
        );
        assert_eq!((&*draft.name, draft.scheme), (url, Scheme::Http));
        assert_eq!(problems, Vec::<String>::new());
    }
    for url in [
        "",
        "app",
        "http://",
        "http://a:0",
        "http://a:70000",
        "http://user@a",
        "http://a b",
        "http://[::1",
        "http://1.2.3.4.5",
        "http://1.2.3.400",
        "ftp://a",
        "http://[1.2.3.4]",
        "http://::1",
    ] {
        let (draft, problems) = server(url, server::http);
        assert!(draft.is_none() && problems.len() == 1, "{url}: {draft:?}");
    }
    let (draft, problems) = server("http://a/below", server::http);
    assert!(
        draft.is_some() && problems[0].contains("is not used without preservePath"),
        "{problems:?}"
    );
}

#[test]
fn addresses_of_tcp_servers() {
    for (text, port) in [
        ("ftp.example:21", 21),
        ("192.0.2.1:443", 443),
        ("[2001:db8::1]:443", 443),
    ] {
        let (draft, problems) = server(text, server::tcp);
        assert_eq!(
            draft.map(|draft| (draft.port, draft.scheme)),
            Some((port, Scheme::Tcp)),
            "{text}: {problems:?}"
        );
    }
    for text in [
        "ftp.example",
        "192.0.2.1",
        "[::1]",
        ":21",
        "tcp://a:21",
        "a:ftp",
        "::1:21",
    ] {
        assert!(server(text, server::tcp).0.is_none(), "{text}");
    }
}
