//! The body type of the whole program: a piece of bytes that is either a lease on a ring buffer or owned.
//!
//! The relay passes leases untouched. Whoever keeps a chunk for longer than its own send takes a copy first
//! ([`Chunk::into_owned`]): a worker has few ring buffers, and one kept is one that nobody can receive into.

use std::collections::VecDeque;
use std::ops::Deref;

use bytes::Bytes;

use super::buffers::Lease;

/// A piece of bytes: leased from the worker's buffer ring or owned. Not `Send`: a lease belongs to its worker.
#[derive(Clone)]
pub struct Chunk(Inner);

#[derive(Clone)]
enum Inner {
    Lease(Lease),
    Owned(Bytes),
}

impl Chunk {
    /// Whether it is a lease, that is whether it holds a ring buffer back from its worker.
    pub fn is_lease(&self) -> bool {
        matches!(self.0, Inner::Lease(_))
    }

    /// Splits off and returns the first `n` bytes; `self` keeps the rest. No byte is copied.
    ///
    /// # Panics
    /// If `n` is greater than the length.
    #[must_use = "the bytes split off are gone otherwise; see `advance`"]
    pub fn split_to(&mut self, n: usize) -> Self {
        match &mut self.0 {
            Inner::Lease(lease) => Self(Inner::Lease(lease.split_to(n))),
            Inner::Owned(bytes) => Self(Inner::Owned(bytes.split_to(n))),
        }
    }

    /// Drops the first `n` bytes.
    ///
    /// # Panics
    /// If `n` is greater than the length.
    pub fn advance(&mut self, n: usize) {
        match &mut self.0 {
            Inner::Lease(lease) => lease.advance(n),
            Inner::Owned(bytes) => bytes::Buf::advance(bytes, n),
        }
    }

    /// Keeps the first `n` bytes; does nothing if there are fewer.
    pub fn truncate(&mut self, n: usize) {
        match &mut self.0 {
            Inner::Lease(lease) => lease.truncate(n),
            Inner::Owned(bytes) => bytes.truncate(n),
        }
    }

    /// The same bytes in memory of their own. Copies a lease and gives its buffer back; free if owned already.
    #[must_use]
    pub fn into_owned(self) -> Self {
        Self(Inner::Owned(self.into_bytes()))
    }

    /// The same bytes as [`Bytes`]. Copies a lease and gives its buffer back; free if owned already.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Inner::Lease(lease) => Bytes::copy_from_slice(&lease),
            Inner::Owned(bytes) => bytes,
        }
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Lease(lease) => lease,
            Inner::Owned(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Lease> for Chunk {
    fn from(lease: Lease) -> Self {
        Self(Inner::Lease(lease))
    }
}

impl From<Bytes> for Chunk {
    fn from(bytes: Bytes) -> Self {
        Self(Inner::Owned(bytes))
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Inner::Owned(bytes.into()))
    }
}

impl From<&'static [u8]> for Chunk {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Inner::Owned(Bytes::from_static(bytes)))
    }
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.is_lease() { "lease" } else { "owned" };
        write!(f, "Chunk({kind}, {} bytes)", self.len())
    }
}

/// Chunks in order, with their byte count. Holds no empty chunk.
#[derive(Clone, Debug, Default)]
pub struct ChunkQueue {
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

impl ChunkQueue {
    /// An empty queue; allocates nothing.
    pub const fn new() -> Self {
        Self {
            chunks: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Appends a chunk; an empty one is dropped.
    pub fn push(&mut self, chunk: impl Into<Chunk>) {
        let chunk = chunk.into();
        if !chunk.is_empty() {
            self.bytes += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    /// Puts a chunk before all others; an empty one is dropped.
    pub fn push_front(&mut self, chunk: impl Into<Chunk>) {
        let chunk = chunk.into();
        if !chunk.is_empty() {
            self.bytes += chunk.len();
            self.chunks.push_front(chunk);
        }
    }

    /// Takes the first chunk.
    pub fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.bytes -= chunk.len();
        Some(chunk)
    }

    /// Splits off and returns the first `n` bytes, or all if there are fewer. No byte is copied.
    #[must_use = "the bytes split off are gone otherwise; see `advance`"]
    pub fn split_to(&mut self, n: usize) -> Self {
        let mut split = Self::new();
        while split.bytes < n
            && let Some(mut chunk) = self.pop()
        {
            let step = chunk.len().min(n - split.bytes);
            split.push(chunk.split_to(step));
            self.push_front(chunk);
        }
        split
    }

    /// Drops the first `n` bytes, or all if there are fewer.
    pub fn advance(&mut self, mut n: usize) {
        while n > 0
            && let Some(first) = self.chunks.front_mut()
        {
            let step = n.min(first.len());
            first.advance(step);
            let emptied = first.is_empty();
            self.bytes -= step;
            n -= step;
            if emptied {
                self.chunks.pop_front();
            }
        }
    }

    /// Replaces every lease by a copy, giving its buffer back.
    pub(crate) fn copy_out(&mut self, mut copy: impl FnMut(&[u8]) -> Chunk) {
        for chunk in self.chunks.iter_mut().filter(|chunk| chunk.is_lease()) {
            *chunk = copy(chunk);
        }
    }

    /// Whether any chunk is a lease.
    pub fn has_lease(&self) -> bool {
        self.chunks.iter().any(Chunk::is_lease)
    }

    /// All bytes of all chunks.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many chunks there are.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The chunks, first to last.
    pub fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter()
    }

    /// Drops everything, keeping the room.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.bytes = 0;
    }
}

impl<C: Into<Chunk>> FromIterator<C> for ChunkQueue {
    fn from_iter<I: IntoIterator<Item = C>>(chunks: I) -> Self {
        let mut queue = Self::new();
        chunks.into_iter().for_each(|chunk| queue.push(chunk));
        queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(pieces: &[&'static str]) -> ChunkQueue {
        pieces.iter().map(|piece| piece.as_bytes()).collect()
    }

    fn content(queue: &ChunkQueue) -> String {
        queue
            .iter()
            .map(|chunk| String::from_utf8_lossy(chunk))
            .collect()
    }

    #[test]
    fn counts_bytes_and_keeps_no_empty_chunk() {
        let mut queue = queue(&["ab", "", "cde"]);
        assert_eq!((queue.len(), queue.bytes()), (2, 5));
        queue.push_front(b"x".as_slice());
        assert_eq!(content(&queue), "xabcde");
        assert_eq!(queue.pop().as_deref(), Some(b"x".as_slice()));
        assert_eq!((queue.len(), queue.bytes()), (2, 5));
        queue.clear();
        assert!(queue.is_empty() && queue.bytes() == 0 && queue.pop().is_none());
    }

    #[test]
    fn advances_across_chunks_and_no_further_than_the_end() {
        let mut all = queue(&["ab", "cde", "f"]);
        all.advance(3);
        assert_eq!(
            (content(&all), all.len(), all.bytes()),
            ("def".into(), 2, 3)
        );
        all.advance(2);
        assert_eq!((content(&all), all.len(), all.bytes()), ("f".into(), 1, 1));
        all.advance(9);
        assert!(all.is_empty() && all.bytes() == 0);
    }

    #[test]
    fn splits_across_chunks_and_no_further_than_the_end() {
        let mut all = queue(&["ab", "cde", "f"]);
        let first = all.split_to(3);
        assert_eq!((content(&first), first.bytes()), ("abc".into(), 3));
        assert_eq!(
            (content(&all), all.len(), all.bytes()),
            ("def".into(), 2, 3)
        );
        assert_eq!(content(&all.split_to(9)), "def");
        assert!(all.is_empty() && all.split_to(1).is_empty());
    }

    #[test]
    fn splits_without_copying() {
        let mut chunk = Chunk::from(b"head body".to_vec());
        let start = chunk.as_ptr();
        let head = chunk.split_to(5);
        chunk.truncate(2);
        assert_eq!((&*head, &*chunk), (b"head ".as_slice(), b"bo".as_slice()));
        assert_eq!(head.as_ptr(), start);
        assert!(!head.into_owned().is_lease());
    }
}
