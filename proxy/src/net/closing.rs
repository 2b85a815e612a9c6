//! The last moments of a listening socket whose port others share.
//!
//! With `net.ipv4.tcp_migrate_req` the kernel hands handshakes that are not complete to another listener of the port
//! when one closes, and those complete that nobody has accepted. It cannot hand on one that another processor completes
//! in that very moment: its client is reset. So nothing may complete any more when the socket closes: for the last
//! milliseconds it takes SYNs alone. Whoever sends anything else sends it again, after a fifth of a second, or has
//! the kernel's answer to its SYN once more, after a second, where it waits for the server to speak: another
//! listener has the connection then. Where the kernel does not hand on, this would only cost connections: nothing
//! is done.

use std::fs;

use socket2::{SockFilter, Socket};

/// The flags of a TCP header (RFC 9293 section 3.1), which is where a filter of a TCP socket begins to read.
const FLAGS: u32 = 13;
const SYN: u32 = 0x02;

/// Whether handshakes wander to other listeners of a port: docs/HOWTO-shutdown-a-headnode.md.
pub(super) fn migrates() -> bool {
    let setting = fs::read("/proc/sys/net/ipv4/tcp_migrate_req");
    setting.is_ok_and(|value| value.trim_ascii() == b"1")
}

/// Has the listening socket take nothing but SYNs; whether it does.
pub(super) fn syns_only(socket: &Socket) -> bool {
    let code = |parts: u32| parts as u16;
    let filter = [
        SockFilter::new(
            code(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS),
            0,
            0,
            FLAGS,
        ),
        SockFilter::new(
            code(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K),
            0,
            1,
            SYN,
        ),
        SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, u32::MAX),
        SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, 0),
    ];
    socket.attach_filter(&filter).is_ok()
}

/// Lets an accepted connection take everything: one that was completing when its listener got the filter has it, too.
pub(super) fn take_everything(connection: &Socket) {
    // Most have no filter, which is an error to the kernel.
    let _ = connection.detach_filter();
}
