//! The clock seam: the only place that asks the operating system what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

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
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds on a clock that also counts while the machine sleeps or the process is stopped.
#[must_use]
pub fn boot_ms() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let ms = time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000);
    u64::try_from(ms).unwrap_or(0)
}

/// Wall time for data: does not follow a step of the system clock.
#[derive(Debug, Default)]
pub struct DataClock(SteadyWall);

impl DataClock {
    /// Now, in milliseconds since 1970.
    pub fn wall_ms(&mut self) -> u64 {
        self.0.read(boot_ms(), wall_ms())
    }

    /// Whether the system clock stepped and is not being followed.
    #[must_use]
    pub fn stepped(&self) -> bool {
        self.0.stepped()
    }
}
