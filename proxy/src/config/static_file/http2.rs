//! `entryPoints.X.http2`.

use super::{Limits, keys};
use crate::config::Problem;
use crate::config::walker::{Cost, Fields, Place, Walker};
use crate::http2::{Allowed, most_continuations};
use crate::limits::{
    HTTP2_HEADER_BLOCK_BYTES_MAX, HTTP2_HEADER_TABLE, HTTP2_HEADER_TABLE_MAX, HTTP2_STREAMS,
    HTTP2_STREAMS_MAX, HTTP2_UNENDED_STREAMS_MAX, HTTP2_WINDOWS_SHARE,
};

/// What is agreed with clients that speak HTTP/2, and what they may do. The encoder's table always has
/// [`HTTP2_HEADER_TABLE`] bytes at most, so that a larger `maxEncoderHeaderTableSize` is kept to and a smaller one is
/// refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Settings {
    /// `maxConcurrentStreams`: of one connection.
    pub streams: u32,
    /// `maxDecoderHeaderTableSize`: bytes of the HPACK table for what clients send.
    pub decoder_table: u32,
    /// `limits.http2`, and what follows from other limits.
    pub allowed: Allowed,
}

/// The `http2` of an entry point, with its limits, on workers with so many bytes of windows.
pub(super) fn decode(
    walker: &mut Walker,
    entry_point: &Fields<'_>,
    limits: &Limits,
    window_bytes: usize,
) -> Http2Settings {
    let (mut streams, mut decoder_table) = (HTTP2_STREAMS, HTTP2_HEADER_TABLE);
    let place = entry_point.get("http2");
    let fields = place
        .as_ref()
        .and_then(|place| walker.fields(place, &keys::HTTP2));
    if let Some(fields) = fields {
        let table = i64::from(HTTP2_HEADER_TABLE);
        let most = i64::from(HTTP2_HEADER_TABLE_MAX);
        let most_streams = i64::from(HTTP2_STREAMS_MAX);
        if let Some(number) = number(walker, &fields, "maxConcurrentStreams", 1, most_streams) {
            streams = number;
        }
        if let Some(bytes) = number(walker, &fields, "maxDecoderHeaderTableSize", 0, most) {
            decoder_table = bytes;
        }
        // Nothing to keep: see the type.
        let _ = number(walker, &fields, "maxEncoderHeaderTableSize", table, most);
    }
    check(walker, entry_point.place(), limits, streams, window_bytes);
    Http2Settings {
        streams,
        decoder_table,
        allowed: allowed(limits, streams),
    }
}

/// What clients may do, where they may send such heads and have so many streams.
fn allowed(limits: &Limits, streams: u32) -> Allowed {
    let (http2, header_bytes) = (&limits.http2, limits.head.bytes);
    let unended = http2.unended_streams.map(|streams| streams as usize);
    Allowed {
        rates: http2.rates,
        continuations: http2
            .continuations
            .unwrap_or(most_continuations(header_bytes)),
        empty_continuations: http2.empty_continuations,
        block_bytes: header_bytes.max(HTTP2_HEADER_BLOCK_BYTES_MAX),
        unended_streams: unended.unwrap_or(HTTP2_UNENDED_STREAMS_MAX.max(2 * streams as usize)),
        unfinished: limits.header,
    }
}

/// What is allowed only beside other limits, which may stand elsewhere.
fn check(
    walker: &mut Walker,
    place: &Place<'_>,
    limits: &Limits,
    streams: u32,
    window_bytes: usize,
) {
    let (http2, header_bytes) = (&limits.http2, limits.head.bytes);
    let mut report = |found: String, allowed: String, remedy: &'static str| {
        let problem = Problem::error(place.origin().clone(), format!("limits.http2.{found}"));
        walker.report(Cost::Source, place, problem.allowed(allowed).remedy(remedy));
    };
    let most = most_continuations(header_bytes);
    if let Some(found) = http2.continuations.filter(|found| *found > most) {
        report(
            format!("continuations {found} beside {header_bytes} bytes of head"),
            format!("at most {most} for so many bytes"),
            "lower it, or raise headerBytes",
        );
    }
    if let Some(found) = http2.unended_streams.filter(|found| *found < streams) {
        report(
            format!("unendedStreams {found} beside {streams} streams"),
            "at least as many as may be open".to_owned(),
            "raise it, or lower http2.maxConcurrentStreams",
        );
    }
    let most = window_bytes - window_bytes / HTTP2_WINDOWS_SHARE;
    if http2.connection_window as usize > most {
        let found = http2.connection_window;
        report(
            format!("connectionWindowBytes {found} beside workerWindowBytes {window_bytes}"),
            format!(
                "at most {most} bytes: workers with less than a quarter left give small windows"
            ),
            "lower it, or raise limits.http2.workerWindowBytes",
        );
    }
}

fn number(
    walker: &mut Walker,
    fields: &Fields<'_>,
    key: &'static str,
    least: i64,
    most: i64,
) -> Option<u32> {
    let place = fields.get(key)?;
    let number = walker.integer(&place, least..=most)?;
    u32::try_from(number).ok()
}
