//! Which failures the log tells at WARN: those that somebody on this side of the client can do something about, each
//! reason of each server once in a while. One client's rage is not to fill a disk, and one bad server not to hide
//! another.

use std::cell::RefCell;
use std::time::Instant;

use crate::failure::{Failure, Fault};
use crate::limits::{COMPLAINT_PAUSE, COMPLAINTS_MAX};

/// What a worker has told lately.
#[derive(Debug, Default)]
pub struct Complaints(RefCell<Vec<Complaint>>);

#[derive(Debug)]
struct Complaint {
    failure: Failure,
    /// The server, where one was picked.
    server: Box<str>,
    told: Instant,
    /// Not told since.
    silent: u64,
}

impl Complaints {
    /// Whether to tell of a failure now: then, how many like it were not told.
    pub fn due(&self, failure: Failure, server: Option<&str>, now: Instant) -> Option<u64> {
        let ours = match failure {
            // Anybody may ask for anything.
            Failure::NoRouter => false,
            // The connector tells of servers that it cannot reach, also where another one took the request.
            Failure::ConnectTimeout
            | Failure::ConnectRefused
            | Failure::ConnectFailed
            | Failure::ServerUnresolved
            | Failure::ServerTls => false,
            _ => failure.fault() != Fault::Client,
        };
        if !ours {
            return None;
        }
        let server = server.unwrap_or_default();
        let mut told = self.0.borrow_mut();
        let is_same = |one: &&mut Complaint| one.failure == failure && *one.server == *server;
        let lately = |one: &Complaint| now.saturating_duration_since(one.told) < COMPLAINT_PAUSE;
        if let Some(one) = told.iter_mut().find(is_same) {
            if lately(one) {
                one.silent += 1;
                return None;
            }
            one.told = now;
            return Some(std::mem::take(&mut one.silent));
        }
        if told.len() == COMPLAINTS_MAX {
            told.retain(lately);
        }
        if told.len() == COMPLAINTS_MAX {
            return None;
        }
        told.push(Complaint {
            failure,
            server: server.into(),
            told: now,
            silent: 0,
        });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_of_each_server_is_told_once_in_a_while() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let due = |failure, server, now| complaints.due(failure, Some(server), now);
        assert_eq!(due(Failure::ServerClosed, "a", start), Some(0));
        assert_eq!(due(Failure::ServerClosed, "a", start), None);
        assert_eq!(due(Failure::ServerClosed, "b", start), Some(0));
        assert_eq!(due(Failure::ServerTimeout, "a", start), Some(0));
        let later = start + COMPLAINT_PAUSE;
        assert_eq!(due(Failure::ServerClosed, "a", later), Some(1));
        assert_eq!(due(Failure::ServerClosed, "a", later), None);
    }

    #[test]
    fn what_clients_do_wrong_and_what_others_tell_is_not_told() {
        let (complaints, now) = (Complaints::default(), Instant::now());
        for failure in [
            Failure::ConnectRefused,
            Failure::RequestMalformed,
            Failure::ClientGone,
            Failure::NoRouter,
        ] {
            assert_eq!(complaints.due(failure, None, now), None, "{failure}");
        }
        assert_eq!(complaints.due(Failure::NoServer, None, now), Some(0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let due = |number: usize, now| {
            complaints
                .due(Failure::ServerClosed, Some(&number.to_string()), now)
                .is_some()
        };
        assert!((0..COMPLAINTS_MAX).all(|number| due(number, start)));
        assert!(!due(COMPLAINTS_MAX, start));
        assert!(
            due(COMPLAINTS_MAX, start + COMPLAINT_PAUSE),
            "old ones make room"
        );
    }
}
