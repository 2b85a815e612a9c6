//! Message bodies: which of the received bytes are payload.

use super::chunk_line::ChunkLine;
use super::trailers::{TrailerLimits, TrailerSection};
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
pub struct BodyDecoder {
    state: State,
    /// Bytes that chunk extensions have taken so far.
    extension_bytes: usize,
    trailers: Option<Box<TrailerSection>>,
    limits: TrailerLimits,
}

#[derive(Clone, Debug, Default)]
enum State {
    /// So many bytes of payload to come, at least one.
    Length(u64),
    UntilClose,
    ChunkLine(ChunkLine),
    /// So many bytes of a chunk to come, at least one.
    Chunk(u64),
    /// CR LF after a chunk; whether the CR has been seen.
    ChunkEnd(bool),
    Trailers,
    #[default]
    Ended,
}

impl BodyDecoder {
    /// For the body that follows a head, with trailers within these limits.
    pub fn new(length: BodyLength, limits: TrailerLimits) -> Self {
        let state = match length {
            BodyLength::Empty | BodyLength::Length(0) => State::Ended,
            BodyLength::Length(length) => State::Length(length),
            BodyLength::Chunked => State::ChunkLine(ChunkLine::default()),
            BodyLength::UntilClose => State::UntilClose,
        };
        Self {
            state,
            limits,
            ..Self::default()
        }
    }

    /// Looks at `input`, which begins where the last step's `Data` or `Skip` ended. Never needs bytes again that were
    /// in such a step.
    ///
    /// # Errors
    /// The chunked coding is malformed or over a limit.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Reason> {
        match &mut self.state {
            State::Ended => Ok(Step::End),
            _ if input.is_empty() => Ok(Step::NeedMore),
            State::UntilClose => Ok(Step::Data(input.len())),
            State::Length(left) => {
                let taken = take(left, input);
                if *left == 0 {
                    self.state = State::Ended;
                }
                Ok(Step::Data(taken))
            }
            State::Chunk(left) => {
                let taken = take(left, input);
                if *left == 0 {
                    self.state = State::ChunkEnd(false);
                }
                Ok(Step::Data(taken))
            }
            _ => self.skip_framing(input).map(Step::Skip),
        }
    }

    /// Tells that the connection has ended.
    ///
    /// # Errors
    /// [`Reason::BodyTruncated`] if that is not where the body ends.
    pub fn end_of_input(&mut self) -> Result<(), Reason> {
        match self.state {
            State::Ended | State::UntilClose => {
                self.state = State::Ended;
                Ok(())
            }
            _ => Err(Reason::BodyTruncated),
        }
    }

    /// Whether the body has ended.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// The trailer fields that may be forwarded, once the body has ended; `None` if there are none.
    pub fn trailers(&self) -> Option<&Headers> {
        self.trailers
            .as_ref()
            .map(|section| section.fields())
            .filter(|fields| self.is_ended() && !fields.is_empty())
    }

    /// Walks over framing until payload, the end of the body or the end of the input; says how far that was.
    fn skip_framing(&mut self, input: &[u8]) -> Result<usize, Reason> {
        let mut at = 0;
        while at < input.len() {
            match &mut self.state {
                State::ChunkLine(line) => {
                    let before = line.extension_bytes();
                    let (taken, size) = line.feed(&input[at..])?;
                    at += taken;
                    self.extension_bytes += line.extension_bytes() - before;
                    if self.extension_bytes > crate::limits::CHUNK_EXTENSION_BYTES_MAX {
                        return Err(Reason::ChunkExtension);
                    }
                    match size {
                        None => {}
                        Some(0) => self.state = State::Trailers,
                        Some(size) => self.state = State::Chunk(size),
                    }
                }
                State::ChunkEnd(seen @ false) if input[at] == b'\r' => {
                    *seen = true;
                    at += 1;
                }
                State::ChunkEnd(true) if input[at] == b'\n' => {
                    self.state = State::ChunkLine(ChunkLine::default());
                    at += 1;
                }
                State::ChunkEnd(_) => return Err(Reason::ChunkEnd),
                State::Trailers => {
                    let (taken, ended) =
                        TrailerSection::feed(&mut self.trailers, &self.limits, &input[at..])?;
                    at += taken;
                    if ended {
                        self.state = State::Ended;
                    }
                }
                State::Ended | State::Chunk(_) | State::Length(_) | State::UntilClose => break,
            }
        }
        Ok(at)
    }
}

fn take(left: &mut u64, input: &[u8]) -> usize {
    let taken = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(input.len());
    *left -= taken as u64;
    taken
}

#[cfg(test)]
mod tests;
