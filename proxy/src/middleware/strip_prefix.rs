//! `stripPrefix`: the first of several prefixes that the path has is taken off; the server is told which.

use std::ops::ControlFlow;

use super::path::X_FORWARDED_PREFIX;
use super::{Answer, Behaviour, Request, Settings, path};

/// Its settings.
#[derive(Debug)]
pub struct StripPrefix {
    prefixes: Vec<String>,
    /// Traefik's former behaviour: of several slashes left at the beginning two become one.
    force_slash: bool,
}

impl Behaviour for StripPrefix {
    const KEYS: &'static [&'static str] = &["prefixes", "forceSlash"];

    fn read(settings: &mut dyn Settings) -> Option<Self> {
        let prefixes = settings.texts("prefixes");
        if prefixes.is_empty() {
            settings.wrong("prefixes", "a list of at least one prefix such as /app");
            return None;
        }
        Some(Self {
            prefixes: prefixes
                .iter()
                .map(|prefix| prefix.trim().to_owned())
                .collect(),
            force_slash: settings.flag("forceSlash"),
        })
    }

    fn request(&self, request: &mut Request<'_>) -> ControlFlow<Answer> {
        let old = request.head.path();
        let stripped = self.prefixes.iter().find_map(|prefix| {
            let length = path::encoded_prefix(old, prefix.as_bytes())?;
            Some((prefix, &old[length..]))
        });
        let Some((prefix, rest)) = stripped else {
            return ControlFlow::Continue(());
        };
        let rest = match self.force_slash {
            true => rest.strip_prefix('/').unwrap_or(rest),
            false => rest,
        };
        let rest = rest.to_owned();
        strip(request, prefix.as_bytes(), &rest)
    }
}

/// Leaves `rest` of the path, and tells the server what was before it.
pub(super) fn strip(request: &mut Request<'_>, prefix: &[u8], rest: &str) -> ControlFlow<Answer> {
    if let Err(answer) = path::set(request, rest) {
        return ControlFlow::Break(answer);
    }
    request.head.headers.append(X_FORWARDED_PREFIX, prefix);
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use crate::middleware::tests::{passed, path_after};

    #[test]
    fn the_first_prefix_that_fits_is_taken_off() {
        let settings = [("prefixes", "/api,/app,/a b")];
        for (sent, expected) in [
            ("/api/x?q", "/x?q"),
            ("/api", "/"),
            ("/apix", "/x"),
            ("/app/", "/"),
            ("/other", "/other"),
            ("/a%20b/c%2Fd", "/c%2Fd"),
            ("/api../x", "400"),
        ] {
            assert_eq!(
                path_after("stripPrefix", &settings, sent),
                expected,
                "{sent}"
            );
        }
        let (head, _) = passed("stripPrefix", &settings, "/app/x");
        assert_eq!(
            head.headers.get(super::X_FORWARDED_PREFIX),
            Some(&b"/app"[..])
        );
        let (head, _) = passed("stripPrefix", &settings, "/x");
        assert!(!head.headers.contains(super::X_FORWARDED_PREFIX));
    }
}
