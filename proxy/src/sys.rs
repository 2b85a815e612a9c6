//! The door to libc: what no safe wrapper offers. Owns memory mappings; never owns policy.
#![expect(
    unsafe_code,
    reason = "the door to libc is one of the four places where unsafe code may live"
)]

mod thread;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

pub use thread::{lower_priority, return_memory};

/// Anonymous, zeroed, page-aligned memory, private to this process. Its address never changes.
pub struct Mapping {
    address: NonNull<u8>,
    len: usize,
}

impl Mapping {
    /// Maps `len` bytes. Pages are taken only when touched.
    ///
    /// # Errors
    /// What mmap(2) says; `len` 0 is `InvalidInput`.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping at an address the kernel chooses touches no memory of ours.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { address, len })
    }

    /// Where the mapping starts: page-aligned, valid until the value is dropped.
    pub fn address(&self) -> NonNull<u8> {
        self.address
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true: an empty mapping cannot be made.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `address` and `len` are those of a mapping made by `anonymous`, unmapped only here.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.len) };
    }
}

/// States of a TCP connection (include/net/tcp_states.h): failed or over.
pub const TCP_CLOSE: u8 = 7;
/// The peer has sent its end.
pub const TCP_CLOSE_WAIT: u8 = 8;
/// So have we, and ours is not acknowledged.
pub const TCP_LAST_ACK: u8 = 9;
/// Both have at the same time.
pub const TCP_CLOSING: u8 = 11;

/// What the kernel says of a TCP connection (TCP_INFO, tcp(7)).
#[derive(Clone, Copy, Debug)]
pub struct TcpInfo {
    /// `TCP_ESTABLISHED` and so on (include/net/tcp_states.h).
    pub state: u8,
    /// How many bytes the peer has acknowledged in all: unlike what is still unacknowledged it never looks the same
    /// after progress.
    pub acknowledged: u64,
    /// How many bytes the kernel has taken for the peer in all.
    pub taken: u64,
}

/// Asks for it.
///
/// # Errors
/// What getsockopt(2) says; `Unsupported` where the kernel tells less.
pub fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<TcpInfo> {
    // Where these stand in `struct tcp_info` (include/uapi/linux/tcp.h).
    const BYTES_ACKED: usize = 120;
    const NOTSENT_BYTES: usize = 144;
    const BYTES_SENT: usize = 200;
    const BYTES_RETRANS: usize = 208;
    let mut info = [0u8; BYTES_RETRANS + size_of::<u64>()];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `info`, and how many into `length`; both outlive the call.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    if length as usize != info.len() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let long = |offset: usize| {
        let bytes = info[offset..].first_chunk();
        bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    };
    let unsent = info[NOTSENT_BYTES..].first_chunk();
    let unsent = unsent.map_or(0, |bytes| u32::from_ne_bytes(*bytes).into());
    let sent = long(BYTES_SENT).saturating_sub(long(BYTES_RETRANS));
    Ok(TcpInfo {
        state: info[0],
        acknowledged: long(BYTES_ACKED),
        taken: sent.saturating_add(unsent),
    })
}

/// A non-blocking, close-on-exec eventfd at zero.
///
/// # Errors
/// What eventfd(2) says.
pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let descriptor = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor, which nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
