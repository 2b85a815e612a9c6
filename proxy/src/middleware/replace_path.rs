//! `replacePath`: another path; the server is told the one that was asked for.

use std::ops::ControlFlow;

use super::path::X_REPLACED_PATH;
use super::settings::required;
use super::{Answer, Behaviour, Request, Settings, path};

/// Its settings.
#[derive(Debug)]
pub struct ReplacePath {
    path: Box<str>,
}

impl Behaviour for ReplacePath {
    const KEYS: &'static [&'static str] = &["path"];

    fn read(settings: &mut dyn Settings) -> Option<Self> {
        let written = required(settings, "path", "a path such as /app")?;
        if !written.starts_with('/') {
            settings.wrong("path", "a path that starts with /");
            return None;
        }
        Some(Self {
            path: path::escaped(&written).into(),
        })
    }

    fn request(&self, request: &mut Request<'_>) -> ControlFlow<Answer> {
        let old = request.head.path().to_owned();
        request.head.headers.append(X_REPLACED_PATH, old.as_bytes());
        // The operator's own words, whatever dots they have.
        path::put(request, &self.path);
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use crate::middleware::tests::{complaints, passed, path_after};

    #[test]
    fn the_path_is_replaced_and_the_query_kept() {
        let settings = [("path", "/gdpr")];
        assert_eq!(
            path_after("replacePath", &settings, "/terms/x?q=1"),
            "/gdpr?q=1"
        );
        let (head, _) = passed("replacePath", &settings, "/terms/x?q=1");
        let old = head.headers.get(super::X_REPLACED_PATH);
        assert_eq!(old, Some(&b"/terms/x"[..]));
        assert_eq!(
            complaints("replacePath", &[("path", "x")]),
            ["path: a path that starts with /"]
        );
    }
}
