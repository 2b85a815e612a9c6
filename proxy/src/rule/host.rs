//! Host names as rules write them: ``Host(`a.example`)``, ``Host(`*.a.example`)``, ``Host(`*`)``.

use std::fmt;

use super::arguments;
use super::syntax::{Call, RuleError};

/// Which host names a `Host` matcher means. Compared without case, port and trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `*`: every request, also one without a host.
    Any,
    /// This name; lower case.
    Exact(Box<str>),
    /// `*.suffix`: one label before the suffix; lower case, without the `*.`.
    Wildcard(Box<str>),
}

impl HostPattern {
    pub(super) fn from_call(call: &Call) -> Result<Self, RuleError> {
        let argument = arguments::single(call)?;
        let wrong = |allowed: &str, remedy: &str| {
            Err(
                RuleError::new(argument.offset, format!("{:?}", argument.text), allowed)
                    .remedy(remedy),
            )
        };
        let text = argument.text.strip_suffix('.').unwrap_or(&argument.text);
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let text = bare.unwrap_or(text);
        let name = text.strip_prefix("*.").unwrap_or(text);
        if text == "*" {
            return Ok(Self::Any);
        }
        if !name.is_ascii() {
            return wrong("ASCII host names", "write the xn-- form of the name");
        }
        if name.contains('*') {
            return wrong("* alone or as the whole first label", "write *.a.example");
        }
        if name.contains(['{', '}']) {
            return wrong(
                "a host name",
                "placeholders are Traefik v2; write HostRegexp",
            );
        }
        if name.is_empty()
            || name.contains(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | ','))
        {
            return wrong("one host name, without scheme, path or spaces", "");
        }
        let lower = name.to_ascii_lowercase().into_boxed_str();
        Ok(if text.len() == name.len() {
            Self::Exact(lower)
        } else {
            Self::Wildcard(lower)
        })
    }

    /// Whether `host` (any case; no port, no trailing dot, no brackets) is meant.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => host.eq_ignore_ascii_case(name),
            Self::Wildcard(suffix) => host.split_once('.').is_some_and(|(label, rest)| {
                !label.is_empty() && rest.eq_ignore_ascii_case(suffix)
            }),
        }
    }
}

/// As in a rule.
impl fmt::Display for HostPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => out.write_str("*"),
            Self::Exact(name) => out.write_str(name),
            Self::Wildcard(suffix) => write!(out, "*.{suffix}"),
        }
    }
}
