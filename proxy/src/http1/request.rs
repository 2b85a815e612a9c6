//! Request heads.

use super::{BodyLength, Reject};
use crate::http::RequestHead;
use crate::limits;

/// Bounds on a head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the request line without its line end; over it 414.
    pub request_line: usize,
    /// Number of field lines; over it 431.
    pub fields: usize,
    /// Bytes of the whole head, request line and empty line included; over it 431.
    pub bytes: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            request_line: limits::REQUEST_LINE_BYTES_MAX,
            fields: limits::HEAD_FIELDS_MAX,
            bytes: limits::HEAD_BYTES_MAX,
        }
    }
}

/// What a request head says beside what goes on to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Bytes of input that the head took; the body begins there.
    pub consumed: usize,
    /// The body that follows.
    pub body: BodyLength,
    /// Whether the client will take another response on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body. `Expect` stays in the head, to be
    /// forwarded.
    pub expects_continue: bool,
    /// Whether the client asks for another protocol that may be forwarded; the head then holds its `Upgrade`.
    pub upgrade: bool,
}

/// Finds and reads request heads. Remembers how far it has looked, so that a head which comes byte by byte is scanned
/// once.
#[derive(Clone, Debug)]
pub struct RequestParser {
    limits: HeadLimits,
}

impl RequestParser {
    /// A parser at the start of a message.
    pub fn new(limits: HeadLimits) -> Self {
        Self { limits }
    }

    /// Reads a head from the beginning of `input` into `head`, whose former content is lost. `None` if there is more
    /// to come: call again with the same bytes and further ones. After `Some` the parser is ready for the next message.
    ///
    /// # Errors
    /// As soon as what has arrived can be no acceptable head; see [`super::Reason`] for each cause and its status.
    pub fn parse(
        &mut self,
        _input: &[u8],
        _head: &mut RequestHead,
    ) -> Result<Option<Request>, Reject> {
        let _ = self.limits;
        todo!()
    }
}
