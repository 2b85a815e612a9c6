//! `stripPrefixRegex`: what the first regular expression matches at the beginning of the path is taken off.

use std::ops::ControlFlow;

use super::settings::regexp;
use super::strip_prefix::strip;
use super::{Answer, Behaviour, Request, Settings, path};
use crate::rule::Regexp;

/// Its settings.
#[derive(Debug)]
pub struct StripPrefixRegex {
    regex: Vec<Regexp>,
}

impl Behaviour for StripPrefixRegex {
    const KEYS: &'static [&'static str] = &["regex"];

    fn read(settings: &mut dyn Settings) -> Option<Self> {
        let written = settings.texts("regex");
        if written.is_empty() {
            settings.wrong(
                "regex",
                "a list of at least one regular expression such as ^/v[0-9]+",
            );
            return None;
        }
        let compiled = written.iter().map(|text| regexp(settings, "regex", text));
        Some(Self {
            regex: compiled.collect::<Option<_>>()?,
        })
    }

    fn request(&self, request: &mut Request<'_>) -> ControlFlow<Answer> {
        let old = request.head.path().to_owned();
        let plain = path::decoded(&old);
        for regex in &self.regex {
            let Some(found) = regex.find(&plain).filter(|found| !found.is_empty()) else {
                continue;
            };
            // The leftmost match may be of a text that the path also begins with.
            let prefix = &plain[found];
            if let Some(length) = path::encoded_prefix(&old, prefix) {
                return strip(request, prefix, &old[length..]);
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use crate::middleware::tests::{complaints, path_after};

    #[test]
    fn what_matches_at_the_beginning_is_taken_off() {
        let settings = [("regex", "/v[0-9]+,^/x+")];
        for (sent, expected) in [
            ("/v1/a?q", "/a?q"),
            ("/a/v1", "/a/v1"),
            ("/xx", "/"),
            ("/xxy", "/y"),
            ("/none", "/none"),
            ("/v1..", "400"),
        ] {
            assert_eq!(
                path_after("stripPrefixRegex", &settings, sent),
                expected,
                "{sent}"
            );
        }
        assert_eq!(complaints("stripPrefixRegex", &[("regex", "a**")]).len(), 1);
    }
}
