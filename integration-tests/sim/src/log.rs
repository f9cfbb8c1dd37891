//! A node's log of one lane, with what a power cut may take from it.

use std::collections::HashMap;

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
    places: HashMap<Position, usize>,
    synced: usize,
}

impl LaneLog {
    /// Appends a record: from now on the kernel has it.
    pub fn append(&mut self, rec: Rec) {
        self.places.insert(rec.head.at, self.order.len());
        self.order.push(rec);
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

    /// The machine lost power: of what was not durable only the first `kept` records remain.
    pub fn lose(&mut self, kept: usize) {
        self.order.truncate(self.synced + kept);
        self.places = self.order.iter().enumerate().map(|(at, rec)| (rec.head.at, at)).collect();
        self.synced = self.synced.min(self.order.len());
    }

    /// What a process start finds.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let mut held = Holdings::default();
        for rec in &self.order {
            held.take(&rec.head);
        }
        held
    }
}
