//! The records of one lane that are in this server's log but not applied, in the order in which
//! they are to be applied: pending ones of a leader, received ones of a follower.
//!
//! Applied is only what is official (guarantees 3); what lies behind the end of an older stream is
//! void (guarantees 2.5) and dropped: it was never official, so no client was told that it was
//! applied, but for `acks: 1`. Followers are served from here too, so that the log is read only for
//! those that are far behind.

use std::collections::VecDeque;

use common::ids::{Epoch, Lsn};

use crate::binlog::LogPosition;
use crate::replication::position::{Position, Span};

/// What a record is kept as.
pub trait Body {
    /// Length of the record.
    fn bytes(&self) -> usize;
}

impl Body for Vec<u8> {
    fn bytes(&self) -> usize {
        self.len()
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<B = Vec<u8>> {
    /// Its place in the lane.
    pub at: Position,
    /// Where it begins in this server's log.
    pub log: LogPosition,
    /// The record as it is in the log.
    pub body: B,
}

/// See the module. Within a stream, entries have no gaps and rise in the log as in their numbers;
/// an older stream may stand behind a newer one in the log, as a follower fetches what it lacked.
#[derive(Debug)]
pub struct Backlog<B = Vec<u8>> {
    /// Ordered by position.
    entries: VecDeque<Entry<B>>,
    bytes: usize,
}

impl<B> Default for Backlog<B> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), bytes: 0 }
    }
}

impl<B: Body> Backlog<B> {
    /// Adds a record that was appended to the log. One that is there already is ignored.
    pub fn push(&mut self, entry: Entry<B>) {
        if self.entries.back().is_none_or(|last| last.at < entry.at) {
            self.bytes += entry.body.bytes();
            self.entries.push_back(entry);
        } else if let Err(index) = self.entries.binary_search_by_key(&entry.at, |entry| entry.at) {
            self.bytes += entry.body.bytes();
            self.entries.insert(index, entry);
        }
    }

    /// The record at `at`, unless it was applied, is void or never came.
    #[must_use]
    pub fn get(&self, at: Position) -> Option<&Entry<B>> {
        let index = self.entries.binary_search_by_key(&at, |entry| entry.at).ok()?;
        self.entries.get(index)
    }

    /// The records of a span that are here, in order. Those at its begin may be missing because they
    /// were applied, those at its end because they did not come: compare the numbers.
    pub fn range(&self, span: Span) -> impl Iterator<Item = &Entry<B>> {
        let bound = |lsn| Position { epoch: span.epoch, lsn };
        let from = self.entries.partition_point(|entry| entry.at < bound(span.first));
        let last = bound(span.last);
        self.entries.range(from..).take_while(move |entry| entry.at <= last)
    }

    /// The first record.
    #[must_use]
    pub fn front(&self) -> Option<&Entry<B>> {
        self.entries.front()
    }

    /// Takes the next record to apply, given that the lane is official up to `official`; `None` when
    /// there is none.
    ///
    /// `chain` is what counts of the older streams
    /// ([`Holdings::chain`](crate::replication::position::Holdings::chain)). It is asked only about
    /// streams older than the official one, of which every later chain says the same, as their ends
    /// stand in a first record that is official. What it does not count is void and dropped. A chain
    /// without the official stream says nothing; what it would decide stays.
    pub fn pop_official(&mut self, official: Position, chain: &[Position]) -> Option<Entry<B>> {
        loop {
            let at = self.entries.front()?.at;
            if at > official {
                return None;
            }
            let counts = at.epoch == official.epoch || {
                end_of(chain, official.epoch)?;
                end_of(chain, at.epoch).is_some_and(|end| at.lsn <= end)
            };
            let entry = self.entries.pop_front()?;
            self.bytes -= entry.body.bytes();
            if counts {
                return Some(entry);
            }
        }
    }

    /// All records, to keep them as something else of the same length.
    pub fn bodies_mut(&mut self) -> impl Iterator<Item = &mut B> {
        self.entries.iter_mut().map(|entry| &mut entry.body)
    }

    /// All records, in order.
    pub fn into_entries(self) -> impl Iterator<Item = Entry<B>> {
        self.entries.into_iter()
    }

    /// The first place in the log that is needed for what is here.
    #[must_use]
    pub fn oldest_log(&self) -> Option<LogPosition> {
        let mut oldest: Option<LogPosition> = None;
        let mut first = 0;
        while let Some(entry) = self.entries.get(first) {
            // The first of a stream is its oldest.
            oldest = Some(oldest.map_or(entry.log, |oldest| oldest.min(entry.log)));
            if self.entries.back().is_some_and(|last| last.at.epoch == entry.at.epoch) {
                break;
            }
            first = self.entries.partition_point(|other| other.at.epoch <= entry.at.epoch);
        }
        oldest
    }

    /// Length of all bodies.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of records that are not known to be void.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Where a stream ends; `None` if it does not count.
fn end_of(chain: &[Position], epoch: Epoch) -> Option<Lsn> {
    chain.iter().find(|end| end.epoch == epoch).map(|end| end.lsn)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(epoch: u64, lsn: u64) -> Position {
        Position { epoch: Epoch(epoch), lsn: Lsn(lsn) }
    }

    fn entry(epoch: u64, lsn: u64, offset: u64) -> Entry {
        let body = format!("{epoch}:{lsn}").into_bytes();
        Entry { at: at(epoch, lsn), log: LogPosition::new(1, offset), body }
    }

    fn filled(entries: &[(u64, u64)]) -> Backlog {
        let mut backlog = Backlog::default();
        for (offset, (epoch, lsn)) in (0..).zip(entries) {
            backlog.push(entry(*epoch, *lsn, offset));
        }
        backlog
    }

    fn pop_all(backlog: &mut Backlog, official: Position, chain: &[Position]) -> Vec<Position> {
        std::iter::from_fn(|| backlog.pop_official(official, chain)).map(|entry| entry.at).collect()
    }

    #[test]
    fn one_stream_is_applied_as_far_as_it_is_official() {
        let mut backlog = filled(&[(3, 1), (3, 2), (3, 3)]);
        assert_eq!(pop_all(&mut backlog, at(3, 2), &[at(3, 3)]), [at(3, 1), at(3, 2)]);
        assert_eq!(backlog.get(at(3, 2)), None);
        assert_eq!(backlog.get(at(3, 3)).unwrap().body, b"3:3");
        assert_eq!((backlog.len(), backlog.bytes()), (1, 3));
        assert_eq!(backlog.oldest_log(), Some(LogPosition::new(1, 2)));
        assert!(pop_all(&mut backlog, at(3, 2), &[at(3, 3)]).is_empty());
    }

    /// Guarantees 2.5: stream 3 ends at 2, stream 5 never began.
    #[test]
    fn what_lies_behind_an_end_is_void_once_the_newer_stream_is_official() {
        let mut backlog = filled(&[(3, 1), (3, 2), (3, 3), (5, 1), (7, 1), (7, 2)]);
        let chain = [at(3, 2), at(7, 2)];
        assert_eq!(pop_all(&mut backlog, at(3, 1), &chain), [at(3, 1)]);
        assert_eq!(backlog.len(), 5, "nothing newer than stream 3 is official");
        assert_eq!(pop_all(&mut backlog, at(7, 1), &chain), [at(3, 2), at(7, 1)]);
        assert_eq!(backlog.oldest_log(), Some(LogPosition::new(1, 5)));
        assert_eq!((backlog.len(), backlog.bytes()), (1, 3));
    }

    #[test]
    fn a_chain_without_the_official_stream_decides_nothing() {
        let mut backlog = filled(&[(3, 1), (3, 2)]);
        assert!(pop_all(&mut backlog, at(5, 1), &[at(3, 1)]).is_empty());
        assert_eq!(backlog.len(), 2);
    }

    #[test]
    fn records_that_were_fetched_late_take_their_place() {
        let mut backlog = filled(&[(3, 1), (5, 1), (3, 2), (3, 2), (5, 1)]);
        assert_eq!((backlog.len(), backlog.bytes()), (3, 9));
        let span = Span { epoch: Epoch(3), first: Lsn(1), last: Lsn(9) };
        assert_eq!(backlog.range(span).map(|entry| entry.at.lsn.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(
            pop_all(&mut backlog, at(5, 1), &[at(3, 2), at(5, 1)]),
            [at(3, 1), at(3, 2), at(5, 1)]
        );
        assert_eq!((backlog.is_empty(), backlog.bytes(), backlog.oldest_log()), (true, 0, None));
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// The next record of this stream, or, if `true`, the last one again.
        Push(u64, bool),
        /// Stream and number that became official.
        Official(u64, u64),
        Look(u64, u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (1..5u64, prop::bool::weighted(0.1)).prop_map(|(s, again)| Step::Push(s, again)),
            2 => (1..5u64, 0..12u64).prop_map(|(epoch, lsn)| Step::Official(epoch, lsn)),
            1 => (1..5u64, 0..9u64, 0..9u64).prop_map(|(e, first, last)| Step::Look(e, first, last)),
        ]
    }

    /// The same by scanning a map.
    #[derive(Default)]
    struct Model {
        entries: BTreeMap<Position, Entry>,
    }

    impl Model {
        /// `ends` of all streams; 0 = does not count.
        fn official(&mut self, official: Position, ends: &[u64]) -> Vec<Position> {
            let below: Vec<_> = self.entries.range(..=official).map(|(at, _)| *at).collect();
            let mut applied = Vec::new();
            for at in below {
                self.entries.remove(&at);
                let end = ends[usize::try_from(at.epoch.0).unwrap()];
                if at.epoch == official.epoch || at.lsn.0 <= end {
                    applied.push(at);
                }
            }
            applied
        }
    }

    proptest! {
        #[test]
        fn it_does_what_a_map_does(
            ends in prop::collection::vec(0..8u64, 5),
            steps in prop::collection::vec(step(), 1..80),
        ) {
            let (mut backlog, mut model) = (Backlog::default(), Model::default());
            let (mut next, mut official, mut offset) = ([1u64; 5], Position::default(), 0);
            for step in steps {
                match step {
                    Step::Push(epoch, again) => {
                        let next = &mut next[usize::try_from(epoch).unwrap()];
                        *next += u64::from(!again);
                        // Once applied, a record does not come again.
                        if at(epoch, *next) <= official {
                            continue;
                        }
                        offset += 1;
                        let entry = entry(epoch, *next, offset);
                        backlog.push(entry.clone());
                        model.entries.entry(entry.at).or_insert(entry);
                    }
                    Step::Official(epoch, lsn) => {
                        official = official.max(at(epoch, lsn));
                        let streams = (1..5u64).zip(&ends[1..]).filter(|(_, end)| **end > 0);
                        let streams = streams.filter(|(epoch, _)| *epoch < official.epoch.0);
                        let mut chain: Vec<_> = streams.map(|(epoch, end)| at(epoch, *end)).collect();
                        chain.push(official);
                        let applied = pop_all(&mut backlog, official, &chain);
                        prop_assert_eq!(applied, model.official(official, &ends));
                    }
                    Step::Look(epoch, first, last) => {
                        let (from, to) = (at(epoch, first), at(epoch, last));
                        prop_assert_eq!(backlog.get(from), model.entries.get(&from));
                        let span = Span { epoch: Epoch(epoch), first: Lsn(first), last: Lsn(last) };
                        let wanted = model.entries.values().filter(|e| (from..=to).contains(&e.at));
                        prop_assert!(backlog.range(span).eq(wanted));
                    }
                }
                prop_assert_eq!(backlog.len(), model.entries.len());
                let oldest = model.entries.values().map(|entry| entry.log).min();
                prop_assert_eq!(backlog.oldest_log(), oldest);
                let bytes: usize = model.entries.values().map(|entry| entry.body.len()).sum();
                prop_assert_eq!(backlog.bytes(), bytes);
            }
        }
    }
}
