//! Sticky sessions by cookie: a client stays with the child of a service that it got first.
//!
//! Names and values are Traefik's, so that sessions survive the move from it: the name is a hash of the service's, the
//! value one of the child's. Values that older Traefik versions wrote are understood and written anew.
//! Pure: cookies come in and go out through [`CookieJar`].

use std::collections::HashMap;
use std::fmt::Write;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

/// `sticky.cookie`, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookie {
    /// `name`; `None`: made of the service's.
    pub name: Option<String>,
    /// `secure`
    pub secure: bool,
    /// `httpOnly`
    pub http_only: bool,
    /// `sameSite`, as browsers spell it.
    pub same_site: Option<&'static str>,
    /// `maxAge` in seconds; 0: none, below 0: at once.
    pub max_age: i64,
    /// `path`; `None`: `/`.
    pub path: Option<String>,
    /// `domain`
    pub domain: Option<String>,
}

/// The cookies of one request, and those for its response.
pub trait CookieJar {
    /// The value that the client sent under this name.
    fn sent(&self, name: &str) -> Option<&str>;
    /// Adds a `Set-Cookie` field with this value to the response.
    fn set(&mut self, field: &str);
}

/// For connections without cookies.
pub struct NoCookies;

impl CookieJar for NoCookies {
    fn sent(&self, _name: &str) -> Option<&str> {
        None
    }

    fn set(&mut self, _field: &str) {}
}

/// The cookie of one service.
#[derive(Debug)]
pub struct Sticky {
    name: String,
    /// For each child the field that names it.
    fields: Vec<String>,
    /// The child of a value, and whether the value is one that Traefik writes today.
    by_value: HashMap<String, (usize, bool)>,
}

impl Sticky {
    /// The cookie of `service` (`name@file`), whose children have these names: URLs as written, or names of services.
    pub fn new<'c>(
        cookie: &Cookie,
        service: &str,
        children: impl Iterator<Item = &'c str>,
    ) -> Self {
        let name = match &cookie.name {
            Some(name) => sanitized(name),
            None => generated(service),
        };
        let (mut fields, mut by_value) = (Vec::new(), HashMap::new());
        for (index, child) in children.enumerate() {
            let value = sha256(child);
            fields.push(field(&name, &value, cookie));
            let old = fnv(child);
            for old in [child.to_owned(), fnv(&old), old] {
                by_value.entry(old).or_insert((index, false));
            }
            by_value.insert(value, (index, true));
        }
        Self {
            name,
            fields,
            by_value,
        }
    }

    /// The child that the client is to stay with, if it names one. Its cookie is renewed where it is an old one.
    pub(super) fn child(&self, jar: &mut dyn CookieJar) -> Option<usize> {
        self.child_if(jar, &|_| true)
    }

    /// The same where `stays` says that it can.
    pub(super) fn child_if(
        &self,
        jar: &mut dyn CookieJar,
        stays: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        let (child, current) = *self.by_value.get(jar.sent(&self.name)?)?;
        if !stays(child) {
            return None;
        }
        if !current {
            self.stay(child, jar);
        }
        Some(child)
    }

    /// The child that the client's cookie names.
    pub(super) fn named(&self, jar: &dyn CookieJar) -> Option<usize> {
        let (child, _) = *self.by_value.get(jar.sent(&self.name)?)?;
        Some(child)
    }

    /// Makes the client stay with this child.
    pub(super) fn stay(&self, child: usize, jar: &mut dyn CookieJar) {
        if let Some(field) = self.fields.get(child) {
            jar.set(field);
        }
    }
}

/// `_` and the first five digits of a hash, as Traefik names its cookies.
fn generated(service: &str) -> String {
    let text = format!("_TRAEFIK_BACKEND_{service}");
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    format!("_{}", &hexadecimal(hash.as_ref())[..5])
}

/// What is no token becomes `_`.
fn sanitized(name: &str) -> String {
    let valid = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^`|~".contains(c);
    name.chars()
        .map(|c| if valid(c) { c } else { '_' })
        .collect()
}

fn sha256(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    hexadecimal(&hash.as_ref()[..8])
}

/// FNV-1 of 64 bits, in hexadecimal without leading zeros.
fn fnv(text: &str) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let step = |hash: u64, byte: u8| hash.wrapping_mul(PRIME) ^ u64::from(byte);
    format!("{:x}", text.bytes().fold(OFFSET, step))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// In the order in which Go writes attributes.
fn field(name: &str, value: &str, cookie: &Cookie) -> String {
    let path = cookie.path.as_deref().unwrap_or("/");
    let mut field = format!("{name}={value}");
    if !path.is_empty() {
        let _ = write!(field, "; Path={path}");
    }
    if let Some(domain) = &cookie.domain {
        let _ = write!(field, "; Domain={}", domain.trim_start_matches('.'));
    }
    match cookie.max_age {
        0 => {}
        seconds => {
            let _ = write!(field, "; Max-Age={}", seconds.max(0));
        }
    }
    if cookie.http_only {
        field.push_str("; HttpOnly");
    }
    if cookie.secure {
        field.push_str("; Secure");
    }
    if let Some(same_site) = cookie.same_site {
        let _ = write!(field, "; SameSite={same_site}");
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cookies of a request, and what is set.
    #[derive(Default)]
    struct Jar(Vec<(&'static str, String)>, Vec<String>);

    impl CookieJar for Jar {
        fn sent(&self, name: &str) -> Option<&str> {
            let found = self.0.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.as_str())
        }

        fn set(&mut self, field: &str) {
            self.1.push(field.to_owned());
        }
    }

    const URL: &str = "https://sn09.galaxyproject.eu/";

    fn sticky(cookie: &Cookie) -> Sticky {
        let children = ["http://192.0.2.1", URL];
        Sticky::new(cookie, "usegalaxy-eu@file", children.into_iter())
    }

    fn sent(value: &str) -> (Option<usize>, Vec<String>) {
        let mut jar = Jar(vec![("_f712e", value.to_owned())], Vec::new());
        (sticky(&Cookie::default()).child(&mut jar), jar.1)
    }

    #[test]
    fn names_and_values_are_traefiks() {
        let mut jar = Jar::default();
        sticky(&Cookie::default()).stay(1, &mut jar);
        assert_eq!(jar.1, ["_f712e=75d5ca35ce477d10; Path=/"]);
        assert_eq!(sent("75d5ca35ce477d10"), (Some(1), vec![]));
        assert_eq!(sent("nobody"), (None, vec![]));
    }

    #[test]
    fn old_values_are_understood_and_renewed() {
        let renewed = vec!["_f712e=75d5ca35ce477d10; Path=/".to_owned()];
        for old in [URL.to_owned(), fnv(URL), fnv(&fnv(URL))] {
            assert_eq!(sent(&old), (Some(1), renewed.clone()), "{old}");
        }
        // From the reference code of FNV-1.
        assert_eq!(
            (fnv(""), fnv("a")),
            ("cbf29ce484222325".into(), "af63bd4c8601b7be".into())
        );
    }

    #[test]
    fn attributes_stand_in_gos_order() {
        let cookie = Cookie {
            name: Some("my cookie".to_owned()),
            secure: true,
            http_only: true,
            same_site: Some("None"),
            max_age: 60,
            path: Some("/app".to_owned()),
            domain: Some(".example.org".to_owned()),
        };
        let mut jar = Jar::default();
        sticky(&cookie).stay(1, &mut jar);
        let expected = "my_cookie=75d5ca35ce477d10; Path=/app; Domain=example.org; Max-Age=60; \
            HttpOnly; Secure; SameSite=None";
        assert_eq!(jar.1, [expected]);
        let gone = Cookie {
            max_age: -1,
            ..Cookie::default()
        };
        let mut jar = Jar::default();
        sticky(&gone).stay(0, &mut jar);
        assert!(jar.1[0].ends_with("; Path=/; Max-Age=0"), "{:?}", jar.1);
    }
}
