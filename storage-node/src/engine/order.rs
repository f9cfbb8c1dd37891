//! The objects of a memtable in key order, for scans: built when the first scan asks, and then
//! extended by what was added since.
//!
//! A list of sorted runs, each at least twice as long as the next, so that a scan under writes
//! costs a merge of short runs and not a sort of everything.

use crate::engine::memtable::Memtable;

/// Object numbers of one memtable in the order of their prefixes.
#[derive(Debug, Default)]
pub(super) struct OrderIndex {
    runs: Vec<Vec<u32>>,
    covered: u32,
}

impl OrderIndex {
    /// Takes in the objects that were added since the last call.
    pub(super) fn extend(&mut self, table: &Memtable) {
        if self.covered == table.objects() {
            return;
        }
        let mut run = table.sorted(self.covered);
        self.covered = table.objects();
        while let Some(last) = self.runs.pop_if(|last| last.len() < 2 * run.len()) {
            run = merge(table, &last, &run);
        }
        self.runs.push(run);
    }

    /// The prefixes from `from` on, in order.
    pub(super) fn from<'m>(&self, table: &'m Memtable, from: &[u8]) -> OrderedPrefixes<'_, 'm> {
        let rest = |run: &'_ Vec<u32>| run.partition_point(|&n| table.node(n).prefix() < from);
        let runs = self.runs.iter().map(|run| run.split_at(rest(run)).1).collect();
        OrderedPrefixes { table, runs }
    }
}

fn merge(table: &Memtable, left: &[u32], right: &[u32]) -> Vec<u32> {
    let mut runs = OrderedPrefixes { table, runs: vec![left, right] };
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let Some(number) = runs.next_number() {
        merged.push(number);
    }
    merged
}

/// Merges the runs of an [`OrderIndex`].
#[derive(Debug)]
pub(super) struct OrderedPrefixes<'o, 'm> {
    table: &'m Memtable,
    runs: Vec<&'o [u32]>,
}

impl<'m> OrderedPrefixes<'_, 'm> {
    fn next_number(&mut self) -> Option<u32> {
        let (_, run, number) = self
            .runs
            .iter()
            .enumerate()
            .filter_map(|(run, rest)| {
                let &number = rest.first()?;
                Some((self.table.node(number).prefix(), run, number))
            })
            .min()?;
        if let Some(rest) = self.runs.get_mut(run) {
            *rest = rest.split_at(1).1;
        }
        Some(number)
    }
}

impl<'m> Iterator for OrderedPrefixes<'_, 'm> {
    type Item = &'m [u8];

    fn next(&mut self) -> Option<&'m [u8]> {
        let number = self.next_number()?;
        Some(self.table.node(number).prefix())
    }
}

#[cfg(test)]
mod tests {
    use common::stored::{Body, Stored};
    use common::version::Version;

    use super::*;
    use crate::engine::memtable::Origin;

    #[test]
    fn objects_added_between_scans_appear_in_order() {
        let mut table = Memtable::default();
        let mut order = OrderIndex::default();
        let stored = Stored { version: Version::default(), body: Body::Tombstone };
        let mut expected = Vec::new();
        for round in 0..50_u32 {
            for n in 0..=round % 7 {
                let prefix = (n.wrapping_mul(2_654_435_761) ^ round << 9).to_be_bytes();
                table.put(&prefix, b"\x01", &stored, Origin::Log);
                expected.push(prefix.to_vec());
            }
            order.extend(&table);
            expected.sort();
            expected.dedup();
            let from = expected[expected.len() / 2].clone();
            let found: Vec<_> = order.from(&table, &from).map(<[u8]>::to_vec).collect();
            assert_eq!(found, expected[expected.len() / 2..]);
        }
    }
}
