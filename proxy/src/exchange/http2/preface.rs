//! HTTP/2 in the clear, told by its preface (RFC 9113 section 3.3: prior knowledge).

use std::io;

use crate::http2::PREFACE;
use crate::transport::Transport;

/// As much of the preface as no other request begins with.
const TELLING: usize = b"PRI * HTTP/2".len();

/// Whether the client speaks HTTP/2. What is received stays to be received.
///
/// # Errors
/// Receiving failed.
pub async fn sniff(transport: &Transport) -> io::Result<bool> {
    let Some(mut seen) = transport.recv().await? else {
        return Ok(false);
    };
    while seen.len() < TELLING && PREFACE.starts_with(&seen) {
        let Some(more) = transport.recv().await? else {
            break;
        };
        seen = [&*seen, &*more].concat().into();
    }
    let told = seen.len() >= TELLING && seen.starts_with(&PREFACE[..TELLING]);
    transport.unread(seen);
    Ok(told)
}
