//! The head of a request and of a response, after its fields about the connection have become typed facts.

use std::borrow::Cow;
use std::ops::Range;

use super::path::PathPolicy;
use super::{Headers, Method, Status};

/// The HTTP version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no chunked bodies, no 1xx, persistent only if asked for.
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}

impl Version {
    /// As written in a request or status line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

/// A request: method, target, host, end-to-end fields.
///
/// Made to be used again: [`RequestHead::clear`] keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// What is asked for.
    pub method: Method,
    /// The version the client spoke.
    pub version: Version,
    /// End-to-end fields only; `Host` is [`RequestHead::authority`].
    pub headers: Headers,
    /// The protocols that the client asks to change to (RFC 9110 section 7.8), as a list; none that is a kind of HTTP.
    pub upgrade: Option<Box<str>>,
    /// Path, query and authority; ASCII, since the parsers let nothing else in.
    text: String,
    path: Range<u32>,
    query: Option<Range<u32>>,
    authority: Range<u32>,
}

impl RequestHead {
    /// The path, percent-encoding kept, as the client wrote it until [`RequestHead::sanitize_target`]: begins with `/`,
    /// or is `*` (OPTIONS only).
    pub fn path(&self) -> &str {
        self.part(&self.path)
    }

    /// What follows the first `?`, without it. `Some("")` for a target that ends in `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_ref().map(|query| self.part(query))
    }

    /// Host and port as the client wrote them, for the `Host` field of the request to a server. Empty only for an
    /// HTTP/1.0 request that named none.
    pub fn authority(&self) -> &str {
        self.part(&self.authority)
    }

    /// Sets path and query. The caller passes what is a valid path: ASCII without space, control character or `#`.
    pub fn set_target(&mut self, path: &str, query: Option<&str>) {
        self.path = self.store(path);
        self.query = query.map(|query| self.store(query));
    }

    /// Cleans the path, so that rules and servers understand the same by it; see [`PathPolicy::clean`].
    pub fn sanitize_target(&mut self, policy: &PathPolicy) {
        if let Cow::Owned(clean) = policy.clean(self.path()) {
            self.path = self.store(&clean);
        }
    }

    /// Leaves no `;` in the query, which some servers take for `&` and others do not: it becomes `%3B` if `encode`,
    /// else `&`, as in Traefik.
    pub fn rewrite_semicolons(&mut self, encode: bool) {
        if let Some(query) = self.query().filter(|query| query.contains(';')) {
            let rewritten = query.replace(';', if encode { "%3B" } else { "&" });
            self.query = Some(self.store(&rewritten));
        }
    }

    /// Sets the authority.
    pub fn set_authority(&mut self, authority: &str) {
        self.authority = self.store(authority);
    }

    /// Forgets the message, keeps the memory.
    pub fn clear(&mut self) {
        self.method = Method::Get;
        self.version = Version::Http11;
        self.headers.clear();
        self.upgrade = None;
        self.text.clear();
        (self.path, self.query, self.authority) = (0..0, None, 0..0);
    }

    fn part(&self, range: &Range<u32>) -> &str {
        &self.text[range.start as usize..range.end as usize]
    }

    fn store(&mut self, part: &str) -> Range<u32> {
        let start = self.text.len() as u32;
        self.text.push_str(part);
        start..self.text.len() as u32
    }
}

/// The response to a request, or an interim one before it.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The status; its reason phrase is not kept, the standard one is written instead.
    pub status: Status,
    /// The version the server spoke.
    pub version: Version,
    /// End-to-end fields only.
    pub headers: Headers,
    /// Of a 101: the protocols that follow (RFC 9110 section 7.8), as a list.
    pub upgrade: Option<Box<str>>,
}

impl ResponseHead {
    /// Forgets the message, keeps the memory.
    pub fn clear(&mut self) {
        self.status = Status::OK;
        self.version = Version::Http11;
        self.headers.clear();
        self.upgrade = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cleaned_target_keeps_its_query() {
        let mut head = RequestHead::default();
        head.set_target("/x/../a", Some("b=/../c"));
        head.sanitize_target(&PathPolicy::default());
        assert_eq!((head.path(), head.query()), ("/a", Some("b=/../c")));
    }

    #[test]
    fn no_semicolon_stays_in_a_query() {
        for (encode, expected) in [(false, "a=1&b=2&"), (true, "a=1%3Bb=2%3B")] {
            let mut head = RequestHead::default();
            head.set_target("/;", Some("a=1;b=2;"));
            head.rewrite_semicolons(encode);
            assert_eq!((head.path(), head.query()), ("/;", Some(expected)));
        }
    }

    #[test]
    fn a_rewritten_target_replaces_path_and_query() {
        let mut head = RequestHead::default();
        head.set_target("/a", Some("b=c"));
        head.set_target("/longer/than/before", None);
        assert_eq!((head.path(), head.query()), ("/longer/than/before", None));
        head.clear();
        assert_eq!(
            (head.path(), head.query(), head.authority()),
            ("", None, "")
        );
    }
}
