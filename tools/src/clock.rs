//! The clock of the operator's tools. They run for one person on one machine, outside simulations,
//! so they read the system's clock, here and nowhere else.

use std::time::{Duration, Instant};

/// Monotonic now.
#[expect(clippy::disallowed_methods, reason = "the one place where the tools read this clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits on a thread that has nothing else to do.
#[expect(clippy::disallowed_methods, reason = "only threads of the tools wait here, no runtime")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
