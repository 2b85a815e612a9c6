//! `entryPoints.X.http2`.

use super::keys;
use crate::config::walker::{Fields, Place, Walker};
use crate::limits::{HTTP2_HEADER_TABLE, HTTP2_HEADER_TABLE_MAX, HTTP2_STREAMS};

/// What is agreed with clients that speak HTTP/2. The encoder's table always has [`HTTP2_HEADER_TABLE`] bytes at most,
/// so that a larger `maxEncoderHeaderTableSize` is kept to and a smaller one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Settings {
    /// `maxConcurrentStreams`: of one connection.
    pub streams: u32,
    /// `maxDecoderHeaderTableSize`: bytes of the HPACK table for what clients send.
    pub decoder_table: u32,
}

impl Default for Http2Settings {
    fn default() -> Self {
        Self {
            streams: HTTP2_STREAMS,
            decoder_table: HTTP2_HEADER_TABLE,
        }
    }
}

pub(super) fn decode(walker: &mut Walker, place: Option<&Place<'_>>) -> Http2Settings {
    let mut settings = Http2Settings::default();
    let Some(fields) = place.and_then(|place| walker.fields(place, &keys::HTTP2)) else {
        return settings;
    };
    let table = i64::from(HTTP2_HEADER_TABLE);
    let most = i64::from(HTTP2_HEADER_TABLE_MAX);
    if let Some(streams) = number(walker, &fields, "maxConcurrentStreams", 1, 100_000) {
        settings.streams = streams;
    }
    if let Some(bytes) = number(walker, &fields, "maxDecoderHeaderTableSize", 0, most) {
        settings.decoder_table = bytes;
    }
    // Nothing to keep: see the type.
    let _ = number(walker, &fields, "maxEncoderHeaderTableSize", table, most);
    settings
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
