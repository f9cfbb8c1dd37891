//! A node's log of one lane, with what a power cut may take from it.

use std::collections::{HashMap, HashSet};

use common::ids::Lsn;
use storage_node::replication::position::{Head, Holdings, Position, Span};

/// What a record did: INCR of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Incr {
    /// The key.
    pub key: usize,
    /// The request's id.
    pub request: u64,
    /// The value after it, which is its answer.
    pub answer: u64,
}

/// A record: opaque to the protocol but for its head. Without operation it begins a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rec {
    /// Its place.
    pub head: Head,
    /// Its content.
    pub op: Option<Incr>,
}

/// The log of a lane in the order of appending.
#[derive(Clone, Debug, Default)]
pub struct LaneLog {
    order: Vec<Rec>,
    /// When each was appended.
    at_us: Vec<u64>,
    places: HashMap<Position, usize>,
    synced: usize,
    /// Everything that was ever appended, also what a power cut took.
    ever: HashSet<Position>,
    /// What the data file holds, since the log was last rotated: of each stream the last record.
    file: Vec<Position>,
    /// Records before this place are in the data file only.
    rotated: usize,
}

/// A power cut takes only what is younger: the log is synced each second.
pub const UNSYNCED_US_MAX: u64 = 1_000_000;
/// The log keeps what is younger.
const RETAINED_US: u64 = 3_000_000;

impl LaneLog {
    /// Appends a record: from now on the kernel has it.
    pub fn append(&mut self, now_us: u64, rec: Rec) {
        self.places.insert(rec.head.at, self.order.len());
        self.ever.insert(rec.head.at);
        self.order.push(rec);
        self.at_us.push(now_us);
    }

    /// Whether a record was ever here, and whether it is durable.
    #[must_use]
    pub fn had(&self, at: Position) -> (bool, bool) {
        let durable = self.places.get(&at).is_some_and(|place| *place < self.synced);
        (self.ever.contains(&at), durable)
    }

    /// The data file takes everything up to these ends, and the log forgets what is old of it.
    /// Nothing happens if some of that is not durable.
    pub fn rotate(&mut self, now_us: u64, ends: Vec<Position>) {
        let durable = |end: &Position| self.had(*end).1;
        if ends.is_empty() || !ends.iter().all(durable) {
            return;
        }
        let newest = ends.iter().map(|end| end.epoch).max().unwrap_or_default();
        let covered = |rec: &Rec| {
            let at = rec.head.at;
            at.epoch < newest || ends.iter().any(|end| end.epoch == at.epoch && at.lsn <= end.lsn)
        };
        let old = self
            .at_us
            .iter()
            .zip(&self.order)
            .take_while(|(at_us, rec)| **at_us + RETAINED_US < now_us && covered(rec));
        self.rotated = self.rotated.max(old.count());
        self.file = ends;
    }

    /// Whether the log still holds all of these records.
    #[must_use]
    pub fn retains(&self, span: Span) -> bool {
        self.span(span)
            .all(|rec| self.places.get(&rec.head.at).is_some_and(|place| *place >= self.rotated))
    }

    /// A record.
    #[must_use]
    pub fn get(&self, at: Position) -> Option<&Rec> {
        self.places.get(&at).and_then(|place| self.order.get(*place))
    }

    /// The records of a span; fewer if some are missing.
    pub fn span(&self, span: Span) -> impl Iterator<Item = &Rec> + '_ {
        let at = move |lsn| Position { epoch: span.epoch, lsn: Lsn(lsn) };
        (span.first.0..=span.last.0).map_while(move |lsn| self.get(at(lsn)))
    }

    /// The records that count, in their order.
    #[must_use]
    pub fn flat(&self, held: &Holdings) -> Vec<Rec> {
        let spans = held.chain().into_iter().map(|end| Span {
            epoch: end.epoch,
            first: Lsn(1),
            last: end.lsn,
        });
        spans.flat_map(|span| self.span(span).cloned().collect::<Vec<_>>()).collect()
    }

    /// Everything appended so far is durable. Gives the position that is.
    pub fn sync(&mut self) -> Position {
        self.synced = self.order.len();
        let greatest = self.order.iter().rev().map(|rec| rec.head.at).max();
        greatest.unwrap_or_default()
    }

    /// Records that are not durable.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.order.len() - self.synced
    }

    /// The machine lost power: of what was not durable only the first `kept` records remain, and
    /// what is old.
    pub fn lose(&mut self, now_us: u64, kept: usize) {
        let old = self.at_us.partition_point(|at_us| at_us + UNSYNCED_US_MAX < now_us);
        self.order.truncate((self.synced + kept).max(old));
        self.at_us.truncate(self.order.len());
        self.places = self.order.iter().enumerate().map(|(at, rec)| (rec.head.at, at)).collect();
        self.synced = self.synced.min(self.order.len());
    }

    /// What a process start finds.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let mut held = Holdings::restore(self.file.iter().copied());
        for rec in self.order.iter().skip(self.rotated) {
            held.take(&rec.head);
        }
        held
    }
}
