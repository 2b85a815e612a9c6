//! What a client still lets weir send on each of its streams (RFC 9113 section 6.9), followed by the frames of both
//! directions.
//!
//! Owns one number for each stream that has a response to come. Never: the window of the connection, which no stream
//! holds closed alone. Invariants: as many streams as the limit says and no more; a stream that is not known is open.

use std::collections::HashMap;

/// SETTINGS_INITIAL_WINDOW_SIZE until the client says another (RFC 9113 section 6.9.2).
const INITIAL: i64 = 65_535;

/// The windows of one connection.
#[derive(Clone, Debug)]
pub struct Windows {
    initial: i64,
    /// By stream, what it may be sent beside the initial window: less than nothing once much was sent.
    streams: HashMap<u32, i64>,
    most: usize,
}

impl Windows {
    /// For so many streams.
    pub fn new(most: usize) -> Self {
        Self {
            initial: INITIAL,
            streams: HashMap::new(),
            most,
        }
    }

    /// The client has said how large windows are to begin with, those that are there included.
    pub fn begin_with(&mut self, size: u32) {
        self.initial = size.into();
    }

    pub fn open(&mut self, stream: u32) {
        if self.streams.len() < self.most {
            self.streams.insert(stream, 0);
        }
    }

    pub fn end(&mut self, stream: u32) {
        self.streams.remove(&stream);
    }

    pub fn widen(&mut self, stream: u32, by: u32) {
        self.change(stream, by.into());
    }

    pub fn use_up(&mut self, stream: u32, bytes: usize) {
        self.change(stream, -i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn change(&mut self, stream: u32, by: i64) {
        if let Some(credit) = self.streams.get_mut(&stream) {
            *credit = credit.saturating_add(by);
        }
    }

    /// Whether nothing more may be sent on this stream.
    pub fn is_closed(&self, stream: u32) -> bool {
        let credit = self.streams.get(&stream);
        credit.is_some_and(|credit| credit.saturating_add(self.initial) <= 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_closed_when_all_that_it_may_be_sent_has_been() {
        let mut windows = Windows::new(2);
        windows.open(1);
        windows.use_up(1, 65_534);
        assert!(!windows.is_closed(1));
        windows.use_up(1, 1);
        assert!(windows.is_closed(1));
        windows.widen(1, 1);
        assert!(!windows.is_closed(1));
        windows.begin_with(65_534);
        assert!(windows.is_closed(1));
        windows.begin_with(0x7fff_ffff);
        assert!(!windows.is_closed(1));
        windows.begin_with(0);
        windows.end(1);
        assert!(!windows.is_closed(1));
        for stream in [1, 3, 5] {
            windows.open(stream);
        }
        assert_eq!(
            [1, 3, 5].map(|stream| windows.is_closed(stream)),
            [true, true, false]
        );
    }
}
