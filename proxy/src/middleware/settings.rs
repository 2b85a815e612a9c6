//! What middlewares read their settings from: the configuration implements it over its tree, tests over a list.

use std::ops::RangeInclusive;

use crate::rule::Regexp;

/// The settings of one middleware, by key. What is there but cannot be taken is complained about where it is written.
pub trait Settings {
    /// Whether the key is there.
    fn has(&self, key: &'static str) -> bool;

    /// A text.
    fn text(&mut self, key: &'static str) -> Option<String>;

    /// A list of texts; empty if it is not there.
    fn texts(&mut self, key: &'static str) -> Vec<String>;

    /// True or false; false if it is not there.
    fn flag(&mut self, key: &'static str) -> bool;

    /// A whole number.
    fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64>;

    /// Names with texts, such as header fields; empty if it is not there.
    fn table(&mut self, key: &'static str) -> Vec<(String, String)>;

    /// The settings below a key, if it is there.
    fn below(
        &mut self,
        key: &'static str,
        keys: &'static [&'static str],
        read: &mut dyn FnMut(&mut dyn Settings),
    );

    /// Complains: something else is at this key (or nothing, where something must be) than what is allowed.
    fn wrong(&mut self, key: &'static str, allowed: &str);

    /// Remarks: what stands there has no effect, and what to write instead.
    fn idle(&mut self, key: &'static str, remedy: &str);
}

/// A text that must be there and not empty.
pub(super) fn required(
    settings: &mut dyn Settings,
    key: &'static str,
    what: &str,
) -> Option<String> {
    let text = settings.text(key);
    let text = text.filter(|text| !text.is_empty());
    if text.is_none() {
        settings.wrong(key, what);
    }
    text
}

/// A regular expression that is written at `key`.
pub(super) fn regexp(settings: &mut dyn Settings, key: &'static str, text: &str) -> Option<Regexp> {
    match Regexp::new(text.trim()) {
        Ok(regexp) => Some(regexp),
        Err(error) => {
            let allowed = format!(
                "a regular expression as Go reads them, without {}; {}",
                error.found, error.remedy
            );
            settings.wrong(key, allowed.trim_end_matches("; "));
            None
        }
    }
}
