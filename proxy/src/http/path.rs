//! The path of a request, made unambiguous before anything decides by it.
//!
//! Owns what two readers of one path could understand differently: escapes that need not be, empty and dot segments.
//! Never: the query, or what a reserved character's escape stands for. Invariant: cleaning what is clean changes
//! nothing.

use std::borrow::Cow;

/// What an entry point does with paths. Source: <https://doc.traefik.io/traefik/security/request-path/>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPolicy {
    /// `//`, `/./` and `/../` are collapsed.
    pub sanitize: bool,
    /// Characters that must not stand in a path as an escape such as `%2F`.
    pub denied: Box<[u8]>,
}

impl Default for PathPolicy {
    fn default() -> Self {
        Self {
            sanitize: true,
            denied: Box::default(),
        }
    }
}

impl PathPolicy {
    /// The path as Traefik routes and sends it: escapes of unreserved characters decoded and the others in upper case
    /// (RFC 3986 sections 6.2.2.1 and 6.2.2.2), then, unless that is switched off, `//`, `/./` and `/../` collapsed, a
    /// slash at the end kept. So no rule about `/admin` is passed by `/x/%2e%2e/admin`. `*` stays. Borrowed if nothing
    /// changes.
    pub fn clean<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let normal = normalize(path);
        let suspect = self.sanitize && (normal.contains("//") || normal.contains("/."));
        match suspect.then(|| collapse(&normal)) {
            Some(clean) if clean != *normal => Cow::Owned(clean),
            _ => normal,
        }
    }

    /// Whether the path holds an escape of a character that is denied.
    pub fn denies(&self, path: &str) -> bool {
        let denied = |at: usize| {
            let byte = path.get(at + 1..at + 3);
            let byte = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            byte.is_some_and(|byte| self.denied.contains(&byte))
        };
        !self.denied.is_empty() && memchr::memchr_iter(b'%', path.as_bytes()).any(denied)
    }
}

fn normalize(path: &str) -> Cow<'_, str> {
    let mut rest = path;
    let mut normal = String::new();
    while let Some(at) = memchr::memchr(b'%', rest.as_bytes()) {
        let (before, from) = rest.split_at(at);
        normal.push_str(before);
        match from
            .get(1..3)
            .map(|digits| (digits, u8::from_str_radix(digits, 16)))
        {
            Some((_, Ok(byte))) if is_unreserved(byte) => normal.push(char::from(byte)),
            Some((digits, Ok(_))) => {
                normal.push('%');
                normal.push_str(&digits.to_ascii_uppercase());
            }
            // The parsers let no broken escape in.
            _ => break,
        }
        rest = &from[3..];
    }
    if rest.len() == path.len() {
        return Cow::Borrowed(path);
    }
    normal.push_str(rest);
    if normal == path {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(normal)
    }
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn collapse(path: &str) -> String {
    let mut clean = String::with_capacity(path.len());
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => clean.truncate(clean.rfind('/').unwrap_or(0)),
            segment => {
                clean.push('/');
                clean.push_str(segment);
            }
        }
    }
    if clean.is_empty() || path.ends_with('/') {
        clean.push('/');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_traefik_does() {
        for (path, clean) in [
            ("/x/../admin", "/admin"),
            ("//admin", "/admin"),
            ("/x/%2e%2E/admin", "/admin"),
            ("/x/.%2e/%61dmin", "/admin"),
            ("/./a/./b/.", "/a/b"),
            ("/a/b/..", "/a"),
            ("/a/../", "/"),
            ("/a///b//", "/a/b/"),
            ("/../../a", "/a"),
            ("/..", "/"),
            ("/a%2fb/..", "/"),
            ("/a/..%2fb", "/a/..%2Fb"),
            ("/a%2f%c3%a4", "/a%2F%C3%A4"),
            ("/a%7eb/%252e%252e", "/a~b/%252e%252e"),
        ] {
            assert_eq!(PathPolicy::default().clean(path), clean, "{path}");
            assert!(
                matches!(PathPolicy::default().clean(clean), Cow::Borrowed(_)),
                "{clean}"
            );
        }
    }

    #[test]
    fn clean_paths_are_not_copied() {
        for path in [
            "/",
            "*",
            "/a/b/",
            "/a%20b%2F",
            "/.well-known/x",
            "/a/..b/c..",
            "/%",
            "/%zz",
        ] {
            assert!(
                matches!(PathPolicy::default().clean(path), Cow::Borrowed(same) if same == path),
                "{path}"
            );
        }
    }

    #[test]
    fn without_sanitizing_only_escapes_are_cleaned() {
        let policy = PathPolicy {
            sanitize: false,
            ..PathPolicy::default()
        };
        for (path, clean) in [
            ("//x/./../a", "//x/./../a"),
            ("/x/%2e%2e/%61%2f", "/x/../a%2F"),
        ] {
            assert_eq!(policy.clean(path), clean);
        }
    }

    #[test]
    fn escapes_are_denied_in_either_case() {
        let policy = PathPolicy {
            sanitize: true,
            denied: (*b"/\\\0").into(),
        };
        for (path, denied) in [
            ("/a%2fb", true),
            ("/a%2Fb", true),
            ("/%5C", true),
            ("/%00", true),
            ("/a/b%20%3B", false),
            ("/%252F", false),
            ("/%2", false),
        ] {
            assert_eq!(policy.denies(path), denied, "{path}");
            assert!(!PathPolicy::default().denies(path));
        }
    }
}
