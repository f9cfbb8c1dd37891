//! Expired records become tombstones of their own version: locally, not in the log.
//! Replaying the log may bring an expired record back; it is hidden by its time and reclaimed again.
//!
//! Both memtables and the file have an index ordered by expiry. A slice takes the next due keys of
//! each behind a cursor; the cursor of the file starts over after each flush, which has removed what
//! was handled. Objects whose records cannot simply go (see [`crate::engine::garbage`]) are handed
//! to the garbage pass.

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;

use common::key::{HEADER_SUFFIX, NAMED_SUFFIX_START, UNNAMED_SUFFIX};
use common::stored::{Body, Stored};

use crate::engine::EngineError;
use crate::engine::file::FileReader;
use crate::engine::garbage::Pass;
use crate::engine::layers::Place;
use crate::engine::layout::{split_expiry_key, split_key};
use crate::engine::memtable::{Memtable, Origin};
use crate::engine::store::Store;

/// How far the reclaim has come. Cursors are the last keys handled.
#[derive(Debug, Default)]
pub(super) struct ReclaimState {
    active_after: Vec<u8>,
    frozen_after: Vec<u8>,
    file_after: Vec<u8>,
    /// Expired objects that are still counted, because they are left to the garbage pass.
    deferred: BTreeSet<Box<[u8]>>,
    /// Objects that may have got hidden fields and were not looked at since.
    pub(super) fresh: VecDeque<Box<[u8]>>,
    /// The last object of the file's garbage index that was looked at since the last flush.
    pub(super) walk_after: Vec<u8>,
    /// Whether that index was walked to its end since the last flush.
    pub(super) walked: bool,
    /// The object that is being looked at.
    pub(super) pass: Option<Pass>,
}

impl ReclaimState {
    /// A record with this expiry (0 is none) was put into the active memtable.
    pub(super) fn on_expiry(&mut self, expire_at: u64) {
        if expire_at != 0 && *self.active_after >= expire_at.to_be_bytes()[..] {
            self.active_after.clear();
        }
    }

    /// An object may have got hidden fields.
    pub(super) fn on_garbage(&mut self, prefix: &[u8]) {
        self.fresh.push_back(prefix.into());
    }

    /// The active memtable was frozen.
    pub(super) fn on_freeze(&mut self) {
        self.frozen_after = std::mem::take(&mut self.active_after);
    }

    /// The frozen memtable is in the file.
    pub(super) fn on_flushed(&mut self) {
        self.frozen_after.clear();
        self.file_after.clear();
        self.walk_after.clear();
        self.walked = false;
    }

    /// An object has expired and is left to the garbage pass.
    fn on_deferred(&mut self, prefix: &[u8]) {
        if self.deferred.insert(prefix.into()) {
            self.fresh.push_back(prefix.into());
        }
    }

    /// Expired objects that are still counted although their keys of the expiry index are handled.
    pub(super) fn deferred(&self) -> impl Iterator<Item = &Box<[u8]>> {
        self.deferred.iter()
    }

    /// The garbage pass has left nothing of the object that is counted.
    pub(super) fn on_uncounted(&mut self, prefix: &[u8]) {
        self.deferred.remove(prefix);
    }
}

impl Store {
    /// Reclaims a bounded slice of what has expired or is hidden. Returns how many records and
    /// objects it looked at; 0 means that nothing is left to do before the next flush or `now_ms`.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn reclaim(&mut self, now_ms: u64, slice_max: usize) -> Result<usize, EngineError> {
        let handled = self.reclaim_due(now_ms, slice_max)?;
        Ok(handled + self.reclaim_garbage(now_ms, slice_max.saturating_sub(handled))?)
    }

    fn reclaim_due(&mut self, now_ms: u64, max: usize) -> Result<usize, EngineError> {
        let reader = self.reader()?;
        let mut handled = 0;
        for index in [Index::Active, Index::Frozen, Index::File] {
            let keys = self.due_keys_of(index, &reader, now_ms, max - handled)?;
            for key in &keys {
                self.reclaim_key(&reader, key)?;
            }
            handled += keys.len();
            if let Some(last) = keys.last() {
                *self.reclaim.cursor(index) = last.to_vec();
            }
        }
        Ok(handled)
    }

    /// Up to `max` due keys of each index that were not handled yet.
    pub(super) fn due_keys(
        &self,
        file: &FileReader,
        now_ms: u64,
        max: usize,
    ) -> Result<Vec<Box<[u8]>>, EngineError> {
        let mut keys = Vec::new();
        for index in [Index::Active, Index::Frozen, Index::File] {
            keys.extend(self.due_keys_of(index, file, now_ms, max)?);
        }
        Ok(keys)
    }

    fn due_keys_of(
        &self,
        index: Index,
        file: &FileReader,
        now_ms: u64,
        max: usize,
    ) -> Result<Vec<Box<[u8]>>, EngineError> {
        let state = &self.reclaim;
        Ok(match index {
            Index::Active => due_in(&self.active.table, &state.active_after, now_ms, max),
            Index::Frozen => match self.frozen_table() {
                Some(table) => due_in(table, &state.frozen_after, now_ms, max),
                None => Vec::new(),
            },
            Index::File => file.expiry_after(&state.file_after, now_ms, max)?,
        })
    }

    /// Reclaims the record that a due key of an expiry index names, if it is still that record.
    fn reclaim_key(&mut self, reader: &FileReader, key: &[u8]) -> Result<(), EngineError> {
        let (expire_at, key) = split_expiry_key(key)?;
        let (prefix, suffix) = split_key(key)?;
        let layers = self.layers(reader);
        let Some(record) = layers.record(prefix, suffix)? else {
            return Ok(());
        };
        let Stored { version, .. } = record.stored();
        if record.stored().expire_at() != expire_at {
            return Ok(());
        }
        let header = suffix == HEADER_SUFFIX;
        if header || (suffix == UNNAMED_SUFFIX && self.may_hide_named(reader, prefix)?) {
            self.open_garbage(prefix);
            self.reclaim.on_deferred(prefix);
        } else {
            let tombstone = Stored { version, body: Body::Tombstone };
            self.put(prefix, suffix, &tombstone, Origin::Reclaim);
        }
        Ok(())
    }

    /// Whether the file may hold named fields of the object, or a memtable does.
    fn may_hide_named(&self, reader: &FileReader, prefix: &[u8]) -> Result<bool, EngineError> {
        let mut found = false;
        self.layers(reader).fields(prefix, NAMED_SUFFIX_START, |_, stored, place| {
            // A tombstone in memory may stand over a field in the file.
            if place == Place::File && stored.body == Body::Tombstone {
                return ControlFlow::Continue(());
            }
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }
}

/// The indexes of what expires when.
#[derive(Clone, Copy, Debug)]
enum Index {
    Active,
    Frozen,
    File,
}

impl ReclaimState {
    fn cursor(&mut self, index: Index) -> &mut Vec<u8> {
        match index {
            Index::Active => &mut self.active_after,
            Index::Frozen => &mut self.frozen_after,
            Index::File => &mut self.file_after,
        }
    }
}

fn due_in(table: &Memtable, after: &[u8], now_ms: u64, max: usize) -> Vec<Box<[u8]>> {
    let end = now_ms.saturating_add(1).to_be_bytes();
    table.expiry_after(after).take_while(|key| **key < end[..]).take(max).map(Box::from).collect()
}
