//! `entryPoints.X.http2`.

use super::{Limits, keys};
use crate::config::Problem;
use crate::config::walker::{Cost, Fields, Place, Walker};
use crate::http2::{Allowed, most_continuations};
use crate::limits::{
    HTTP2_HEADER_BLOCK_BYTES_MAX, HTTP2_HEADER_TABLE, HTTP2_HEADER_TABLE_MAX, HTTP2_STREAMS,
    HTTP2_STREAMS_MAX, HTTP2_UNENDED_STREAMS_MAX,
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

/// `place` is `http2`, below the entry point `within`.
pub(super) fn decode(
    walker: &mut Walker,
    within: &Place<'_>,
    place: Option<&Place<'_>>,
    limits: &Limits,
) -> Http2Settings {
    let (mut streams, mut decoder_table) = (HTTP2_STREAMS, HTTP2_HEADER_TABLE);
    if let Some(fields) = place.and_then(|place| walker.fields(place, &keys::HTTP2)) {
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
    Http2Settings {
        streams,
        decoder_table,
        allowed: allowed(walker, within, limits, streams),
    }
}

/// What clients may do, where they may send such heads and have so many streams.
fn allowed(walker: &mut Walker, within: &Place<'_>, limits: &Limits, streams: u32) -> Allowed {
    let (http2, header_bytes) = (&limits.http2, limits.head.bytes);
    let most = most_continuations(header_bytes);
    if let Some(found) = http2.continuations.filter(|found| *found > most) {
        let found =
            format!("limits.http2.continuations {found} beside {header_bytes} bytes of head");
        let problem = Problem::error(within.origin().clone(), found)
            .allowed(format!("at most {most} for so many bytes"))
            .remedy("lower it, or raise headerBytes");
        walker.report(Cost::Source, within, problem);
    }
    if let Some(found) = http2.unended_streams.filter(|found| *found < streams) {
        let found = format!("limits.http2.unendedStreams {found} beside {streams} streams");
        let problem = Problem::error(within.origin().clone(), found)
            .allowed("at least as many as may be open")
            .remedy("raise it, or lower http2.maxConcurrentStreams");
        walker.report(Cost::Source, within, problem);
    }
    let unended = http2.unended_streams.map(|streams| streams as usize);
    Allowed {
        rates: http2.rates,
        continuations: http2.continuations.unwrap_or(most),
        empty_continuations: http2.empty_continuations,
        block_bytes: header_bytes.max(HTTP2_HEADER_BLOCK_BYTES_MAX),
        unended_streams: unended.unwrap_or(HTTP2_UNENDED_STREAMS_MAX.max(2 * streams as usize)),
        unfinished: limits.header,
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
