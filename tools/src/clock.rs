//! The clock of the operator's tools. They run for one person on one machine, outside simulations,
//! so they read the system's clock, here and nowhere else.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic now.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the tools read this clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Wall clock, milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the tools read this clock"
)]
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Waits on a thread that has nothing else to do.
#[expect(
    clippy::disallowed_methods,
    reason = "only threads of the tools wait here, no runtime"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
