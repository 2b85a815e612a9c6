//! What a client does to its connection, counted from the headers of its frames on their way into the `h2` crate, and
//! of the crate's own on their way out.
//!
//! Owns the rates of one connection, and what its client lets be sent on each stream. Never: the content of a message.
//! Invariants: bytes may come in any pieces; its memory is bounded whatever comes; one that keeps to the rates is never
//! stopped, however long it stays.

use std::collections::HashSet;
use std::time::{Duration, Instant};

mod allowed;
mod walk;
mod windows;

pub use allowed::{Allowance, Allowed, Rates, most_continuations};

use walk::{Frame, Kind, Seen, Walk};
use windows::Windows;

/// A shape of abuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Abuse {
    /// RST_STREAM from the client: requests opened and thrown away (CVE-2023-44487).
    RapidReset,
    /// Streams that weir is made to reset, by frames that they do not allow (CVE-2025-8671).
    MadeYouReset,
    /// A header block in many pieces or of many bytes (CVE-2024-27316).
    Continuation,
    /// The same in pieces without content.
    EmptyContinuation,
    /// SETTINGS, each of which must be acknowledged (CVE-2019-9515).
    Settings,
    /// PING, each of which must be answered (CVE-2019-9512).
    Ping,
    /// PRIORITY and PRIORITY_UPDATE (CVE-2019-9513).
    Priority,
    /// DATA without content that ends nothing (CVE-2019-9518).
    EmptyData,
    /// WINDOW_UPDATE out of all proportion to what was sent.
    WindowUpdate,
    /// Frames of types that nobody knows, and GOAWAY.
    Unknown,
    /// Header blocks that decode to more than they may (CVE-2016-6581).
    HeaderBomb,
    /// A frame or header block begun and not ended in time.
    Unfinished,
    /// Streams whose response is not taken for a long time (CVE-2019-9517).
    ZeroWindow,
}

impl Abuse {
    /// How many shapes there are.
    pub const COUNT: usize = 13;

    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::RapidReset,
        Self::MadeYouReset,
        Self::Continuation,
        Self::EmptyContinuation,
        Self::Settings,
        Self::Ping,
        Self::Priority,
        Self::EmptyData,
        Self::WindowUpdate,
        Self::Unknown,
        Self::HeaderBomb,
        Self::Unfinished,
        Self::ZeroWindow,
    ];

    /// One word for logs and counters; stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RapidReset => "rapid_reset",
            Self::MadeYouReset => "made_you_reset",
            Self::Continuation => "continuation",
            Self::EmptyContinuation => "empty_continuation",
            Self::Settings => "settings",
            Self::Ping => "ping",
            Self::Priority => "priority",
            Self::EmptyData => "empty_data",
            Self::WindowUpdate => "window_update",
            Self::Unknown => "unknown_frames",
            Self::HeaderBomb => "header_bomb",
            Self::Unfinished => "unfinished_frame",
            Self::ZeroWindow => "zero_window",
        }
    }
}

/// Why a connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// ENHANCE_YOUR_CALM.
    Abuse(Abuse),
    /// FRAME_SIZE_ERROR: a frame of a fixed length has another (RFC 9113 section 4.2).
    FrameSize,
    /// FLOW_CONTROL_ERROR: an initial window larger than a window can be (section 6.5.2).
    WindowSize,
    /// STREAM_CLOSED: a frame on a stream that the client has ended or reset (section 5.1).
    StreamClosed,
}

/// Counts what goes over one connection.
#[derive(Clone, Debug)]
pub struct Meter {
    allowed: Allowed,
    incoming: Walk,
    outgoing: Walk,
    rates: [Rate; Abuse::COUNT],
    /// The frame or header block that is not whole.
    unfinished: Option<Instant>,
    /// The header block that is being received.
    block: Option<Block>,
    /// The last stream that the client has opened.
    last_stream: u32,
    /// It has left some out, whose use is another error.
    skipped: bool,
    /// Those of its streams that it has neither ended nor reset.
    unended: HashSet<u32>,
    windows: Windows,
}

#[derive(Clone, Copy, Debug, Default)]
struct Block {
    bytes: usize,
    frames: u32,
    empty: u32,
}

/// A bucket that fills by the second.
#[derive(Clone, Copy, Debug)]
struct Rate {
    left: u32,
    filled: Instant,
}

impl Meter {
    /// For a connection that begins `now` with the client's preface.
    pub fn new(allowed: Allowed, now: Instant) -> Self {
        Self {
            allowed,
            incoming: Walk::after_preface(),
            outgoing: Walk::default(),
            rates: Abuse::ALL.map(|shape| Rate {
                left: allowed.rates.of(shape).burst,
                filled: now,
            }),
            unfinished: Some(now),
            block: None,
            last_stream: 0,
            skipped: false,
            unended: HashSet::new(),
            windows: Windows::new(allowed.unended_streams),
        }
    }

    /// Looks at bytes from the client.
    ///
    /// # Errors
    /// The connection must end.
    pub fn received(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Verdict> {
        while !bytes.is_empty() {
            let (taken, seen) = self.incoming.step(bytes);
            bytes = &bytes[taken..];
            match seen {
                Some(Seen::Frame(frame)) => self.incoming_frame(frame, now)?,
                Some(Seen::InitialWindow(size)) if size > WINDOW_MAX => {
                    return Err(Verdict::WindowSize);
                }
                Some(Seen::InitialWindow(size)) => self.windows.begin_with(size),
                None => {}
            }
            self.track_unfinished(now);
        }
        Ok(())
    }

    /// Looks at bytes to the client.
    ///
    /// # Errors
    /// The connection must end.
    pub fn sent(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Verdict> {
        while !bytes.is_empty() {
            let (taken, seen) = self.outgoing.step(bytes);
            bytes = &bytes[taken..];
            if let Some(Seen::Frame(frame)) = seen {
                self.outgoing_frame(frame, now)?;
            }
        }
        Ok(())
    }

    /// Whether a stream has been sent all that its client allows.
    pub fn is_closed(&self, stream: u32) -> bool {
        self.windows.is_closed(stream)
    }

    /// Counts what no frame tells.
    ///
    /// # Errors
    /// The connection must end.
    pub fn count(&mut self, shape: Abuse, now: Instant) -> Result<(), Verdict> {
        if self.rates[shape as usize].take(self.allowed.rates.of(shape), now) {
            Ok(())
        } else {
            Err(Verdict::Abuse(shape))
        }
    }

    /// When [`Self::expired`] may become true.
    pub fn deadline(&self) -> Option<Instant> {
        self.unfinished.map(|since| since + self.allowed.unfinished)
    }

    /// A frame or header block is not ended in time.
    pub fn expired(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Bodies come as slowly as they like, within the stall time of whoever waits for them.
    fn track_unfinished(&mut self, now: Instant) {
        if self.block.is_none() && (self.incoming.is_between() || self.incoming.is_in_data()) {
            self.unfinished = None;
        } else if self.unfinished.is_none() {
            self.unfinished = Some(now);
        }
    }

    fn outgoing_frame(&mut self, frame: Frame, now: Instant) -> Result<(), Verdict> {
        match (frame.kind, frame.word) {
            (Kind::Data | Kind::Headers, _) => {
                if frame.ends_stream() {
                    self.windows.end(frame.stream);
                } else if frame.kind == Kind::Data {
                    self.windows.use_up(frame.stream, frame.length);
                }
                // The client may acknowledge, measure and widen in proportion to what it gets.
                for (shape, tokens) in [(Abuse::Ping, 1), (Abuse::WindowUpdate, 4)] {
                    self.rates[shape as usize].grant(self.allowed.rates.of(shape), tokens);
                }
            }
            (Kind::Reset, reason) => {
                self.windows.end(frame.stream);
                // The client has its response and is told not to go on with the request, or there are too many.
                if !matches!(reason, Some(NO_ERROR | CANCEL)) {
                    self.count(Abuse::MadeYouReset, now)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn incoming_frame(&mut self, frame: Frame, now: Instant) -> Result<(), Verdict> {
        if frame.has_wrong_length() {
            return Err(Verdict::FrameSize);
        }
        self.follow_stream(frame)?;
        match frame.kind {
            Kind::Data if frame.is_empty() && !frame.ends_stream() => {
                self.count(Abuse::EmptyData, now)
            }
            Kind::Headers | Kind::Continuation => self.header_frame(frame),
            Kind::Priority | Kind::PriorityUpdate => self.count(Abuse::Priority, now),
            Kind::Reset => self.count(Abuse::RapidReset, now),
            Kind::Settings => self.count(Abuse::Settings, now),
            // An answer to a ping of ours.
            Kind::Ping if frame.is_ack() => self.count(Abuse::Unknown, now),
            Kind::Ping => self.count(Abuse::Ping, now),
            Kind::WindowUpdate => self.count(Abuse::WindowUpdate, now),
            Kind::GoAway | Kind::Unknown => self.count(Abuse::Unknown, now),
            Kind::Data | Kind::PushPromise => Ok(()),
        }
    }

    /// What the client has ended stays ended, whether or not the crate still knows of it.
    fn follow_stream(&mut self, frame: Frame) -> Result<(), Verdict> {
        match frame.kind {
            Kind::Reset => {
                self.unended.remove(&frame.stream);
                self.windows.end(frame.stream);
            }
            Kind::WindowUpdate => {
                let by = frame.word.unwrap_or(0) & WINDOW_MAX;
                self.windows.widen(frame.stream, by);
            }
            Kind::Headers if frame.stream > self.last_stream => {
                self.skipped |= frame.stream != next_stream(self.last_stream);
                self.last_stream = frame.stream;
                self.windows.open(frame.stream);
                if !frame.ends_stream() {
                    self.unended.insert(frame.stream);
                }
                if self.unended.len() > self.allowed.unended_streams {
                    return Err(Verdict::Abuse(Abuse::MadeYouReset));
                }
            }
            Kind::Headers | Kind::Data if (1..=self.last_stream).contains(&frame.stream) => {
                let known = if frame.ends_stream() {
                    self.unended.remove(&frame.stream)
                } else {
                    self.unended.contains(&frame.stream)
                };
                // Streams of even numbers, and those skipped, are the crate's to refuse.
                if !known && !self.skipped && frame.stream % 2 == 1 {
                    return Err(Verdict::StreamClosed);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn header_frame(&mut self, frame: Frame) -> Result<(), Verdict> {
        let mut block = match frame.kind {
            Kind::Continuation => self.block.take().unwrap_or_default(),
            _ => Block::default(),
        };
        block.bytes += frame.length;
        if frame.kind == Kind::Continuation {
            block.frames += 1;
            block.empty += u32::from(frame.length == 0);
        }
        if block.empty > self.allowed.empty_continuations {
            return Err(Verdict::Abuse(Abuse::EmptyContinuation));
        }
        if block.frames > self.allowed.continuations || block.bytes > self.allowed.block_bytes {
            return Err(Verdict::Abuse(Abuse::Continuation));
        }
        self.block = (!frame.ends_headers()).then_some(block);
        Ok(())
    }
}

/// The odd number that follows (RFC 9113 section 5.1.1).
const fn next_stream(last: u32) -> u32 {
    if last == 0 { 1 } else { last.saturating_add(2) }
}

/// The largest size of a window (RFC 9113 section 6.9.1).
const WINDOW_MAX: u32 = 0x7fff_ffff;
const NO_ERROR: u32 = 0;
const CANCEL: u32 = 8;

impl Rate {
    fn take(&mut self, allowance: Allowance, now: Instant) -> bool {
        let Allowance { burst, per_second } = allowance;
        let seconds = now.saturating_duration_since(self.filled).as_secs();
        if seconds > 0 {
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            self.filled += Duration::from_secs(seconds.into());
            self.left = self
                .left
                .saturating_add(per_second.saturating_mul(seconds))
                .min(burst.max(self.left));
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    fn grant(&mut self, allowance: Allowance, tokens: u32) {
        self.left = (self.left + tokens).min(allowance.burst * 2);
    }
}

#[cfg(test)]
mod tests;
