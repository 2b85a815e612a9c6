//! Questions of HTTP: a request, its redirects, the status of the answer.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::lookup_host;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{Connection, addresses, broken, connect, http2, tls};
use crate::health::handshakes::Handshakes;
use crate::http::{Method, ResponseHead, name};
use crate::http1::{HeadLimits, ResponseParser, parse_authority};
use crate::limits::HEALTH_REDIRECTS_MAX;
use crate::service::{HttpQuestion, Scheme, ServerTls, Target};

/// Where one request goes.
pub(super) struct Place {
    pub(super) scheme: Scheme,
    /// For the Host header.
    pub(super) authority: String,
    pub(super) path: String,
    addresses: Vec<SocketAddr>,
    tls: Option<ServerTls>,
}

/// A status, and where it says to look instead.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: Option<String>,
}

/// Whether the server answers with a good status.
pub(super) async fn ask(
    target: &Target,
    question: &HttpQuestion,
    handshakes: &Handshakes,
) -> Result<(), String> {
    let mut place = Place::of(target, question)?;
    let mut method = Method::from_token(&question.method);
    for _ in 0..=HEALTH_REDIRECTS_MAX {
        let answer = place.ask(&method, question, handshakes).await?;
        let location = answer.location.filter(|_| question.follow_redirects);
        match location {
            Some(location) if (301..=308).contains(&answer.status) && answer.status != 304 => {
                // As Go's client and browsers do.
                if answer.status < 304 && method != Method::Head {
                    method = Method::Get;
                }
                place = place.redirected(target, &location).await?;
            }
            _ => return judge(answer.status, question.status),
        }
    }
    Err(format!("more than {HEALTH_REDIRECTS_MAX} redirects"))
}

/// Whether the server says that it serves, by the protocol of gRPC health checks.
pub(super) async fn ask_grpc(
    target: &Target,
    question: &HttpQuestion,
    handshakes: &Handshakes,
) -> Result<(), String> {
    let place = Place::of(target, question)?;
    let connection = place.connect(b"h2", handshakes).await?;
    http2::ask_grpc(connection, &place, question).await
}

fn judge(status: u16, wanted: Option<u16>) -> Result<(), String> {
    match wanted {
        Some(wanted) if status == wanted => Ok(()),
        Some(wanted) => Err(format!(
            "it answered with status {status} instead of {wanted}"
        )),
        None if (200..400).contains(&status) => Ok(()),
        None => Err(format!("it answered with status {status}")),
    }
}

impl Place {
    fn of(target: &Target, question: &HttpQuestion) -> Result<Self, String> {
        let server = &target.server;
        let authority = match (&question.hostname, target.check.port) {
            (Some(hostname), _) => hostname.to_string(),
            (None, None) => server.authority.to_string(),
            (None, Some(port)) => with_port(&server.authority, port),
        };
        Ok(Self {
            scheme: question.scheme.unwrap_or(server.scheme),
            authority,
            path: question.path.to_string(),
            addresses: addresses(target)?,
            tls: target.tls.clone(),
        })
    }

    async fn connect(
        &self,
        protocol: &[u8],
        handshakes: &Handshakes,
    ) -> Result<Box<dyn Connection>, String> {
        let tls = tls(self.tls.as_ref(), handshakes);
        connect(&self.addresses, tls, Some(protocol)).await
    }

    async fn ask(
        &self,
        method: &Method,
        question: &HttpQuestion,
        handshakes: &Handshakes,
    ) -> Result<Answer, String> {
        if self.scheme == Scheme::H2c {
            let connection = self.connect(b"h2", handshakes).await?;
            return http2::ask(connection, self, method, question).await;
        }
        let mut connection = self.connect(b"http/1.1", handshakes).await?;
        let request = self.request(method, question);
        let written = connection.write_all(request.as_bytes()).await;
        written.map_err(|error| broken(&error))?;
        read_answer(&mut connection, method).await
    }

    fn request(&self, method: &Method, question: &HttpQuestion) -> String {
        let (authority, path) = (&self.authority, &self.path);
        let mut request = format!(
            "{} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n",
            method.as_str()
        );
        for (name, value) in fields(question) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request + "\r\n"
    }

    /// Where a redirect leads: another path here, or another host.
    async fn redirected(self, target: &Target, location: &str) -> Result<Self, String> {
        let location = location.split('#').next().unwrap_or_default();
        let bad = || format!("a redirect to {location:?}, which cannot be followed");
        let Some((scheme, rest)) = location.split_once("://") else {
            let path = resolved(&self.path, location).ok_or_else(bad)?;
            return Ok(Self { path, ..self });
        };
        let scheme = Scheme::of_url(&scheme.to_ascii_lowercase()).ok_or_else(bad)?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let path = resolved("/", &rest[authority.len()..]).ok_or_else(bad)?;
        if scheme == self.scheme && authority.eq_ignore_ascii_case(&self.authority) {
            return Ok(Self { path, ..self });
        }
        let (host, port) = authority
            .rsplit_once(':')
            .filter(|_| !authority.ends_with(']'))
            .map_or((authority, scheme.default_port()), |(host, port)| {
                (host, port.parse().ok())
            });
        parse_authority(authority.as_bytes()).ok_or_else(bad)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = lookup_host((bare, port.ok_or_else(bad)?)).await;
        let addresses = found.map_err(|error| format!("{host} does not resolve: {error}"))?;
        let tls = match scheme {
            Scheme::Https => Some(ServerTls {
                config: target.tls.as_ref().ok_or_else(bad)?.config.clone(),
                name: ServerName::try_from(bare.to_owned()).map_err(|_| bad())?,
            }),
            _ => None,
        };
        Ok(Self {
            scheme,
            authority: authority.to_owned(),
            path,
            addresses: addresses.collect(),
            tls,
        })
    }
}

/// The fields of a question; the name of who asks is one, unless another is given.
pub(super) fn fields(question: &HttpQuestion) -> impl Iterator<Item = (&str, &str)> {
    let given = question.headers.iter();
    let given = given.map(|(name, value)| (&**name, &**value));
    let named = |(name, _): &(&str, &str)| name.eq_ignore_ascii_case("user-agent");
    let own = (!given.clone().any(|field| named(&field))).then_some(("User-Agent", "weir-health"));
    given.chain(own)
}

/// A reference without a host, seen from `base` (RFC 3986 section 5.2, without dot segments, which servers resolve).
fn resolved(base: &str, reference: &str) -> Option<String> {
    let clean = reference.bytes().all(|byte| byte.is_ascii_graphic());
    if !clean || reference.starts_with("//") {
        return None;
    }
    let path = base.split('?').next().unwrap_or_default();
    Some(match reference.chars().next() {
        None => base.to_owned(),
        Some('/') => reference.to_owned(),
        Some('?') => format!("{path}{reference}"),
        Some(_) => {
            let directory = path.rfind('/').map_or("", |end| &path[..end]);
            format!("{directory}/{reference}")
        }
    })
}

fn with_port(authority: &str, port: u16) -> String {
    let bare = authority
        .rsplit_once(':')
        .filter(|(_, port)| !port.ends_with(']'));
    let host = bare.map_or(authority, |(host, _)| host);
    format!("{host}:{port}")
}

/// The head of the final answer; its body is of no interest.
async fn read_answer(
    connection: &mut Box<dyn Connection>,
    method: &Method,
) -> Result<Answer, String> {
    let mut parser = ResponseParser::new(HeadLimits::default());
    let (mut input, mut head) = (Vec::new(), ResponseHead::default());
    loop {
        let parsed = parser.parse(&input, method, &mut head);
        match parsed.map_err(|reject| format!("no answer of HTTP/1.1: {reject}"))? {
            Some(response) if head.status.is_informational() => {
                input.drain(..response.consumed);
                continue;
            }
            Some(_) => break,
            None => {}
        }
        match connection.read_buf(&mut input).await {
            Ok(0) => return Err("it closed the connection without an answer".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(broken(&error)),
        }
    }
    let location = head.headers.get(name::LOCATION);
    Ok(Answer {
        status: head.status.code(),
        location: location.map(|value| String::from_utf8_lossy(value).into_owned()),
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::test_rules::{loaded, service};

    /// A server that redirects so many times; what is said of it.
    async fn redirecting(times: usize) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            for turn in 0.. {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let status = match turn < times {
                    true => format!("302 Found\r\nLocation: /{turn}"),
                    false => "200 OK".to_owned(),
                };
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.expect("a request");
                assert!(read > 0, "closed");
                stream.write_all(answer.as_bytes()).await.expect("taken");
            }
        });
        let rules = loaded(&service([port], ", healthCheck: {path: /}"));
        crate::health::probe::ask(&rules.targets[0], &Handshakes::default()).await
    }

    #[tokio::test]
    async fn so_many_redirects_are_followed_and_no_more() {
        assert_eq!(redirecting(HEALTH_REDIRECTS_MAX).await, Ok(()));
        let more = redirecting(HEALTH_REDIRECTS_MAX + 1).await;
        assert_eq!(more, Err("more than 10 redirects".to_owned()));
    }

    #[test]
    fn a_reference_is_seen_from_its_base() {
        let from = |reference| resolved("/a/b?c", reference);
        assert_eq!(from("/x?y").as_deref(), Some("/x?y"));
        assert_eq!(from("x").as_deref(), Some("/a/x"));
        assert_eq!(from("?y").as_deref(), Some("/a/b?y"));
        assert_eq!((from("//host/x"), from("/x\r\nHost: y")), (None, None));
    }

    #[test]
    fn a_port_replaces_the_one_that_is_there() {
        for (authority, expected) in [
            ("a.example", "a.example:9"),
            ("a.example:80", "a.example:9"),
            ("[::1]", "[::1]:9"),
            ("[::1]:80", "[::1]:9"),
        ] {
            assert_eq!(with_port(authority, 9), expected);
        }
    }

    #[test]
    fn without_a_wanted_status_success_and_redirects_are_good() {
        let good = |status, wanted| judge(status, wanted).is_ok();
        assert!(good(200, None) && good(399, None) && !good(400, None) && !good(199, None));
        assert!(good(401, Some(401)) && !good(200, Some(401)));
    }
}
