//! Rule text: no text panics, errors point into the text, and what parses can be asked about any request.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use weir::http::{Name, RequestHead};
use weir::rule::{ConnectionView, HttpRule, RequestView, RuleError, TcpRule};

fuzz_target!(|text: &str| {
    let (rule, rest) = text.split_once('\n').unwrap_or((text, ""));
    let (host, rest) = rest.split_once('\n').unwrap_or((rest, "/"));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let clients = [
        [10, 0, 0, 1].into(),
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(),
    ];
    let mut head = RequestHead::default();
    head.set_authority(host);
    head.set_target(path, Some(query));
    head.headers
        .append(Name::literal("X-A"), query.as_bytes());
    check(
        rule,
        HttpRule::parse(rule),
        |parsed, client| {
            let request = RequestView::of(&head, client);
            parsed.holds(|matcher| matcher.matches(&request))
        },
        clients,
    );
    check(
        rule,
        TcpRule::parse(rule),
        |parsed, client| {
            let connection = ConnectionView::plain(client);
            parsed.holds(|matcher| matcher.matches(&connection))
        },
        clients,
    );
});

fn check<R>(
    text: &str,
    parsed: Result<R, RuleError>,
    holds: impl Fn(&R, IpAddr) -> bool,
    clients: [IpAddr; 2],
) {
    match parsed {
        Ok(rule) => clients.into_iter().for_each(|client| {
            holds(&rule, client);
        }),
        Err(error) => assert!(text.is_char_boundary(error.offset), "{error:?}"),
    }
}
