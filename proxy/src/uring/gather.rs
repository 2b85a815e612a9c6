//! The memory of a send: the chunks and the vectors that point into them, which stay together until the kernel is done.

use std::ptr;

use super::chunk::ChunkQueue;
use crate::limits::SEND_CHUNKS;

/// Up to [`SEND_CHUNKS`] chunks on their way out, with the message header the kernel reads.
pub(crate) struct Gather {
    /// What is left to send. Not touched while the kernel has it.
    pub(crate) chunks: ChunkQueue,
    vectors: [libc::iovec; SEND_CHUNKS],
    header: libc::msghdr,
}

impl Gather {
    pub(crate) fn new() -> Box<Self> {
        // SAFETY: msghdr is a plain C struct for which all zeroes (null pointers, no lengths) is a value.
        let header = unsafe { std::mem::zeroed() };
        let empty = libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        Box::new(Self {
            chunks: ChunkQueue::new(),
            vectors: [empty; SEND_CHUNKS],
            header,
        })
    }

    /// Takes chunks from the front of `queue` until it is full.
    pub(crate) fn fill(&mut self, queue: &mut ChunkQueue) {
        while self.chunks.len() < SEND_CHUNKS
            && let Some(chunk) = queue.pop()
        {
            self.chunks.push(chunk);
        }
    }

    /// The single chunk, if there is just one: a plain send does for it.
    pub(super) fn single(&self) -> Option<&[u8]> {
        let mut chunks = self.chunks.iter();
        chunks
            .next()
            .filter(|_| self.chunks.len() == 1)
            .map(|chunk| &**chunk)
    }

    /// The header for sendmsg, pointing at the chunks. Valid while `self` neither moves nor changes.
    pub(super) fn header(&mut self) -> *const libc::msghdr {
        let mut used = 0;
        for (vector, chunk) in self.vectors.iter_mut().zip(self.chunks.iter()) {
            *vector = libc::iovec {
                iov_base: chunk.as_ptr().cast_mut().cast(),
                iov_len: chunk.len(),
            };
            used += 1;
        }
        self.header.msg_iov = self.vectors.as_mut_ptr();
        self.header.msg_iovlen = used;
        &raw const self.header
    }
}
