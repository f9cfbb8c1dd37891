//! The objects of a memtable in key order, for scans: built when the first scan asks, and then
//! extended by what was added since.
//!
//! Objects lie in *leaves*, one for each range of keys, in the order in which they came. A leaf is
//! sorted when a scan comes to it, and split when it is full. So taking an object in costs the same
//! whether the table has few or many, can be done in slices, and a scan sorts what it shows and no more.

use std::collections::BTreeMap;
use std::collections::btree_map::RangeMut;
use std::ops::Bound;

use crate::engine::memtable::Memtable;
use crate::engine::slice::Slice;
use crate::engine::sort;

/// Most objects of a leaf.
#[cfg(not(test))]
const LEAF_MAX: usize = 512;
#[cfg(test)]
const LEAF_MAX: usize = 8;

/// Objects of one range of keys.
#[derive(Debug, Default)]
struct Leaf {
    numbers: Vec<u32>,
    /// The first so many are in order.
    sorted: usize,
}

impl Leaf {
    fn sort(&mut self, table: &Memtable) {
        if self.sorted < self.numbers.len() {
            let numbers = self.numbers.iter().copied();
            self.numbers = sort::by_prefix(numbers, |number| table.node(number).prefix());
            self.sorted = self.numbers.len();
        }
    }

    /// Takes the upper half away. The leaf is sorted then.
    fn split(&mut self, table: &Memtable) -> Self {
        self.sort(table);
        let numbers = self.numbers.split_off(self.numbers.len() / 2);
        self.sorted = self.numbers.len();
        Self { sorted: numbers.len(), numbers }
    }
}

/// Object numbers of one memtable in the order of their prefixes.
#[derive(Debug, Default)]
pub(super) struct OrderIndex {
    /// By the smallest prefix that belongs into it; that of the first leaf is empty.
    leaves: BTreeMap<Box<[u8]>, Leaf>,
    covered: u32,
}

impl OrderIndex {
    /// Takes in the objects that were added since the last call, as far as the slice goes. Returns
    /// whether that was all.
    pub(super) fn extend(&mut self, table: &Memtable, slice: &mut Slice<'_>) -> bool {
        while self.covered < table.objects() {
            if !slice.step() {
                return false;
            }
            self.add(table, self.covered);
            self.covered += 1;
        }
        true
    }

    /// How many objects were taken in.
    #[cfg(test)]
    pub(super) fn covered(&self) -> u32 {
        self.covered
    }

    fn add(&mut self, table: &Memtable, number: u32) {
        let prefix = table.node(number).prefix();
        if self.leaves.is_empty() {
            self.leaves.insert(Box::default(), Leaf::default());
        }
        let upto = (Bound::Unbounded, Bound::Included(prefix));
        let leaf = self.leaves.range_mut::<[u8], _>(upto).next_back();
        let (_, leaf) = leaf.expect("the first leaf begins before all keys");
        leaf.numbers.push(number);
        if leaf.numbers.len() > LEAF_MAX {
            let upper = leaf.split(table);
            let first = upper.numbers.first().map_or(&[][..], |&first| table.node(first).prefix());
            self.leaves.insert(first.into(), upper);
        }
    }

    /// The prefixes from `from` on, in order.
    pub(super) fn from<'m>(&mut self, table: &'m Memtable, from: &[u8]) -> OrderedPrefixes<'_, 'm> {
        let upto = (Bound::Unbounded, Bound::Included(from));
        let first = self.leaves.range::<[u8], _>(upto).next_back();
        let first: Box<[u8]> = first.map(|(first, _)| first.clone()).unwrap_or_default();
        let behind = (Bound::Included(&*first), Bound::Unbounded);
        let mut leaves = self.leaves.range_mut::<[u8], _>(behind);
        let leaf = leaves.next().map_or(&[][..], |(_, leaf)| {
            leaf.sort(table);
            let rest = leaf.numbers.partition_point(|&n| table.node(n).prefix() < from);
            leaf.numbers.split_at(rest).1
        });
        OrderedPrefixes { table, leaf, leaves }
    }
}

/// Walks the leaves of an [`OrderIndex`], and sorts them on its way.
#[derive(Debug)]
pub(super) struct OrderedPrefixes<'o, 'm> {
    table: &'m Memtable,
    /// What is left of the present one.
    leaf: &'o [u32],
    leaves: RangeMut<'o, Box<[u8]>, Leaf>,
}

impl<'m> Iterator for OrderedPrefixes<'_, 'm> {
    type Item = &'m [u8];

    fn next(&mut self) -> Option<&'m [u8]> {
        loop {
            if let Some((&number, rest)) = self.leaf.split_first() {
                self.leaf = rest;
                return Some(self.table.node(number).prefix());
            }
            let (_, leaf) = self.leaves.next()?;
            leaf.sort(self.table);
            self.leaf = &leaf.numbers;
        }
    }
}

#[cfg(test)]
mod tests {
    use common::stored::{Body, Stored};
    use common::version::Version;

    use super::*;
    use crate::engine::memtable::Origin;

    #[test]
    fn objects_added_between_scans_appear_in_order_however_they_were_taken_in() {
        let mut table = Memtable::default();
        let mut order = OrderIndex::default();
        let stored = Stored { version: Version::default(), body: Body::Tombstone };
        let mut expected = Vec::new();
        for round in 0..200_u32 {
            for n in 0..=round % 7 {
                let prefix = (n.wrapping_mul(2_654_435_761) ^ round << 9).to_be_bytes();
                table.put(&prefix, b"\x01", &stored, Origin::Log);
                expected.push(prefix.to_vec());
            }
            expected.sort();
            expected.dedup();
            let slices = round as usize % 3;
            let most = (0..slices).any(|_| order.extend(&table, &mut Slice::steps(2)));
            let left = table.objects() - order.covered;
            assert_eq!(most, slices > 0 && left == 0, "it says whether that was all");
            assert!(order.extend(&table, &mut Slice::unbounded()));
            for from in [&expected[expected.len() / 2][..], &[], &[0xff; 5]] {
                let found: Vec<_> = order.from(&table, from).map(<[u8]>::to_vec).collect();
                let at = expected.partition_point(|prefix| &prefix[..] < from);
                assert_eq!(found, expected[at..]);
            }
        }
        assert!(order.leaves.len() > expected.len() / LEAF_MAX, "they are split");
    }
}
