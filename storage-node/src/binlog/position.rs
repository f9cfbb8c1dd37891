//! Where something stands in the log, and a watermark that threads share without a lock.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bits of a packed watermark that hold the offset; the others hold the segment.
const OFFSET_BITS: u32 = 36;
/// Greatest offset inside a segment, in bytes.
pub(super) const OFFSET_MAX: u64 = (1 << OFFSET_BITS) - 1;
/// Greatest segment number. At 64 MiB a segment this is an exbibyte times sixteen of log.
pub(super) const SEGMENT_INDEX_MAX: u64 = (1 << (u64::BITS - OFFSET_BITS)) - 1;

/// A byte of the log: segment number and offset in its file. Ordered as the log is written.
///
/// The default position stands before every record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    /// Number of the segment, rising by one from segment to segment.
    pub segment: u64,
    /// Offset from the start of the segment's file, in bytes.
    pub offset: u64,
}

impl LogPosition {
    /// A position from its parts.
    #[must_use]
    pub const fn new(segment: u64, offset: u64) -> Self {
        Self { segment, offset }
    }

    /// The position `bytes` further in the same segment.
    pub(super) fn plus(self, bytes: usize) -> Self {
        Self { segment: self.segment, offset: self.offset + bytes as u64 }
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log:{}/{}", self.segment, self.offset)
    }
}

/// A position that one thread raises and others read. Packed into one word, so that a reader never
/// sees the segment of one position with the offset of another.
#[derive(Debug)]
pub(super) struct AtomicPosition(AtomicU64);

impl AtomicPosition {
    pub(super) fn new(position: LogPosition) -> Self {
        Self(AtomicU64::new(pack(position)))
    }

    pub(super) fn load(&self) -> LogPosition {
        let packed = self.0.load(Ordering::Acquire);
        LogPosition { segment: packed >> OFFSET_BITS, offset: packed & OFFSET_MAX }
    }

    pub(super) fn store(&self, position: LogPosition) {
        self.0.store(pack(position), Ordering::Release);
    }
}

fn pack(position: LogPosition) -> u64 {
    assert!(position.segment <= SEGMENT_INDEX_MAX, "segment numbers end at {SEGMENT_INDEX_MAX}");
    assert!(position.offset <= OFFSET_MAX, "offsets in a segment end at {OFFSET_MAX}");
    position.segment << OFFSET_BITS | position.offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_ordered_as_the_log_is_written() {
        let end_of_first = LogPosition::new(1, OFFSET_MAX);
        assert!(LogPosition::default() < LogPosition::new(1, 0));
        assert!(end_of_first < LogPosition::new(2, 0));
        assert_eq!(LogPosition::new(3, 4096).to_string(), "log:3/4096");
    }

    #[test]
    fn a_watermark_keeps_the_extremes_of_both_parts() {
        for position in [
            LogPosition::default(),
            LogPosition::new(1, OFFSET_MAX),
            LogPosition::new(SEGMENT_INDEX_MAX, 0),
            LogPosition::new(SEGMENT_INDEX_MAX, OFFSET_MAX),
        ] {
            let watermark = AtomicPosition::new(LogPosition::default());
            watermark.store(position);
            assert_eq!(watermark.load(), position);
        }
    }
}
