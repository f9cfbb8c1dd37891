//! The memtable: objects found by hash, sorted only when a flush or a scan asks for order.
//!
//! Objects are never taken out; a table is dropped as a whole after its flush. So an object's
//! number is stable, and the ordered index of a scan is a list of numbers. Nodes lie in blocks that
//! never move: growing does not copy them.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::atomic::{AtomicU8, Ordering};

use common::key::HEADER_SUFFIX;
use common::stored::{Body, Stored};
use common::version::Version;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::engine::counts::COUNTED_NO;
use crate::engine::entry::{Entry, Fields};
use crate::engine::layout::expiry_key;
use crate::engine::rules::{Rule, holds};
use crate::engine::sort;

const BLOCK_NODES_BITS: u32 = 10;
const BLOCK_NODES: usize = 1 << BLOCK_NODES_BITS;
/// A node, its place in the hash index (4 bytes, filled to 7/8 at most and half on average) and
/// what the allocator adds to the prefix.
const NODE_BYTES: usize = size_of::<Node>() + 8 + 16;
/// A key of the expiry index: its place in the set and what the allocator adds.
const EXPIRY_BYTES: usize = 16 + 8 + 16;

/// Who writes a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The log: only a greater version wins.
    Log,
    /// The reclaim of this server: a tombstone replaces the dead record of its own version.
    Reclaim,
}

/// What this table knows about an object's place in the garbage index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum GarbageMark {
    /// Nothing: the layer below decides.
    #[default]
    Unchanged,
    /// It may have hidden fields.
    Open,
    /// It has none.
    Done,
}

/// Whether an object was alive in the layers below this table.
pub(super) const BELOW_UNKNOWN: u8 = 0;
/// It was not.
pub(super) const BELOW_DEAD: u8 = 1;
/// It was.
pub(super) const BELOW_ALIVE: u8 = 2;

/// One object.
#[derive(Debug)]
pub(super) struct Node {
    hash: u64,
    prefix: Box<[u8]>,
    fields: Fields,
    drops: Option<Box<Fields>>,
    /// What the flush writes to the garbage index.
    pub(super) garbage: GarbageMark,
    /// One of the `BELOW_` values. The flush thread sets it before it commits the object, so that
    /// a count during a flush never takes the object's own write for an older one.
    pub(super) below: AtomicU8,
    /// How the object stands in the table's count; [`crate::engine::counts`] gives it meaning.
    pub(super) counted: AtomicU8,
}

impl Node {
    /// The part of the physical key that names the object.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Its records.
    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Records that leave the file with the flush, or headers that leave the expiry index: tombstones
    /// of their versions. Reads do not see them, because a crash before the flush forgets them.
    pub(super) fn drops(&self) -> Option<&Fields> {
        self.drops.as_deref()
    }

    /// Remembers whether the object was alive below this table.
    pub(super) fn set_below(&self, alive: bool) {
        self.below.store(if alive { BELOW_ALIVE } else { BELOW_DEAD }, Ordering::Release);
    }
}

/// Records of one logic group that are not in its file yet.
#[derive(Debug, Default)]
pub(super) struct Memtable {
    blocks: Vec<Vec<Node>>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    expiry: BTreeSet<Box<[u8]>>,
    memory_bytes: usize,
    has_headers: bool,
}

impl Memtable {
    /// How many objects it has.
    pub(super) fn objects(&self) -> u32 {
        u32::try_from(self.index.len()).expect("a table of 2^32 objects does not fit in memory")
    }

    /// Memory it takes, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Whether a header was written to it.
    pub(super) fn has_headers(&self) -> bool {
        self.has_headers
    }

    /// The object with this number.
    pub(super) fn node(&self, number: u32) -> &Node {
        let number = number as usize;
        &self.blocks[number >> BLOCK_NODES_BITS][number % BLOCK_NODES]
    }

    fn node_mut(&mut self, number: u32) -> &mut Node {
        let number = number as usize;
        &mut self.blocks[number >> BLOCK_NODES_BITS][number % BLOCK_NODES]
    }

    /// Forgets what is known of the layers below, because the file has changed.
    pub(super) fn forget_below(&self) {
        for node in self.blocks.iter().flatten() {
            node.below.store(BELOW_UNKNOWN, Ordering::Release);
            node.counted.store(COUNTED_NO, Ordering::Relaxed);
        }
    }

    /// The object with this prefix.
    pub(super) fn find(&self, prefix: &[u8]) -> Option<&Node> {
        self.find_number(self.hasher.hash_one(prefix), prefix).map(|number| self.node(number))
    }

    /// The record of a physical key.
    pub(super) fn get(&self, prefix: &[u8], suffix: &[u8]) -> Option<&Entry> {
        self.find(prefix)?.fields.get(suffix)
    }

    fn find_number(&self, hash: u64, prefix: &[u8]) -> Option<u32> {
        self.index.find(hash, |&number| &*self.node(number).prefix == prefix).copied()
    }

    fn number(&mut self, prefix: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(prefix);
        if let Some(number) = self.find_number(hash, prefix) {
            return number;
        }
        let number = self.objects();
        if (number as usize).is_multiple_of(BLOCK_NODES) {
            self.blocks.push(Vec::with_capacity(if number == 0 { 0 } else { BLOCK_NODES }));
        }
        self.blocks.last_mut().expect("pushed when the last is full").push(Node {
            hash,
            prefix: prefix.into(),
            fields: Fields::Empty,
            drops: None,
            garbage: GarbageMark::Unchanged,
            below: AtomicU8::new(BELOW_UNKNOWN),
            counted: AtomicU8::new(COUNTED_NO),
        });
        self.memory_bytes += NODE_BYTES + prefix.len();
        let blocks = &self.blocks;
        self.index.insert_unique(hash, number, |&number| {
            let number = number as usize;
            blocks[number >> BLOCK_NODES_BITS][number % BLOCK_NODES].hash
        });
        number
    }

    /// Puts a record in. Returns the object's number, or nothing when the record loses against the
    /// one that is here.
    pub(super) fn put(
        &mut self,
        prefix: &[u8],
        suffix: &[u8],
        stored: &Stored<'_>,
        origin: Origin,
    ) -> Option<u32> {
        let number = self.number(prefix);
        let node = self.node(number);
        let old_expiry = match node.fields.get(suffix).map(Entry::stored) {
            Some(old) if !wins(stored, old.version, origin) => return None,
            Some(old) => old.expire_at(),
            None => 0,
        };
        if stored.expire_at() != old_expiry {
            self.move_expiry(prefix, suffix, old_expiry, stored.expire_at());
        }
        let entry = Entry::new(suffix, stored);
        self.memory_bytes += entry.memory_bytes();
        let node = self.node_mut(number);
        if let Some(old) = node.fields.put(entry) {
            self.memory_bytes -= old.memory_bytes();
        }
        if suffix == HEADER_SUFFIX {
            self.has_headers = true;
        }
        Some(number)
    }

    fn move_expiry(&mut self, prefix: &[u8], suffix: &[u8], old: u64, new: u64) {
        let bytes = EXPIRY_BYTES + prefix.len() + suffix.len();
        if old != 0 && self.expiry.remove(expiry_key(old, prefix, suffix).as_slice()) {
            self.memory_bytes -= bytes;
        }
        if new != 0 {
            self.expiry.insert(expiry_key(new, prefix, suffix).into_boxed_slice());
            self.memory_bytes += bytes;
        }
    }

    /// Lets the flush drop a record of the file, if it still has this version.
    pub(super) fn drop_record(&mut self, prefix: &[u8], suffix: &[u8], version: Version) {
        let number = self.number(prefix);
        let entry = Entry::new(suffix, &Stored { version, body: Body::Tombstone });
        self.memory_bytes += entry.memory_bytes();
        if let Some(old) = self.node_mut(number).drops.get_or_insert_default().put(entry) {
            self.memory_bytes -= old.memory_bytes();
        }
    }

    /// Sets the object's garbage mark and returns the one it had.
    pub(super) fn mark(&mut self, prefix: &[u8], mark: GarbageMark) -> GarbageMark {
        let number = self.number(prefix);
        std::mem::replace(&mut self.node_mut(number).garbage, mark)
    }

    /// The keys of the expiry index behind `after`, in order.
    pub(super) fn expiry_after(&self, after: &[u8]) -> impl Iterator<Item = &[u8]> {
        let bounds = (Bound::Excluded(after), Bound::Unbounded);
        self.expiry.range::<[u8], _>(bounds).map(|key| &**key)
    }

    /// The numbers of all objects from `first` on, ordered by prefix.
    pub(super) fn sorted(&self, first: u32) -> Vec<u32> {
        sort::by_prefix(first..self.objects(), |number| self.node(number).prefix())
    }
}

/// Whether a record takes the place of one with version `old`.
pub(super) fn wins(stored: &Stored<'_>, old: Version, origin: Origin) -> bool {
    match origin {
        Origin::Log if !holds(Rule::EqualChangesNothing) => stored.version >= old,
        Origin::Log => stored.version > old,
        Origin::Reclaim => stored.version >= old,
    }
}

/// Whether a header hides anything by its `cleared`.
pub(super) fn clears(stored: &Stored<'_>) -> bool {
    matches!(stored.body, Body::Header { cleared, .. } if cleared != Version::default())
}

#[cfg(test)]
mod tests {
    use common::ids::{Epoch, NodeId};
    use common::version::Hlc;

    use super::*;

    fn value(hlc: u64, expire_at: u64) -> Stored<'static> {
        let version = Version { epoch: Epoch(1), hlc: Hlc(hlc), node: NodeId(1) };
        Stored { version, body: Body::Value { expire_at, value: b"value" } }
    }

    #[test]
    fn the_greater_version_wins_and_an_equal_one_changes_nothing() {
        let mut table = Memtable::default();
        assert!(table.put(b"p", b"\x01", &value(5, 0), Origin::Log).is_some());
        assert!(table.put(b"p", b"\x01", &value(5, 9), Origin::Log).is_none());
        assert!(table.put(b"p", b"\x01", &value(4, 0), Origin::Log).is_none());
        let bytes = table.memory_bytes();
        let tombstone = Stored { body: Body::Tombstone, ..value(5, 0) };
        assert!(table.put(b"p", b"\x01", &tombstone, Origin::Reclaim).is_some());
        assert_eq!(table.get(b"p", b"\x01").map(Entry::stored), Some(tombstone));
        assert_eq!(table.memory_bytes(), bytes - b"value".len());
    }

    #[test]
    fn the_expiry_index_follows_overwrites() {
        let mut table = Memtable::default();
        table.put(b"p", b"\x01", &value(1, 70), Origin::Log);
        table.put(b"q", b"\x01", &value(2, 60), Origin::Log);
        table.put(b"p", b"\x01", &value(3, 80), Origin::Log);
        table.put(b"q", b"\x01", &value(4, 0), Origin::Log);
        let keys: Vec<_> = table.expiry_after(b"").collect();
        assert_eq!(keys, [expiry_key(80, b"p", b"\x01")]);
    }

    #[test]
    fn numbers_survive_growth_and_sort_by_prefix() {
        let mut table = Memtable::default();
        for n in (0..5_000_u32).rev() {
            table.put(&n.to_be_bytes(), b"\x01", &value(1, 0), Origin::Log);
        }
        assert_eq!(table.objects(), 5_000);
        assert_eq!(table.node(0).prefix(), 4_999_u32.to_be_bytes());
        assert!(table.get(&17_u32.to_be_bytes(), b"\x01").is_some());
        let sorted = table.sorted(4_000);
        assert_eq!(sorted.len(), 1_000);
        assert!(sorted.is_sorted_by_key(|&n| table.node(n).prefix().to_vec()));
    }
}
