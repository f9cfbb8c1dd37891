//! How long things took.

use std::ops::AddAssign;
use std::time::Duration;

use hdrhistogram::Histogram;

/// What takes longer counts as this, in nanoseconds.
const NS_MAX: u64 = 3_600_000_000_000;

/// Times with three digits.
#[derive(Debug)]
pub(super) struct Times(Histogram<u64>);

impl Times {
    /// None yet.
    pub(super) fn new() -> Self {
        let ns = Histogram::new_with_bounds(1, NS_MAX, 3);
        Self(ns.expect("the bounds are constant and valid"))
    }

    /// Something took so long.
    pub(super) fn note(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// So many of them took no longer, in milliseconds.
    pub(super) fn ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e6
    }
}

impl AddAssign<&Self> for Times {
    fn add_assign(&mut self, other: &Self) {
        self.0 += &other.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_several_threads_are_taken_together() {
        let (mut all, mut part) = (Times::new(), Times::new());
        all.note(Duration::from_micros(10));
        part.note(Duration::from_millis(200));
        part.note(Duration::from_secs(7_200));
        all += &part;
        assert_eq!(all.count(), 3);
        assert!((all.ms(0.5) - 200.0).abs() < 1.0 && all.ms(1.0) > 3_000_000.0);
    }
}
