//! How fast flushes are.

use std::time::Duration;

/// What is assumed before anything was flushed, in bytes a second.
const FIRST: f64 = 32e6;
/// What was measured longer ago than this counts little.
const MEMORY: Duration = Duration::from_secs(2);

/// A running mean of the memory that flushes free, in bytes a second of flushing.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    rate: f64,
    measured: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { rate: FIRST, measured: Duration::ZERO }
    }
}

impl Drain {
    /// So many bytes of a memtable were written in so much time.
    pub fn flushed(&mut self, bytes: usize, took: Duration) {
        let took = took.max(Duration::from_micros(1));
        let rate = bytes as f64 / took.as_secs_f64();
        // All that was measured counts alike until that is longer than the memory.
        self.measured = (self.measured + took).min(MEMORY.max(took));
        self.rate += (rate - self.rate) * (took.as_secs_f64() / self.measured.as_secs_f64());
    }

    /// Bytes a second.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    pub fn rate(&self) -> u64 {
        self.rate as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_measurement_replaces_the_guess_and_later_ones_are_averaged() {
        let mut drain = Drain::default();
        assert_eq!(drain.rate(), 32_000_000);
        drain.flushed(1_000_000, Duration::from_secs(1));
        assert_eq!(drain.rate(), 1_000_000);
        drain.flushed(3_000_000, Duration::from_secs(1));
        assert_eq!(drain.rate(), 2_000_000);
        drain.flushed(0, Duration::ZERO);
        assert!((1_999_000..2_000_001).contains(&drain.rate()), "a moment counts for a moment");
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut drain = Drain::default();
        drain.flushed(100_000_000, Duration::from_secs(60));
        for _ in 0..30 {
            drain.flushed(9_000_000, Duration::from_secs(1));
        }
        assert!((8_900_000..9_001_000).contains(&drain.rate()), "{}", drain.rate());
    }
}
