//! What a memtable holds for one object: its records, each in one allocation.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, btree_set};
use std::ops::Bound;

use common::stored::Stored;

/// What the allocator adds to a small block, and what a set's node costs for each entry.
const ALLOCATION_BYTES: usize = 16;

/// One record: `suffix length u16 | suffix | stored`. Ordered by suffix.
#[derive(Debug)]
pub(super) struct Entry(Box<[u8]>);

impl Entry {
    /// Encodes a record.
    pub(super) fn new(suffix: &[u8], stored: &Stored<'_>) -> Self {
        let length = u16::try_from(suffix.len()).expect("a log record's keys have 16-bit lengths");
        let mut bytes = Vec::with_capacity(2 + suffix.len() + stored.encoded_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(suffix);
        stored.encode(&mut bytes);
        Self(bytes.into_boxed_slice())
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let (length, rest) = self.0.split_first_chunk::<2>().expect("written by new");
        rest.split_at(usize::from(u16::from_le_bytes(*length)))
    }

    /// The key's part behind the object prefix.
    pub(super) fn suffix(&self) -> &[u8] {
        self.split().0
    }

    /// The encoded record.
    pub(super) fn stored_bytes(&self) -> &[u8] {
        self.split().1
    }

    /// The record.
    pub(super) fn stored(&self) -> Stored<'_> {
        Stored::decode(self.stored_bytes()).expect("written by new")
    }

    /// Memory it takes, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.0.len() + ALLOCATION_BYTES
    }
}

impl Borrow<[u8]> for Entry {
    fn borrow(&self) -> &[u8] {
        self.suffix()
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.suffix().cmp(other.suffix())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.suffix() == other.suffix()
    }
}

impl Eq for Entry {}

/// The records of one object. Most objects have one record, which lies in place.
#[derive(Debug, Default)]
pub(super) enum Fields {
    /// None: the object is here for its garbage mark only.
    #[default]
    Empty,
    /// One.
    One(Entry),
    /// Several.
    Many(BTreeSet<Entry>),
}

impl Fields {
    /// The record with this suffix.
    pub(super) fn get(&self, suffix: &[u8]) -> Option<&Entry> {
        match self {
            Self::Empty => None,
            Self::One(entry) => (entry.suffix() == suffix).then_some(entry),
            Self::Many(entries) => entries.get(suffix),
        }
    }

    /// Puts a record in and returns the one it replaces.
    pub(super) fn put(&mut self, entry: Entry) -> Option<Entry> {
        match self {
            Self::Empty => {
                *self = Self::One(entry);
                None
            }
            Self::One(old) if *old == entry => Some(std::mem::replace(old, entry)),
            Self::One(_) => {
                let Self::One(old) = std::mem::take(self) else {
                    unreachable!("the arm says that it is one record")
                };
                *self = Self::Many(BTreeSet::from([old, entry]));
                None
            }
            Self::Many(entries) => entries.replace(entry),
        }
    }

    /// The records from a suffix on, in order.
    pub(super) fn from(&self, suffix: &[u8]) -> FieldIter<'_> {
        match self {
            Self::Empty => FieldIter::One(None),
            Self::One(entry) => FieldIter::One((entry.suffix() >= suffix).then_some(entry)),
            Self::Many(entries) => {
                let bounds = (Bound::Included(suffix), Bound::Unbounded);
                FieldIter::Many(entries.range::<[u8], _>(bounds))
            }
        }
    }
}

/// Iterates over [`Fields`] in order.
#[derive(Debug)]
pub(super) enum FieldIter<'m> {
    /// At most one record.
    One(Option<&'m Entry>),
    /// Several.
    Many(btree_set::Range<'m, Entry>),
}

impl<'m> Iterator for FieldIter<'m> {
    type Item = &'m Entry;

    fn next(&mut self) -> Option<&'m Entry> {
        match self {
            Self::One(entry) => entry.take(),
            Self::Many(entries) => entries.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use common::stored::Body;
    use common::version::Version;

    use super::*;

    fn entry(suffix: &[u8], value: &[u8]) -> Entry {
        let body = Body::Value { expire_at: 0, value };
        Entry::new(suffix, &Stored { version: Version::default(), body })
    }

    #[test]
    fn fields_grow_from_one_to_many_and_stay_in_order() {
        let mut fields = Fields::default();
        assert!(fields.put(entry(b"\x02b", b"1")).is_none());
        let old = fields.put(entry(b"\x02b", b"2")).expect("replaced");
        assert_eq!(old.stored().body, Body::Value { expire_at: 0, value: b"1" });
        assert!(matches!(fields, Fields::One(_)));
        assert!(fields.put(entry(b"\x02a", b"3")).is_none());
        assert!(fields.put(entry(b"\x01", b"4")).is_none());
        let suffixes: Vec<_> = fields.from(b"\x02").map(|e| e.suffix().to_vec()).collect();
        assert_eq!(suffixes, [b"\x02a".to_vec(), b"\x02b".to_vec()]);
        assert_eq!(
            fields.get(b"\x02b").map(|e| e.stored().body),
            Some(Body::Value { expire_at: 0, value: b"2" })
        );
        assert!(fields.get(b"\x02c").is_none());
    }
}
