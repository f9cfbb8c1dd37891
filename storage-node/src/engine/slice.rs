//! How much a slice of a long duty may do. A duty that takes longer than anybody may wait is done in
//! slices and goes on where the last one ended; others have their turn in between.
//!
//! What a step costs is not known before: a record in memory takes a microsecond, one in a file that is
//! not in the cache a thousand times that. So a slice is bounded by time, which is looked at before
//! each step, and by a number of steps where the clock stands still.

use std::time::Duration;

/// A time that never falls, since any moment.
pub type SliceClock = dyn Fn() -> Duration;

/// One slice.
pub struct Slice<'c> {
    /// How long it may be, by which clock.
    time: Option<(Duration, &'c SliceClock)>,
    /// No step begins from here on.
    until: Duration,
    max: usize,
    taken: usize,
    over: bool,
}

impl Slice<'static> {
    /// So many steps, however long they take.
    #[must_use]
    pub fn steps(max: usize) -> Self {
        Self { time: None, until: Duration::MAX, max, taken: 0, over: false }
    }

    /// All there is to do.
    #[must_use]
    pub fn unbounded() -> Self {
        Self::steps(usize::MAX)
    }
}

impl<'c> Slice<'c> {
    /// As many steps as begin within `time` by the clock, and not more than `max`.
    #[must_use]
    pub fn timed(time: Duration, max: usize, clock: &'c SliceClock) -> Self {
        Self { time: Some((time, clock)), until: clock() + time, max, taken: 0, over: false }
    }

    /// Another one that begins now, with the same bounds.
    #[must_use]
    pub fn again(&self) -> Self {
        match self.time {
            Some((time, clock)) => Self::timed(time, self.max, clock),
            None => Self { taken: 0, over: false, ..*self },
        }
    }

    /// Whether one more step may begin, which is counted then. The first one always may, so that every
    /// slice gets somewhere. After a refusal nothing may.
    pub fn step(&mut self) -> bool {
        let late = || self.time.is_some_and(|(_, clock)| clock() >= self.until);
        if self.over || self.taken == self.max || (self.taken > 0 && late()) {
            self.over = true;
            return false;
        }
        self.taken += 1;
        true
    }

    /// How many steps were taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Whether a step was refused: there is, or may be, more to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_slice_ends_by_its_time_or_by_its_steps_but_not_before_the_first() {
        thread_local!(static NOW: Cell<u64> = const { Cell::new(7) });
        let clock = || Duration::from_millis(NOW.get());
        let steps = |ms, max, each| {
            let mut slice = Slice::timed(Duration::from_millis(ms), max, &clock);
            while slice.step() {
                NOW.set(NOW.get() + each);
            }
            assert!(slice.is_over() && !slice.step(), "once refused, always refused");
            assert!(slice.again().step());
            slice.taken()
        };
        assert_eq!(steps(10, 100, 3), 4, "the last one begins in time");
        assert_eq!(steps(10, 100, 10), 1);
        assert_eq!(steps(10, 100, 50), 1);
        assert_eq!(steps(0, 100, 0), 1);
        assert_eq!(steps(10, 100, 0), 100, "the clock stands still");
        let mut none = Slice::steps(0);
        assert!(!none.is_over());
        assert!(!none.step() && none.is_over());
    }
}
