//! The beginning of a request's body, kept while its server may still say that it has done nothing with the request
//! (RFC 9113 section 8.7): then it can be sent once more, whatever its method.
//!
//! Owns at most [`limits::UPSTREAM_REPEAT_BYTES`] for each request, until its response begins. Never: a part of what
//! was read. What is longer is given up, and the request with it if the server refuses it after all.

use std::cell::RefCell;

use super::{BodyError, Source};
use crate::http::Headers;
use crate::limits;
use crate::transport::Transport;
use crate::uring::{Chunk, ChunkQueue};

/// What has been read of a body, as long as that is little.
#[derive(Default)]
pub struct Kept(RefCell<State>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    given_up: bool,
}

impl Kept {
    /// Whether nothing is missing of what has been read.
    pub fn is_whole(&self) -> bool {
        !self.0.borrow().given_up
    }

    /// Whether nothing has been read.
    pub fn is_untouched(&self) -> bool {
        let state = self.0.borrow();
        !state.given_up && state.bytes.is_empty()
    }

    /// Forgets it: it will not be sent again.
    pub fn give_up(&self) {
        *self.0.borrow_mut() = State {
            bytes: Vec::new(),
            given_up: true,
        };
    }

    fn add(&self, piece: &[u8]) {
        let mut state = self.0.borrow_mut();
        if state.given_up {
            return;
        }
        if state.bytes.len() + piece.len() <= limits::UPSTREAM_REPEAT_BYTES {
            state.bytes.extend_from_slice(piece);
        } else {
            drop(state);
            self.give_up();
        }
    }
}

/// A body of which what passes is kept, and what was kept by an earlier try comes first.
pub struct Keeping<'a, S> {
    inner: &'a mut S,
    kept: &'a Kept,
    /// Of a server that never refuses, nothing is kept.
    keeps: bool,
    /// What is kept has yet to be handed out.
    again: bool,
}

impl<'a, S: Source> Keeping<'a, S> {
    /// The body of `inner`, after what has been `kept` of it; more of it is kept if the server may refuse it.
    pub fn new(inner: &'a mut S, kept: &'a Kept, keeps: bool) -> Self {
        Self {
            inner,
            kept,
            keeps,
            again: true,
        }
    }

    /// Keeps what has come after the first `known` entries.
    fn note(&self, payload: &ChunkQueue, known: usize) {
        let mut new = payload.iter().skip(known);
        if self.keeps {
            new.for_each(|chunk| self.kept.add(chunk));
        } else if new.next().is_some() {
            self.kept.give_up();
        }
    }
}

impl<S: Source> Source for Keeping<'_, S> {
    fn gather(&mut self, payload: &mut ChunkQueue, most: usize) -> Result<(), BodyError> {
        if std::mem::take(&mut self.again) {
            payload.push(Chunk::from(self.kept.0.borrow().bytes.clone()));
        }
        let known = payload.len();
        self.inner.gather(payload, most)?;
        self.note(payload, known);
        Ok(())
    }

    async fn receive(&mut self, payload: &mut ChunkQueue) -> Result<(), BodyError> {
        let known = payload.len();
        self.inner.receive(payload).await?;
        self.note(payload, known);
        Ok(())
    }

    fn is_ended(&self) -> bool {
        !self.again && self.inner.is_ended()
    }

    fn trailers(&self) -> Option<&Headers> {
        self.inner.trailers()
    }

    fn copy_out(&mut self) {
        self.inner.copy_out();
    }

    fn switch(&mut self) {
        self.inner.switch();
    }

    fn transport(&self) -> Option<&Transport> {
        self.inner.transport()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces that have come already.
    struct Pieces(Vec<Vec<u8>>);

    impl Source for Pieces {
        fn gather(&mut self, payload: &mut ChunkQueue, most: usize) -> Result<(), BodyError> {
            while payload.len() < most && !self.0.is_empty() {
                payload.push(Chunk::from(self.0.remove(0)));
            }
            Ok(())
        }

        async fn receive(&mut self, _: &mut ChunkQueue) -> Result<(), BodyError> {
            unreachable!("all has come")
        }

        fn is_ended(&self) -> bool {
            self.0.is_empty()
        }

        fn trailers(&self) -> Option<&Headers> {
            None
        }

        fn copy_out(&mut self) {}

        fn switch(&mut self) {}

        fn transport(&self) -> Option<&Transport> {
            None
        }
    }

    fn all(source: &mut impl Source, calls: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..calls {
            let mut payload = ChunkQueue::new();
            assert!(source.gather(&mut payload, 1).is_ok());
            payload
                .iter()
                .for_each(|chunk| bytes.extend_from_slice(chunk));
        }
        bytes
    }

    #[test]
    fn what_one_try_has_read_the_next_one_reads_first() {
        let mut pieces = Pieces(vec![b"one ".to_vec(), b"two ".to_vec(), b"three".to_vec()]);
        let kept = Kept::default();
        let mut first = Keeping::new(&mut pieces, &kept, true);
        assert_eq!(all(&mut first, 2), b"one two ");
        assert!(!kept.is_untouched());
        let mut second = Keeping::new(&mut pieces, &kept, true);
        assert!(!second.is_ended());
        assert_eq!(all(&mut second, 2), b"one two three");
        assert!(second.is_ended() && kept.is_whole());
        let mut third = Keeping::new(&mut pieces, &kept, true);
        assert!(!third.is_ended(), "what is kept comes first");
        assert_eq!(all(&mut third, 1), b"one two three");
        assert!(third.is_ended());
    }

    #[test]
    fn as_much_is_kept_as_the_limit_says_and_not_one_byte_more() {
        let most = limits::UPSTREAM_REPEAT_BYTES;
        for (bytes, whole) in [(most, true), (most + 1, false)] {
            let mut pieces = Pieces(vec![vec![b'x'; most - 1], vec![b'y'; bytes - (most - 1)]]);
            let kept = Kept::default();
            assert_eq!(
                all(&mut Keeping::new(&mut pieces, &kept, true), 2).len(),
                bytes
            );
            assert_eq!(kept.is_whole(), whole, "{bytes}");
            assert_eq!(kept.0.borrow().bytes.len(), if whole { most } else { 0 });
        }
    }

    #[test]
    fn nothing_is_kept_for_a_server_that_never_refuses() {
        let kept = Kept::default();
        let mut pieces = Pieces(vec![b"one".to_vec()]);
        let mut body = Keeping::new(&mut pieces, &kept, false);
        assert!(kept.is_untouched());
        assert!(all(&mut body, 1) == b"one" && !kept.is_whole());
        assert!(!kept.is_untouched());
    }
}
