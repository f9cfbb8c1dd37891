//! The clock seam: the only place that asks the operating system what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::version::SteadyWall;

/// Monotonic now.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall time in milliseconds since 1970, as the system has it: for logs and displays.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Wall time for data: does not follow a step of the system clock (guarantees 2.4).
#[derive(Debug)]
pub struct DataClock {
    start: Instant,
    steady: SteadyWall,
}

impl DataClock {
    /// Starts in agreement with the system clock.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: now(),
            steady: SteadyWall::default(),
        }
    }

    /// Now, in milliseconds since 1970.
    pub fn wall_ms(&mut self) -> u64 {
        let mono = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.steady.read(mono, wall_ms())
    }

    /// Whether the system clock stepped and is not being followed.
    #[must_use]
    pub fn stepped(&self) -> bool {
        self.steady.stepped()
    }
}

impl Default for DataClock {
    fn default() -> Self {
        Self::new()
    }
}
