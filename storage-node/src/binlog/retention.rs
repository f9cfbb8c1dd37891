//! Which segments may go. Pure: numbers in, numbers out.

use super::position::LogPosition;

/// The segments, oldest first, that hold nothing at or after `needed`, the lowest position anybody
/// still needs.
///
/// Only a prefix of the log ever goes, never a segment that is not durable, and never the one that
/// `durable` stands in, so at least one is left.
pub(super) fn releasable(
    segments: impl IntoIterator<Item = u64>,
    needed: LogPosition,
    durable: LogPosition,
) -> Vec<u64> {
    let keep_from = needed.segment.min(durable.segment);
    segments.into_iter().take_while(|segment| *segment < keep_from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_segments_below_the_needed_position_go() {
        let durable = LogPosition::new(9, 5000);
        assert_eq!(releasable(3..=9, LogPosition::new(5, 4096), durable), [3, 4]);
        assert_eq!(releasable(3..=9, LogPosition::new(3, 9999), durable), [0u64; 0]);
        assert_eq!(releasable(3..=9, LogPosition::default(), durable), [0u64; 0]);
    }

    #[test]
    fn what_is_not_durable_and_the_last_segment_stay() {
        let beyond = LogPosition::new(99, 0);
        assert_eq!(releasable(3..=9, beyond, LogPosition::new(6, 4096)), [3, 4, 5]);
        assert_eq!(releasable(3..=9, beyond, LogPosition::new(9, 4096)), [3, 4, 5, 6, 7, 8]);
    }
}
