//! Whether a stream that has no room waits for its client, which has closed the stream's window, or for a slow link.
//!
//! Looked at now and then only: it costs a system call. A client that has been sent all that it allows on a stream, has
//! acknowledged it, and gives no more is waited for as long as is configured. As long as there is more on its way, or
//! other streams are given room that this one waits for too, it is the link that is slow, and goes on as long as
//! something moves. Never: what is done about it.

use std::time::Duration;

use super::Shared;
use crate::limits::HTTP2_BUSY_RATE;

/// Looks in the time that a client has.
const LOOKS: u32 = 2;

/// What a look sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The stream has been sent all that its client allows.
    is_closed: bool,
    /// Bytes of the connection so far.
    sent: u64,
    /// How many of them the client has acknowledged.
    acknowledged: u64,
}

/// One wait of a stream.
#[derive(Debug)]
pub(super) struct Wait {
    pause: Duration,
    /// How often it was seen that nothing but the peer's window is waited for.
    idle: u32,
    /// What the client had acknowledged at the look before.
    before: Option<u64>,
    /// Of a stream that is closed: what the client has to acknowledge to have had all of it.
    all: Option<u64>,
}

impl Wait {
    /// For a peer that has so much time to widen its window.
    pub fn new(patience: Duration) -> Self {
        Self {
            pause: patience / LOOKS,
            idle: 0,
            before: None,
            all: None,
        }
    }

    /// How long until the next look.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    pub fn goes_on(&self) -> bool {
        self.idle < LOOKS
    }

    /// Takes notice of what there is to see after a pause; of a server that is nothing.
    pub fn look(&mut self, seen: Option<Seen>) {
        let stands = seen.is_none_or(|seen| self.stands(seen));
        self.idle = if stands { self.idle + 1 } else { 0 };
    }

    /// Whether nothing has moved since the look before, or nothing that this stream waits for.
    fn stands(&mut self, seen: Seen) -> bool {
        self.all = match seen.is_closed {
            true => self.all.or(Some(seen.sent)),
            false => None,
        };
        let Some(before) = self.before.replace(seen.acknowledged) else {
            return true;
        };
        let has_all = self.all.is_some_and(|all| before >= all);
        let moved = seen.acknowledged.saturating_sub(before);
        has_all || moved < self.least()
    }

    /// Bytes that a busy link moves between two looks.
    fn least(&self) -> u64 {
        let milliseconds = u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX);
        (HTTP2_BUSY_RATE.saturating_mul(milliseconds) / 1_000).max(1)
    }
}

impl Shared {
    /// What there is to see of a stream.
    pub(super) fn seen(&self, stream: u32) -> Seen {
        let (taken, acknowledged) = self.transport.sent();
        Seen {
            is_closed: self.meter.borrow().is_closed(stream),
            sent: taken.saturating_add(self.waiting.get() as u64),
            acknowledged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);
    /// What moves between two looks at the least.
    const LEAST: u64 = HTTP2_BUSY_RATE * 15;

    fn seen(is_closed: bool, sent: u64, acknowledged: u64) -> Option<Seen> {
        Some(Seen {
            is_closed,
            sent,
            acknowledged,
        })
    }

    /// After how many looks the wait ends, if it does.
    fn ends(look: impl Fn(u64) -> Option<Seen>) -> Option<u64> {
        let mut wait = Wait::new(PATIENCE);
        assert_eq!(wait.pause() * LOOKS, PATIENCE);
        (1..1_000).find(|count| {
            wait.look(look(*count));
            !wait.goes_on()
        })
    }

    #[test]
    fn whoever_takes_nothing_is_waited_for_so_long() {
        assert_eq!(ends(|_| None), Some(2), "a server");
        assert_eq!(ends(|_| seen(true, 500, 500)), Some(2), "it has all");
        assert_eq!(ends(|_| seen(true, 500, 400)), Some(2), "it has gone");
        assert_eq!(ends(|_| seen(false, 500, 400)), Some(2), "it has gone");
    }

    #[test]
    fn a_link_is_waited_for_while_so_much_moves() {
        let moves = |by: u64| move |count: u64| seen(false, u64::MAX, by * count);
        assert_eq!(ends(moves(LEAST)), None);
        assert_eq!(ends(moves(LEAST - 1)), Some(2));
        // It has stopped after ten looks.
        assert_eq!(ends(|count| moves(LEAST)(count.min(10))), Some(12));
    }

    #[test]
    fn what_was_on_its_way_is_waited_for_and_not_what_others_are_sent_later() {
        let sent = 10 * LEAST;
        let busy = |count: u64| seen(true, sent + LEAST * count, LEAST * count);
        // All that was sent at the first look has come with the eleventh; then the client has its time.
        assert_eq!(ends(busy), Some(13));
        // The link was never busy with anything else.
        assert_eq!(
            ends(|count| seen(true, LEAST * count, LEAST * count)),
            Some(2)
        );
    }
}
