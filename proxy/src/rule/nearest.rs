//! "Did you mean": of words that are known, the one that a misspelt one was meant to be.

use super::RuleError;

/// Which of `all` was probably meant, if one is near enough.
pub fn nearest_of<'k>(written: &str, all: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    const LIKENESS_MIN: f64 = 0.8;
    let written = written.to_ascii_lowercase();
    let likeness = |key: &str| strsim::jaro_winkler(&written, &key.to_ascii_lowercase());
    all.map(|key| (likeness(key), key))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, key)| key)
}

/// The error of a matcher that is none of these, with the one that was probably meant.
pub(super) fn meant(error: RuleError, written: &str, names: &[&str]) -> RuleError {
    match nearest_of(written, names.iter().copied()) {
        Some(name) => error.remedy(format!("did you mean {name}?")),
        None => error,
    }
}
