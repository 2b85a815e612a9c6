//! The memory that HTTP/2 clients may fill: each connection's receive window comes out of one budget of its worker.

use std::cell::Cell;
use std::rc::Rc;

use crate::limits;

/// What is left of a worker's budget.
#[derive(Debug)]
pub struct Windows(Rc<Cell<usize>>);

impl Default for Windows {
    fn default() -> Self {
        Self(Rc::new(Cell::new(limits::HTTP2_WINDOWS_BYTES)))
    }
}

/// The windows of one connection; given back when dropped.
#[derive(Debug)]
pub struct Window {
    budget: Rc<Cell<usize>>,
    /// Bytes that may arrive on the connection and not be read.
    pub connection: u32,
    /// The same for one stream.
    pub stream: u32,
}

impl Windows {
    /// The usual windows, or while little is left the smallest that the protocol begins with.
    pub fn take(&self) -> Window {
        let (connection, stream) =
            if self.0.get() > limits::HTTP2_WINDOWS_BYTES / limits::HTTP2_WINDOWS_SHARE {
                (limits::HTTP2_CONNECTION_WINDOW, limits::HTTP2_STREAM_WINDOW)
            } else {
                (limits::HTTP2_SMALL_WINDOW, limits::HTTP2_SMALL_WINDOW)
            };
        self.0.set(self.0.get().saturating_sub(connection as usize));
        Window {
            budget: Rc::clone(&self.0),
            connection,
            stream,
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let left = self.budget.get() + self.connection as usize;
        self.budget.set(left.min(limits::HTTP2_WINDOWS_BYTES));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_shrink_when_little_is_left_and_come_back() {
        let windows = Windows::default();
        let large = limits::HTTP2_CONNECTION_WINDOW as usize;
        let plenty =
            limits::HTTP2_WINDOWS_BYTES - limits::HTTP2_WINDOWS_BYTES / limits::HTTP2_WINDOWS_SHARE;
        let mut taken: Vec<Window> = (0..plenty.div_ceil(large))
            .map(|_| windows.take())
            .collect();
        assert!(
            taken
                .iter()
                .all(|window| window.connection as usize == large)
        );
        taken.push(windows.take());
        assert_eq!(
            taken.last().map(|window| window.connection),
            Some(limits::HTTP2_SMALL_WINDOW)
        );
        drop(taken);
        assert_eq!(windows.take().connection as usize, large);
    }
}
