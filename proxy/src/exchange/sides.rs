//! The two sides of one exchange, as whoever carries it out sees them: any protocol of a client joins with any of a
//! server.

use std::io;

use super::body::{Sink, Source};
use super::head::NoHead;
use super::scratch::Scratch;
use crate::http::{Method, ResponseHead};
use crate::http1::{Announce, BodyLength};

/// What follows a response's head.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// The body that is being received.
    pub body: BodyLength,
    /// What the server said about it; of a response to HEAD, about the one it left out.
    pub announce: Announce,
}

/// The client of one request: it gets interim responses and one final one.
pub trait Downstream {
    /// Writes the final response's body.
    type Sink<'a>: Sink
    where
        Self: 'a;

    /// Forwards an interim response, unless the client's version knows none.
    ///
    /// # Errors
    /// Sending failed.
    async fn interim(&self, head: &ResponseHead) -> io::Result<()>;

    /// Begins the final response. `sent`: the server has got the whole request.
    ///
    /// # Errors
    /// The head cannot be sent.
    fn begin(
        &self,
        head: &ResponseHead,
        content: Content,
        sent: bool,
    ) -> io::Result<Self::Sink<'_>>;

    /// Begins what follows a 101 that was asked for: `head` first, then bytes.
    ///
    /// # Errors
    /// The head cannot be sent.
    fn switch(&self, head: &ResponseHead) -> io::Result<Self::Sink<'_>>;

    /// Resolves when the client has gone while it waited for the response.
    async fn gone(&self);

    /// Resolves when the client has gone, or ended its side, while it waited for its turn; soon, or at once where
    /// `reads` says that nothing of a body is left to be received.
    async fn gave_up(&self, reads: bool);
}

/// The server's side of one request that is on its way.
pub trait Upstream {
    /// Whether it may say, of a request that it is getting, that it has done nothing with it ([`NoHead::Unprocessed`]).
    const MAY_REFUSE: bool;

    /// Reads the final response's body.
    type Source<'a>: Source
    where
        Self: 'a;

    /// Reads the next head, interim or final, into `scratch.response`.
    ///
    /// # Errors
    /// There is none.
    async fn head(&mut self, method: &Method, scratch: &mut Scratch) -> Result<Content, NoHead>;

    /// The body after the final head.
    fn body(&mut self) -> Self::Source<'_>;
}
