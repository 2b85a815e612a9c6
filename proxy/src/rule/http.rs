//! The matchers of HTTP routers.

use ipnet::IpNet;

use super::arguments::{client_network, is_named, regexp, single, texts};
use super::host::HostPattern;
use super::nearest::meant;
use super::query;
use super::regexp::Regexp;
use super::view::RequestView;
use super::{Call, Matcher, RuleError};
use crate::http::Name;

/// One matcher of an HTTP rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpMatcher {
    /// ``Host(`a.example`)``: the host name, never the port.
    Host(HostPattern),
    /// ``HostRegexp(`^.+\.a\.example$`)``: somewhere in the host name in lower case, without the port.
    HostRegexp(Regexp),
    /// ``Path(`/a`)``: the whole decoded path.
    Path(Box<str>),
    /// ``PathPrefix(`/a`)``: a plain prefix of the decoded path, as in Traefik: `/a` also holds for `/ab`.
    PathPrefix(Box<str>),
    /// ``PathRegexp(`\.png$`)``: somewhere in the decoded path.
    PathRegexp(Regexp),
    /// ``Method(`GET`)``; the rule's text in upper case.
    Method(Box<str>),
    /// ``Header(`X-A`, `v`)``: one field of this name has this value.
    Header(Box<str>, Box<str>),
    /// ``HeaderRegexp(`X-A`, `^v`)``: somewhere in the value of one field of this name.
    HeaderRegexp(Box<str>, Regexp),
    /// ``Query(`k`, `v`)``; ``Query(`k`)`` asks for an empty value.
    Query(Box<str>, Box<str>),
    /// ``QueryRegexp(`k`, `^v`)``.
    QueryRegexp(Box<str>, Regexp),
    /// ``ClientIP(`10.0.0.0/8`)``: the address of the peer, never a header.
    ClientIp(IpNet),
}

impl HttpMatcher {
    /// Whether the request is one this matcher means.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        match self {
            Self::Host(pattern) => pattern.matches(request.host()),
            Self::HostRegexp(regexp) => regexp.is_match(request.host_with_dot().as_bytes()),
            Self::Path(path) => request.path() == &**path,
            Self::PathPrefix(prefix) => request.path().starts_with(&**prefix),
            Self::PathRegexp(regexp) => regexp.is_match(request.path().as_bytes()),
            Self::Method(method) => request.method() == &**method,
            Self::Header(name, value) => {
                request.has_header(name, |found| found == value.as_bytes())
            }
            Self::HeaderRegexp(name, regexp) => {
                request.has_header(name, |found| regexp.is_match(found))
            }
            Self::Query(key, value) => {
                query::has(request.query(), key, |found| found == value.as_bytes())
            }
            Self::QueryRegexp(key, regexp) => {
                query::has(request.query(), key, |found| regexp.is_match(found))
            }
            Self::ClientIp(net) => net.contains(&request.client()),
        }
    }
}

type FromCall = fn(&Call) -> Result<HttpMatcher, RuleError>;

/// The names in Traefik's order, and what makes a matcher of a call by that name.
const MATCHERS: [(&str, FromCall); 11] = [
    ("Host", |call| {
        HostPattern::from_call(call).map(HttpMatcher::Host)
    }),
    ("HostRegexp", host_regexp),
    ("Path", |call| path(call).map(HttpMatcher::Path)),
    ("PathPrefix", |call| path(call).map(HttpMatcher::PathPrefix)),
    ("PathRegexp", |call| {
        regexp(single(call)?).map(HttpMatcher::PathRegexp)
    }),
    ("Method", |call| {
        let method = single(call)?.text.to_ascii_uppercase();
        Ok(HttpMatcher::Method(method.into()))
    }),
    ("Header", |call| {
        let [name, value] = header(call)?;
        Ok(HttpMatcher::Header(
            name.text.as_str().into(),
            value.text.as_str().into(),
        ))
    }),
    ("HeaderRegexp", |call| {
        let [name, value] = header(call)?;
        Ok(HttpMatcher::HeaderRegexp(
            name.text.as_str().into(),
            regexp(value)?,
        ))
    }),
    ("Query", query),
    ("QueryRegexp", |call| match texts(call, 1..=2)? {
        [key, value] => Ok(HttpMatcher::QueryRegexp(
            key.text.as_str().into(),
            regexp(value)?,
        )),
        _ => query(call),
    }),
    ("ClientIP", |call| {
        client_network(call).map(HttpMatcher::ClientIp)
    }),
];

impl Matcher for HttpMatcher {
    fn from_call(call: &Call) -> Result<Self, RuleError> {
        let named = |(name, _): &&(&str, _)| is_named(&call.name, name);
        match MATCHERS.iter().find(named) {
            Some((_, matcher)) => matcher(call),
            None => Err(unknown(call)),
        }
    }
}

/// Matchers of Traefik v2, and what v3 calls them.
const RENAMED: [(&str, &str); 3] = [
    ("Headers", "Header"),
    ("HeadersRegexp", "HeaderRegexp"),
    ("HostHeader", "Host"),
];

fn unknown(call: &Call) -> RuleError {
    let names = MATCHERS.map(|(name, _)| name);
    let error = RuleError::new(
        call.offset,
        format!("matcher {}", call.name),
        names.join(", "),
    );
    if let Some((_, name)) = RENAMED.iter().find(|(old, _)| is_named(&call.name, old)) {
        return error.remedy(format!("that is Traefik v2; v3 calls it {name}"));
    }
    if let Some(name) = names
        .iter()
        .find(|name| name.eq_ignore_ascii_case(&call.name))
    {
        return error.remedy(format!("write {name}"));
    }
    match call.name.as_str() {
        name if is_named(name, "HostSNI") => error.remedy("HostSNI is for tcp routers; write Host"),
        name if is_named(name, "HostSNIRegexp") => {
            error.remedy("HostSNIRegexp is for tcp routers; write HostRegexp")
        }
        name if is_named(name, "ALPN") => error.remedy("ALPN is for tcp routers"),
        name => meant(error, name, &names),
    }
}

fn host_regexp(call: &Call) -> Result<HttpMatcher, RuleError> {
    let argument = single(call)?;
    if !argument.text.is_ascii() {
        let found = format!("{:?}", argument.text);
        return Err(RuleError::new(argument.offset, found, "ASCII host names")
            .remedy("write the xn-- form of the name"));
    }
    regexp(argument).map(HttpMatcher::HostRegexp)
}

fn path(call: &Call) -> Result<Box<str>, RuleError> {
    let argument = single(call)?;
    if !argument.text.starts_with('/') {
        return Err(RuleError::new(
            argument.offset,
            format!("{:?}", argument.text),
            "a path that starts with /",
        ));
    }
    Ok(argument.text.as_str().into())
}

fn header(call: &Call) -> Result<[&super::syntax::Argument; 2], RuleError> {
    let [name, value] = texts(call, 2..=2)? else {
        unreachable!("two were asked for");
    };
    if Name::parse(&name.text).is_none() {
        let found = format!("{:?}", name.text);
        return Err(RuleError::new(
            name.offset,
            found,
            "the name of a header field",
        ));
    }
    Ok([name, value])
}

/// With one argument the value is to be empty.
fn query(call: &Call) -> Result<HttpMatcher, RuleError> {
    let arguments = texts(call, 1..=2)?;
    let text = |index: usize| arguments.get(index).map_or("", |argument| &argument.text);
    Ok(HttpMatcher::Query(text(0).into(), text(1).into()))
}
