//! One commit of a flush: a range of a memtable's records, the counts they change and the indexes.
//!
//! What an object is before and after decides over the counts. It is looked up as rarely as possible:
//! * behind the last key of the file nothing is, and records are appended without a search;
//! * where the file has neither headers nor named values, the record that an unnamed value replaces
//!   is all there was;
//! * otherwise [`Before`] walks the file in the order of the flush.

use std::ops::Bound;

use common::key::HEADER_SUFFIX;
use common::stored::Body;
use redb::{ReadableTable, Table, WriteTransaction};

use crate::engine::before::{Before, ObjectState, decode};
use crate::engine::changes::{Changes, EXPIRY_COST, Replaced, entry_bytes};
use crate::engine::file::Totals;
use crate::engine::layout::{
    Bytes, Checkpoint, EXPIRY, GARBAGE, META, META_CHECKPOINT, RECORDS, expiry_key,
};
use crate::engine::memtable::{Entry, Fields, GarbageMark, Memtable, Node};
use crate::engine::sealed::{seal, seal_into};
use crate::engine::store::StoreOptions;

/// Pages are half full after they split.
const FILL_FACTOR: u64 = 2;
/// What a record costs in a page besides its bytes.
const RECORD_COST: u64 = 16;

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

    /// Objects that were not written, or not completely.
    pub(super) fn left(&self) -> usize {
        self.order.len()
    }

    /// Whether everything was written.
    pub(super) fn is_at_end(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether nothing of the first object was written yet.
    fn is_fresh(&self) -> bool {
        !self.in_drops && self.from.is_empty()
    }

    /// The first object, if all of it belongs behind a key.
    fn first_behind(&self, last: Option<&[u8]>) -> Option<Node<'m>> {
        let node = self.table.node(*self.order.first()?);
        last.is_none_or(|last| node.prefix() > last).then_some(node)
    }
}

/// The tables of one write transaction.
pub(super) struct Chunk<'t> {
    records: Table<'t, Bytes, Bytes>,
    expiry: Table<'t, Bytes, ()>,
    garbage: Table<'t, Bytes, ()>,
    meta: Table<'t, Bytes, Bytes>,
    before: Before,
    /// The file's last record key, as far as objects that the flush has not come to are concerned.
    last: Option<Vec<u8>>,
    limits: Limits,
    options: StoreOptions,
    changes: Changes,
    key: Vec<u8>,
    value: Vec<u8>,
    cost: u64,
}

/// What a commit is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// So many bytes of pages may change.
    pub(super) budget: u64,
    /// What a record changes besides its own bytes.
    pub(super) page_share: u64,
    /// When the flush began, the file had neither headers nor named values.
    pub(super) only_unnamed: bool,
}

impl<'t> Chunk<'t> {
    /// Opens the tables. `before` is the file as it is when the commit begins.
    pub(super) fn open(
        write: &'t WriteTransaction,
        before: Before,
        options: &StoreOptions,
        limits: Limits,
    ) -> Result<Self, redb::Error> {
        let records = write.open_table(RECORDS)?;
        let last = records.last()?.map(|(key, _)| key.value().to_vec());
        Ok(Self {
            records,
            expiry: write.open_table(EXPIRY)?,
            garbage: write.open_table(GARBAGE)?,
            meta: write.open_table(META)?,
            before,
            last,
            limits,
            options: *options,
            changes: Changes::default(),
            key: Vec::new(),
            value: Vec::new(),
            cost: 0,
        })
    }

    /// Writes the next objects until the changed pages are as many as one commit may have.
    pub(super) fn write(&mut self, cursor: &mut Cursor<'_>) -> Result<(), redb::Error> {
        while !self.is_full() && !cursor.is_at_end() {
            if cursor.is_fresh() && cursor.first_behind(self.last.as_deref()).is_some() {
                self.append(cursor)?;
            }
            if !self.is_full() {
                self.write_object(cursor)?;
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.cost >= self.limits.budget
    }

    /// Writes objects that belong behind the last record of the file, as long as they fit wholly. They
    /// cost no search.
    fn append(&mut self, cursor: &mut Cursor<'_>) -> Result<(), redb::Error> {
        let mut end = self.records.upper_bound_mut(Bound::<&[u8]>::Unbounded)?;
        while let Some((&number, rest)) = cursor.order.split_first() {
            let node = cursor.table.node(number);
            let cost: u64 = node.fields().from(&[]).map(|entry| cost_of(node, entry)).sum();
            if node.drops().is_some() || self.cost + cost > self.limits.budget {
                break;
            }
            cursor.order = rest;
            self.cost += cost;
            node.set_below(false);
            for entry in node.fields().from(&[]) {
                let stored = entry.stored();
                if stored.body == Body::Tombstone && self.options.purge_tombstones {
                    continue;
                }
                self.key.clear();
                self.key.extend_from_slice(node.prefix());
                self.key.extend_from_slice(entry.suffix());
                seal_into(&mut self.value, &self.key, entry.stored_bytes());
                end.insert_before(self.key.as_slice(), self.value.as_slice())?;
                let nothing = Replaced::default();
                let new = (&stored, entry_bytes(&self.key, &self.value));
                self.cost += self.changes.record(node.prefix(), entry, new, &nothing);
            }
            let state = ObjectState::of(node.fields());
            self.changes.live(node.prefix(), self.options.servers, false, state.alive);
            if state.has_unnamed && state.has_named {
                self.garbage.insert(node.prefix(), ())?;
            }
            mark_garbage(&mut self.garbage, node)?;
        }
        Ok(end.close()?)
    }

    /// Writes the next object, or as much of it as fits.
    fn write_object(&mut self, cursor: &mut Cursor<'_>) -> Result<(), redb::Error> {
        let Some((&number, rest)) = cursor.order.split_first() else {
            return Ok(());
        };
        let node = cursor.table.node(number);
        match node.only_unnamed() {
            Some(entry) if self.limits.only_unnamed && cursor.is_fresh() => {
                self.write_unnamed(node, entry)?;
            }
            _ => {
                if !self.write_parts(node, cursor)? {
                    return Ok(());
                }
            }
        }
        cursor.in_drops = false;
        cursor.order = rest;
        mark_garbage(&mut self.garbage, node)
    }

    /// Writes an unnamed record where the file can have nothing of the object but an older one.
    fn write_unnamed(&mut self, node: Node<'_>, entry: Entry<'_>) -> Result<(), redb::Error> {
        let replaced = self.write_record(node.prefix(), entry)?;
        node.set_below(replaced.value);
        let stays = replaced.newer.is_some();
        let alive = if stays { replaced.value } else { entry.stored().body != Body::Tombstone };
        self.changes.live(node.prefix(), self.options.servers, replaced.value, alive);
        Ok(())
    }

    /// Writes an object of any kind. Returns whether all of it was written.
    fn write_parts(
        &mut self,
        node: Node<'_>,
        cursor: &mut Cursor<'_>,
    ) -> Result<bool, redb::Error> {
        let fresh = cursor.is_fresh();
        let before = if fresh {
            self.before.state(node.prefix())?
        } else {
            ObjectState::read(&self.records, node.prefix())?
        };
        if fresh {
            node.set_below(before.alive);
        }
        if !cursor.in_drops {
            cursor.in_drops = self.write_records(node, node.fields(), cursor, false)?;
        }
        let all_written = cursor.in_drops
            && match node.drops() {
                Some(drops) => self.write_records(node, drops, cursor, true)?,
                None => true,
            };
        let absent = fresh && all_written && before.is_absent() && node.drops().is_none();
        self.settle(node, &before, absent)?;
        Ok(all_written)
    }

    /// Writes records from where the cursor stands until the commit is full. Returns whether all are
    /// written.
    fn write_records(
        &mut self,
        node: Node<'_>,
        records: Fields<'_>,
        cursor: &mut Cursor<'_>,
        drops: bool,
    ) -> Result<bool, redb::Error> {
        for entry in records.from(&std::mem::take(&mut cursor.from)) {
            if self.is_full() {
                entry.suffix().clone_into(&mut cursor.from);
                return Ok(false);
            }
            if drops {
                self.write_drop(node.prefix(), entry)?;
            } else {
                self.write_record(node.prefix(), entry)?;
            }
        }
        Ok(true)
    }

    /// Notes how the object's writes changed the counts, and whether they hid fields. `absent`: the
    /// file had nothing of the object, and has what the memtable has.
    fn settle(
        &mut self,
        node: Node<'_>,
        before: &ObjectState,
        absent: bool,
    ) -> Result<(), redb::Error> {
        let (alive, overlaid) = match node.only_unnamed().map(Entry::stored) {
            // The common case needs no second look: nothing of the object but this record.
            Some(stored) if !before.has_named && stored.version >= before.newest => {
                let mut hiding = before.hiding;
                hiding.add_unnamed(&stored);
                (hiding.unnamed_visible(&stored), false)
            }
            _ => {
                let after = if absent {
                    ObjectState::of(node.fields())
                } else {
                    ObjectState::read(&self.records, node.prefix())?
                };
                self.list_header(node.prefix(), &after);
                (after.alive, after.has_unnamed && after.has_named)
            }
        };
        self.changes.live(node.prefix(), self.options.servers, before.alive, alive);
        if overlaid {
            self.garbage.insert(node.prefix(), ())?;
        }
        Ok(())
    }

    /// Puts the header of an object with fields back into the expiry index, if reclaim was done with
    /// it: there is something to reclaim again when it has expired.
    fn list_header(&mut self, prefix: &[u8], state: &ObjectState) {
        let expire_at = state.hiding.object_expire_at();
        if self.options.purge_tombstones || expire_at == 0 || !state.has_named {
            return;
        }
        self.cost += EXPIRY_COST;
        self.changes.expiry_entry(expiry_key(expire_at, prefix, HEADER_SUFFIX), true);
    }

    /// Takes one record out of the file unless it has a newer one. Where other servers hold copies, a
    /// field leaves its tombstone, and a header stays (see [`crate::engine::garbage`]) but leaves the
    /// expiry index.
    fn write_drop(&mut self, prefix: &[u8], entry: Entry<'_>) -> Result<(), redb::Error> {
        if self.options.purge_tombstones || entry.suffix() != HEADER_SUFFIX {
            self.write_record(prefix, entry)?;
            return Ok(());
        }
        let key = [prefix, HEADER_SUFFIX].concat();
        let Some(old) = self.records.get(key.as_slice())? else {
            return Ok(());
        };
        let stored = decode(&key, old.value())?;
        if stored.version == entry.stored().version && stored.expire_at() != 0 {
            self.cost += self.limits.page_share + EXPIRY_COST;
            let key = expiry_key(stored.expire_at(), prefix, HEADER_SUFFIX);
            self.changes.expiry_entry(key, false);
        }
        Ok(())
    }

    /// Writes one record unless the file has a newer one.
    fn write_record(&mut self, prefix: &[u8], entry: Entry<'_>) -> Result<Replaced, redb::Error> {
        let stored = entry.stored();
        self.key.clear();
        self.key.extend_from_slice(prefix);
        self.key.extend_from_slice(entry.suffix());
        let bytes = self.key.len() + entry.stored_bytes().len();
        self.cost += self.limits.page_share + FILL_FACTOR * bytes as u64;
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
        if let Some(newer) = &replaced.newer {
            self.records.insert(key, newer.as_slice())?;
        } else {
            let bytes = if purge { 0 } else { entry_bytes(key, &self.value) };
            self.cost += self.changes.record(prefix, entry, (&stored, bytes), &replaced);
        }
        Ok(replaced)
    }

    /// Writes what was noted about the records: the expiry index, and the counts, here and in `totals`.
    pub(super) fn finish(&mut self, totals: &mut Totals) -> Result<(), redb::Error> {
        std::mem::take(&mut self.changes).write(&mut self.expiry, &mut self.meta, totals)
    }

    /// Takes the changes of the counts out, so that this commit does not write them.
    pub(super) fn take_counts(&mut self) -> Changes {
        self.changes.take_counts()
    }

    /// Puts changes of another commit's counts in.
    pub(super) fn put_counts(&mut self, counts: Changes) {
        self.changes = counts;
    }

    /// Writes how far the log is in the file.
    pub(super) fn write_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), redb::Error> {
        let checkpoint = seal(META_CHECKPOINT, &checkpoint.encode());
        self.meta.insert(META_CHECKPOINT, checkpoint.as_slice())?;
        Ok(())
    }
}

/// Writes the object's mark to the garbage index.
fn mark_garbage(garbage: &mut Table<'_, Bytes, ()>, node: Node<'_>) -> Result<(), redb::Error> {
    match node.marks().garbage {
        GarbageMark::Open => drop(garbage.insert(node.prefix(), ())?),
        GarbageMark::Done => drop(garbage.remove(node.prefix())?),
        GarbageMark::Unchanged => {}
    }
    Ok(())
}

/// What a record that is appended costs in changed pages.
fn cost_of(node: Node<'_>, entry: Entry<'_>) -> u64 {
    let bytes = node.prefix().len() + entry.suffix().len() + entry.stored_bytes().len();
    bytes as u64 + RECORD_COST
}
