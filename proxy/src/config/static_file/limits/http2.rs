//! `limits.http2`: what a client that speaks HTTP/2 may do on one connection, and what it may fill.

use std::time::Duration;

use super::above_zero;
use crate::config::static_file::keys;
use crate::config::walker::{Fields, Place, Walker};
use crate::http2::{Abuse, Allowance, Rates, most_continuations};
use crate::limits;

/// As it is written; what depends on other settings is `None` where nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Limits {
    /// `resets` to `zeroWindows`.
    pub rates: Rates,
    /// `continuations`; `None` is what the `h2` crate takes for `headerBytes`.
    pub continuations: Option<u32>,
    /// `emptyContinuations`
    pub empty_continuations: u32,
    /// `unendedStreams`; `None` is the default, or twice `maxConcurrentStreams`.
    pub unended_streams: Option<u32>,
    /// `zeroWindowTimeout`: how long a stream is kept whose window is closed.
    pub zero_window: Duration,
    /// `connectionWindowBytes`: what a client may send on all streams before weir has sent it on.
    pub connection_window: u32,
    /// `streamWindowBytes`: the same on one stream.
    pub stream_window: u32,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            rates: Rates::default(),
            continuations: None,
            empty_continuations: limits::HTTP2_EMPTY_CONTINUATIONS_MAX,
            unended_streams: None,
            zero_window: limits::HTTP2_ZERO_WINDOW,
            connection_window: limits::HTTP2_CONNECTION_WINDOW,
            stream_window: limits::HTTP2_STREAM_WINDOW,
        }
    }
}

/// The keys of rates, the shapes of abuse that they stop, and the least and most that weir can let a client do at once:
/// every client sends SETTINGS and acknowledges weir's, and the `h2` crate takes so much DATA without content.
const RATES: [(&str, Abuse, i64, i64); 9] = {
    let (least, most) = (
        *limits::HTTP2_RATE_RANGE.start(),
        *limits::HTTP2_RATE_RANGE.end(),
    );
    let empty = limits::HTTP2_EMPTY_DATA.0 as i64;
    [
        ("resets", Abuse::RapidReset, least, most),
        ("madeResets", Abuse::MadeYouReset, least, most),
        ("settings", Abuse::Settings, 2, most),
        ("pings", Abuse::Ping, least, most),
        ("priorities", Abuse::Priority, least, most),
        ("emptyData", Abuse::EmptyData, least, empty),
        ("windowUpdates", Abuse::WindowUpdate, least, most),
        ("unknownFrames", Abuse::Unknown, least, most),
        ("zeroWindows", Abuse::ZeroWindow, least, most),
    ]
};

/// The keys of every `limits.http2`, over what holds without.
pub(super) fn decode(walker: &mut Walker, fields: &Fields<'_>, limits: &mut Http2Limits) {
    for (key, window) in [
        ("connectionWindowBytes", &mut limits.connection_window),
        ("streamWindowBytes", &mut limits.stream_window),
    ] {
        let range = limits::HTTP2_WINDOW_RANGE;
        if let Some(bytes) = number(walker, fields, key, *range.start(), *range.end()) {
            *window = bytes;
        }
    }
    for (key, shape, least, most) in RATES {
        if let Some(place) = fields.get(key) {
            rate(walker, &place, least, most, limits.rates.of_mut(shape));
        }
    }
    let most = i64::from(most_continuations(*limits::HEAD_BYTES_RANGE.end() as usize));
    if let Some(number) = number(walker, fields, "continuations", 1, most) {
        limits.continuations = Some(number);
    }
    if let Some(number) = number(walker, fields, "emptyContinuations", 0, most) {
        limits.empty_continuations = number;
    }
    let most = i64::from(limits::HTTP2_STREAMS_MAX);
    if let Some(number) = number(walker, fields, "unendedStreams", 1, most) {
        limits.unended_streams = Some(number);
    }
    above_zero(walker, fields, "zeroWindowTimeout", &mut limits.zero_window);
}

fn rate(walker: &mut Walker, place: &Place<'_>, least: i64, most: i64, rate: &mut Allowance) {
    let Some(fields) = walker.fields(place, &keys::HTTP2_RATE) else {
        return;
    };
    if let Some(number) = number(walker, &fields, "burst", least, most) {
        rate.burst = number;
    }
    let range = limits::HTTP2_RATE_RANGE;
    if let Some(number) = number(walker, &fields, "perSecond", *range.start(), *range.end()) {
        rate.per_second = number;
    }
}

fn number(
    walker: &mut Walker,
    fields: &Fields<'_>,
    key: &'static str,
    least: i64,
    most: i64,
) -> Option<u32> {
    let number = fields.integer(walker, key, least..=most)?;
    u32::try_from(number).ok()
}
