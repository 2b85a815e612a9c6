//! A server that is spoken to in HTTP/1.1.

use super::body::Http1Source;
use super::head::{self, NoHead};
use super::scratch::Scratch;
use super::sides::{Content, Upstream};
use crate::http::Method;
use crate::http1::{BodyLength, HeadLimits, ResponseParser, TrailerLimits};
use crate::transport::Transport;
use crate::uring::Chunk;

/// One request's use of a connection.
pub struct Http1Server<'a> {
    transport: &'a Transport,
    /// What came after the last head.
    rest: Option<Chunk>,
    body: BodyLength,
    trailers: TrailerLimits,
    responses: ResponseParser,
    keep_alive: bool,
}

impl<'a> Http1Server<'a> {
    /// For a connection on which a request goes out, and a response whose head and trailers are within these limits.
    pub fn new(transport: &'a Transport, head: HeadLimits, trailers: TrailerLimits) -> Self {
        Self {
            transport,
            rest: None,
            body: BodyLength::Empty,
            trailers,
            responses: ResponseParser::new(head),
            keep_alive: false,
        }
    }

    /// What came after a 101.
    pub fn take_rest(&mut self) -> Option<Chunk> {
        self.rest.take()
    }

    /// Whether the server takes another request after the body of its response.
    pub fn keeps_alive(&self) -> bool {
        self.keep_alive
    }
}

impl Upstream for Http1Server<'_> {
    const MAY_REFUSE: bool = false;

    type Source<'a>
        = Http1Source<'a>
    where
        Self: 'a;

    async fn head(&mut self, method: &Method, scratch: &mut Scratch) -> Result<Content, NoHead> {
        let Scratch {
            partial, response, ..
        } = scratch;
        let responses = &mut self.responses;
        partial.clear();
        let first = self.rest.take();
        let read = head::read(self.transport, first, partial, |input| {
            let parsed = responses.parse(input, method, response)?;
            Ok(parsed.map(|facts| (facts, facts.consumed)))
        });
        let (facts, rest) = read.await?;
        // After an interim head more is waited for, and no ring buffer is kept meanwhile.
        self.rest = if response.status.is_informational() {
            rest.map(Chunk::into_owned)
        } else {
            rest
        };
        (self.body, self.keep_alive) = (facts.body, facts.keep_alive);
        Ok(Content {
            body: facts.body,
            announce: facts.announce,
        })
    }

    fn body(&mut self) -> Http1Source<'_> {
        Http1Source::new(self.transport, self.body, self.trailers, self.rest.take())
    }
}
