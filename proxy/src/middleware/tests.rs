//! What the tests of all middlewares use: settings from a list, requests and responses as text.

use super::*;
use crate::http::{Method, Name, Status};
use std::ops::RangeInclusive;

/// `key=value` pairs; a list has commas, a table `name=value` between them; `key.below` is below `key`.
struct List<'a> {
    pairs: &'a [(&'static str, &'static str)],
    prefix: String,
    complaints: Vec<String>,
}

impl List<'_> {
    fn find(&self, key: &str) -> Option<&'static str> {
        let key = format!("{}{key}", self.prefix);
        self.pairs
            .iter()
            .find(|(found, _)| *found == key)
            .map(|(_, value)| *value)
    }
}

impl Settings for List<'_> {
    fn has(&self, key: &'static str) -> bool {
        self.find(key).is_some()
    }

    fn text(&mut self, key: &'static str) -> Option<String> {
        self.find(key).map(str::to_owned)
    }

    fn texts(&mut self, key: &'static str) -> Vec<String> {
        let list = self
            .find(key)
            .map(|value| value.split(',').map(str::to_owned));
        list.into_iter().flatten().collect()
    }

    fn flag(&mut self, key: &'static str) -> bool {
        self.find(key) == Some("true")
    }

    fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let number = self.find(key)?.parse().expect("a number");
        range.contains(&number).then_some(number)
    }

    fn table(&mut self, key: &'static str) -> Vec<(String, String)> {
        let pair = |pair: String| {
            let (name, value) = pair.split_once('=').expect("name=value");
            (name.to_owned(), value.to_owned())
        };
        self.texts(key).into_iter().map(pair).collect()
    }

    fn below(
        &mut self,
        key: &'static str,
        _keys: &'static [&'static str],
        read: &mut dyn FnMut(&mut dyn Settings),
    ) {
        let prefix = format!("{key}.");
        if self
            .pairs
            .iter()
            .any(|(found, _)| found.starts_with(&prefix))
        {
            let mut below = List {
                pairs: self.pairs,
                prefix,
                complaints: Vec::new(),
            };
            read(&mut below);
            self.complaints.append(&mut below.complaints);
        }
    }

    fn wrong(&mut self, key: &'static str, allowed: &str) {
        self.complaints.push(format!("{key}: {allowed}"));
    }

    fn idle(&mut self, key: &'static str, remedy: &str) {
        self.complaints.push(format!("{key}: {remedy}"));
    }
}

type Pairs = [(&'static str, &'static str)];

/// A request that is sent.
#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    pub(super) target: &'a str,
    pub(super) fields: &'a [(&'static str, &'a str)],
    pub(super) client: &'a str,
    pub(super) tls: bool,
}

impl<'a> Sent<'a> {
    pub(super) const fn get(target: &'a str) -> Self {
        Self {
            method: "GET",
            host: "a.example",
            target,
            fields: &[],
            client: "192.0.2.7",
            tls: false,
        }
    }

    fn head(&self) -> RequestHead {
        let mut head = RequestHead::default();
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target, None),
        };
        head.method = Method::from_token(self.method);
        head.set_target(path, query);
        head.set_authority(self.host);
        for (name, value) in self.fields {
            head.headers.append(Name::literal(name), value.as_bytes());
        }
        head
    }
}

/// The middleware with these settings.
///
/// # Errors
/// What was complained about.
pub(super) fn read(kind: &str, pairs: &Pairs) -> Result<Middleware, Vec<String>> {
    let kind = KINDS
        .iter()
        .find(|known| known.name == kind)
        .expect("a kind");
    let mut list = List {
        pairs,
        prefix: String::new(),
        complaints: Vec::new(),
    };
    match (kind.read)(&mut list) {
        Some(middleware) => Ok(middleware),
        None if list.complaints.is_empty() => panic!("refused without a complaint"),
        None => Err(list.complaints),
    }
}

/// All that is complained about.
pub(super) fn complaints(kind: &str, pairs: &Pairs) -> Vec<String> {
    let kind = KINDS
        .iter()
        .find(|known| known.name == kind)
        .expect("a kind");
    let mut list = List {
        pairs,
        prefix: String::new(),
        complaints: Vec::new(),
    };
    (kind.read)(&mut list);
    list.complaints
}

fn pass(kind: &str, pairs: &Pairs, sent: &Sent<'_>) -> (RequestHead, Option<Answer>) {
    let middleware = read(kind, pairs).unwrap_or_else(|complaints| panic!("{complaints:?}"));
    let mut head = sent.head();
    let mut request = Request {
        head: &mut head,
        client: sent.client.parse().expect("an address"),
        tls: sent.tls,
    };
    let answer = middleware.request(&mut request).break_value();
    (head, answer)
}

/// The request as it goes on.
pub(super) fn passed(kind: &str, pairs: &Pairs, target: &str) -> (RequestHead, Option<Answer>) {
    pass(kind, pairs, &Sent::get(target))
}

/// The target as it goes on, or the status of the answer.
pub(super) fn path_after(kind: &str, pairs: &Pairs, target: &str) -> String {
    match passed(kind, pairs, target) {
        (_, Some(answer)) => answer.head.status.to_string(),
        (head, None) => match head.query() {
            Some(query) => format!("{}?{query}", head.path()),
            None => head.path().to_owned(),
        },
    }
}

/// The answer: its status with its location, or with all fields but the text's type.
pub(super) fn answered(kind: &str, pairs: &Pairs, sent: &Sent<'_>) -> Option<String> {
    let (_, answer) = pass(kind, pairs, sent);
    let head = answer?.head;
    let mut text = head.status.to_string();
    if let Some(location) = head.headers.get(crate::http::name::LOCATION) {
        text.push(' ');
        text.push_str(&String::from_utf8_lossy(location));
    } else if head.status == Status::OK {
        text.push(' ');
        text.push_str(&fields(&head).join("|"));
    }
    Some(text)
}

/// The fields of a response with these fields, after the middleware.
pub(super) fn responded(kind: &str, pairs: &Pairs, sent: &Pairs) -> Vec<String> {
    responded_to(kind, pairs, &Sent::get("/"), sent)
}

/// The same, for a response to this request.
pub(super) fn responded_to(
    kind: &str,
    pairs: &Pairs,
    sent: &Sent<'_>,
    from: &Pairs,
) -> Vec<String> {
    let middleware = read(kind, pairs).unwrap_or_else(|complaints| panic!("{complaints:?}"));
    response_to(&middleware, sent, from, None).1
}

/// The coding for the body, and the fields after the middleware.
pub(super) fn response_to(
    middleware: &Middleware,
    sent: &Sent<'_>,
    from: &Pairs,
    length: Option<u64>,
) -> (Option<Coding>, Vec<String>) {
    let request = sent.head();
    let mut head = ResponseHead::default();
    for (name, value) in from {
        head.headers.append(Name::literal(name), value.as_bytes());
    }
    let coding = middleware.response(&mut Response {
        request: &request,
        tls: sent.tls,
        head: &mut head,
        length,
        encodable: true,
    });
    (coding, fields(&head))
}

fn fields(head: &ResponseHead) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let each = head.headers.iter();
    each.map(|(name, value)| format!("{}: {}", text(name.as_bytes()), text(value)))
        .collect()
}

#[test]
fn kinds_are_in_order_and_none_is_both_here_and_later() {
    let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
    assert!(names.is_sorted() && LATER.is_sorted());
    assert!(!names.iter().any(|name| LATER.contains(name)));
}
