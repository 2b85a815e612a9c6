//! The memory of one request's messages.

use super::passage::Passage;
use crate::http::{RequestHead, ResponseHead};
use crate::http1::{HeadLimits, RequestParser};

/// The memory one request needs, used again by the next one of this worker.
pub struct Scratch {
    /// The bytes of a head that did not come at once.
    pub partial: Vec<u8>,
    /// The client's head.
    pub request: RequestHead,
    /// The reader of it.
    pub requests: RequestParser,
    /// The server's head.
    pub response: ResponseHead,
    /// The way through the middlewares.
    pub passage: Passage,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            partial: Vec::new(),
            request: RequestHead::default(),
            requests: RequestParser::new(HeadLimits::default()),
            response: ResponseHead::default(),
            passage: Passage::default(),
        }
    }
}

impl Scratch {
    /// Bytes it holds allocated.
    pub fn allocated(&self) -> usize {
        self.partial.capacity()
            + self.request.headers.allocated()
            + self.response.headers.allocated()
    }

    /// Forgets the messages and keeps the memory.
    pub fn clear(&mut self) {
        self.partial.clear();
        self.request.clear();
        self.response.clear();
        self.passage.clear();
        self.requests = RequestParser::new(HeadLimits::default());
    }
}
