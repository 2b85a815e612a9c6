//! How many requests a worker may send to one more server: a share of all its requests, and a few each second whatever
//! their number. Without it servers that fail would get each request several times, and never come to themselves.

use std::cell::Cell;

use crate::limits::{RETRIES_KEPT, RETRIES_PER_SECOND, RETRY_PERCENT};

/// What is left of it, in parts of a retry that one request pays for.
#[derive(Debug)]
pub struct RetryBudget(Cell<u32>);

/// Requests that pay for a retry.
const PARTS: u32 = 100 / RETRY_PERCENT;

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Cell::new(RETRIES_KEPT * PARTS))
    }
}

impl RetryBudget {
    /// A request has come.
    pub fn deposit(&self) {
        self.add(1);
    }

    /// A second has passed.
    pub fn refill(&self) {
        self.add(RETRIES_PER_SECOND * PARTS);
    }

    /// Pays for a retry, if it can.
    pub fn withdraw(&self) -> bool {
        let left = self.0.get().checked_sub(PARTS);
        self.0.set(left.unwrap_or(self.0.get()));
        left.is_some()
    }

    fn add(&self, parts: u32) {
        self.0.set((self.0.get() + parts).min(RETRIES_KEPT * PARTS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(budget: &RetryBudget) -> u32 {
        (0..2 * RETRIES_KEPT).filter(|_| budget.withdraw()).count() as u32
    }

    #[test]
    fn a_share_of_the_requests_is_tried_again_and_some_each_second() {
        let budget = RetryBudget::default();
        assert_eq!(retries(&budget), RETRIES_KEPT, "a burst after quiet times");
        (0..1_000).for_each(|_| budget.deposit());
        assert_eq!(retries(&budget), 1_000 * RETRY_PERCENT / 100);
        budget.refill();
        assert_eq!(retries(&budget), RETRIES_PER_SECOND);
        (0..1_000_000).for_each(|_| budget.deposit());
        assert_eq!(retries(&budget), RETRIES_KEPT, "never more");
    }
}
