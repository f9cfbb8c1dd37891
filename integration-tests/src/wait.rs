//! Waiting for things that must happen, and the time of day. The only file that looks at a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(10);

/// A point in time, for measuring.
#[expect(clippy::disallowed_methods, reason = "tests run in real time; this is their clock")]
pub fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test thread has nothing else to do while it waits for a condition"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Waits until `check` gives something, and gives that. Panics, naming `what`, after `deadline`.
#[track_caller]
pub fn wait_for<T>(what: &str, deadline: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let began = now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(
            now().duration_since(began) < deadline,
            "waited {} s in vain: {what}",
            deadline.as_secs_f32()
        );
        pause(EVERY);
    }
}

/// Waits until `check` holds. Panics, naming `what`, after `deadline`.
#[track_caller]
pub fn wait_until(what: &str, deadline: Duration, mut check: impl FnMut() -> bool) {
    wait_for(what, deadline, || check().then_some(()));
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "expiry is absolute: tests need the time of day")]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("the clock is past 1970").as_millis()).expect("fits for ages")
}

/// Seconds since 1970, as the original's protocol carries them.
pub fn unix_seconds() -> i32 {
    i32::try_from(unix_ms() / 1000).expect("the protocol ends in 2038")
}
