//! What a worker makes of servers that fail requests: at once or after some in a row they get nothing for a while, from
//! no worker, while another server can serve.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::info;

use super::response::Failed;
use super::worker::Worker;
use crate::http::Status;
use crate::limits::SUSPECTS_MAX;
use crate::service::{Cause, Passive, Picked, Server, ServerId};
use crate::uring;

/// Failures in a row, by server.
#[derive(Debug, Default)]
pub struct Streaks(RefCell<HashMap<ServerId, Streak>>);

#[derive(Debug)]
struct Streak {
    count: u32,
    begun: Instant,
    /// Over so long after that.
    window: Duration,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Not the server's.
    Others,
    /// The server's; some in a row are too many.
    Server,
    /// The server's, and one is enough.
    AtOnce(Cause),
}

impl Streaks {
    fn end(&self, server: ServerId) {
        let mut streaks = self.0.borrow_mut();
        if !streaks.is_empty() {
            streaks.remove(&server);
        }
    }

    /// Forgets those that are over: their servers may be gone, and would keep others from being counted.
    pub fn sweep(&self, now: Instant) {
        let lasts =
            |streak: &mut Streak| now.saturating_duration_since(streak.begun) <= streak.window;
        self.0.borrow_mut().retain(|_, streak| lasts(streak));
    }

    /// Counts one more; whether there are too many now.
    fn add(&self, server: ServerId, passive: &Passive, now: Instant) -> bool {
        let mut streaks = self.0.borrow_mut();
        let streak = match streaks.len() < SUSPECTS_MAX {
            true => streaks.entry(server).or_insert(Streak {
                count: 0,
                begun: now,
                window: passive.window,
            }),
            false => match streaks.get_mut(&server) {
                Some(streak) => streak,
                None => return false,
            },
        };
        if now.saturating_duration_since(streak.begun) > passive.window {
            (streak.count, streak.begun) = (0, now);
        }
        streak.window = passive.window;
        streak.count += 1;
        let enough = streak.count >= passive.failures;
        if enough {
            streaks.remove(&server);
        }
        enough
    }
}

impl Worker {
    /// A server has answered.
    pub fn answered(&self, picked: &Picked<'_>, status: Status) {
        let passive = &picked.load_balancer.on_failure.passive;
        match passive.server_errors && status.code() >= 500 {
            true => self.failed_there(picked),
            false => {
                self.streaks.end(picked.server.id);
                self.trust(picked);
            }
        }
    }

    /// A request has failed at a server. `repeatable`: it was sent again if its connection was an old one.
    pub fn failed(&self, picked: &Picked<'_>, failed: &Failed, repeatable: bool) {
        match failed.blame(repeatable) {
            Blame::Others => {}
            Blame::Server => self.failed_there(picked),
            Blame::AtOnce(cause) => {
                let passive = &picked.load_balancer.on_failure.passive;
                self.eject(picked.server, cause, passive);
            }
        }
    }

    fn failed_there(&self, picked: &Picked<'_>) {
        let passive = &picked.load_balancer.on_failure.passive;
        if self.streaks.add(picked.server.id, passive, uring::now()) {
            self.eject(picked.server, Cause::Failures, passive);
        }
    }

    /// The server gets nothing for a while, as long as another one can serve.
    pub fn eject(&self, server: &Server, cause: Cause, passive: &Passive) {
        let now = uring::now();
        let news = self.suspect(server.id, cause, (now, passive.out));
        if news {
            let (server, out) = (&*server.name, passive.out);
            info!(server, ?out, "the server gets nothing: {}", cause.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Protocol, Registry};

    #[test]
    fn only_a_row_within_the_window_counts() {
        let mut registry = Registry::default();
        let name = "s".into();
        let (id, _lease) = registry.server(Protocol::Http, &name, &name).unwrap();
        let (streaks, now) = (Streaks::default(), Instant::now());
        let passive = Passive {
            failures: 3,
            window: Duration::from_secs(10),
            ..Passive::default()
        };
        let add = |after| streaks.add(id, &passive, now + Duration::from_secs(after));
        assert_eq!([add(0), add(1), add(2)], [false, false, true]);
        assert_eq!([add(3), add(4)], [false, false]);
        streaks.end(id);
        assert_eq!([add(5), add(6), add(16)], [false, false, false], "too late");
        assert_eq!([add(17), add(18)], [false, true]);
        assert!(!add(20));
        streaks.sweep(now + Duration::from_secs(30));
        assert_eq!(streaks.0.borrow().len(), 1, "until its window is over");
        streaks.sweep(now + Duration::from_secs(31));
        assert!(streaks.0.borrow().is_empty());
    }
}
