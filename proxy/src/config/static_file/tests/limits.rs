//! Numbers of the static file: the least and the most that a limit allows are taken, one beyond is not.

use super::*;
use crate::limits;

#[test]
fn numbers_at_their_limits_are_taken_and_those_beyond_are_not() {
    let head = limits::HEAD_BYTES_RANGE;
    let fields = limits::HEAD_FIELDS_RANGE;
    let window = limits::HTTP2_WINDOW_RANGE;
    let rate = limits::HTTP2_RATE_RANGE;
    let table = i64::from(limits::HTTP2_HEADER_TABLE_MAX);
    for (setting, least, most) in [
        (
            "limits: {requestLineBytes: 1024, headerBytes: N}",
            1025,
            *head.end(),
        ),
        (
            "limits: {headerBytes: 16777216, requestLineBytes: N}",
            *head.start(),
            *head.end() - 1,
        ),
        ("limits: {headerFields: N}", *fields.start(), *fields.end()),
        ("limits: {clientPrefixV6: N}", 16, 64),
        ("limits: {trailerBytes: N}", 256, 1 << 20),
        ("limits: {trailerFields: N}", 1, 1_000),
        (
            "http2: {maxConcurrentStreams: N}",
            1,
            i64::from(limits::HTTP2_STREAMS_MAX),
        ),
        (
            "limits: {http2: {resets: {burst: N}}}",
            *rate.start(),
            *rate.end(),
        ),
        (
            "limits: {http2: {resets: {perSecond: N}}}",
            *rate.start(),
            *rate.end(),
        ),
        ("limits: {http2: {settings: {burst: N}}}", 2, *rate.end()),
        ("limits: {http2: {emptyData: {burst: N}}}", 1, 100),
        ("limits: {http2: {continuations: N}}", 1, 5),
        (
            "limits: {http2: {continuations: N}, headerBytes: 16777216}",
            1,
            1280,
        ),
        (
            "limits: {http2: {streamWindowBytes: N}}",
            *window.start(),
            *window.end(),
        ),
        (
            "limits: {http2: {connectionWindowBytes: N}}",
            *window.start(),
            48 << 20,
        ),
        ("limits: {http2: {emptyContinuations: N}}", 0, 1280),
        (
            "limits: {http2: {unendedStreams: N}}",
            250,
            i64::from(limits::HTTP2_STREAMS_MAX),
        ),
        ("http2: {maxDecoderHeaderTableSize: N}", 0, table),
        (
            "http2: {maxEncoderHeaderTableSize: N}",
            i64::from(limits::HTTP2_HEADER_TABLE),
            table,
        ),
    ] {
        let outcome = |number: i64| {
            let setting = setting.replace('N', &number.to_string());
            parse(&format!(
                "entryPoints: {{web: {{address: ':80', {setting}}}}}\n"
            ))
        };
        for number in [least, most] {
            assert!(outcome(number).is_ok(), "{setting}: {number}");
        }
        for number in [least - 1, most + 1] {
            assert!(outcome(number).is_err(), "{setting}: {number}");
        }
    }
}

#[test]
fn numbers_of_transports_at_their_limits_are_taken_and_those_beyond_are_not() {
    for (key, range) in [
        ("maxResponseHeaderBytes", limits::HEAD_BYTES_RANGE),
        ("maxResponseHeaderFields", limits::HEAD_FIELDS_RANGE),
    ] {
        let outcome = |number: i64| {
            parse(&format!(
                "entryPoints: {{web: {{address: ':80'}}}}\nserversTransport: {{{key}: {number}}}\n"
            ))
        };
        for number in [*range.start(), *range.end()] {
            assert!(outcome(number).is_ok(), "{key}: {number}");
        }
        for number in [range.start() - 1, range.end() + 1] {
            assert!(outcome(number).is_err(), "{key}: {number}");
        }
    }
}

#[test]
fn windows_of_a_worker_are_bounded() {
    let range = limits::HTTP2_WINDOWS_RANGE;
    for (bytes, taken) in [
        (*range.start(), true),
        (*range.start() - 1, false),
        (*range.end(), true),
        (*range.end() + 1, false),
    ] {
        let text = format!(
            "entryPoints: {{web: {{address: ':80'}}}}\n\
             limits: {{http2: {{workerWindowBytes: {bytes}}}}}\n"
        );
        assert_eq!(parse(&text).is_ok(), taken, "{bytes}");
    }
}

#[test]
fn workers_and_entry_points_are_bounded() {
    let workers = |count: usize| {
        parse(&format!(
            "entryPoints: {{web: {{address: ':80'}}}}\nworkers: {count}\n"
        ))
    };
    assert!(workers(limits::WORKERS_MAX).is_ok());
    assert!(workers(limits::WORKERS_MAX + 1).is_err());
    let entry_points = |count: usize| {
        let points = (1..=count).map(|port| format!("e{port}: {{address: ':{port}'}}"));
        let points = points.collect::<Vec<_>>().join(", ");
        parse(&format!("entryPoints: {{{points}}}\n"))
    };
    assert!(entry_points(limits::ENTRY_POINTS_MAX).is_ok());
    assert!(entry_points(limits::ENTRY_POINTS_MAX + 1).is_err());
}

#[test]
fn who_says_nothing_of_times_gets_these() {
    let config = parse(
        "entryPoints: {web: {address: ':80'}}\n\
         certificatesResolvers: {le: {acme: {dnsChallenge: {provider: exec}}}}\n",
    );
    let resolver = config.unwrap().resolvers.remove(0);
    let Issuer::Acme(acme) = resolver.issuer else {
        panic!("{resolver:?}");
    };
    assert_eq!(acme.timeout, limits::ACME_TIMEOUT);
    let Challenge::Dns(challenge) = acme.challenge else {
        panic!("{:?}", acme.challenge);
    };
    assert_eq!(challenge.patience, limits::DNS_PROPAGATION);
}
