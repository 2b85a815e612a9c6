//! `healthCheck` of a load balancer.

use std::sync::Arc;
use std::time::Duration;

use super::keys;
use crate::config::Problem;
use crate::config::walker::{Cost, Fields, Place, Walker};
use crate::http::Name;
use crate::limits::{
    HEALTH_EXPECT_BYTES_MAX, HEALTH_FALL, HEALTH_HEADERS_MAX, HEALTH_INTERVAL, HEALTH_INTERVAL_MAX,
    HEALTH_INTERVAL_MIN, HEALTH_RISE, HEALTH_STREAK_MAX, HEALTH_TIMEOUT,
};
use crate::service::{HealthCheck, HttpQuestion, Pace, Question, Scheme};

/// That of an HTTP service.
pub(super) fn http(walker: &mut Walker, fields: &Fields<'_>) -> Option<HealthCheck> {
    let place = fields.get("healthCheck")?;
    let fields = walker.fields(&place, &keys::HEALTH_CHECK)?;
    let modes = [("http", false), ("grpc", true)];
    let grpc = fields.get("mode").and_then(|place| match place.text() {
        Some("") => None,
        _ => walker.choice(&place, &modes),
    });
    let path = match fields.get("path") {
        // What gRPC asks for has one path.
        None if grpc == Some(true) => "/".into(),
        _ => {
            let path = fields.required(walker, "path")?;
            walker.scalar(&path, "a path such as /health", path_of)?
        }
    };
    let scheme = fields.get("scheme").and_then(|place| {
        walker.scalar(&place, "http, https or h2c", |text| match text {
            "" => Some(None),
            text => Scheme::of_url(text).map(Some),
        })
    });
    let question = HttpQuestion {
        path,
        scheme: scheme.flatten(),
        hostname: text(walker, &fields, "hostname", &visible).map(Into::into),
        method: text(walker, &fields, "method", &|text| {
            Name::parse(text).is_some()
        })
        .map_or_else(|| "GET".into(), |method| method.to_ascii_uppercase().into()),
        headers: headers(walker, &fields),
        status: fields
            .integer(walker, "status", 0..=599)
            .filter(|status| *status > 0)
            .and_then(|status| u16::try_from(status).ok()),
        follow_redirects: fields
            .get("followRedirects")
            .and_then(|place| walker.boolean(&place))
            .unwrap_or(true),
    };
    let question = match grpc {
        Some(true) => Question::Grpc(question),
        Some(false) | None => Question::Http(question),
    };
    check(walker, &fields, &place, question)
}

/// That of a TCP service.
pub(super) fn tcp(walker: &mut Walker, fields: &Fields<'_>) -> Option<HealthCheck> {
    let place = fields.get("healthCheck")?;
    let fields = walker.fields(&place, &keys::TCP_HEALTH_CHECK)?;
    let bytes = |walker: &mut Walker, key| -> Arc<[u8]> {
        let short = |text: &str| text.len() <= HEALTH_EXPECT_BYTES_MAX;
        let text = text(walker, &fields, key, &short);
        text.unwrap_or_default().into_bytes().into()
    };
    let question = Question::Tcp {
        send: bytes(walker, "send"),
        expect: bytes(walker, "expect"),
    };
    let actions = [("keep", false), ("reset", true)];
    let resets = fields
        .get("onDown")
        .and_then(|place| walker.choice(&place, &actions));
    let check = check(walker, &fields, &place, question)?;
    Some(HealthCheck {
        resets: resets.unwrap_or(false),
        ..check
    })
}

/// What both have.
fn check(
    walker: &mut Walker,
    fields: &Fields<'_>,
    place: &Place<'_>,
    question: Question,
) -> Option<HealthCheck> {
    let port = fields
        .integer(walker, "port", 0..=65_535)
        .filter(|port| *port > 0);
    let interval = time(walker, fields, "interval").unwrap_or(HEALTH_INTERVAL);
    let timeout = time(walker, fields, "timeout").unwrap_or(HEALTH_TIMEOUT);
    let streak = |walker: &mut Walker, key, default| {
        let streak = fields.integer(walker, key, 1..=i64::from(HEALTH_STREAK_MAX));
        streak
            .and_then(|streak| u32::try_from(streak).ok())
            .unwrap_or(default)
    };
    let pace = Pace {
        interval,
        unhealthy_interval: time(walker, fields, "unhealthyInterval").unwrap_or(interval),
        rise: streak(walker, "rise", HEALTH_RISE),
        fall: streak(walker, "fall", HEALTH_FALL),
    };
    if timeout > interval && fields.has("timeout") && fields.has("interval") {
        let problem = Problem::warning(place.origin().clone(), "a timeout longer than interval")
            .remedy("the next probe waits for the end of the last");
        walker.report(Cost::Element, place, problem);
    }
    Some(HealthCheck {
        question,
        port: port.and_then(|port| u16::try_from(port).ok()),
        pace,
        timeout,
        resets: false,
    })
}

fn time(walker: &mut Walker, fields: &Fields<'_>, key: &'static str) -> Option<Duration> {
    let place = fields.get(key)?;
    let time = walker.duration(&place)?;
    if (HEALTH_INTERVAL_MIN..=HEALTH_INTERVAL_MAX).contains(&time) {
        return Some(time);
    }
    walker.wrong(&place, "from 10ms to 24h");
    None
}

/// A text; an empty one is none.
fn text(
    walker: &mut Walker,
    fields: &Fields<'_>,
    key: &'static str,
    fits: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let place = fields.get(key)?;
    let taken = |text: &str| (text.is_empty() || fits(text)).then(|| text.to_owned());
    let text = walker.scalar(&place, "a text that can stand there", taken)?;
    (!text.is_empty()).then_some(text)
}

fn headers(walker: &mut Walker, fields: &Fields<'_>) -> Arc<[(Arc<str>, Arc<str>)]> {
    let Some(place) = fields.get("headers") else {
        return Arc::default();
    };
    let mut headers = Vec::new();
    for (name, value) in walker.named(&place) {
        let own = ["host", "connection", "content-length", "transfer-encoding"];
        let usable =
            Name::parse(name).is_some() && !own.iter().any(|own| name.eq_ignore_ascii_case(own));
        let fits = |text: &str| {
            let fits = usable && text.chars().all(|c| c == '\t' || !c.is_control());
            fits.then(|| text.to_owned())
        };
        if let Some(text) = walker.scalar(&value, "a header field (hostname says the Host)", fits) {
            headers.push((name.into(), text.into()));
        }
    }
    if headers.len() > HEALTH_HEADERS_MAX {
        walker.wrong(
            &place,
            &format!("at most {HEALTH_HEADERS_MAX} header fields"),
        );
    }
    headers.into()
}

/// A path with its query; one without a leading `/` is seen from the root.
fn path_of(text: &str) -> Option<Arc<str>> {
    let fits = visible(text) && !text.contains('#') && !text.contains("://");
    fits.then(|| match text.strip_prefix('/') {
        Some(_) => text.into(),
        None => format!("/{text}").into(),
    })
}

fn visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::document::{ServiceDraft, decode};

    /// What a check says, and the problems of its file.
    fn read(protocol: &str, server: &str, check: &str) -> (Option<HealthCheck>, Vec<String>) {
        let text = format!(
            "{protocol}: {{services: {{x: {{loadBalancer: {{servers: [{server}], healthCheck: {check}}}}}}}}}"
        );
        let (document, problems) = decode(Path::new("a.yml"), &text);
        let services = document.map(|document| match protocol {
            "http" => document.http.services,
            _ => document.tcp.services,
        });
        let found = services
            .iter()
            .flatten()
            .find_map(|named| match named.usable() {
                Some(ServiceDraft::LoadBalancer(draft)) => draft.health.as_deref().cloned(),
                _ => None,
            });
        (found, problems.iter().map(ToString::to_string).collect())
    }

    fn http(check: &str) -> (Option<HealthCheck>, Vec<String>) {
        read("http", "{url: 'http://192.0.2.1'}", check)
    }

    #[test]
    fn what_is_not_written_is_as_traefik_has_it() {
        let (check, problems) = http("{path: health?x=1, interval: 10s}");
        assert_eq!(problems, Vec::<String>::new());
        let check = check.expect("a check");
        let ten = Duration::from_secs(10);
        let pace = Pace {
            interval: ten,
            unhealthy_interval: ten,
            rise: HEALTH_RISE,
            fall: HEALTH_FALL,
        };
        assert_eq!((check.pace, check.timeout), (pace, HEALTH_TIMEOUT));
        let Question::Http(question) = check.question else {
            panic!("{:?}", check.question);
        };
        assert_eq!((&*question.path, &*question.method), ("/health?x=1", "GET"));
        assert!(question.follow_redirects && question.status.is_none());
    }

    #[test]
    fn grpc_needs_no_path() {
        let (check, problems) = http("{mode: grpc}");
        assert_eq!(problems, Vec::<String>::new());
        assert!(matches!(
            check.expect("a check").question,
            Question::Grpc(_)
        ));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (check, told) in [
            ("{}", "path"),
            ("{path: /, status: 700}", "status"),
            ("{path: /, mode: tcp}", "http, grpc"),
            ("{path: /, interval: 1ms}", "from 10ms to 24h"),
            ("{path: /, fall: 0}", "from 1 to 1000"),
            ("{path: '/a b'}", "a path such as /health"),
            ("{path: /, headers: {Host: x}}", "hostname says the Host"),
            ("{path: /, headers: {X: \"a\\nb\"}}", "a header field"),
            ("{path: /, hostname: \"a\\r\\nb\"}", "hostname"),
        ] {
            let (_, problems) = http(check);
            assert_eq!(problems.len(), 1, "{check}: {problems:?}");
            assert!(problems[0].contains(told), "{check}: {problems:?}");
        }
    }

    #[test]
    fn limits_hold_exactly() {
        let headers = |count: usize| {
            let fields = (0..count).map(|at| format!("X-{at}: a"));
            format!(
                "{{path: /, headers: {{{}}}}}",
                fields.collect::<Vec<_>>().join(", ")
            )
        };
        let streak = HEALTH_STREAK_MAX;
        for (good, wrong) in [
            (
                "{path: /, interval: 10ms}".into(),
                "{path: /, interval: 9ms}".into(),
            ),
            (
                "{path: /, interval: 24h}".into(),
                "{path: /, interval: 86401s}".into(),
            ),
            (
                format!("{{path: /, fall: {streak}}}"),
                format!("{{path: /, fall: {}}}", streak + 1),
            ),
            (
                format!("{{path: /, rise: {streak}}}"),
                format!("{{path: /, rise: {}}}", streak + 1),
            ),
            (headers(HEALTH_HEADERS_MAX), headers(HEALTH_HEADERS_MAX + 1)),
        ] {
            assert_eq!(http(&good).1, Vec::<String>::new(), "{good}");
            assert_eq!(http(&wrong).1.len(), 1, "{wrong}");
        }
        let said = |bytes: usize| {
            let check = format!("{{send: {}, expect: {0}}}", "x".repeat(bytes));
            read("tcp", "{address: '192.0.2.1:7'}", &check).1.len()
        };
        assert_eq!(
            (
                said(HEALTH_EXPECT_BYTES_MAX),
                said(HEALTH_EXPECT_BYTES_MAX + 1)
            ),
            (0, 2)
        );
    }

    #[test]
    fn tcp_servers_are_told_something_and_listened_to() {
        let check = "{send: PING, expect: PONG, port: 9, rise: 1}";
        let (check, problems) = read("tcp", "{address: '192.0.2.1:7'}", check);
        assert_eq!(problems, Vec::<String>::new());
        let check = check.expect("a check");
        let question = Question::Tcp {
            send: Arc::from(&b"PING"[..]),
            expect: Arc::from(&b"PONG"[..]),
        };
        assert_eq!(
            (check.question, check.port, check.pace.rise),
            (question, Some(9), 1)
        );
    }
}
