//! Ctrl-C and SIGTERM as an error like any other, so that everything that was set up is taken down on the way out.

use std::io;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use crate::shell::Outcome;

/// The wish of the user to end.
pub struct Interrupt {
    wishes: Receiver<Signal>,
}

impl Interrupt {
    /// Catches SIGINT and SIGTERM from now on. Call it before threads are started: they inherit the signal mask.
    /// Child processes do not; std gives them an empty one.
    pub fn catch() -> Outcome<Self> {
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
        signals.thread_block().map_err(io::Error::from)?;
        let (sender, wishes) = channel();
        thread::spawn(move || {
            while let Ok(signal) = signals.wait() {
                if sender.send(signal).is_err() {
                    return;
                }
            }
        });
        Ok(Self { wishes })
    }

    /// Fails once the user wishes to end.
    pub fn check(&self) -> Outcome {
        match self.wishes.try_recv() {
            Ok(signal) => Err(format!("ended by {signal}").into()),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Ok(()),
        }
    }

    /// Waits until the user wishes to end.
    pub fn wait(&self) {
        // An error means that no signal can come any more, which is as good a reason to end.
        let _ = self.wishes.recv();
    }
}
