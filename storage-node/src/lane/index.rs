//! Where in the log the records of one lane stand: sparse marks, from which a record is found by
//! reading on a little.
//!
//! A stream's first record has a mark, then every [`MARK_EVERY`]th, the first that stands
//! [`MARK_BYTES`] behind the last mark, and the first in each segment of the log, so that releasing
//! segments never takes the mark of a record that is left. So a record is found by reading less than
//! [`MARK_BYTES`] in front of it, however many records of other lanes stand between its own.

use std::collections::VecDeque;

use common::ids::{Epoch, Lsn};

use crate::binlog::LogPosition;
use crate::replication::position::Position;

/// Numbers from one mark of a stream to the next in the same segment.
const MARK_EVERY: u64 = 64;
/// Bytes of the log from one mark of a stream to its first record that gets another one. Less than
/// what one pass of the catch-up thread reads, or a pass that begins at a mark might end before the
/// record, and so would all that follow.
const MARK_BYTES: u64 = 8 << 20;

/// See the module. A mark takes 24 bytes. There are at most one for each 64 records and one for each
/// 8 MiB of log and lane that writes: 512 for a lane in the 4 GiB that are usually kept.
#[derive(Debug, Default)]
pub struct StreamIndex {
    /// Oldest stream first; few, and the last is nearly always the one in question.
    streams: Vec<(Epoch, VecDeque<Mark>)>,
}

type Mark = (Lsn, LogPosition);

impl StreamIndex {
    /// A record was appended. Those of a stream come in the order of their numbers, as the log has
    /// them.
    pub fn note(&mut self, at: Position, log: LogPosition) {
        let place = match self.streams.last() {
            Some((epoch, _)) if *epoch == at.epoch => Ok(self.streams.len() - 1),
            _ => self.streams.binary_search_by_key(&at.epoch, |(epoch, _)| *epoch),
        };
        match place {
            Ok(place) => {
                let Some((_, marks)) = self.streams.get_mut(place) else { return };
                let due = marks.back().is_none_or(|(lsn, before)| {
                    at.lsn.0 >= lsn.0 + MARK_EVERY || (at.lsn > *lsn && is_far(*before, log))
                });
                if due {
                    marks.push_back((at.lsn, log));
                }
            }
            Err(place) => self.streams.insert(place, (at.epoch, VecDeque::from([(at.lsn, log)]))),
        }
    }

    /// The last mark of the record's stream at or before it: read on from there. `None` if that part
    /// of the stream is not in the log (any more). Whether the record came at all is not known here.
    #[must_use]
    pub fn find(&self, at: Position) -> Option<(Lsn, LogPosition)> {
        let place = self.streams.binary_search_by_key(&at.epoch, |(epoch, _)| *epoch).ok()?;
        let (_, marks) = self.streams.get(place)?;
        let behind = marks.partition_point(|(lsn, _)| *lsn <= at.lsn);
        marks.get(behind.checked_sub(1)?).copied()
    }

    /// The segments before the one of `before` left the log.
    pub fn release(&mut self, before: LogPosition) {
        self.streams.retain_mut(|(_, marks)| {
            let gone = marks.partition_point(|(_, log)| log.segment < before.segment);
            marks.drain(..gone);
            !marks.is_empty()
        });
    }

    /// Number of marks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams.iter().map(|(_, marks)| marks.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}

/// Whether too much log lies between a mark and a record behind it.
fn is_far(mark: LogPosition, log: LogPosition) -> bool {
    log.segment > mark.segment || log.offset >= mark.offset + MARK_BYTES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(epoch: u64, lsn: u64) -> Position {
        Position { epoch: Epoch(epoch), lsn: Lsn(lsn) }
    }

    #[test]
    fn the_first_every_64th_and_the_first_of_a_segment_are_kept() {
        let mut index = StreamIndex::default();
        for lsn in 1..=200 {
            index.note(at(3, lsn), LogPosition::new(1 + lsn / 100, lsn * 10));
        }
        assert_eq!(index.len(), 5);
        for (lsn, mark) in [(1, 1), (64, 1), (65, 65), (99, 65), (100, 100), (163, 100), (164, 164)]
        {
            assert_eq!(index.find(at(3, lsn)).unwrap().0, Lsn(mark), "{lsn}");
        }
        assert_eq!(index.find(at(3, 0)), None);
        assert_eq!(index.find(at(4, 1)), None);
    }

    #[test]
    fn what_left_the_log_is_not_found_and_what_stayed_is() {
        let mut index = StreamIndex::default();
        for lsn in 1..=10 {
            index.note(at(3, lsn), LogPosition::new(1, lsn));
            index.note(at(5, lsn), LogPosition::new(1 + lsn / 6, lsn));
        }
        index.release(LogPosition::new(2, 4096));
        assert_eq!(index.find(at(3, 10)), None);
        assert_eq!(index.find(at(5, 5)), None);
        assert_eq!(index.find(at(5, 6)), Some((Lsn(6), LogPosition::new(2, 6))));
        index.release(LogPosition::new(4, 4096));
        assert!(index.is_empty());
    }

    proptest! {
        /// Between a mark and the record that is looked for stand fewer than 64 of the stream, and
        /// less than 8 MiB, in one segment; and every record whose segment is left is found.
        #[test]
        fn every_record_that_is_left_is_near_its_mark(
            steps in prop::collection::vec((1..4u64, 1..40u64, prop::bool::weighted(0.05)), 1..60),
            keep in 1..6u64,
            record_bytes in prop::sample::select(vec![100, 50_000, 3_000_000, 20_000_000]),
        ) {
            let mut index = StreamIndex::default();
            let (mut log, mut all) = (LogPosition::new(1, 4096), Vec::new());
            let mut next = [1u64; 4];
            for (epoch, records, rotate) in steps {
                if rotate {
                    log = LogPosition::new(log.segment + 1, 4096);
                }
                for _ in 0..records {
                    let next = &mut next[usize::try_from(epoch).unwrap()];
                    index.note(at(epoch, *next), log);
                    all.push((at(epoch, *next), log));
                    *next += 1;
                    log.offset += record_bytes;
                }
            }
            index.release(LogPosition::new(keep, 4096));
            for (at, log) in all {
                let found = index.find(at);
                prop_assert_eq!(found.is_some(), log.segment >= keep);
                if let Some((lsn, mark)) = found {
                    prop_assert!(lsn <= at.lsn && at.lsn.0 - lsn.0 < MARK_EVERY);
                    prop_assert!(mark <= log && mark.segment == log.segment);
                    prop_assert!(log.offset - mark.offset < MARK_BYTES);
                }
            }
        }
    }
}
