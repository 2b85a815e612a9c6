//! One thread on which work is done in the order it was asked for.
//!
//! Owns the thread. Never: what is done on it. Rules are loaded and let go of on one and the same, so that the
//! allocator has what they take in one place, and takes for the next load what the one before left: on the blocking
//! pool's threads in turn, each kept memory for a load of its own, and after a hundred a process was larger by a tenth.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, Builder};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The thread; it ends when this is dropped and everything asked for is done.
pub struct Lane(Sender<Job>);

/// What comes of one job.
pub struct Pending<T>(oneshot::Receiver<thread::Result<T>>);

impl Lane {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has none left.
    pub fn start(name: &str) -> std::io::Result<Self> {
        let (sender, jobs) = channel::<Job>();
        Builder::new().name(name.to_owned()).spawn(move || {
            jobs.into_iter().for_each(|job| job());
        })?;
        Ok(Self(sender))
    }

    /// Asks for something; it is done whether or not anybody waits for it.
    pub fn ask<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
        let (told, pending) = oneshot::channel();
        let job = move || {
            // A panic is that of whoever waits. If nobody does there is nobody to tell.
            let _ = told.send(catch_unwind(AssertUnwindSafe(job)));
        };
        // The thread ends with `self` alone.
        let _ = self.0.send(Box::new(job));
        Pending(pending)
    }
}

impl<T> Pending<T> {
    /// Waits for it. Cancel-safe.
    ///
    /// # Panics
    /// As the job did.
    pub async fn done(&mut self) -> T {
        done((&mut self.0).await)
    }

    /// Waits for it, on a thread that may block.
    ///
    /// # Panics
    /// As the job did.
    pub fn blocking(self) -> T {
        done(self.0.blocking_recv())
    }
}

fn done<T>(told: Result<thread::Result<T>, oneshot::error::RecvError>) -> T {
    match told {
        Ok(Ok(done)) => done,
        Ok(Err(panicked)) => resume_unwind(panicked),
        Err(_) => unreachable!("a job ends by telling"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_done_in_turn_and_one_that_panics_takes_no_other_with_it() {
        let lane = Lane::start("test").expect("a thread");
        let first = lane.ask(|| thread::current().id());
        let panics = lane.ask(|| panic!("of the test"));
        let last = lane.ask(|| thread::current().id());
        let panicked = catch_unwind(AssertUnwindSafe(|| panics.blocking()));
        assert!(panicked.is_err());
        assert_eq!(first.blocking(), last.blocking());
    }
}
