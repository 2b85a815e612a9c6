//! What is held to be so of one server, by the answers it has given. Pure: time and chance are arguments.

use std::time::{Duration, Instant};

use crate::limits::{HEALTH_CHANGING, HEALTH_JITTER, HEALTH_REASON_CHARS_MAX};
use crate::service::Pace;

/// The state of one server.
#[derive(Clone, Debug)]
pub struct State {
    up: Option<bool>,
    /// Answers in a row that say the contrary.
    contrary: u32,
    reason: String,
    since: u64,
}

/// A server is up or down now, and was not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub up: bool,
    /// Something was known before.
    pub known: bool,
}

impl State {
    /// Of a server that nobody has asked yet: it counts as up. `unix` is the time in seconds since 1970.
    pub fn new(unix: u64) -> Self {
        Self {
            up: None,
            contrary: 0,
            reason: "not checked yet".to_owned(),
            since: unix,
        }
    }

    /// Takes an answer, or why there was none. The first one decides; after it, only so many in a row that say the
    /// contrary.
    pub fn observe(
        &mut self,
        answer: &Result<(), String>,
        pace: &Pace,
        unix: u64,
    ) -> Option<Change> {
        let up = answer.is_ok();
        let needed = match self.up {
            None => 1,
            Some(held) if held == up => {
                self.contrary = 0;
                return None;
            }
            Some(_) if up => pace.rise,
            Some(_) => pace.fall,
        };
        self.contrary += 1;
        if self.contrary < needed {
            return None;
        }
        let known = self.up.replace(up).is_some();
        (self.contrary, self.since) = (0, unix);
        self.reason = match answer {
            Ok(()) => "it answers".to_owned(),
            Err(reason) => reason.chars().take(HEALTH_REASON_CHARS_MAX).collect(),
        };
        Some(Change { up, known })
    }

    /// When to ask next: sooner while answers differ from what is held to be so, and never quite on time.
    pub fn next(&self, pace: &Pace, now: Instant, chance: u64) -> Instant {
        let usual = match self.up {
            Some(false) => pace.unhealthy_interval,
            Some(true) | None => pace.interval,
        };
        let interval = match self.contrary {
            0 => usual,
            _ => usual.min(HEALTH_CHANGING),
        };
        now + interval - part(interval / HEALTH_JITTER, chance)
    }

    /// Whether it takes requests, as far as is known.
    pub fn is_up(&self) -> bool {
        self.up != Some(false)
    }

    /// Why it is up or down.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Since when, in seconds since 1970.
    pub fn since(&self) -> u64 {
        self.since
    }
}

/// From none to all of `whole`.
fn part(whole: Duration, chance: u64) -> Duration {
    let thousandths = u32::try_from(chance % 1_001).unwrap_or_default();
    whole * thousandths / 1_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace {
        interval: Duration::from_secs(30),
        unhealthy_interval: Duration::from_secs(20),
        rise: 2,
        fall: 3,
    };

    fn answer(good: bool) -> Result<(), String> {
        good.then_some(()).ok_or_else(|| "refused".to_owned())
    }

    /// What each of these answers brings about.
    fn changes(answers: &str) -> Vec<Option<bool>> {
        let mut state = State::new(0);
        let observe = |(unix, letter): (u64, char)| {
            let change = state.observe(&answer(letter == '+'), &PACE, unix);
            change.map(|change| change.up)
        };
        (0..).zip(answers.chars()).map(observe).collect()
    }

    #[test]
    fn the_first_answer_decides_and_then_a_row() {
        let (up, down) = (Some(true), Some(false));
        assert_eq!(changes("+"), [up]);
        assert_eq!(changes("-"), [down]);
        assert_eq!(changes("+--+---"), [up, None, None, None, None, None, down]);
        assert_eq!(changes("-+-++"), [down, None, None, None, up]);
    }

    #[test]
    fn the_reason_and_the_time_are_those_of_the_last_change() {
        let mut state = State::new(5);
        assert!(state.is_up(), "nothing is known against it");
        state.observe(&Err("x".repeat(1_000)), &PACE, 7);
        assert_eq!((state.is_up(), state.since()), (false, 7));
        state.observe(&Err("other".into()), &PACE, 8);
        assert_eq!((state.since(), &state.reason()[..1]), (7, "x"), "no change");
    }

    #[test]
    fn so_many_characters_of_a_reason_are_kept_and_no_more() {
        for chars in [HEALTH_REASON_CHARS_MAX, HEALTH_REASON_CHARS_MAX + 1] {
            let mut state = State::new(0);
            state.observe(&Err("é".repeat(chars)), &PACE, 0);
            assert_eq!(state.reason(), "é".repeat(HEALTH_REASON_CHARS_MAX));
        }
    }

    #[test]
    fn probes_come_sooner_while_something_changes() {
        let now = Instant::now();
        let mut state = State::new(0);
        let wait = |state: &State| state.next(&PACE, now, 0) - now;
        state.observe(&answer(true), &PACE, 0);
        assert_eq!(wait(&state), PACE.interval);
        state.observe(&answer(false), &PACE, 0);
        assert_eq!(wait(&state), HEALTH_CHANGING);
        state.observe(&answer(false), &PACE, 0);
        state.observe(&answer(false), &PACE, 0);
        assert_eq!(wait(&state), PACE.unhealthy_interval);
        assert_eq!(state.next(&PACE, now, 1_000) - now, Duration::from_secs(18));
    }

    proptest! {
        /// Against a second implementation, which remembers everything.
        #[test]
        fn a_change_needs_a_row(answers in proptest::collection::vec(any::<bool>(), 1..60),
                                rise in 1..5u32, fall in 1..5u32, chance: u64) {
            let pace = Pace { rise, fall, ..PACE };
            let mut state = State::new(0);
            let mut up = answers[0];
            let mut since = 0;
            for (index, good) in answers.iter().enumerate() {
                state.observe(&answer(*good), &pace, index as u64);
                let row = if up { fall } else { rise } as usize;
                let begun: &[bool] = &answers[since..=index];
                if begun.len() > row && begun[begun.len() - row..].iter().all(|one| *one != up) {
                    up = !up;
                    since = index;
                }
                prop_assert_eq!(state.is_up(), up);
                let now = Instant::now();
                let wait = state.next(&pace, now, chance) - now;
                prop_assert!(wait >= HEALTH_CHANGING * 9 / 10 && wait <= pace.interval);
            }
        }
    }
}
