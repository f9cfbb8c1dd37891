//! When a write happens.

use common::version::Version;

/// The time of one write, given by the lane's leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// "Now" for expiry, in milliseconds since 1970.
    pub now_ms: u64,
    /// The version of everything the operation writes.
    pub version: Version,
    /// An earlier tick of the same leader, above everything it applied before. Headers that the
    /// operation writes clear up to here, so that its own records stay visible.
    pub cleared: Version,
}
