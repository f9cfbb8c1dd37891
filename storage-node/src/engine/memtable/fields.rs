//! The records of one object in a memtable, in order.

use std::cmp::Ordering;

use common::stored::Stored;

use crate::engine::memtable::arena::{Arena, Class, Slot};

/// A list is split into parts of at most so many records: what an insertion moves.
const PART_MAX: usize = 512;

/// One record, in a slot of a memtable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Entry<'m> {
    suffix: &'m [u8],
    stored: &'m [u8],
}

impl<'m> Entry<'m> {
    /// The record whose suffix and stored bytes lie one behind the other.
    pub(super) fn at(bytes: &'m [u8], suffix: usize, stored: usize) -> Self {
        let (suffix, rest) = bytes.split_at(suffix);
        Self { suffix, stored: rest.split_at(stored).0 }
    }

    /// The key's part behind the object prefix.
    pub(in crate::engine) fn suffix(self) -> &'m [u8] {
        self.suffix
    }

    /// The encoded record.
    pub(in crate::engine) fn stored_bytes(self) -> &'m [u8] {
        self.stored
    }

    /// The record.
    pub(in crate::engine) fn stored(self) -> Stored<'m> {
        Stored::decode(self.stored).expect("encoded when it was put in")
    }
}

/// A record of an object with several has a slot of its own: `class u8 | 0 | suffix length u16 | stored
/// length u32 | suffix | stored`.
const HEAD: usize = 8;

/// Reads a record's slot.
pub(super) fn read(arena: &Arena, slot: Slot) -> Entry<'_> {
    let (head, bytes) = arena.from(slot, 0).split_at(HEAD);
    let &[_, _, s0, s1, v0, v1, v2, v3] = head else { unreachable!("it was split there") };
    let suffix = u16::from_le_bytes([s0, s1]);
    let stored = u32::from_le_bytes([v0, v1, v2, v3]);
    Entry::at(bytes, usize::from(suffix), stored as usize)
}

fn class(arena: &Arena, slot: Slot) -> Class {
    Class(arena.from(slot, 0).first().copied().expect("a slot is not empty"))
}

/// Writes a record, in the old slot if that suits. The stored bytes come in two parts.
fn write(arena: &mut Arena, old: Option<Slot>, suffix: &[u8], stored: [&[u8]; 2]) -> Slot {
    let stored_bytes = stored.iter().map(|part| part.len()).sum::<usize>();
    let bytes = HEAD + suffix.len() + stored_bytes;
    let old = old.map(|slot| (slot, class(arena, slot)));
    let (slot, class) = match old {
        Some((slot, class)) if class.suits(bytes) => (slot, class),
        _ => arena.alloc(bytes),
    };
    let mut head = [0; HEAD];
    head[0] = class.0;
    head[2..4].copy_from_slice(&length16(suffix).to_le_bytes());
    head[4..].copy_from_slice(&length32(stored_bytes).to_le_bytes());
    let [first, second] = stored;
    arena.write(slot, 0, &[&head, suffix, first, second]);
    if let Some((old, class)) = old.filter(|(old, _)| *old != slot) {
        arena.free(old, class);
    }
    slot
}

/// A length that a log record has in 16 bits.
pub(super) fn length16(bytes: &[u8]) -> u16 {
    u16::try_from(bytes.len()).expect("a log record's keys have 16-bit lengths")
}

/// A length that a log record has in 32 bits.
pub(super) fn length32(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a log record's values have 32-bit lengths")
}

/// Records of one object that has several, sorted by suffix, in parts.
#[derive(Debug, Default)]
pub(super) struct FieldList {
    parts: Vec<Vec<Slot>>,
}

impl FieldList {
    /// Memory that it takes besides the records, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let parts = self.parts.iter().map(|part| part.capacity() * size_of::<Slot>());
        self.parts.capacity() * size_of::<Vec<Slot>>() + parts.sum::<usize>()
    }

    /// Where the record with this suffix is, or belongs.
    fn find(&self, arena: &Arena, suffix: &[u8]) -> Result<(usize, usize), (usize, usize)> {
        let is_behind = |part: &Vec<Slot>| {
            part.first()
                .is_some_and(|&first| read(arena, first).suffix.cmp(suffix) == Ordering::Greater)
        };
        let part = self.parts.partition_point(|part| !is_behind(part)).saturating_sub(1);
        let slots = self.parts.get(part).map_or(&[][..], Vec::as_slice);
        match slots.binary_search_by(|&slot| read(arena, slot).suffix.cmp(suffix)) {
            Ok(at) => Ok((part, at)),
            Err(at) => Err((part, at)),
        }
    }

    /// The record with this suffix.
    pub(super) fn get<'m>(&self, arena: &'m Arena, suffix: &[u8]) -> Option<Entry<'m>> {
        let (part, at) = self.find(arena, suffix).ok()?;
        Some(read(arena, self.parts[part][at]))
    }

    /// Puts a record in, or in the place of another. Returns by how many bytes [`Self::memory_bytes`]
    /// grew.
    pub(super) fn put(&mut self, arena: &mut Arena, suffix: &[u8], stored: [&[u8]; 2]) -> usize {
        match self.find(arena, suffix) {
            Ok((part, at)) => {
                let slot = &mut self.parts[part][at];
                *slot = write(arena, Some(*slot), suffix, stored);
                0
            }
            Err((part, at)) => {
                let slot = write(arena, None, suffix, stored);
                self.insert(part, at, slot)
            }
        }
    }

    fn insert(&mut self, part: usize, at: usize, slot: Slot) -> usize {
        let outer = self.parts.capacity();
        let last = part + 1 == self.parts.len();
        let Some(slots) = self.parts.get_mut(part) else {
            self.parts.push(vec![slot]);
            return self.memory_bytes();
        };
        let mut before = slots.capacity();
        let mut after = 0;
        if slots.len() < PART_MAX {
            slots.insert(at, slot);
        } else if last && at == slots.len() {
            // Records that come in order leave full parts behind.
            self.parts.push(vec![slot]);
            (before, after) = (0, self.parts[part + 1].capacity());
        } else {
            let mut upper = slots.split_off(PART_MAX / 2);
            match at.checked_sub(PART_MAX / 2) {
                Some(at) => upper.insert(at, slot),
                None => slots.insert(at, slot),
            }
            after = upper.capacity();
            self.parts.insert(part + 1, upper);
        }
        if before != 0 {
            after += self.parts[part].capacity();
        }
        (after - before) * size_of::<Slot>()
            + (self.parts.capacity() - outer) * size_of::<Vec<Slot>>()
    }
}

/// The records of one object. Most objects have one, which lies with the prefix.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) enum Fields<'m> {
    /// None: the object is here for its garbage mark only.
    Empty,
    /// One.
    One(Entry<'m>),
    /// Several.
    Many(ManyFields<'m>),
}

/// The records of an object that has several.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct ManyFields<'m> {
    pub(super) arena: &'m Arena,
    pub(super) list: &'m FieldList,
}

impl<'m> Fields<'m> {
    /// The record with this suffix.
    pub(in crate::engine) fn get(self, suffix: &[u8]) -> Option<Entry<'m>> {
        match self {
            Self::Empty => None,
            Self::One(entry) => (entry.suffix == suffix).then_some(entry),
            Self::Many(many) => many.list.get(many.arena, suffix),
        }
    }

    /// The records from a suffix on, in order.
    pub(in crate::engine) fn from(self, suffix: &[u8]) -> FieldIter<'m> {
        match self {
            Self::Empty => FieldIter::One(None),
            Self::One(entry) => FieldIter::One((entry.suffix >= suffix).then_some(entry)),
            Self::Many(many) => {
                let (part, at) = match suffix {
                    [] => (0, 0),
                    _ => many.list.find(many.arena, suffix).unwrap_or_else(|place| place),
                };
                let parts = many.list.parts.get(part..).unwrap_or_default();
                FieldIter::Many(ManyIter { arena: many.arena, parts, at })
            }
        }
    }
}

/// Iterates over [`Fields`] in order.
#[derive(Clone, Debug)]
pub(in crate::engine) enum FieldIter<'m> {
    /// At most one record.
    One(Option<Entry<'m>>),
    /// Several.
    Many(ManyIter<'m>),
}

/// What is left of a list.
#[derive(Clone, Debug)]
pub(in crate::engine) struct ManyIter<'m> {
    arena: &'m Arena,
    parts: &'m [Vec<Slot>],
    /// The next record of the first part.
    at: usize,
}

impl<'m> Iterator for FieldIter<'m> {
    type Item = Entry<'m>;

    fn next(&mut self) -> Option<Entry<'m>> {
        match self {
            Self::One(entry) => entry.take(),
            Self::Many(left) => loop {
                let (first, rest) = left.parts.split_first()?;
                if let Some(&slot) = first.get(left.at) {
                    left.at += 1;
                    return Some(read(left.arena, slot));
                }
                (left.parts, left.at) = (rest, 0);
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_list_is_sorted_and_counts_its_memory_however_it_grows() {
        for step in [1_u32, 7_919] {
            let (mut arena, mut list, mut bytes) = (Arena::default(), FieldList::default(), 0);
            let mut expected = BTreeMap::new();
            for n in 0..5_000_u32 {
                let suffix = (n.wrapping_mul(step) % 4_001).to_be_bytes();
                let value = vec![b'v'; n as usize % 90];
                bytes += list.put(&mut arena, &suffix, [b"head", &value]);
                expected.insert(suffix, [b"head", &value[..]].concat());
            }
            assert_eq!(bytes, list.memory_bytes());
            let fields = Fields::Many(ManyFields { arena: &arena, list: &list });
            for from in [&[][..], &[0, 0, 3], &[0, 0, 15, 160], &[9]] {
                let found: Vec<_> = fields.from(from).map(|e| (e.suffix, e.stored)).collect();
                let range = expected.iter().filter(|(suffix, _)| suffix[..] >= *from);
                let range: Vec<_> =
                    range.map(|(suffix, value)| (&suffix[..], &value[..])).collect();
                assert_eq!(found, range);
            }
            let seventeen = 17_u32.to_be_bytes();
            assert_eq!(
                fields.get(&seventeen).map(Entry::stored_bytes),
                Some(&expected[&seventeen][..])
            );
            assert!(fields.get(b"none").is_none());
        }
    }
}
