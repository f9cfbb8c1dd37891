//! Places in the streams of one lane, and what a server holds of them (guarantees 2).

use std::collections::BTreeMap;

use common::ids::{Epoch, Lsn};

/// A record's place in its lane: never a bare LSN (guarantees 2.1). The greater one is the better
/// log: greatest last epoch, then longest (guarantees 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The stream: its leader's since-epoch.
    pub epoch: Epoch,
    /// The number in it.
    pub lsn: Lsn,
}

/// What the machines see of a record; its content is the driver's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where it stands.
    pub at: Position,
    /// In the first record of a stream: where each older stream of the lane ends (guarantees 2.5).
    pub ends: Option<Vec<Position>>,
}

/// Records of one stream, from the first number to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The stream.
    pub epoch: Epoch,
    /// First number.
    pub first: Lsn,
    /// Last number.
    pub last: Lsn,
}

/// What a server holds of a lane: of each stream a prefix, and the ends that the newest stream's
/// first record names. What lies behind an end is void.
///
/// A first record is taken only when everything up to the ends it names is held, so the last
/// position alone says how good a log is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    streams: BTreeMap<Epoch, Lsn>,
    ends: Vec<Position>,
}

impl Holdings {
    /// What a data file says was applied: of each stream the last applied record. Only official
    /// records are applied, in their order, so the older positions are where those streams end.
    /// Taking the log's records in their order completes it.
    #[must_use]
    pub fn restore(positions: impl IntoIterator<Item = Position>) -> Self {
        let mut streams: BTreeMap<Epoch, Lsn> = BTreeMap::new();
        for at in positions.into_iter().filter(|at| at.lsn > Lsn(0)) {
            let last = streams.entry(at.epoch).or_default();
            *last = at.lsn.max(*last);
        }
        let mut ends: Vec<_> =
            streams.iter().map(|(&epoch, &lsn)| Position { epoch, lsn }).collect();
        ends.pop();
        Self { streams, ends }
    }

    /// The last record that counts.
    #[must_use]
    pub fn last(&self) -> Position {
        let last = self.streams.last_key_value();
        last.map_or_else(Position::default, |(&epoch, &lsn)| Position { epoch, lsn })
    }

    /// The last number held of a stream; 0 when there is none.
    #[must_use]
    pub fn of(&self, epoch: Epoch) -> Lsn {
        self.streams.get(&epoch).copied().unwrap_or_default()
    }

    /// Everything that is held, void or not, oldest stream first.
    #[must_use]
    pub fn vector(&self) -> Vec<Position> {
        self.streams.iter().map(|(&epoch, &lsn)| Position { epoch, lsn }).collect()
    }

    /// The streams that count, each with its end, oldest first; the newest ends where the log ends.
    #[must_use]
    pub fn chain(&self) -> Vec<Position> {
        let mut chain = self.ends.clone();
        if !self.streams.is_empty() {
            chain.push(self.last());
        }
        chain
    }

    /// Takes a record if it is the next of its stream and, as a stream's first, stands on ground
    /// that is held. Says whether it did.
    pub fn take(&mut self, head: &Head) -> bool {
        let Position { epoch, lsn } = head.at;
        if self.of(epoch).next() != lsn {
            return false;
        }
        if let Some(ends) = &head.ends {
            if ends.iter().any(|end| self.of(end.epoch) < end.lsn) {
                return false;
            }
            if self.last().epoch < epoch {
                self.ends.clone_from(ends);
            }
        }
        self.streams.insert(epoch, lsn);
        true
    }

    /// Takes `count` records of a stream that has begun, beginning with `first`, if that is the next
    /// one. Says whether it did.
    pub fn take_run(&mut self, epoch: Epoch, first: Lsn, count: u64) -> bool {
        match self.streams.get_mut(&epoch) {
            Some(last) if last.next() == first => {
                last.0 += count;
                true
            }
            _ => false,
        }
    }

    /// What is held but does not count: behind an end, or of a stream that never began.
    #[must_use]
    pub fn void(&self) -> Vec<Span> {
        let newest = self.last().epoch;
        let older = self.streams.iter().filter(|(epoch, _)| **epoch < newest);
        older
            .filter_map(|(&epoch, &last)| {
                let end = self.ends.iter().find(|end| end.epoch == epoch);
                let first = end.map_or(Lsn(0), |end| end.lsn).next();
                (first <= last).then_some(Span { epoch, first, last })
            })
            .collect()
    }

    /// How many records `chain` counts that somebody with `have` lacks.
    #[must_use]
    pub fn lacks(chain: &[Position], have: &[Position]) -> u64 {
        let lacking = |end: &Position| end.lsn.0.saturating_sub(held_of(have, end.epoch).0);
        chain.iter().map(lacking).fold(0, u64::saturating_add)
    }

    /// What `chain` counts and somebody with `have` lacks, in the order to append, at most `max`
    /// records.
    #[must_use]
    pub fn missing(chain: &[Position], have: &[Position], max: u64) -> Vec<Span> {
        let mut left = max;
        let mut spans = Vec::new();
        for end in chain {
            let held = held_of(have, end.epoch);
            if held >= end.lsn || left == 0 {
                continue;
            }
            let last = Lsn(end.lsn.0.min(held.0 + left));
            left -= last.0 - held.0;
            spans.push(Span { epoch: end.epoch, first: held.next(), last });
        }
        spans
    }
}

fn held_of(have: &[Position], epoch: Epoch) -> Lsn {
    have.iter().find(|at| at.epoch == epoch).map_or(Lsn(0), |at| at.lsn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, lsn: u64) -> Position {
        Position { epoch: Epoch(epoch), lsn: Lsn(lsn) }
    }

    fn put(
        held: &mut Holdings,
        epoch: u64,
        lsns: std::ops::RangeInclusive<u64>,
        ends: &[Position],
    ) {
        for lsn in lsns {
            let ends = (lsn == 1).then(|| ends.to_vec());
            assert!(held.take(&Head { at: at(epoch, lsn), ends }), "{epoch} {lsn}");
        }
    }

    #[test]
    fn a_stream_begins_only_on_ground_that_is_held_and_makes_the_rest_void() {
        let mut held = Holdings::default();
        put(&mut held, 3, 1..=6, &[]);
        put(&mut held, 5, 1..=2, &[at(3, 4)]);
        assert_eq!(held.chain(), [at(3, 4), at(5, 2)]);
        let start = Head { at: at(7, 1), ends: Some(vec![at(3, 8)]) };
        assert!(!held.take(&start), "3:7 and 3:8 are missing");
        let lacks = Holdings::missing(&[at(3, 8), at(7, 1)], &held.vector(), 9);
        assert_eq!(lacks.len(), 2);
        assert_eq!((lacks[0].first, lacks[0].last), (Lsn(7), Lsn(8)));
        put(&mut held, 3, 7..=8, &[]);
        assert_eq!(held.last(), at(5, 2), "what was fetched does not count before the new stream");
        assert!(held.take(&start));
        assert_eq!(held.chain(), [at(3, 8), at(7, 1)]);
        assert_eq!(held.void(), [Span { epoch: Epoch(5), first: Lsn(1), last: Lsn(2) }]);
    }

    #[test]
    fn a_run_is_taken_like_its_records_one_by_one() {
        let mut held = Holdings::default();
        assert!(!held.take_run(Epoch(3), Lsn(1), 4), "the stream has not begun");
        put(&mut held, 3, 1..=2, &[]);
        let mut single = held.clone();
        assert!(held.take_run(Epoch(3), Lsn(3), 4));
        assert!(!held.take_run(Epoch(3), Lsn(6), 1), "3:6 is held, 3:7 is next");
        put(&mut single, 3, 3..=6, &[]);
        assert_eq!(held, single);
    }

    #[test]
    fn a_data_file_and_the_rest_of_the_log_give_what_the_whole_log_gives() {
        let start = |epoch, ends: &[Position]| Head { at: at(epoch, 1), ends: Some(ends.to_vec()) };
        let next = |epoch, lsn| Head { at: at(epoch, lsn), ends: None };
        // 3:4, 3:5 and all of stream 5 are void.
        let mut log = vec![start(2, &[]), next(2, 2), start(3, &[at(2, 2)])];
        log.extend((2..=5).map(|lsn| next(3, lsn)));
        log.extend([start(5, &[at(2, 2), at(3, 2)]), next(5, 2)]);
        log.extend([start(7, &[at(2, 2), at(3, 3)]), next(7, 2), next(7, 3)]);
        let mut whole = Holdings::default();
        assert!(log.iter().all(|head| whole.take(head)));
        assert_eq!(whole.chain(), [at(2, 2), at(3, 3), at(7, 3)]);
        let applied: [&[Position]; 6] = [
            &[],
            &[at(2, 1)],
            &[at(2, 2)],
            &[at(2, 2), at(3, 2)],
            &[at(2, 2), at(3, 3), at(7, 1)],
            &[at(2, 2), at(3, 3), at(7, 3)],
        ];
        for applied in applied {
            let mut held = Holdings::restore(applied.iter().copied());
            assert_eq!(held.chain(), applied);
            log.iter().for_each(|head| {
                held.take(head);
            });
            assert_eq!(held, whole, "{applied:?}");
        }
    }
}
