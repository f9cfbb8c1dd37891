//! Putting records into a memtable, and finding them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicU8, Ordering};

use common::key::{HEADER_SUFFIX, UNNAMED_SUFFIX};
use common::stored::{Body, Stored};
use common::version::Version;

use crate::engine::counts::COUNTED_NO;
use crate::engine::layout::{expiry_key, split_expiry_key, split_key};
use crate::engine::memtable::arena::{Arena, Slot};
use crate::engine::memtable::fields::{Entry, FieldList, Fields, ManyFields};
use crate::engine::memtable::index::{Index, KeyHasher, ObjectKey};
use crate::engine::memtable::object::{self, Content, Object};
use crate::engine::rules::{Rule, holds};
use crate::engine::sort;

const BLOCK_BITS: u32 = 10;
const BLOCK: usize = 1 << BLOCK_BITS;
/// What an entry of the expiry index takes in a set whose nodes are two thirds full.
const EXPIRY_BYTES: usize = size_of::<ExpiryEntry>() * 3 / 2;

/// Time, object and suffix; that of the unnamed record is left out.
type ExpiryEntry = (u64, u32, Box<[u8]>);

/// Who writes a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Origin {
    /// The log: only a greater version wins.
    Log,
    /// The reclaim of this server: a tombstone replaces the dead record of its own version.
    Reclaim,
}

/// What this table knows about an object's place in the garbage index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) enum GarbageMark {
    /// Nothing: the layer below decides.
    #[default]
    Unchanged,
    /// It may have hidden fields.
    Open,
    /// It has none.
    Done,
}

/// Whether an object was alive in the layers below this table.
pub(in crate::engine) const BELOW_UNKNOWN: u8 = 0;
/// It was not.
pub(in crate::engine) const BELOW_DEAD: u8 = 1;
/// It was.
pub(in crate::engine) const BELOW_ALIVE: u8 = 2;

/// What there is of an object besides its slot.
#[derive(Debug)]
pub(in crate::engine) struct Marks {
    slot: Slot,
    has_drops: bool,
    /// What the flush writes to the garbage index.
    pub(in crate::engine) garbage: GarbageMark,
    /// One of the `BELOW_` values. The flush thread sets it before it commits the object, so that
    /// a count during a flush never takes the object's own write for an older one.
    pub(in crate::engine) below: AtomicU8,
    /// How the object stands in the table's count; [`crate::engine::counts`] gives it meaning.
    pub(in crate::engine) counted: AtomicU8,
}

/// One object.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Node<'m> {
    table: &'m Memtable,
    object: Object<'m>,
}

impl<'m> Node<'m> {
    /// The part of the physical key that names the object.
    pub(in crate::engine) fn prefix(self) -> &'m [u8] {
        self.object.prefix
    }

    /// Its records.
    pub(in crate::engine) fn fields(self) -> Fields<'m> {
        match self.object.content {
            Content::Empty => Fields::Empty,
            Content::One(entry) => Fields::One(entry),
            Content::Many(list) => Fields::Many(ManyFields {
                arena: &self.table.arena,
                list: &self.table.lists[list as usize],
            }),
        }
    }

    /// Records that leave the file with the flush, or headers that leave the expiry index: tombstones
    /// of their versions. Reads do not see them, because a crash before the flush forgets them.
    pub(in crate::engine) fn drops(self) -> Option<Fields<'m>> {
        if !self.marks().has_drops {
            return None;
        }
        let list = self.table.drops.get(&self.object.number)?;
        Some(Fields::Many(ManyFields { arena: &self.table.arena, list }))
    }

    /// The object's record, if it is all that the table has to say about it.
    pub(in crate::engine) fn only_unnamed(self) -> Option<Entry<'m>> {
        match self.object.content {
            Content::One(entry) if entry.suffix() == UNNAMED_SUFFIX => {
                (!self.marks().has_drops).then_some(entry)
            }
            _ => None,
        }
    }

    /// What there is of it besides records.
    pub(in crate::engine) fn marks(self) -> &'m Marks {
        self.table.marks(self.object.number)
    }

    /// Remembers whether the object was alive below this table.
    pub(in crate::engine) fn set_below(self, alive: bool) {
        let below = if alive { BELOW_ALIVE } else { BELOW_DEAD };
        self.marks().below.store(below, Ordering::Release);
    }
}

/// Records of one logic group that are not in its file yet.
#[derive(Debug, Default)]
pub(in crate::engine) struct Memtable {
    hasher: KeyHasher,
    index: Index,
    arena: Arena,
    marks: Vec<Vec<Marks>>,
    objects: u32,
    lists: Vec<FieldList>,
    drops: BTreeMap<u32, FieldList>,
    expiry: BTreeSet<ExpiryEntry>,
    /// Memory of what does not know its own.
    other_bytes: usize,
    has_headers: bool,
    /// Whether an object was ever marked as done.
    has_done: bool,
    scratch: Vec<u8>,
}

impl Memtable {
    /// An empty table whose keys this hasher makes.
    pub(in crate::engine) fn new(hasher: KeyHasher) -> Self {
        Self { hasher, ..Self::default() }
    }

    /// How many objects it has.
    pub(in crate::engine) fn objects(&self) -> u32 {
        self.objects
    }

    /// Memory it takes, in bytes.
    pub(in crate::engine) fn memory_bytes(&self) -> usize {
        self.arena.memory_bytes() + self.index.memory_bytes() + self.other_bytes
    }

    /// Whether a header was written to it.
    pub(in crate::engine) fn has_headers(&self) -> bool {
        self.has_headers
    }

    /// The object with this number.
    pub(in crate::engine) fn node(&self, number: u32) -> Node<'_> {
        Node { table: self, object: object::read(&self.arena, self.marks(number).slot) }
    }

    fn marks(&self, number: u32) -> &Marks {
        let number = number as usize;
        &self.marks[number >> BLOCK_BITS][number % BLOCK]
    }

    fn marks_mut(&mut self, number: u32) -> &mut Marks {
        let number = number as usize;
        &mut self.marks[number >> BLOCK_BITS][number % BLOCK]
    }

    /// The key of an object, for this table and those with the same hasher.
    pub(in crate::engine) fn key<'k>(&self, prefix: &'k [u8]) -> ObjectKey<'k> {
        self.hasher.key(prefix)
    }

    /// The object with this prefix.
    pub(in crate::engine) fn find(&self, prefix: &[u8]) -> Option<Node<'_>> {
        if self.objects == 0 {
            return None;
        }
        self.find_key(self.hasher.key(prefix))
    }

    /// The object with this key, which the table's hasher made.
    pub(in crate::engine) fn find_key(&self, key: ObjectKey<'_>) -> Option<Node<'_>> {
        let object = object::read(&self.arena, self.find_slot(key)?);
        Some(Node { table: self, object })
    }

    /// The record of a physical key.
    #[cfg(test)]
    pub(in crate::engine) fn get(&self, prefix: &[u8], suffix: &[u8]) -> Option<Entry<'_>> {
        self.find(prefix)?.fields().get(suffix)
    }

    fn find_slot(&self, key: ObjectKey<'_>) -> Option<Slot> {
        let is_it = |slot| object::prefix(&self.arena, slot) == key.prefix;
        self.index.find(key.hash, is_it)
    }

    /// Adds an object.
    fn add(&mut self, key: ObjectKey<'_>, content: object::New<'_>) -> u32 {
        let number = self.objects;
        self.objects = number.checked_add(1).expect("2^32 objects do not fit in memory");
        let slot = object::write(&mut self.arena, None, number, key.prefix, content);
        if (number as usize).is_multiple_of(BLOCK) {
            self.marks.push(Vec::with_capacity(if number == 0 { 0 } else { BLOCK }));
        }
        self.marks.last_mut().expect("pushed when the last is full").push(Marks {
            slot,
            has_drops: false,
            garbage: GarbageMark::Unchanged,
            below: AtomicU8::new(BELOW_UNKNOWN),
            counted: AtomicU8::new(COUNTED_NO),
        });
        self.other_bytes += size_of::<Marks>();
        self.index.insert(key.hash, slot);
        number
    }

    /// The number of the object with this prefix, which is added if it is not there.
    fn number(&mut self, prefix: &[u8]) -> u32 {
        let key = self.hasher.key(prefix);
        match self.find_key(key) {
            Some(node) => node.object.number,
            None => self.add(key, object::New::Empty),
        }
    }

    /// [`Self::put_key`] without a key.
    #[cfg(test)]
    pub(in crate::engine) fn put(
        &mut self,
        prefix: &[u8],
        suffix: &[u8],
        stored: &Stored<'_>,
        origin: Origin,
    ) -> Option<u32> {
        self.put_key(self.hasher.key(prefix), suffix, stored, origin)
    }

    /// Puts a record in; the table's hasher made the key. Returns the object's number, or nothing when
    /// the record loses against the one that is here.
    pub(in crate::engine) fn put_key(
        &mut self,
        key: ObjectKey<'_>,
        suffix: &[u8],
        stored: &Stored<'_>,
        origin: Origin,
    ) -> Option<u32> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let parts = encode(&mut scratch, stored);
        let put = match self.find_slot(key) {
            Some(slot) => self.put_in(key, slot, suffix, stored, parts, origin),
            None => Some((self.add(key, object::New::One { suffix, stored: parts }), 0)),
        };
        self.scratch = scratch;
        let (number, old_expiry) = put?;
        if stored.expire_at() != old_expiry {
            self.move_expiry(number, suffix, old_expiry, stored.expire_at());
        }
        if suffix == HEADER_SUFFIX {
            self.has_headers = true;
        }
        if self.has_done && origin == Origin::Log {
            // It may hide what the pass that found the object clean took for live.
            let garbage = &mut self.marks_mut(number).garbage;
            if *garbage == GarbageMark::Done {
                *garbage = GarbageMark::Unchanged;
            }
        }
        Some(number)
    }

    /// Puts a record into an object that is here. Returns its number and the expiry of the record that
    /// was replaced.
    fn put_in(
        &mut self,
        key: ObjectKey<'_>,
        slot: Slot,
        suffix: &[u8],
        stored: &Stored<'_>,
        parts: [&[u8]; 2],
        origin: Origin,
    ) -> Option<(u32, u64)> {
        let object = object::read(&self.arena, slot);
        let number = object.number;
        let node = Node { table: self, object };
        let old_expiry = match node.fields().get(suffix).map(Entry::stored) {
            Some(old) if !wins(stored, old.version, origin) => return None,
            Some(old) => old.expire_at(),
            None => 0,
        };
        let content = match object.content {
            Content::Many(list) => {
                let list = &mut self.lists[list as usize];
                self.other_bytes += list.put(&mut self.arena, suffix, parts);
                return Some((number, old_expiry));
            }
            Content::One(entry) if entry.suffix() != suffix => {
                let mut list = FieldList::default();
                let (first, value) = (entry.suffix().to_vec(), entry.stored_bytes().to_vec());
                list.put(&mut self.arena, &first, [&value, &[]]);
                list.put(&mut self.arena, suffix, parts);
                let place = u32::try_from(self.lists.len()).expect("fewer lists than objects");
                self.other_bytes += size_of::<FieldList>() + list.memory_bytes();
                self.lists.push(list);
                object::New::Many(place)
            }
            Content::Empty | Content::One(_) => object::New::One { suffix, stored: parts },
        };
        let moved = object::write(&mut self.arena, Some(slot), number, key.prefix, content);
        if moved != slot {
            self.index.moved(key.hash, slot, moved);
            self.marks_mut(number).slot = moved;
        }
        Some((number, old_expiry))
    }

    fn move_expiry(&mut self, number: u32, suffix: &[u8], old: u64, new: u64) {
        let suffix: Box<[u8]> =
            if suffix == UNNAMED_SUFFIX { Box::default() } else { suffix.into() };
        let bytes = EXPIRY_BYTES + suffix.len();
        let mut entry = (old, number, suffix);
        if old != 0 && self.expiry.remove(&entry) {
            self.other_bytes -= bytes;
        }
        if new != 0 {
            entry.0 = new;
            self.expiry.insert(entry);
            self.other_bytes += bytes;
        }
    }

    /// Lets the flush drop a record of the file, if it still has this version.
    pub(in crate::engine) fn drop_record(
        &mut self,
        prefix: &[u8],
        suffix: &[u8],
        version: Version,
    ) {
        let number = self.number(prefix);
        self.marks_mut(number).has_drops = true;
        let mut scratch = std::mem::take(&mut self.scratch);
        let parts = encode(&mut scratch, &Stored { version, body: Body::Tombstone });
        let list = self.drops.entry(number).or_insert_with(|| {
            self.other_bytes += size_of::<(u32, FieldList)>() * 3 / 2;
            FieldList::default()
        });
        self.other_bytes += list.put(&mut self.arena, suffix, parts);
        self.scratch = scratch;
    }

    /// Sets the object's garbage mark and returns the one it had.
    pub(in crate::engine) fn mark(&mut self, prefix: &[u8], mark: GarbageMark) -> GarbageMark {
        let number = self.number(prefix);
        self.has_done |= mark == GarbageMark::Done;
        std::mem::replace(&mut self.marks_mut(number).garbage, mark)
    }

    /// The keys of the expiry index behind `after` that are due: one that was given before, a time, or
    /// nothing. They are ordered by time only.
    pub(in crate::engine) fn expiry_after(
        &self,
        after: &[u8],
        now_ms: u64,
    ) -> impl Iterator<Item = Box<[u8]>> {
        let behind = self.expiry.range((self.expiry_bound(after), Bound::Unbounded));
        behind.take_while(move |(expire_at, ..)| *expire_at <= now_ms).map(
            |(expire_at, number, suffix)| {
                let suffix = if suffix.is_empty() { UNNAMED_SUFFIX } else { suffix };
                expiry_key(*expire_at, self.node(*number).prefix(), suffix).into()
            },
        )
    }

    fn expiry_bound(&self, after: &[u8]) -> Bound<ExpiryEntry> {
        let Ok((expire_at, key)) = split_expiry_key(after) else {
            return Bound::Unbounded;
        };
        let place = split_key(key).ok().and_then(|(prefix, suffix)| {
            let suffix = if suffix == UNNAMED_SUFFIX { &[] } else { suffix };
            Some((expire_at, self.find(prefix)?.object.number, suffix.into()))
        });
        place.map_or(Bound::Included((expire_at, 0, Box::default())), Bound::Excluded)
    }

    /// Forgets what is known of the layers below, because the file has changed.
    pub(in crate::engine) fn forget_below(&self) {
        for marks in self.marks.iter().flatten() {
            marks.below.store(BELOW_UNKNOWN, Ordering::Release);
            marks.counted.store(COUNTED_NO, Ordering::Relaxed);
        }
    }

    /// The numbers of all objects from `first` on, ordered by prefix.
    pub(in crate::engine) fn sorted(&self, first: u32) -> Vec<u32> {
        sort::by_prefix(first..self.objects(), |number| self.node(number).prefix())
    }
}

/// The encoding of a record in two parts, so that a value is copied once.
fn encode<'a>(scratch: &'a mut Vec<u8>, stored: &Stored<'a>) -> [&'a [u8]; 2] {
    let (body, value): (_, &[u8]) = match stored.body {
        Body::Value { expire_at, value } => (Body::Value { expire_at, value: &[] }, value),
        body => (body, &[]),
    };
    scratch.clear();
    Stored { body, ..*stored }.encode(scratch);
    [scratch, value]
}

/// Whether a record takes the place of one with version `old`.
pub(in crate::engine) fn wins(stored: &Stored<'_>, old: Version, origin: Origin) -> bool {
    match origin {
        Origin::Log if !holds(Rule::EqualChangesNothing) => stored.version >= old,
        Origin::Log => stored.version > old,
        Origin::Reclaim => stored.version >= old,
    }
}

/// Whether a header hides anything by its `cleared`.
pub(in crate::engine) fn clears(stored: &Stored<'_>) -> bool {
    matches!(stored.body, Body::Header { cleared, .. } if cleared != Version::default())
}
