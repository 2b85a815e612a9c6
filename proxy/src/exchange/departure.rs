//! Whether a client that waits is still there.

use std::io;
use std::time::Duration;

use crate::limits::GONE_LOOK;
use crate::net::Peer;
use crate::transport::Transport;
use crate::uring;

/// Resolves when the connection of a client whose request is being answered has failed; or when it has ended its side,
/// and for so long nothing of the response has reached it.
pub async fn gone(client: &Transport, silent: Duration) {
    let Some(ended) = ended(client).await else {
        return;
    };
    let since = uring::now();
    loop {
        tokio::time::sleep(GONE_LOOK).await;
        let last = client.last_moved().max(since);
        let silence = uring::now().saturating_duration_since(last);
        if is_gone(client.peer(), ended, silence >= silent) {
            return;
        }
    }
}

/// Whether nobody waits for the response any more; `ended`: the client has said that it sends no more.
/// It has been silent for too long: `silent`.
fn is_gone(peer: Peer, ended: bool, silent: bool) -> bool {
    match peer {
        Peer::Gone => true,
        Peer::Open if !ended => false,
        Peer::Finished | Peer::Open => silent,
    }
}

/// Resolves when a client that waits for its turn has ended its side, or its connection has failed: one that goes away
/// ends its side first, and places in a line are for those that are there. `reads`: what it sends may be received, so
/// that this is seen at once.
pub async fn gave_up(client: &Transport, reads: bool) {
    if reads && ended(client).await != Some(false) {
        return;
    }
    while client.peer() == Peer::Open {
        tokio::time::sleep(GONE_LOOK).await;
    }
}

/// Whether the client ends its side; `false` once it sends more: that is received later, and until then its end is not.
/// `None`: its connection has failed.
async fn ended(client: &Transport) -> Option<bool> {
    loop {
        match client.recv().await {
            Ok(Some(next)) => {
                client.unread(next);
                return Some(false);
            }
            Ok(None) => return Some(true),
            // A client may wait for longer than it may stall.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_has_ended_its_side_may_be_silent_for_so_long() {
        for (peer, ended) in [
            (Peer::Finished, true),
            (Peer::Finished, false),
            (Peer::Open, true),
        ] {
            assert!(!is_gone(peer, ended, false) && is_gone(peer, ended, true));
        }
        assert!(!is_gone(Peer::Open, false, true), "it may still send");
        assert!(is_gone(Peer::Gone, false, false));
    }
}
