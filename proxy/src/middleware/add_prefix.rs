//! `addPrefix`: a text before the path.

use std::ops::ControlFlow;

use super::settings::required;
use super::{Answer, Behaviour, Request, Settings, path};

/// Its settings.
#[derive(Debug)]
pub struct AddPrefix {
    prefix: Box<str>,
}

impl Behaviour for AddPrefix {
    const KEYS: &'static [&'static str] = &["prefix"];

    fn read(settings: &mut dyn Settings) -> Option<Self> {
        let prefix = required(settings, "prefix", "a prefix such as /app")?;
        Some(Self {
            prefix: path::begun(path::escaped(&prefix)).into(),
        })
    }

    fn request(&self, request: &mut Request<'_>) -> ControlFlow<Answer> {
        let path = format!("{}{}", self.prefix, request.head.path());
        path::put(request, &path);
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use crate::middleware::tests::{complaints, path_after};

    #[test]
    fn the_prefix_stands_before_the_path() {
        for (prefix, sent, expected) in [
            ("/app", "/x?q=1", "/app/x?q=1"),
            ("app", "/x", "/app/x"),
            ("/a b", "/x%20y", "/a%20b/x%20y"),
            ("/app/", "/x", "/app//x"),
        ] {
            let settings = [("prefix", prefix)];
            assert_eq!(
                path_after("addPrefix", &settings, sent),
                expected,
                "{prefix}"
            );
        }
        assert_eq!(
            complaints("addPrefix", &[]),
            ["prefix: a prefix such as /app"]
        );
    }
}
