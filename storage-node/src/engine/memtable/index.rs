//! Finding an object's slot by the hash of its prefix.
//!
//! Each place has the hash beside it, so objects with another one are not touched, neither by a search
//! nor by growing. There are several tables by the hash, so that a table that grows stalls its writer
//! for a part of the objects only.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::engine::memtable::arena::Slot;

const SHARD_BITS: u32 = 5;

/// Hashes prefixes with a key of its own, since whoever names objects may choose collisions. The
/// memtables of a group share it: a prefix is hashed once for both.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct KeyHasher(DefaultHashBuilder);

impl KeyHasher {
    /// The key of an object.
    #[expect(clippy::cast_possible_truncation, reason = "a part of a hash is a hash")]
    pub(in crate::engine) fn key<'k>(&self, prefix: &'k [u8]) -> ObjectKey<'k> {
        ObjectKey { prefix, hash: self.0.hash_one(prefix) as u32 }
    }
}

/// An object's prefix with its hash.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct ObjectKey<'k> {
    pub(super) prefix: &'k [u8],
    pub(super) hash: u32,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u32,
    slot: Slot,
}

/// Where the objects are.
#[derive(Debug, Default)]
pub(super) struct Index {
    shards: Vec<HashTable<Place>>,
    bytes: usize,
}

impl Index {
    /// Memory that it takes, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// The slot with this hash that `is` the one.
    pub(super) fn find(&self, hash: u32, is: impl Fn(Slot) -> bool) -> Option<Slot> {
        let shard = self.shards.get(shard(hash))?;
        let found = shard.find(spread(hash), |place| place.hash == hash && is(place.slot));
        found.map(|place| place.slot)
    }

    /// Adds a slot that is not there.
    pub(super) fn insert(&mut self, hash: u32, slot: Slot) {
        if self.shards.is_empty() {
            self.shards.resize_with(1 << SHARD_BITS, HashTable::new);
            self.bytes += self.shards.capacity() * size_of::<HashTable<Place>>();
        }
        let shard = &mut self.shards[shard(hash)];
        let before = shard.allocation_size();
        shard.insert_unique(spread(hash), Place { hash, slot }, |place| spread(place.hash));
        self.bytes += shard.allocation_size() - before;
    }

    /// An object has moved.
    pub(super) fn moved(&mut self, hash: u32, from: Slot, to: Slot) {
        let place = self.shards[shard(hash)].find_mut(spread(hash), |place| place.slot == from);
        place.expect("it is there").slot = to;
    }
}

fn shard(hash: u32) -> usize {
    (hash >> (u32::BITS - SHARD_BITS)) as usize
}

/// What a table takes its bits from: all of the hash decides over the upper ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
