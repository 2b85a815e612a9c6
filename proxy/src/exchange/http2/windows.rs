//! The memory that HTTP/2 clients may fill: each connection's receive window comes out of one budget of its worker.

use std::cell::Cell;
use std::rc::Rc;

use crate::config::static_file::Http2Limits;
use crate::limits;

/// A worker's budget, and how much of it is taken.
#[derive(Debug)]
pub struct Windows {
    budget: usize,
    taken: Rc<Cell<usize>>,
}

/// The windows of one connection; given back when dropped.
#[derive(Debug)]
pub struct Window {
    taken: Rc<Cell<usize>>,
    /// Bytes that may arrive on the connection and not be read.
    pub connection: u32,
    /// The same for one stream.
    pub stream: u32,
}

impl Windows {
    /// Of so many bytes.
    pub fn new(budget: usize) -> Self {
        Self {
            budget,
            taken: Rc::default(),
        }
    }

    /// The windows of a connection and its streams: those of these limits, or while little is left the smallest that
    /// the protocol begins with.
    pub fn take(&self, limits: &Http2Limits) -> Window {
        let taken = self.taken.get();
        let plenty = self.budget - self.budget / limits::HTTP2_WINDOWS_SHARE;
        let (connection, stream) = match taken + limits.connection_window as usize <= plenty {
            true => (limits.connection_window, limits.stream_window),
            false => (limits::HTTP2_SMALL_WINDOW, limits::HTTP2_SMALL_WINDOW),
        };
        self.taken.set(taken + connection as usize);
        Window {
            taken: Rc::clone(&self.taken),
            connection,
            stream,
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.taken.set(self.taken.get() - self.connection as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_shrink_when_little_is_left_and_come_back() {
        let usual = Http2Limits::default();
        let (small, large) = (limits::HTTP2_SMALL_WINDOW, 3 << 20);
        let other = Http2Limits {
            connection_window: large,
            stream_window: 2 << 20,
            ..usual
        };
        for (budget, limits) in [(limits::HTTP2_WINDOWS_BYTES, usual), (8 << 20, other)] {
            let windows = Windows::new(budget);
            let plenty = budget - budget / limits::HTTP2_WINDOWS_SHARE;
            let many = plenty / limits.connection_window as usize;
            let mut taken: Vec<Window> = (0..many).map(|_| windows.take(&limits)).collect();
            let sizes = |window: &Window| (window.connection, window.stream);
            let expected = (limits.connection_window, limits.stream_window);
            assert!(taken.iter().all(|window| sizes(window) == expected));
            // However many there are, as many are given back.
            taken.extend((0..10_000).map(|_| windows.take(&limits)));
            assert!(
                taken[many..]
                    .iter()
                    .all(|window| sizes(window) == (small, small))
            );
            taken.truncate(many);
            assert_eq!(sizes(&windows.take(&limits)), (small, small));
            taken.pop();
            assert_eq!(sizes(&windows.take(&limits)), expected);
        }
    }
}
