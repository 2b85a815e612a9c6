//! `redirectScheme`: to the same URL under another scheme or port; what entry points redirect by.

use std::ops::ControlFlow;

use super::settings::required;
use super::{Answer, Behaviour, Request, Settings, path};
use crate::http::{Method, Status, name};

/// Its settings.
#[derive(Clone, Debug)]
pub struct RedirectScheme {
    scheme: Box<str>,
    /// `None`: the default of the scheme.
    port: Option<u16>,
    permanent: bool,
}

impl Behaviour for RedirectScheme {
    const KEYS: &'static [&'static str] = &["scheme", "port", "permanent"];

    fn read(settings: &mut dyn Settings) -> Option<Self> {
        let scheme = required(settings, "scheme", "a scheme such as https")?;
        let port = settings.text("port").filter(|port| !port.is_empty());
        let port = match port.map(|port| port.parse::<u16>()) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => {
                settings.wrong("port", "a port from 1 to 65535");
                return None;
            }
        };
        Some(Self::new(&scheme, port, settings.flag("permanent")))
    }

    fn request(&self, request: &mut Request<'_>) -> ControlFlow<Answer> {
        let (host, port) = host_and_port(request.head.authority());
        let uri = uri(request);
        let scheme = scheme_of(request);
        let old_port = port.filter(|port| Some(*port) != default_port(scheme));
        let old = url(scheme, host, old_port, &uri);
        let new = url(&self.scheme, host, self.port, &uri);
        if new == old {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(redirect(&new, &request.head.method, self.permanent))
    }
}

impl RedirectScheme {
    /// To `scheme` and `port`, if that is not the scheme's own.
    pub fn new(scheme: &str, port: Option<u16>, permanent: bool) -> Self {
        Self {
            scheme: scheme.into(),
            port: port.filter(|port| Some(*port) != default_port(scheme)),
            permanent,
        }
    }
}

/// A redirection to `url`. A method other than GET is kept: 307 or 308.
pub(super) fn redirect(url: &str, method: &Method, permanent: bool) -> Answer {
    let status = match (permanent, *method == Method::Get) {
        (false, true) => Status::FOUND,
        (false, false) => Status::TEMPORARY_REDIRECT,
        (true, true) => Status::MOVED_PERMANENTLY,
        (true, false) => Status::PERMANENT_REDIRECT,
    };
    let mut answer = Answer::status(status);
    let location = path::location(url);
    answer
        .head
        .headers
        .append(name::LOCATION, location.as_bytes());
    answer
}

/// Path and query as the request has them now.
pub(super) fn uri(request: &Request<'_>) -> String {
    let path = request.head.path();
    match request.head.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

/// The scheme the client used, as far as `X-Forwarded-Proto` says something else than the connection.
fn scheme_of(request: &Request<'_>) -> &'static str {
    let proto = request.head.headers.get(name::X_FORWARDED_PROTO);
    let is = |words: [&[u8]; 2]| {
        proto.is_some_and(|proto| words.iter().any(|word| proto.eq_ignore_ascii_case(word)))
    };
    match request.tls {
        _ if is([b"http", b"ws"]) => "http",
        _ if is([b"https", b"wss"]) => "https",
        true => "https",
        false => "http",
    }
}

fn host_and_port(authority: &str) -> (&str, Option<u16>) {
    // A colon inside brackets belongs to an IPv6 address.
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (authority, None),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn url(scheme: &str, host: &str, port: Option<u16>, uri: &str) -> String {
    match port {
        Some(port) => format!("{scheme}://{host}:{port}{uri}"),
        None => format!("{scheme}://{host}{uri}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::middleware::tests::{Sent, answered, complaints};

    const HTTPS: [(&str, &str); 2] = [("scheme", "https"), ("permanent", "true")];

    #[test]
    fn the_url_stays_but_for_scheme_and_port() {
        let get = |settings: &[(&'static str, &'static str)], host: &str| {
            answered(
                "redirectScheme",
                settings,
                &Sent {
                    host,
                    ..Sent::get("/a?b")
                },
            )
        };
        assert_eq!(
            get(&HTTPS, "a.example:80").as_deref(),
            Some("301 https://a.example/a?b")
        );
        assert_eq!(
            get(&HTTPS, "[::1]:8080").as_deref(),
            Some("301 https://[::1]/a?b")
        );
        let port = [("scheme", "https"), ("port", "8443")];
        assert_eq!(
            get(&port, "a.example").as_deref(),
            Some("302 https://a.example:8443/a?b")
        );
        let default = [("scheme", "https"), ("port", "443")];
        assert_eq!(
            get(&default, "a.example").as_deref(),
            Some("302 https://a.example/a?b")
        );
    }

    #[test]
    fn other_methods_are_kept_and_what_is_there_already_passes() {
        let post = Sent {
            method: "POST",
            ..Sent::get("/")
        };
        let answer = answered("redirectScheme", &HTTPS, &post);
        assert_eq!(answer.as_deref(), Some("308 https://a.example/"));
        let tls = Sent {
            tls: true,
            host: "a.example:443",
            ..Sent::get("/")
        };
        assert_eq!(answered("redirectScheme", &HTTPS, &tls), None);
        let forwarded = Sent {
            fields: &[("X-Forwarded-Proto", "https")],
            ..Sent::get("/")
        };
        assert_eq!(answered("redirectScheme", &HTTPS, &forwarded), None);
        assert_eq!(
            complaints("redirectScheme", &[("scheme", "https"), ("port", "x")]).len(),
            1
        );
    }
}
