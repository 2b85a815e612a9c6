//! What a client may do on one connection before the meter stops it.

use std::time::Duration;

use super::Abuse;
use crate::limits;

/// So many at once, and so many more each second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// At once.
    pub burst: u32,
    /// More each second, until there are as many again.
    pub per_second: u32,
}

/// What each shape of abuse is measured by, in the order of [`Abuse::ALL`]. Of those that are no rates the first one is
/// too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates([Allowance; Abuse::COUNT]);

/// What a client may do on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Frames of each kind.
    pub rates: Rates,
    /// CONTINUATION frames of one header block.
    pub continuations: u32,
    /// Those of them without content.
    pub empty_continuations: u32,
    /// Bytes of one header block as sent.
    pub block_bytes: usize,
    /// Streams that are begun and neither ended nor reset.
    pub unended_streams: usize,
    /// From the first byte of a header block, a frame that is not DATA, or the preface to its end.
    pub unfinished: Duration,
}

impl Rates {
    /// What is allowed of one shape.
    pub const fn of(&self, shape: Abuse) -> Allowance {
        self.0[shape as usize]
    }

    /// The same, to change it.
    pub const fn of_mut(&mut self, shape: Abuse) -> &mut Allowance {
        &mut self.0[shape as usize]
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self(Abuse::ALL.map(|shape| {
            let (burst, per_second) = match shape {
                Abuse::RapidReset => limits::HTTP2_RESETS,
                Abuse::MadeYouReset => limits::HTTP2_MADE_RESETS,
                Abuse::Settings => limits::HTTP2_SETTINGS,
                Abuse::Ping => limits::HTTP2_PINGS,
                Abuse::Priority => limits::HTTP2_PRIORITIES,
                Abuse::EmptyData => limits::HTTP2_EMPTY_DATA,
                Abuse::WindowUpdate => limits::HTTP2_WINDOW_UPDATES,
                Abuse::Unknown => limits::HTTP2_UNKNOWN_FRAMES,
                Abuse::ZeroWindow => limits::HTTP2_ZERO_WINDOWS,
                Abuse::Continuation
                | Abuse::EmptyContinuation
                | Abuse::HeaderBomb
                | Abuse::Unfinished => (0, 0),
            };
            Allowance { burst, per_second }
        }))
    }
}

impl Default for Allowed {
    fn default() -> Self {
        Self {
            rates: Rates::default(),
            continuations: limits::HTTP2_CONTINUATIONS_MAX,
            empty_continuations: limits::HTTP2_EMPTY_CONTINUATIONS_MAX,
            block_bytes: limits::HTTP2_HEADER_BLOCK_BYTES_MAX,
            unended_streams: limits::HTTP2_UNENDED_STREAMS_MAX,
            unfinished: limits::CLIENT_HEAD,
        }
    }
}

/// CONTINUATION frames that the `h2` crate takes for a header list of so many bytes: those it needs in frames of the
/// usual size, and a quarter more.
pub const fn most_continuations(header_bytes: usize) -> u32 {
    const FRAME: usize = 16 << 10;
    let needed = header_bytes / FRAME;
    let most = needed + needed / 4;
    match most < limits::HTTP2_CONTINUATIONS_MAX as usize {
        true => limits::HTTP2_CONTINUATIONS_MAX,
        false => most as u32,
    }
}
