//! One commit of a flush: a range of a memtable's records, the counts they change and the indexes.

use std::collections::BTreeMap;

use common::key::{HEADER_SUFFIX, KIND_NAMED, UNNAMED_SUFFIX};
use common::reply::ObjectKind;
use common::stored::{Body, Stored};
use common::version::Version;
use redb::{ReadableTable, Table, WriteTransaction};

use crate::engine::counts::object_count_key;
use crate::engine::entry::{Entry, Fields};
use crate::engine::file::Totals;
use crate::engine::layers::kind_by;
use crate::engine::layout::{
    Bytes, Checkpoint, EXPIRY, GARBAGE, META, META_CHECKPOINT, META_HEADERS, RECORDS, expiry_key,
};
use crate::engine::memtable::{GarbageMark, Memtable, Node};
use crate::engine::sealed::{decode_record, seal, seal_into};
use crate::engine::store::StoreOptions;
use crate::engine::visible::{BEFORE_ALL_EXPIRY, Hiding};

/// What an entry of the expiry index costs in changed pages: neighbours in time share them.
const EXPIRY_COST: u64 = 512;
/// Pages are half full after they split.
const FILL_FACTOR: u64 = 2;

/// The next record of a memtable to write.
pub(super) struct Cursor<'m> {
    table: &'m Memtable,
    order: &'m [u32],
    /// When a commit ended inside the first object: the first suffix that was not written.
    from: Vec<u8>,
    /// And whether it is one of the object's dropped records.
    in_drops: bool,
}

impl<'m> Cursor<'m> {
    /// A cursor before the first record; `order` is the table's objects in key order.
    pub(super) fn new(table: &'m Memtable, order: &'m [u32]) -> Self {
        Self { table, order, from: Vec::new(), in_drops: false }
    }

    /// Whether everything was written.
    pub(super) fn is_at_end(&self) -> bool {
        self.order.is_empty()
    }
}

/// The tables of one write transaction.
pub(super) struct Chunk<'t> {
    records: Table<'t, Bytes, Bytes>,
    expiry: Table<'t, Bytes, ()>,
    garbage: Table<'t, Bytes, ()>,
    meta: Table<'t, Bytes, Bytes>,
    options: StoreOptions,
    live: BTreeMap<Vec<u8>, i64>,
    headers: i64,
    key: Vec<u8>,
    value: Vec<u8>,
    cost: u64,
    budget: u64,
    page_share: u64,
}

/// What the file holds of an object.
struct ObjectState {
    hiding: Hiding,
    /// The greatest version of a record that was looked at.
    newest: Version,
    alive: bool,
    has_named: bool,
    has_unnamed: bool,
}

/// What a write replaced.
#[derive(Default)]
struct Replaced {
    expire_at: u64,
    header: bool,
    /// The record, if it must stay because it is newer.
    newer: Option<Vec<u8>>,
}

impl<'t> Chunk<'t> {
    /// Opens the tables.
    pub(super) fn open(
        write: &'t WriteTransaction,
        options: &StoreOptions,
        budget: u64,
        page_share: u64,
    ) -> Result<Self, redb::Error> {
        Ok(Self {
            records: write.open_table(RECORDS)?,
            expiry: write.open_table(EXPIRY)?,
            garbage: write.open_table(GARBAGE)?,
            meta: write.open_table(META)?,
            options: *options,
            live: BTreeMap::new(),
            headers: 0,
            key: Vec::new(),
            value: Vec::new(),
            cost: 0,
            budget,
            page_share,
        })
    }

    /// Whether the changed pages are as many as one commit may have.
    pub(super) fn is_full(&self) -> bool {
        self.cost >= self.budget
    }

    /// Writes the next object, or as much of it as fits. Returns whether there was one.
    pub(super) fn write_object(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, redb::Error> {
        let Some((&number, rest)) = cursor.order.split_first() else {
            return Ok(false);
        };
        let node = cursor.table.node(number);
        let before = self.state(node.prefix())?;
        if !cursor.in_drops && cursor.from.is_empty() {
            node.set_below(before.alive);
        }
        if !cursor.in_drops {
            let write = Self::write_record;
            cursor.in_drops = self.write_records(node, node.fields(), &mut cursor.from, write)?;
        }
        let all_written = cursor.in_drops
            && match node.drops() {
                Some(drops) => {
                    self.write_records(node, drops, &mut cursor.from, Self::write_drop)?
                }
                None => true,
            };
        self.settle(node, &before)?;
        if !all_written {
            return Ok(true);
        }
        cursor.in_drops = false;
        cursor.order = rest;
        match node.garbage {
            GarbageMark::Open => drop(self.garbage.insert(node.prefix(), ())?),
            GarbageMark::Done => drop(self.garbage.remove(node.prefix())?),
            GarbageMark::Unchanged => {}
        }
        Ok(true)
    }

    /// Writes records from the suffix `from` on until the commit is full. Returns whether all are
    /// written; `from` is where to go on, or empty.
    fn write_records(
        &mut self,
        node: &Node,
        records: &Fields,
        from: &mut Vec<u8>,
        write: impl Fn(&mut Self, &[u8], &Entry) -> Result<(), redb::Error>,
    ) -> Result<bool, redb::Error> {
        for entry in records.from(&std::mem::take(from)) {
            if self.is_full() {
                entry.suffix().clone_into(from);
                return Ok(false);
            }
            write(self, node.prefix(), entry)?;
        }
        Ok(true)
    }

    /// Notes how the object's writes changed the counts, and whether they hid fields.
    fn settle(&mut self, node: &Node, before: &ObjectState) -> Result<(), redb::Error> {
        let (alive, overlaid) = match only_unnamed(node) {
            // The common case needs no second look: nothing of the object but this record.
            Some(stored) if !before.has_named && stored.version >= before.newest => {
                let mut hiding = before.hiding;
                hiding.add_unnamed(&stored);
                (hiding.unnamed_visible(&stored), false)
            }
            _ => {
                let after = self.state(node.prefix())?;
                self.list_header(node.prefix(), &after)?;
                (after.alive, after.has_unnamed && after.has_named)
            }
        };
        if alive != before.alive {
            let key = object_count_key(node.prefix(), self.options.servers);
            *self.live.entry(key).or_default() += if alive { 1 } else { -1 };
        }
        if overlaid {
            self.garbage.insert(node.prefix(), ())?;
        }
        Ok(())
    }

    fn state(&self, prefix: &[u8]) -> Result<ObjectState, redb::Error> {
        let mut state = ObjectState {
            hiding: Hiding::new(None, None, BEFORE_ALL_EXPIRY),
            newest: Version::default(),
            alive: false,
            has_named: false,
            has_unnamed: false,
        };
        for item in self.records.range::<&[u8]>(prefix..)? {
            let (key, value) = item?;
            let Some(suffix) = key.value().strip_prefix(prefix) else {
                break;
            };
            let stored = decode(key.value(), value.value())?;
            state.newest = state.newest.max(stored.version);
            state.alive |= kind_by(&mut state.hiding, suffix, &stored) != ObjectKind::Missing;
            if matches!(stored.body, Body::Value { .. }) {
                let named = suffix.first() == Some(&KIND_NAMED);
                state.has_named |= named;
                state.has_unnamed |= !named;
            }
            if state.alive && state.has_named {
                break;
            }
        }
        Ok(state)
    }

    /// Puts the header of an object with fields back into the expiry index, if reclaim was done with
    /// it: there is something to reclaim again when it has expired.
    fn list_header(&mut self, prefix: &[u8], state: &ObjectState) -> Result<(), redb::Error> {
        let expire_at = state.hiding.object_expire_at();
        if self.options.purge_tombstones || expire_at == 0 || !state.has_named {
            return Ok(());
        }
        let key = expiry_key(expire_at, prefix, HEADER_SUFFIX);
        if self.expiry.get(key.as_slice())?.is_none() {
            self.cost += EXPIRY_COST;
            self.expiry.insert(key.as_slice(), ())?;
        }
        Ok(())
    }

    /// Takes one record out of the file unless it has a newer one. Where other servers hold copies, a
    /// field leaves its tombstone, and a header stays (see [`crate::engine::garbage`]) but leaves the
    /// expiry index.
    fn write_drop(&mut self, prefix: &[u8], entry: &Entry) -> Result<(), redb::Error> {
        if self.options.purge_tombstones || entry.suffix() != HEADER_SUFFIX {
            return self.write_record(prefix, entry);
        }
        let key = [prefix, HEADER_SUFFIX].concat();
        let Some(old) = self.records.get(key.as_slice())? else {
            return Ok(());
        };
        let stored = decode(&key, old.value())?;
        if stored.version == entry.stored().version && stored.expire_at() != 0 {
            self.cost += self.page_share + EXPIRY_COST;
            let key = expiry_key(stored.expire_at(), prefix, HEADER_SUFFIX);
            self.expiry.remove(key.as_slice())?;
        }
        Ok(())
    }

    /// Writes one record unless the file has a newer one.
    fn write_record(&mut self, prefix: &[u8], entry: &Entry) -> Result<(), redb::Error> {
        let stored = entry.stored();
        self.key.clear();
        self.key.extend_from_slice(prefix);
        self.key.extend_from_slice(entry.suffix());
        let bytes = self.key.len() + entry.stored_bytes().len();
        self.cost += self.page_share + FILL_FACTOR * bytes as u64;
        let key = self.key.as_slice();
        let purge = self.options.purge_tombstones && stored.body == Body::Tombstone;
        let old = if purge {
            self.records.remove(key)?
        } else {
            seal_into(&mut self.value, key, entry.stored_bytes());
            self.records.insert(key, self.value.as_slice())?
        };
        let replaced = match &old {
            Some(old) => Replaced::of(key, old.value(), &stored)?,
            None => Replaced::default(),
        };
        drop(old);
        if let Some(newer) = replaced.newer {
            self.records.insert(key, newer.as_slice())?;
            return Ok(());
        }
        self.headers += i64::from(is_header(&stored)) - i64::from(replaced.header);
        if stored.expire_at() != replaced.expire_at {
            self.cost += EXPIRY_COST;
            if replaced.expire_at != 0 {
                let key = expiry_key(replaced.expire_at, prefix, entry.suffix());
                self.expiry.remove(key.as_slice())?;
            }
            if stored.expire_at() != 0 {
                let key = expiry_key(stored.expire_at(), prefix, entry.suffix());
                self.expiry.insert(key.as_slice(), ())?;
            }
        }
        Ok(())
    }

    /// Adds the changes of this commit to the counts, here and in `totals`.
    pub(super) fn write_totals(&mut self, totals: &mut Totals) -> Result<(), redb::Error> {
        for (key, change) in std::mem::take(&mut self.live) {
            let count = totals.live.get(&key).copied().unwrap_or(0).saturating_add_signed(change);
            if count == 0 {
                self.meta.remove(key.as_slice())?;
                totals.live.remove(&key);
            } else {
                let value = seal(&key, &count.to_le_bytes());
                self.meta.insert(key.as_slice(), value.as_slice())?;
                totals.live.insert(key, count);
            }
        }
        totals.headers = totals.headers.saturating_add_signed(self.headers);
        let headers = seal(META_HEADERS, &totals.headers.to_le_bytes());
        self.meta.insert(META_HEADERS, headers.as_slice())?;
        Ok(())
    }

    /// Takes the changes of the counts out, so that this commit does not write them.
    pub(super) fn take_changes(&mut self) -> (BTreeMap<Vec<u8>, i64>, i64) {
        (std::mem::take(&mut self.live), std::mem::take(&mut self.headers))
    }

    /// Puts changes of another commit's counts in.
    pub(super) fn put_changes(&mut self, changes: (BTreeMap<Vec<u8>, i64>, i64)) {
        (self.live, self.headers) = changes;
    }

    /// Writes how far the log is in the file.
    pub(super) fn write_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), redb::Error> {
        let checkpoint = seal(META_CHECKPOINT, &checkpoint.encode());
        self.meta.insert(META_CHECKPOINT, checkpoint.as_slice())?;
        Ok(())
    }
}

impl Replaced {
    fn of(key: &[u8], old: &[u8], new: &Stored<'_>) -> Result<Self, redb::Error> {
        let stored = decode(key, old)?;
        // Of one version, one is the tombstone that reclaim made of the other. The newer layer has
        // it right: what is read does not change when it reaches the file.
        let keeps = stored.version > new.version;
        Ok(Self {
            expire_at: stored.expire_at(),
            header: is_header(&stored),
            newer: keeps.then(|| old.to_vec()),
        })
    }
}

fn only_unnamed(node: &Node) -> Option<Stored<'_>> {
    match node.fields() {
        Fields::One(entry) if node.drops().is_none() && entry.suffix() == UNNAMED_SUFFIX => {
            Some(entry.stored())
        }
        _ => None,
    }
}

fn is_header(stored: &Stored<'_>) -> bool {
    matches!(stored.body, Body::Header { .. })
}

fn decode<'v>(key: &[u8], value: &'v [u8]) -> Result<Stored<'v>, redb::Error> {
    decode_record(key, value).map_err(redb::Error::Corrupted)
}
