//! Fields about one connection, which end at the next hop (RFC 9110 section 7.6.1).

use super::{Headers, Name, name, name::Known};

/// What the `Connection` fields of a message said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `Upgrade` means this connection.
    pub upgrade: bool,
}

/// Removes the fields that must not be forwarded, and says what `Connection` asked for: `Connection` itself, the fields
/// that it names, and those that are about the connection by definition, named or not.
///
/// `Trailer` stays: it belongs to the body, whose trailers are forwarded. The fields that say where a request came from
/// stay although named: a client must not be able to make weir drop what a trusted proxy before it has vouched for.
pub fn strip(headers: &mut Headers) -> Options {
    let mut options = Options::default();
    if !headers.may_contain(HOP_BY_HOP) {
        return options;
    }
    let mut named: Vec<Box<[u8]>> = Vec::new();
    for value in headers.get_all(name::CONNECTION) {
        for option in list(value) {
            match option {
                _ if option.eq_ignore_ascii_case(b"close") => options.close = true,
                _ if option.eq_ignore_ascii_case(b"keep-alive") => options.keep_alive = true,
                _ if option.eq_ignore_ascii_case(b"upgrade") => options.upgrade = true,
                _ => named.push(option.into()),
            }
        }
    }
    let is_named = |field: Name<'_>| {
        let mut named = named.iter();
        named.any(|name| name.eq_ignore_ascii_case(field.as_bytes()))
    };
    headers.retain(|field, _| !is_hop_by_hop(field) && (protected(field) || !is_named(field)));
    options
}

/// The non-empty members of a comma-separated list (RFC 9110 section 5.6.1), without the space around them.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// Whether the field is about the connection by definition.
pub fn is_hop_by_hop(name: Name<'_>) -> bool {
    name.known.bit() & HOP_BY_HOP != 0
}

const HOP_BY_HOP: u64 = Known::Connection.bit()
    | Known::KeepAlive.bit()
    | Known::ProxyConnection.bit()
    | Known::ProxyAuthenticate.bit()
    | Known::ProxyAuthorization.bit()
    | Known::Te.bit()
    | Known::TransferEncoding.bit()
    | Known::Upgrade.bit()
    | Known::Http2Settings.bit();

/// Fields that `Connection` cannot name away: those by which servers know who is asking (CVE-2024-45410 in Traefik),
/// and those that the codec still has to judge.
fn protected(name: Name<'_>) -> bool {
    matches!(
        name.known,
        Known::Host
            | Known::ContentLength
            | Known::Expect
            | Known::XForwardedFor
            | Known::XForwardedHost
            | Known::XForwardedPort
            | Known::XForwardedProto
            | Known::XForwardedServer
            | Known::XForwardedUri
            | Known::XRealIp
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &[(&'static str, &str)], left: &[&str], options: Options) {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append(Name::literal(name), value.as_bytes());
        }
        assert_eq!(strip(&mut headers), options, "{fields:?}");
        let names: Vec<_> = headers
            .iter()
            .map(|(name, _)| String::from_utf8_lossy(name.as_bytes()))
            .collect();
        assert_eq!(names, left, "{fields:?}");
    }

    #[test]
    fn fields_about_the_connection_go() {
        let none = Options::default();
        check(
            &[
                ("Accept", "*/*"),
                ("TE", "trailers"),
                ("Keep-Alive", "timeout=5"),
            ],
            &["Accept"],
            none,
        );
        check(
            &[
                ("Proxy-Connection", "keep-alive"),
                ("Proxy-Authorization", "x"),
            ],
            &[],
            none,
        );
        check(&[("Upgrade", "websocket")], &[], none);
        let named = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
        let upgrade = Options {
            upgrade: true,
            ..none
        };
        check(&named, &[], upgrade);
    }

    #[test]
    fn fields_named_by_connection_go() {
        let close = Options {
            close: true,
            ..Options::default()
        };
        check(
            &[
                ("Connection", "X-Gone , close,,"),
                ("x-gone", "1"),
                ("X-Kept", "2"),
            ],
            &["X-Kept"],
            close,
        );
        check(
            &[
                ("X-A", "1"),
                ("Connection", "x-b"),
                ("Connection", "x-a"),
                ("x-B", ""),
            ],
            &[],
            Options::default(),
        );
    }

    #[test]
    fn connection_cannot_name_away_what_others_rely_on() {
        check(
            &[
                ("Connection", "x-forwarded-for, X-Real-Ip"),
                ("X-Forwarded-For", "a"),
                ("X-Real-Ip", "b"),
            ],
            &["X-Forwarded-For", "X-Real-Ip"],
            Options::default(),
        );
    }
}
