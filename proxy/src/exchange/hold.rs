//! Requests that wait until a service can serve again (`holdTime`): a server that is started anew becomes a delay, not
//! an error.
//!
//! Of those that wait for one service one looks whether a server takes connections, so that a thousand of them cost a
//! server that is down no more than one. At most [`limits::HELD_MAX`] wait on a worker.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout, timeout_at};

use crate::service::ServiceId;
use crate::{limits, uring};

/// Those of one worker.
#[derive(Default)]
pub struct Hold {
    held: Cell<usize>,
    outages: RefCell<HashMap<ServiceId, Rc<Outage>>>,
}

/// A service that cannot serve.
#[derive(Default)]
struct Outage {
    /// It can again.
    over: Cell<bool>,
    /// Somebody looks.
    watched: Cell<bool>,
    /// It is over, or nobody looks any more.
    changed: Notify,
}

/// One that waits, until dropped.
struct Seat<'h> {
    hold: &'h Hold,
    service: ServiceId,
    outage: Rc<Outage>,
}

/// The one that looks, until dropped.
struct Watch<'o>(&'o Outage);

impl Hold {
    /// Whether requests for this service wait.
    pub fn is_out(&self, service: ServiceId) -> bool {
        self.outages.borrow().contains_key(&service)
    }

    /// Waits until the service can serve, as far as `look` can tell, or until then; whether it can.
    pub async fn wait(
        &self,
        service: ServiceId,
        until: Instant,
        look: impl AsyncFn() -> bool,
    ) -> bool {
        let Some(seat) = self.sit(service) else {
            return false;
        };
        let outage = &seat.outage;
        while !outage.over.get() && uring::now() < until {
            if outage.watched.get() {
                // Whether it was in time is seen above.
                let _ = timeout_at(until.into(), outage.changed.notified()).await;
                continue;
            }
            let _watch = Watch::new(outage);
            while !outage.over.get() && uring::now() < until {
                let next = uring::now() + limits::HOLD_LOOK;
                sleep_until(next.min(until).into()).await;
                if look().await {
                    outage.over.set(true);
                    self.outages.borrow_mut().remove(&service);
                }
            }
        }
        outage.over.get()
    }

    fn sit(&self, service: ServiceId) -> Option<Seat<'_>> {
        if self.held.get() >= limits::HELD_MAX {
            return None;
        }
        self.held.set(self.held.get() + 1);
        let outage = Rc::clone(self.outages.borrow_mut().entry(service).or_default());
        Some(Seat {
            hold: self,
            service,
            outage,
        })
    }
}

/// Whether this connects in time.
pub async fn is_reached<T>(connecting: impl Future<Output = io::Result<T>>) -> bool {
    matches!(timeout(limits::HOLD_CONNECT, connecting).await, Ok(Ok(_)))
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.hold.held.set(self.hold.held.get() - 1);
        // The map's and this one: nobody knows any more how the service is.
        if Rc::strong_count(&self.outage) == 2 && !self.outage.over.get() {
            self.hold.outages.borrow_mut().remove(&self.service);
        }
    }
}

impl<'o> Watch<'o> {
    fn new(outage: &'o Outage) -> Self {
        outage.watched.set(true);
        Self(outage)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.watched.set(false);
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;
    use crate::service::{Protocol, Registry};

    #[test]
    fn so_many_are_held_and_no_more() {
        let mut registry = Registry::default();
        let mut id = |name: &str| {
            let (id, _lease) = registry.service(Protocol::Http, &name.into()).unwrap();
            id
        };
        let (one, other) = (id("a"), id("b"));
        let hold = Hold::default();
        let mut seats: Vec<_> = (0..limits::HELD_MAX).map_while(|_| hold.sit(one)).collect();
        assert_eq!(seats.len(), limits::HELD_MAX);
        assert!(hold.sit(one).is_none() && hold.sit(other).is_none());
        seats.pop();
        assert!(hold.sit(other).is_some(), "one has gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_connects_in_time_or_sees_nobody() {
        const MILLISECOND: Duration = Duration::from_millis(1);
        let connecting = |time: Duration| async move {
            sleep(time).await;
            Ok(())
        };
        let most = limits::HOLD_CONNECT;
        assert!(is_reached(connecting(most - MILLISECOND)).await);
        assert!(!is_reached(connecting(most + MILLISECOND)).await);
        let refused = async { Err::<(), _>(io::ErrorKind::ConnectionRefused.into()) };
        assert!(!is_reached(refused).await);
    }
}
