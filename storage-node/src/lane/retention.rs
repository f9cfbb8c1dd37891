//! How long the log is kept for servers that are away: up to a cap in bytes and in time; past it
//! they get a copy of the data instead (guarantees 3).

use common::ids::Lane;

use crate::binlog::LogPosition;

/// The cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Most bytes of log that are kept for servers that are away.
    pub keep_bytes: u64,
    /// Longest time for which it is kept, in milliseconds.
    pub keep_ms: u64,
}

/// Some configured server of a lane is not known to hold all its records durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The lane.
    pub lane: Lane,
    /// Where the first record that it lacks stands in this server's log.
    pub from: LogPosition,
    /// Since when it lacks it, on the clock of `now_ms`.
    pub since_ms: u64,
}

/// What follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// The log is kept from here on; `None`: nobody within the cap needs any of it.
    pub from: Option<LogPosition>,
    /// Lanes with a server beyond the cap: it has to be re-seeded.
    pub beyond: Vec<Lane>,
}

impl Retention {
    /// What to keep for these lacks, one for each lane in which somebody lacks something.
    /// `distance` says how many bytes of log lie from a position to the log's end.
    pub fn keep(
        &self,
        now_ms: u64,
        lacks: impl IntoIterator<Item = Lack>,
        distance: impl Fn(LogPosition) -> u64,
    ) -> Keep {
        let mut keep = Keep::default();
        for Lack { lane, from, since_ms } in lacks {
            let old = now_ms.saturating_sub(since_ms) > self.keep_ms;
            if old || distance(from) > self.keep_bytes {
                keep.beyond.push(lane);
            } else {
                keep.from = Some(keep.from.map_or(from, |kept| kept.min(from)));
            }
        }
        keep
    }
}

#[cfg(test)]
mod tests {
    use common::ids::{LogicGroup, ServerIndex};

    use super::*;

    #[test]
    fn the_oldest_place_within_both_caps_is_kept() {
        let retention = Retention { keep_bytes: 1_000, keep_ms: 60_000 };
        let lane = |group| Lane { group: LogicGroup(group), server: ServerIndex(0) };
        let lack = |group, offset, since_ms| {
            let from = LogPosition::new(1, offset);
            Lack { lane: lane(group), from, since_ms }
        };
        let distance = |from: LogPosition| 10_000 - from.offset;
        let lacks = [
            lack(1, 8_999, 100_000), // too many bytes
            lack(2, 9_000, 100_000), // just within
            lack(3, 9_900, 39_999),  // too long ago
            lack(4, 9_950, 40_000),  // just within
        ];
        let keep = retention.keep(100_000, lacks, distance);
        assert_eq!(keep.from, Some(LogPosition::new(1, 9_000)));
        assert_eq!(keep.beyond, [lane(1), lane(3)]);
        assert_eq!(retention.keep(100_000, [], distance), Keep::default());
    }
}
