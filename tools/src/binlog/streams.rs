//! The streams in a log: what is there of each, and whether a number is missing.

use std::collections::BTreeMap;

use common::ids::{Lsn, Stream};
use common::log_record::LogHead;
use common::version::Hlc;

/// What the log has of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    /// The smallest number.
    pub(super) first: Lsn,
    /// The greatest.
    pub(super) last: Lsn,
    /// How many records, repetitions included.
    pub(super) records: u64,
    /// The earliest and the latest time of its records.
    pub(super) times: (Hlc, Hlc),
    /// The last number that the next must follow; `None` if a part of the log behind it is not known.
    follows: Option<Lsn>,
}

/// Numbers of a stream are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    /// The stream.
    pub(super) stream: Stream,
    /// The last number before it; 0 if the stream does not begin with its first record.
    pub(super) after: Lsn,
    /// The number found instead of the next one.
    pub(super) found: Lsn,
}

/// All streams of a log. Give it the records in the log's order.
#[derive(Debug, Default)]
pub(super) struct Streams {
    kept: BTreeMap<Stream, Kept>,
    /// All of the log from its first record on was seen.
    whole: bool,
}

impl Streams {
    /// Streams of a log that is read from its very beginning (`true`), or from a later segment on.
    pub(super) fn new(whole: bool) -> Self {
        Self { kept: BTreeMap::new(), whole }
    }

    /// A record. A number that was there before is fine: a start passes over it.
    pub(super) fn take(&mut self, head: &LogHead) -> Option<Gap> {
        let (lsn, hlc) = (head.lsn, head.hlc);
        let Some(kept) = self.kept.get_mut(&head.stream) else {
            let times = (hlc, hlc);
            let kept = Kept { first: lsn, last: lsn, records: 1, times, follows: Some(lsn) };
            self.kept.insert(head.stream, kept);
            let late = self.whole && lsn > Lsn(1);
            return late.then_some(Gap { stream: head.stream, after: Lsn(0), found: lsn });
        };
        kept.records += 1;
        kept.first = kept.first.min(lsn);
        kept.last = kept.last.max(lsn);
        kept.times = (kept.times.0.min(hlc), kept.times.1.max(hlc));
        let before = kept.follows;
        kept.follows = Some(before.map_or(lsn, |before| before.max(lsn)));
        let after = before.filter(|before| lsn > before.next())?;
        Some(Gap { stream: head.stream, after, found: lsn })
    }

    /// A part of the log is not known: what follows may follow anything.
    pub(super) fn lose_track(&mut self) {
        self.whole = false;
        self.kept.values_mut().for_each(|kept| kept.follows = None);
    }

    /// All streams in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Stream, &Kept)> {
        self.kept.iter().map(|(stream, kept)| (*stream, kept))
    }

    /// The earliest and the latest time of all records.
    pub(super) fn times(&self) -> Option<(Hlc, Hlc)> {
        let all = || self.kept.values().map(|kept| kept.times);
        Some((all().map(|times| times.0).min()?, all().map(|times| times.1).max()?))
    }
}

#[cfg(test)]
mod tests {
    use common::ids::{Epoch, Lane, NodeId, RequestId};

    use super::*;

    fn head(epoch: u64, lsn: u64) -> LogHead {
        let stream = Stream { lane: Lane::default(), epoch: Epoch(epoch) };
        let (hlc, node, request) = (Hlc(epoch * 100 + lsn), NodeId(1), RequestId(0));
        LogHead { stream, lsn: Lsn(lsn), hlc, node, request, open: 0 }
    }

    #[test]
    fn a_missing_number_is_noticed_in_its_own_stream_only() {
        let mut streams = Streams::new(true);
        for (epoch, lsn) in [(3, 1), (3, 2), (5, 1), (3, 3), (3, 2), (3, 4), (5, 2)] {
            assert_eq!(streams.take(&head(epoch, lsn)), None, "{epoch} {lsn}");
        }
        let gap = streams.take(&head(3, 7)).unwrap();
        assert_eq!((gap.stream.epoch, gap.after, gap.found), (Epoch(3), Lsn(4), Lsn(7)));
        assert_eq!(streams.take(&head(3, 8)), None, "told once");
        let kept: Vec<_> = streams.iter().map(|(_, kept)| *kept).collect();
        assert_eq!((kept[0].first, kept[0].last, kept[0].records), (Lsn(1), Lsn(8), 7));
        assert_eq!(streams.times(), Some((Hlc(301), Hlc(502))));
    }

    #[test]
    fn a_stream_may_begin_late_only_where_a_part_of_the_log_is_gone() {
        assert_eq!(Streams::new(true).take(&head(3, 5)).unwrap().after, Lsn(0));
        assert_eq!(Streams::new(false).take(&head(3, 5)), None);
        let mut streams = Streams::new(true);
        assert_eq!(streams.take(&head(3, 1)), None);
        streams.lose_track();
        assert_eq!(streams.take(&head(3, 9)), None);
        assert_eq!(streams.take(&head(4, 9)), None);
        assert!(streams.take(&head(3, 11)).is_some());
    }
}
