//! `redirectRegex`: to what a regular expression makes of the whole URL, where it matches.

use std::ops::ControlFlow;

use super::redirect_scheme::{redirect, uri};
use super::settings::{regexp, required};
use super::{Answer, Behaviour, Request, Settings};
use crate::rule::Regexp;

/// Its settings.
#[derive(Debug)]
pub struct RedirectRegex {
    regex: Regexp,
    replacement: Box<str>,
    permanent: bool,
}

impl Behaviour for RedirectRegex {
    const KEYS: &'static [&'static str] = &["regex", "replacement", "permanent"];

    fn read(settings: &mut dyn Settings) -> Option<Self> {
        let regex = required(
            settings,
            "regex",
            "a regular expression such as ^https?://www\\.(.*)",
        )?;
        let replacement = required(settings, "replacement", "a URL such as https://${1}")?;
        Some(Self {
            regex: regexp(settings, "regex", &regex)?,
            replacement: replacement.into(),
            permanent: settings.flag("permanent"),
        })
    }

    fn request(&self, request: &mut Request<'_>) -> ControlFlow<Answer> {
        let scheme = if request.tls { "https" } else { "http" };
        let old = format!("{scheme}://{}{}", request.head.authority(), uri(request));
        if !self.regex.is_match(old.as_bytes()) {
            return ControlFlow::Continue(());
        }
        let new = self.regex.replace_all(old.as_bytes(), &self.replacement);
        let new = String::from_utf8_lossy(&new);
        if new == old {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(redirect(&new, &request.head.method, self.permanent))
    }
}

#[cfg(test)]
mod tests {
    use crate::middleware::tests::{Sent, answered};

    #[test]
    fn the_whole_url_is_rewritten() {
        let settings = [
            ("regex", "^https://www\\.(.*)"),
            ("replacement", "https://${1}"),
            ("permanent", "true"),
        ];
        let www = Sent {
            tls: true,
            host: "www.a.example:8443",
            ..Sent::get("/x?y=1")
        };
        let answer = answered("redirectRegex", &settings, &www);
        assert_eq!(answer.as_deref(), Some("301 https://a.example:8443/x?y=1"));
        assert_eq!(
            answered("redirectRegex", &settings, &Sent { tls: false, ..www }),
            None
        );
    }

    #[test]
    fn a_location_cannot_break_the_head() {
        let settings = [("regex", ".*"), ("replacement", "http://b/ü x\r\nA: b")];
        let answer = answered("redirectRegex", &settings, &Sent::get("/"));
        assert_eq!(
            answer.as_deref(),
            Some("302 http://b/%C3%BC%20x%0D%0AA:%20b")
        );
    }
}
