//! Ctrl-C and SIGTERM as an error like any other, so that everything that was set up is taken down on the way out.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::shell::Outcome;

/// The wish of the user to end.
pub struct Interrupt {
    signals: Signals,
}

impl Interrupt {
    /// Catches SIGINT and SIGTERM from now on; programs started later do not inherit that.
    pub fn catch() -> Outcome<Self> {
        Ok(Self {
            signals: Signals::new([SIGINT, SIGTERM])?,
        })
    }

    /// Fails once the user wishes to end.
    pub fn check(&mut self) -> Outcome {
        match self.signals.pending().next() {
            Some(_) => Err("ended by the user".into()),
            None => Ok(()),
        }
    }

    /// Waits until the user wishes to end.
    pub fn wait(&mut self) {
        self.signals.forever().next();
    }
}
