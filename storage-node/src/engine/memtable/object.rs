//! The slot of an object: its prefix and, if it has only one, its record.
//!
//! ```text
//! class u8 | content u8 | prefix length u16 | number u32 | suffix length u16 | stored length u32
//! | prefix | suffix | stored
//! ```
//!
//! An object with several records has the number of its list in place of the stored length.

use crate::engine::memtable::arena::{Arena, Class, Slot};
use crate::engine::memtable::fields::{Entry, length16, length32};

const HEAD: usize = 14;
const EMPTY: u8 = 0;
const ONE: u8 = 1;
const MANY: u8 = 2;

/// An object as its slot has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<'m> {
    pub(super) number: u32,
    pub(super) prefix: &'m [u8],
    pub(super) content: Content<'m>,
}

/// Its records.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'m> {
    /// None.
    Empty,
    /// One.
    One(Entry<'m>),
    /// Those of the list with this number.
    Many(u32),
}

/// What is to be written into a slot.
#[derive(Clone, Copy, Debug)]
pub(super) enum New<'n> {
    /// No record.
    Empty,
    /// One; the stored bytes come in two parts.
    One { suffix: &'n [u8], stored: [&'n [u8]; 2] },
    /// Those of a list.
    Many(u32),
}

fn head(arena: &Arena, slot: Slot) -> (&[u8; HEAD], &[u8]) {
    arena.from(slot, 0).split_first_chunk::<HEAD>().expect("a slot has a head")
}

/// The prefix of the object in a slot.
pub(super) fn prefix(arena: &Arena, slot: Slot) -> &[u8] {
    let (&[_, _, p0, p1, ..], rest) = head(arena, slot);
    rest.split_at(usize::from(u16::from_le_bytes([p0, p1]))).0
}

/// Reads the slot of an object.
pub(super) fn read(arena: &Arena, slot: Slot) -> Object<'_> {
    let (&[_, kind, p0, p1, n0, n1, n2, n3, s0, s1, v0, v1, v2, v3], rest) = head(arena, slot);
    let (prefix, rest) = rest.split_at(usize::from(u16::from_le_bytes([p0, p1])));
    let last = u32::from_le_bytes([v0, v1, v2, v3]);
    let content = match kind {
        EMPTY => Content::Empty,
        ONE => {
            let suffix = usize::from(u16::from_le_bytes([s0, s1]));
            Content::One(Entry::at(rest, suffix, last as usize))
        }
        _ => Content::Many(last),
    };
    Object { number: u32::from_le_bytes([n0, n1, n2, n3]), prefix, content }
}

/// Writes an object, into its old slot if that suits.
pub(super) fn write(
    arena: &mut Arena,
    old: Option<Slot>,
    number: u32,
    prefix: &[u8],
    new: New<'_>,
) -> Slot {
    let (kind, suffix, stored): (u8, &[u8], [&[u8]; 2]) = match new {
        New::Empty => (EMPTY, &[], [&[], &[]]),
        New::One { suffix, stored } => (ONE, suffix, stored),
        New::Many(_) => (MANY, &[], [&[], &[]]),
    };
    let stored_bytes = stored.iter().map(|part| part.len()).sum::<usize>();
    let last = if let New::Many(list) = new { list } else { length32(stored_bytes) };
    let bytes = HEAD + prefix.len() + suffix.len() + stored_bytes;
    let old = old.map(|slot| (slot, Class(head(arena, slot).0[0])));
    let (slot, class) = match old {
        Some((slot, class)) if class.suits(bytes) => (slot, class),
        _ => arena.alloc(bytes),
    };
    let mut head = [0; HEAD];
    head[0] = class.0;
    head[1] = kind;
    head[2..4].copy_from_slice(&length16(prefix).to_le_bytes());
    head[4..8].copy_from_slice(&number.to_le_bytes());
    head[8..10].copy_from_slice(&length16(suffix).to_le_bytes());
    head[10..].copy_from_slice(&last.to_le_bytes());
    let [first, second] = stored;
    arena.write(slot, 0, &[&head, prefix, suffix, first, second]);
    if let Some((old, class)) = old.filter(|(old, _)| *old != slot) {
        arena.free(old, class);
    }
    slot
}
