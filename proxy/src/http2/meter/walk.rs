//! The headers of frames in a stream of bytes (RFC 9113 section 4.1), whatever the pieces it comes in.

use crate::http2::PREFACE;

/// Bytes of a frame's header.
const HEADER: usize = 9;
/// Bytes of a payload that are looked at: RST_STREAM's error code, WINDOW_UPDATE's increment, and the length of a DATA
/// frame's padding.
const LOOK: usize = 4;

/// Bytes of a setting: its identifier, its value.
const SETTING: usize = 6;
/// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 section 6.5.2).
const INITIAL_WINDOW_SIZE: [u8; 2] = 4u16.to_be_bytes();

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// RFC 9218 section 7.1.
    PriorityUpdate,
    Unknown,
}

/// A frame that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub kind: Kind,
    /// Bytes of its payload.
    pub length: usize,
    pub stream: u32,
    /// The error code of a RST_STREAM, the increment of a WINDOW_UPDATE.
    pub word: Option<u32>,
    flags: u8,
    /// Bytes of a DATA frame's padding, its own length included.
    padding: usize,
}

/// What has been recognised.
#[derive(Clone, Copy, Debug)]
pub enum Seen {
    Frame(Frame),
    /// In SETTINGS, the size that windows of streams begin with.
    InitialWindow(u32),
}

impl Frame {
    /// Whether a DATA frame carries nothing.
    pub fn is_empty(&self) -> bool {
        self.length <= self.padding
    }

    pub fn ends_stream(&self) -> bool {
        self.flags & 0x1 != 0
    }

    pub fn is_ack(&self) -> bool {
        self.flags & 0x1 != 0
    }

    pub fn ends_headers(&self) -> bool {
        self.flags & 0x4 != 0
    }

    fn is_padded(&self) -> bool {
        self.flags & 0x8 != 0
    }

    /// Whether its length is not the one that its type has.
    pub fn has_wrong_length(&self) -> bool {
        match self.kind {
            Kind::Priority => self.length != 5,
            Kind::Reset | Kind::WindowUpdate => self.length != 4,
            Kind::Ping => self.length != 8,
            Kind::Settings if self.is_ack() => self.length != 0,
            Kind::Settings => !self.length.is_multiple_of(6),
            Kind::GoAway => self.length < 8,
            _ => false,
        }
    }

    /// Bytes of the payload to look at.
    fn looked_at(&self) -> usize {
        let wanted = match self.kind {
            Kind::Reset | Kind::WindowUpdate => LOOK,
            Kind::Data if self.is_padded() => 1,
            _ => 0,
        };
        wanted.min(self.length)
    }

    fn parse(header: &[u8; HEADER]) -> Self {
        let kind = match header[3] {
            0 => Kind::Data,
            1 => Kind::Headers,
            2 => Kind::Priority,
            3 => Kind::Reset,
            4 => Kind::Settings,
            5 => Kind::PushPromise,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            8 => Kind::WindowUpdate,
            9 => Kind::Continuation,
            16 => Kind::PriorityUpdate,
            _ => Kind::Unknown,
        };
        Self {
            kind,
            length: u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize,
            stream: u32::from_be_bytes([header[5] & 0x7f, header[6], header[7], header[8]]),
            word: None,
            flags: header[4],
            padding: 0,
        }
    }
}

/// Where in the stream the next byte is.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    /// Bytes to come that are of no interest.
    skip: usize,
    /// The frame that these bytes are of.
    current: Option<Kind>,
    kept: [u8; HEADER + LOOK],
    have: usize,
    /// Bytes of a SETTINGS frame to come.
    settings: usize,
}

impl Walk {
    /// At the start of what a client sends.
    pub fn after_preface() -> Self {
        Self {
            skip: PREFACE.len(),
            ..Self::default()
        }
    }

    /// Whether a frame has ended and the next has not begun.
    pub fn is_between(&self) -> bool {
        self.skip == 0 && self.have == 0 && self.settings == 0
    }

    /// Whether the next byte is payload of a DATA frame.
    pub fn is_in_data(&self) -> bool {
        self.skip > 0 && self.current == Some(Kind::Data)
    }

    /// Walks on; says how many bytes that took, at least one, and what has been recognised. `bytes` is not empty.
    pub fn step(&mut self, bytes: &[u8]) -> (usize, Option<Seen>) {
        if self.skip > 0 {
            let taken = self.skip.min(bytes.len());
            self.skip -= taken;
            return (taken, None);
        }
        if self.settings > 0 {
            return self.setting(bytes);
        }
        let mut wanted = HEADER;
        if self.have >= HEADER {
            wanted += self.header().looked_at();
        }
        let taken = (wanted - self.have).min(bytes.len());
        self.kept[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
        self.have += taken;
        if self.have < HEADER {
            return (taken, None);
        }
        let frame = self.header();
        if self.have < HEADER + frame.looked_at() {
            return (taken, None);
        }
        (taken, Some(Seen::Frame(self.begin(frame))))
    }

    /// Walks over part of a setting.
    fn setting(&mut self, bytes: &[u8]) -> (usize, Option<Seen>) {
        let taken = (SETTING - self.have).min(bytes.len());
        self.kept[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
        self.have += taken;
        if self.have < SETTING {
            return (taken, None);
        }
        self.have = 0;
        self.settings -= SETTING;
        let [a, b, value @ ..] = &self.kept[..SETTING] else {
            return (taken, None);
        };
        let value = value.try_into().map(u32::from_be_bytes).ok();
        let size = value.filter(|_| [*a, *b] == INITIAL_WINDOW_SIZE);
        (taken, size.map(Seen::InitialWindow))
    }

    fn header(&self) -> Frame {
        let mut header = [0; HEADER];
        header.copy_from_slice(&self.kept[..HEADER]);
        Frame::parse(&header)
    }

    fn begin(&mut self, mut frame: Frame) -> Frame {
        let looked_at = frame.looked_at();
        let look = &self.kept[HEADER..HEADER + looked_at];
        match (frame.kind, look) {
            (Kind::Reset | Kind::WindowUpdate, [a, b, c, d]) => {
                frame.word = Some(u32::from_be_bytes([*a, *b, *c, *d]));
            }
            (Kind::Data, [padding]) => frame.padding = usize::from(*padding) + 1,
            _ => {}
        }
        self.skip = frame.length - looked_at;
        if frame.kind == Kind::Settings && !frame.has_wrong_length() {
            self.settings = std::mem::take(&mut self.skip);
        }
        self.current = Some(frame.kind);
        self.have = 0;
        frame
    }
}
