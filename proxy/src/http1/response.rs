//! Response heads.

use super::{Announce, BodyLength, HeadLimits, Reject};
use crate::http::{Method, ResponseHead};

/// What a response head says beside what goes on to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// Bytes of input that the head took; the body begins there.
    pub consumed: usize,
    /// The body that follows; of a final response to HEAD, of a 1xx, 204 or 304: none.
    pub body: BodyLength,
    /// What to announce to an HTTP/1.1 client: what the server announced, for HEAD and 304 too. For an HTTP/1.0
    /// client see [`Announce::for_client`].
    pub announce: Announce,
    /// Whether the connection can carry another request once the body has ended.
    pub keep_alive: bool,
}

/// Finds and reads response heads.
#[derive(Clone, Debug)]
pub struct ResponseParser {
    limits: HeadLimits,
}

impl ResponseParser {
    /// A parser at the start of a message.
    pub fn new(limits: HeadLimits) -> Self {
        Self { limits }
    }

    /// Reads the head of a response to a request of `method` from the beginning of `input`. Interim responses (1xx) are
    /// returned like others and the parser is then ready for the next head. `upgrade_asked`: whether 101 is acceptable.
    ///
    /// # Errors
    /// The server is at fault: 502.
    pub fn parse(
        &mut self,
        _input: &[u8],
        _method: &Method,
        _upgrade_asked: bool,
        _head: &mut ResponseHead,
    ) -> Result<Option<Response>, Reject> {
        let _ = self.limits;
        todo!()
    }
}
