//! `replacePathRegex`: the path rewritten by a regular expression, where it matches.

use std::ops::ControlFlow;

use super::path::X_REPLACED_PATH;
use super::settings::{regexp, required};
use super::{Answer, Behaviour, Request, Settings, path};
use crate::rule::Regexp;

/// Its settings.
#[derive(Debug)]
pub struct ReplacePathRegex {
    regex: Regexp,
    replacement: Box<str>,
}

impl Behaviour for ReplacePathRegex {
    const KEYS: &'static [&'static str] = &["regex", "replacement"];

    fn read(settings: &mut dyn Settings) -> Option<Self> {
        let regex = required(settings, "regex", "a regular expression such as ^/old/(.*)")?;
        let replacement = settings.text("replacement").unwrap_or_default();
        Some(Self {
            regex: regexp(settings, "regex", &regex)?,
            replacement: replacement.trim().into(),
        })
    }

    fn request(&self, request: &mut Request<'_>) -> ControlFlow<Answer> {
        let old = request.head.path().to_owned();
        if !self.regex.is_match(old.as_bytes()) {
            return ControlFlow::Continue(());
        }
        let new = self.regex.replace_all(old.as_bytes(), &self.replacement);
        let headers = &mut request.head.headers;
        headers.append(X_REPLACED_PATH, old.as_bytes());
        let new = String::from_utf8_lossy(&new);
        path::set(request, &new).map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }
}

#[cfg(test)]
mod tests {
    use crate::middleware::tests::{complaints, passed, path_after};

    #[test]
    fn what_matches_is_rewritten() {
        let settings = [("regex", "^/old/(.*)"), ("replacement", "/new/$1")];
        let after = |sent| path_after("replacePathRegex", &settings, sent);
        assert_eq!(after("/old/x%20y?q=1"), "/new/x%20y?q=1");
        assert_eq!(after("/other"), "/other");
        assert_eq!(after("/old/"), "/new/");
        let (head, _) = passed("replacePathRegex", &settings, "/other");
        assert!(!head.headers.contains(super::X_REPLACED_PATH));
    }

    #[test]
    fn a_rewritten_path_cannot_climb() {
        let settings = [("regex", "^/a(.*)"), ("replacement", "/$1")];
        assert_eq!(path_after("replacePathRegex", &settings, "/a../x"), "400");
        let empty = [("regex", "^/a$"), ("replacement", "")];
        assert_eq!(path_after("replacePathRegex", &empty, "/a"), "/");
        let found = complaints("replacePathRegex", &[("regex", "(?=a)")]);
        assert!(found[0].contains("lookahead"), "{found:?}");
    }
}
