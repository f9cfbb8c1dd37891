//! Answers of writes that are held back while memory is short, in the order of the writes and a little
//! each: every worker has one of these.
//!
//! A write is carried out when it arrives, so that what comes behind it on its connection sees it, and
//! reads wait for nobody. What is paced is its answer: who waits for it writes no more until then. A
//! write's place in the line is taken when it is in the log, so the line passes while it waits for its
//! sync and for other servers.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Nothing is held back any more.
    ended: bool,
    /// What is ready to be sent.
    held: BTreeMap<Key, Held<T>>,
    /// The same, by when it is sent at the latest.
    due: BTreeSet<(u64, Key)>,
    /// Tells apart what has the same place.
    serial: u64,
}

type Key = (Place, u64);

/// An answer; times are in milliseconds.
#[derive(Debug)]
struct Held<T> {
    since_ms: u64,
    until_ms: u64,
    answer: T,
}

impl<T> Default for Pace<T> {
    fn default() -> Self {
        let (held, due) = (BTreeMap::new(), BTreeSet::new());
        Self { entered: 0, passed: 0, paced: false, ended: false, held, due, serial: 0 }
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

    /// Keeps an answer that is ready until its place has passed, and no longer than `until_ms`.
    pub(crate) fn hold(&mut self, place: Place, now_ms: u64, until_ms: u64, answer: T) {
        self.serial += 1;
        let key = (place, self.serial);
        self.due.insert((until_ms, key));
        self.held.insert(key, Held { since_ms: now_ms, until_ms, answer });
    }

    /// `took` went by, in which writes of so many bytes a second may pass; all, if there is no rate.
    pub(crate) fn advance(&mut self, rate: Option<u64>, took: Duration) {
        let rate = rate.filter(|_| !self.ended);
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

    /// Everything may pass from now on.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.advance(None, Duration::ZERO);
    }

    /// The next answer that may be sent, or has to be now, and for how many milliseconds it was held.
    pub(crate) fn pop(&mut self, now_ms: u64) -> Option<(u64, T)> {
        let (first, _) = self.held.first_key_value()?;
        let first = *first;
        let (Place(place), _) = first;
        let due = self.due.first().filter(|(until_ms, _)| *until_ms <= now_ms);
        let key = if place <= self.passed { first } else { due?.1 };
        if key == first {
            // Nobody else is held up to there.
            self.passed = self.passed.max(place);
        }
        let Held { since_ms, until_ms, answer } = self.held.remove(&key)?;
        self.due.remove(&(until_ms, key));
        Some((now_ms.saturating_sub(since_ms), answer))
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
        pace.hold(third, 5, 1_005, "third");
        pace.hold(first, 6, 1_006, "first");
        assert_eq!(pace.pop(9), None);
        step(&mut pace, 100_000, 9);
        assert_eq!(pace.pop(9), None, "900 of 1,000 bytes");
        step(&mut pace, 100_000, 1);
        assert_eq!(pace.pop(10), Some((4, "first")));
        assert_eq!(pace.pop(10), None);
        step(&mut pace, 100_000, 15);
        assert!(pace.passes(second), "its place has passed while it waited for something else");
        assert_eq!(pace.pop(25), Some((20, "third")));
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
    fn no_answer_is_held_for_longer_than_it_may() {
        let mut pace = Pace::default();
        step(&mut pace, 1, 0);
        let places = [1 << 30, 5, 5, 5].map(|bytes| pace.enter(bytes));
        pace.hold(places[0], 100, 1_100, "first");
        pace.hold(places[1], 200, 1_200, "second");
        pace.hold(places[2], 200, 300, "third");
        assert_eq!(pace.pop(299), None);
        assert_eq!(pace.pop(300), Some((100, "third")), "before those in front of it");
        assert_eq!(pace.pop(300), None);
        assert!(!pace.passes(places[0]), "they wait on");
        assert_eq!(pace.pop(1_099), None);
        assert_eq!(pace.pop(1_100), Some((1_000, "first")));
        assert!(pace.passes(places[0]) && !pace.passes(places[1]));
        pace.hold(places[3], 1_150, 1_160, "fourth");
        pace.advance(None, Duration::ZERO);
        assert_eq!(pace.pop(1_150), Some((950, "second")), "in the order of the writes");
        assert_eq!(pace.pop(1_150), Some((0, "fourth")));
        assert_eq!(pace.pop(9_999), None);
    }
}
