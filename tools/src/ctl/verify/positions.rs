//! How far a server has applied the streams of a lane.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::ctl::admin::items;

/// Per stream of one lane, named by its epoch, the number of the last record applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Positions(BTreeMap<u64, u64>);

impl Positions {
    /// Reads `[{"epoch","lsn"}]`; what is not of this form is left out.
    pub(super) fn of_json(value: &Value) -> Self {
        let position = |item: &Value| Some((item["epoch"].as_u64()?, item["lsn"].as_u64()?));
        Self(items(value).iter().filter_map(position).collect())
    }

    /// Takes over the greater position of each stream.
    pub(super) fn join(&mut self, other: &Self) {
        for (epoch, lsn) in &other.0 {
            let mine = self.0.entry(*epoch).or_default();
            *mine = (*mine).max(*lsn);
        }
    }

    /// Whether everything up to `other` is applied. The first record of a stream says where the older
    /// ones end, so a server that has a newer stream has passed the older ones up to their ends.
    pub(super) fn have_passed(&self, other: &Self) -> bool {
        let newest = self.0.keys().next_back();
        other.0.iter().all(|(epoch, lsn)| {
            self.0.get(epoch).is_some_and(|mine| mine >= lsn)
                || newest.is_some_and(|newest| newest > epoch)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn positions(of: &[(u64, u64)]) -> Positions {
        Positions(of.iter().copied().collect())
    }

    #[test]
    fn positions_are_passed_stream_by_stream_or_by_a_newer_stream() {
        let target = positions(&[(3, 10), (5, 7)]);
        assert!(target.have_passed(&target));
        assert!(target.have_passed(&Positions::default()));
        assert!(positions(&[(3, 10), (5, 8)]).have_passed(&target));
        assert!(positions(&[(6, 1)]).have_passed(&target), "a newer stream");
        assert!(positions(&[(3, 2), (5, 7)]).have_passed(&target), "stream 3 ended earlier");
        assert!(!positions(&[(3, 10), (5, 6)]).have_passed(&target));
        assert!(!positions(&[(3, 99)]).have_passed(&target));
        assert!(!Positions::default().have_passed(&target));
    }

    #[test]
    fn positions_are_read_and_joined() {
        let read = Positions::of_json(&json!([{"epoch": 3, "lsn": 4}, {"epoch": 5}, 7]));
        assert_eq!(read, positions(&[(3, 4)]));
        assert_eq!(Positions::of_json(&json!(null)), Positions::default());
        let mut joined = positions(&[(3, 10), (5, 1)]);
        joined.join(&positions(&[(3, 4), (5, 2), (6, 1)]));
        assert_eq!(joined, positions(&[(3, 10), (5, 2), (6, 1)]));
    }
}
