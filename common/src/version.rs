//! Hybrid logical clock and record versions: which of two writes wins.

use std::fmt;

use thiserror::Error;

use crate::ids::{Epoch, NodeId};

/// How far a peer's clock may be ahead before its time is refused, in milliseconds.
pub const HLC_AHEAD_MS_MAX: u64 = 2_000;
const COUNTER_BITS: u32 = 16;

/// Hybrid logical time: 48 bits of milliseconds since 1970, then a 16-bit counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The first time of a millisecond.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        Self(ms << COUNTER_BITS)
    }

    /// The millisecond part.
    #[must_use]
    pub fn ms(self) -> u64 {
        self.0 >> COUNTER_BITS
    }
}

/// A remote time that is too far ahead to be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the peer's clock is {ahead_ms} ms ahead, max {HLC_AHEAD_MS_MAX}; check the time service of both machines"
)]
pub struct ClockAhead {
    /// By how many milliseconds.
    pub ahead_ms: u64,
}

/// Issues hybrid logical times that never fall and never repeat.
#[derive(Clone, Copy, Debug, Default)]
pub struct HlcClock {
    last: Hlc,
}

impl HlcClock {
    /// A clock that continues above `last`, the greatest time known from before.
    #[must_use]
    pub fn starting_after(last: Hlc) -> Self {
        Self { last }
    }

    /// The next time, above all that were issued or observed.
    pub fn tick(&mut self, wall_ms: u64) -> Hlc {
        self.last = Hlc(self.last.0 + 1).max(Hlc::from_ms(wall_ms));
        self.last
    }

    /// Takes a peer's time into account. Times of the own log are no peer's and never refused: see
    /// [`Self::starting_after`].
    ///
    /// # Errors
    /// The time is more than [`HLC_AHEAD_MS_MAX`] ahead of this machine; nothing changes.
    pub fn observe(&mut self, remote: Hlc, wall_ms: u64) -> Result<(), ClockAhead> {
        let ahead_ms = remote.ms().saturating_sub(wall_ms);
        if ahead_ms > HLC_AHEAD_MS_MAX {
            return Err(ClockAhead { ahead_ms });
        }
        self.last = self.last.max(remote);
        Ok(())
    }

    /// "Now" for expiry, in milliseconds: never behind a time that was issued.
    #[must_use]
    pub fn now_ms(&self, wall_ms: u64) -> u64 {
        self.last.ms().max(wall_ms)
    }

    /// The greatest time issued or observed.
    #[must_use]
    pub fn last(&self) -> Hlc {
        self.last
    }
}

/// Wall time that does not follow a step of the system clock: while wall and
/// monotonic time disagree by more than [`HLC_AHEAD_MS_MAX`] about how long ago the last agreement
/// was, monotonic time counts on.
#[derive(Clone, Copy, Debug, Default)]
pub struct SteadyWall {
    agreed: Option<(u64, u64)>,
    stepped: bool,
}

impl SteadyWall {
    /// The time to use, in milliseconds since 1970, given both clocks in milliseconds.
    pub fn read(&mut self, mono_ms: u64, wall_ms: u64) -> u64 {
        let Some((mono_agreed, wall_agreed)) = self.agreed else {
            self.agreed = Some((mono_ms, wall_ms));
            return wall_ms;
        };
        let expected = wall_agreed + mono_ms.saturating_sub(mono_agreed);
        self.stepped = wall_ms.abs_diff(expected) > HLC_AHEAD_MS_MAX;
        if self.stepped {
            return expected;
        }
        self.agreed = Some((mono_ms, wall_ms));
        wall_ms
    }

    /// Whether the system clock is not being followed at the moment.
    #[must_use]
    pub fn stepped(&self) -> bool {
        self.stepped
    }
}

/// Version of a record. The greater one wins; compared epoch first, then time, then node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The since-epoch of the leader that wrote.
    pub epoch: Epoch,
    /// Its time.
    pub hlc: Hlc,
    /// Its node.
    pub node: NodeId,
}

impl fmt::Display for Version {
    /// 40 hex digits that sort like the version; what HTTP clients get as an opaque ETag.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}{:08x}", self.epoch.0, self.hlc.0, self.node.0)
    }
}

impl Version {
    /// Reads what [`Display`](fmt::Display) wrote.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 40 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        Some(Self {
            epoch: Epoch(u64::from_str_radix(text.get(..16)?, 16).ok()?),
            hlc: Hlc(u64::from_str_radix(text.get(16..32)?, 16).ok()?),
            node: NodeId(u32::from_str_radix(text.get(32..)?, 16).ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_falls_when_the_wall_clock_does() {
        let mut clock = HlcClock::default();
        let first = clock.tick(5_000);
        let second = clock.tick(4_000);
        assert!(second > first);
        assert_eq!(second.ms(), 5_000);
        assert_eq!(clock.now_ms(4_500), 5_000);
        assert_eq!(clock.tick(6_000), Hlc::from_ms(6_000));
    }

    #[test]
    fn a_full_counter_carries_into_the_next_millisecond() {
        let mut clock = HlcClock::starting_after(Hlc(Hlc::from_ms(8).0 - 1));
        assert_eq!(clock.tick(7), Hlc::from_ms(8));
        assert_eq!(clock.tick(7), Hlc(Hlc::from_ms(8).0 + 1));
        assert_eq!(clock.now_ms(7), 8);
    }

    #[test]
    fn a_peer_exactly_at_the_limit_is_followed_and_one_behind_changes_nothing() {
        let mut clock = HlcClock::default();
        let limit = Hlc::from_ms(1_000 + HLC_AHEAD_MS_MAX);
        assert_eq!(clock.observe(limit, 1_000), Ok(()));
        assert_eq!(clock.observe(Hlc::from_ms(5), 1_000), Ok(()));
        assert_eq!(clock.last(), limit);
    }

    #[test]
    fn a_peer_far_ahead_is_refused_and_changes_nothing() {
        let mut clock = HlcClock::starting_after(Hlc::from_ms(1_000));
        assert_eq!(clock.observe(Hlc::from_ms(4_000), 1_500), Err(ClockAhead { ahead_ms: 2_500 }));
        assert_eq!(clock.last(), Hlc::from_ms(1_000));
        assert_eq!(clock.observe(Hlc::from_ms(3_000), 1_500), Ok(()));
        assert!(clock.tick(1_501) > Hlc::from_ms(3_000));
    }

    #[test]
    fn a_step_of_the_wall_clock_is_not_followed_until_both_agree_again() {
        let mut wall = SteadyWall::default();
        assert_eq!(wall.read(0, 100_000), 100_000);
        assert_eq!(wall.read(1_000, 101_010), 101_010);
        assert_eq!(wall.read(2_000, 500_000), 102_010);
        assert!(wall.stepped());
        assert_eq!(wall.read(3_000, 20_000), 103_010);
        assert_eq!(wall.read(4_000, 104_100), 104_100);
        assert!(!wall.stepped());
    }

    #[test]
    fn small_corrections_of_the_wall_clock_are_followed_however_many_there_are() {
        let mut wall = SteadyWall::default();
        assert_eq!(wall.read(0, 100_000), 100_000);
        assert_eq!(wall.read(1_000, 103_000), 103_000);
        assert_eq!(wall.read(2_000, 106_000), 106_000);
        assert_eq!(wall.read(3_000, 105_000), 105_000);
        assert!(!wall.stepped());
    }

    #[test]
    fn versions_sort_by_epoch_then_time_then_node_and_survive_hex() {
        let version =
            |epoch, hlc, node| Version { epoch: Epoch(epoch), hlc: Hlc(hlc), node: NodeId(node) };
        assert!(version(2, 0, 0) > version(1, 9, 9));
        assert!(version(1, 2, 0) > version(1, 1, 9));
        assert!(version(1, 1, 2) > version(1, 1, 1));
        let one = version(1, 0xdead_beef, 7);
        assert_eq!(Version::from_hex(&one.to_string()), Some(one));
        assert_eq!(Version::from_hex("xyz"), None);
        assert_eq!(Version::from_hex(&"é".repeat(20)), None);
    }
}
