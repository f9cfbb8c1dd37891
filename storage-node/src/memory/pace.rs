//! Answers of writes that are held back while memory is short, in the order of the writes and a little
//! each: every worker has one of these.
//!
//! A write is carried out when it arrives, so that what comes behind it on its connection sees it, and
//! reads wait for nobody. What is paced is its answer: who waits for it writes no more until then. A
//! write's place in the line is taken when it is in the log, so the line passes while it waits for its
//! sync and for other servers.

use std::collections::BTreeMap;
use std::time::Duration;

/// Who was let through for so long ahead does not wait for the next step.
const AHEAD: Duration = Duration::from_millis(3);

/// A write's place in the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

/// The line.
#[derive(Debug)]
pub(crate) struct Pace<T> {
    /// Bytes of all writes that ever took a place.
    entered: u64,
    /// Writes up to here may be answered.
    passed: u64,
    paced: bool,
    /// What is ready to be sent, and since when, in milliseconds.
    held: BTreeMap<(Place, u64), (u64, T)>,
    /// Tells apart what has the same place.
    serial: u64,
}

impl<T> Default for Pace<T> {
    fn default() -> Self {
        Self { entered: 0, passed: 0, paced: false, held: BTreeMap::new(), serial: 0 }
    }
}

impl<T> Pace<T> {
    /// A write of so many bytes is in the log.
    pub(crate) fn enter(&mut self, bytes: usize) -> Place {
        self.entered += bytes as u64;
        if !self.paced {
            self.passed = self.entered;
        }
        Place(self.entered)
    }

    /// Whether who has this place may be answered.
    pub(crate) fn passes(&self, place: Place) -> bool {
        place.0 <= self.passed
    }

    /// Keeps an answer that is ready until its place has passed.
    pub(crate) fn hold(&mut self, place: Place, now_ms: u64, answer: T) {
        self.serial += 1;
        self.held.insert((place, self.serial), (now_ms, answer));
    }

    /// `took` went by, in which writes of so many bytes a second may pass; all, if there is no rate.
    pub(crate) fn advance(&mut self, rate: Option<u64>, took: Duration) {
        self.paced = rate.is_some();
        let Some(rate) = rate else {
            self.passed = self.entered;
            return;
        };
        let bytes = |time: Duration| {
            let bytes = u128::from(rate) * time.as_nanos() / 1_000_000_000;
            u64::try_from(bytes).unwrap_or(u64::MAX)
        };
        let most = self.entered.saturating_add(bytes(AHEAD)).max(self.passed);
        self.passed = self.passed.saturating_add(bytes(took)).min(most);
    }

    /// The next answer that may be sent, and for how many milliseconds it was held. None is held for
    /// longer than `longest_ms`.
    pub(crate) fn pop(&mut self, now_ms: u64, longest_ms: u64) -> Option<(u64, T)> {
        let first = self.held.first_entry()?;
        let (Place(place), _) = *first.key();
        let waited_ms = now_ms.saturating_sub(first.get().0);
        if place > self.passed && waited_ms < longest_ms {
            return None;
        }
        self.passed = self.passed.max(place);
        let (_, answer) = first.remove();
        Some((waited_ms, answer))
    }

    /// Bytes of the writes that have not passed.
    pub(crate) fn waiting(&self) -> u64 {
        self.entered.saturating_sub(self.passed)
    }

    /// Whether writes are slowed.
    pub(crate) fn is_paced(&self) -> bool {
        self.paced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST_MS: u64 = 1_000;

    fn step(pace: &mut Pace<&'static str>, rate: u64, ms: u64) {
        pace.advance(Some(rate), Duration::from_millis(ms));
    }

    #[test]
    fn nobody_waits_while_there_is_room() {
        let mut pace: Pace<&str> = Pace::default();
        let place = pace.enter(1_000_000);
        assert!(pace.passes(place));
        step(&mut pace, 1_000, 0);
        let place = pace.enter(10);
        assert!(!pace.passes(place) && pace.is_paced());
        pace.advance(None, Duration::ZERO);
        assert!(pace.passes(place) && !pace.is_paced());
        assert_eq!(pace.waiting(), 0);
    }

    #[test]
    fn answers_leave_at_the_rate_in_the_order_of_the_writes() {
        let mut pace = Pace::default();
        step(&mut pace, 100_000, 0);
        let (first, second, third) = (pace.enter(1_000), pace.enter(1_000), pace.enter(500));
        // They become official in another order.
        pace.hold(third, 5, "third");
        pace.hold(first, 6, "first");
        assert_eq!(pace.pop(9, LONGEST_MS), None);
        step(&mut pace, 100_000, 9);
        assert_eq!(pace.pop(9, LONGEST_MS), None, "900 of 1,000 bytes");
        step(&mut pace, 100_000, 1);
        assert_eq!(pace.pop(10, LONGEST_MS), Some((4, "first")));
        assert_eq!(pace.pop(10, LONGEST_MS), None);
        step(&mut pace, 100_000, 15);
        assert!(pace.passes(second), "its place has passed while it waited for something else");
        assert_eq!(pace.pop(25, LONGEST_MS), Some((20, "third")));
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let mut pace: Pace<&str> = Pace::default();
        step(&mut pace, 1_000_000, 60_000);
        let place = pace.enter(3_000);
        assert!(pace.passes(place), "a little");
        let place = pace.enter(1);
        assert!(!pace.passes(place));
    }

    #[test]
    fn no_answer_is_held_for_ever() {
        let mut pace = Pace::default();
        step(&mut pace, 1, 0);
        let (first, second) = (pace.enter(1 << 30), pace.enter(5));
        pace.hold(first, 100, "first");
        pace.hold(second, 200, "second");
        assert_eq!(pace.pop(1_099, LONGEST_MS), None);
        assert_eq!(pace.pop(1_100, LONGEST_MS), Some((1_000, "first")));
        assert_eq!(pace.pop(1_100, LONGEST_MS), None);
    }
}
