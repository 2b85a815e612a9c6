//! Message bodies: which of the received bytes are payload.

use super::{BodyLength, Reason};
use crate::http::Headers;

/// What to do with the beginning of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first so many bytes (at least one) are payload.
    Data(usize),
    /// The first so many bytes (at least one) are framing and used up.
    Skip(usize),
    /// The body has ended; what follows is the next message. Stays so.
    End,
    /// The input is empty and the body has not ended.
    NeedMore,
}

/// Walks over a body. Looks at each byte once and keeps none of them but trailers, so that the caller can hand on the
/// buffers it received, cut where `Data` ends, and never has to hold one back.
#[derive(Clone, Debug, Default)]
pub struct BodyDecoder {}

impl BodyDecoder {
    /// For the body that follows a head.
    pub fn new(_length: BodyLength) -> Self {
        Self {}
    }

    /// Looks at `input`, which begins where the last step's `Data` or `Skip` ended. Never needs bytes again that were
    /// in such a step.
    ///
    /// # Errors
    /// The chunked coding is malformed or over a limit.
    pub fn step(&mut self, _input: &[u8]) -> Result<Step, Reason> {
        todo!()
    }

    /// Tells that the connection has ended.
    ///
    /// # Errors
    /// [`Reason::BodyTruncated`] if that is not where the body ends.
    pub fn end_of_input(&mut self) -> Result<(), Reason> {
        todo!()
    }

    /// Whether the body has ended.
    pub fn is_ended(&self) -> bool {
        todo!()
    }

    /// The trailer fields that may be forwarded, once the body has ended.
    pub fn trailers(&self) -> Option<&Headers> {
        todo!()
    }
}
