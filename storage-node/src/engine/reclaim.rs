//! Expired records become tombstones of their own version: locally, not in the log.
//! Replaying the log may bring an expired record back; it is hidden by its time and reclaimed again.
//!
//! Whether something has expired is the decision of its lane's leader: until the leader's clock has
//! passed the expiry, it may still give the object a later one. So each lane has its own *safe time*,
//! up to which everything that its leader decided is applied here.
//!
//! Both memtables and the file have an index ordered by expiry, of all lanes. A slice takes the next
//! due keys of each behind a cursor; the cursor of the file starts over after each flush, which has
//! removed what was handled. What is passed over because its lane's time is behind is noted, and the
//! cursor goes back to it when that time has come. A cursor that has met everything due remembers when
//! the next key will be, so that an index is not looked at in vain. Objects whose records cannot simply
//! go (see [`crate::engine::garbage`]) are handed to the garbage pass.
//!
//! The slices of the expiry indexes and of the garbage pass take turns in being first: neither
//! starves when there is always more of the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use common::ids::ServerIndex;
use common::key::{HEADER_SUFFIX, NAMED_SUFFIX_START, UNNAMED_SUFFIX};
use common::stored::{Body, Stored};

use crate::engine::EngineError;
use crate::engine::file::FileReader;
use crate::engine::garbage::Pass;
use crate::engine::layers::Place;
use crate::engine::layout::{split_expiry_key, split_key};
use crate::engine::memtable::{Memtable, Origin};
use crate::engine::slice::Slice;
use crate::engine::store::{Store, lane_of};

/// So many keys of an expiry index are fetched at a time: what a slice that ends fetched in vain.
const BATCH: usize = 32;
/// So many tombstones of an object are stepped over before it is left to the garbage pass, whose look at
/// it is sliced.
const TOMBSTONES_MAX: usize = 32;
/// So many objects wait for the garbage pass in memory. The flush lists others in the file, and the pass
/// meets them there.
pub(super) const FRESH_MAX: usize = 4_096;
/// Later than any expiry.
const NEVER: u64 = u64::MAX;

/// Up to when each lane's expired records may be reclaimed, in milliseconds since 1970.
#[derive(Debug)]
pub(super) struct SafeTimes {
    /// By server index.
    lanes: Vec<u64>,
}

impl SafeTimes {
    fn of_lane(&self, server: ServerIndex) -> u64 {
        self.lanes.get(usize::from(server.0)).copied().unwrap_or(0)
    }

    /// That of the object with this prefix.
    pub(super) fn of(&self, prefix: &[u8]) -> Result<u64, EngineError> {
        let servers = u8::try_from(self.lanes.len()).expect("made of a range of u8");
        Ok(self.of_lane(lane_of(prefix, servers)?))
    }

    fn max(&self) -> u64 {
        self.lanes.iter().copied().max().unwrap_or(0)
    }
}

/// How far one expiry index was walked.
#[derive(Debug, Default)]
struct Cursor {
    /// The last key that was looked at.
    after: Vec<u8>,
    /// By lane, the earliest expiry that was passed over because the lane's time was behind it.
    held: BTreeMap<ServerIndex, u64>,
    /// Nothing behind the cursor is due before this.
    next_due: u64,
}

impl Cursor {
    /// The earliest expiry that may not have been handled yet.
    fn next(&self) -> u64 {
        self.held.values().copied().min().unwrap_or(NEVER).min(self.next_due)
    }

    /// A key was looked at.
    fn pass(&mut self, key: &[u8]) {
        self.after.clear();
        self.after.extend_from_slice(key);
    }

    /// Where to go on so as to meet everything of a lane that is not handled.
    fn after_for(&self, server: ServerIndex) -> Vec<u8> {
        match self.held.get(&server) {
            // All keys of that time are longer, so they stand behind it.
            Some(expire_at) => expire_at.to_be_bytes().to_vec(),
            None => self.after.clone(),
        }
    }

    fn hold(&mut self, server: ServerIndex, expire_at: u64) {
        let held = self.held.entry(server).or_insert(expire_at);
        *held = expire_at.min(*held);
    }

    /// Goes back to what was passed over and may be reclaimed now.
    fn release(&mut self, safe: &SafeTimes) {
        let due = |(server, expire_at): (&ServerIndex, &u64)| {
            (*expire_at <= safe.of_lane(*server)).then_some(*expire_at)
        };
        if let Some(first) = self.held.iter().filter_map(due).min() {
            self.held.retain(|server, expire_at| *expire_at > safe.of_lane(*server));
            self.after = first.to_be_bytes().to_vec();
            self.next_due = self.next_due.min(first);
        }
    }

    /// Goes back far enough to meet a key with this expiry.
    fn back_to(&mut self, expire_at: u64) {
        self.next_due = self.next_due.min(expire_at);
        let before = expire_at.to_be_bytes();
        if *self.after > before[..] {
            self.after = before.to_vec();
        }
    }
}

/// How far the reclaim has come.
#[derive(Debug, Default)]
pub(super) struct ReclaimState {
    active: Cursor,
    frozen: Cursor,
    file: Cursor,
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
    /// The garbage pass has the next slice first.
    garbage_first: bool,
}

impl ReclaimState {
    /// A record with this expiry (0 is none) was put into the active memtable.
    pub(super) fn on_expiry(&mut self, expire_at: u64) {
        if expire_at != 0 {
            self.active.back_to(expire_at);
        }
    }

    /// An object may have got hidden fields.
    pub(super) fn on_garbage(&mut self, prefix: &[u8]) {
        if self.fresh.len() < FRESH_MAX {
            self.fresh.push_back(prefix.into());
        }
    }

    /// The active memtable was frozen.
    pub(super) fn on_freeze(&mut self) {
        self.frozen = std::mem::take(&mut self.active);
    }

    /// The frozen memtable is in the file.
    pub(super) fn on_flushed(&mut self) {
        self.frozen = Cursor::default();
        self.file = Cursor::default();
        self.walk_after.clear();
        self.walked = false;
    }

    /// Whether there are objects to look at, or may be.
    pub(super) fn has_garbage(&self) -> bool {
        !self.walked || self.pass.is_some() || !self.fresh.is_empty()
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
    /// Whether there may be something for [`Self::reclaim`] at a time in milliseconds since 1970. Cheap:
    /// nothing is read.
    #[must_use]
    pub fn has_reclaim(&self, now_ms: u64) -> bool {
        let state = &self.reclaim;
        state.has_garbage() || INDEXES.iter().any(|index| state.cursor(*index).next() <= now_ms)
    }

    /// Reclaims a slice of what has expired or is hidden. `safe_ms` says for each lane, by
    /// server index, up to when everything its leader decided is applied here, in milliseconds since
    /// 1970 and not ahead of this server's clock: what expires later stays. On the leader itself that
    /// is now; 0 reclaims nothing by time. A step is a record or an object that is looked at. If the slice
    /// is not over then, nothing is left to do before the next flush or before a safe time has risen.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn reclaim(
        &mut self,
        safe_ms: impl Fn(ServerIndex) -> u64,
        slice: &mut Slice<'_>,
    ) -> Result<(), EngineError> {
        let lanes = (0..self.options.servers).map(|server| safe_ms(ServerIndex(server)));
        let safe = SafeTimes { lanes: lanes.collect() };
        let garbage_first = self.reclaim.garbage_first;
        self.reclaim.garbage_first = !garbage_first;
        if garbage_first {
            self.reclaim_garbage(&safe, slice)?;
        }
        self.reclaim_due(&safe, slice)?;
        // Again also when it was first: expired objects may have been left to it.
        self.reclaim_garbage(&safe, slice)?;
        while !slice.is_over() && INDEXES.iter().any(|index| self.is_due(*index, &safe)) {
            self.reclaim_due(&safe, slice)?;
            self.reclaim_garbage(&safe, slice)?;
        }
        Ok(())
    }

    /// Whether an index has keys to handle.
    fn is_due(&self, index: Index, safe: &SafeTimes) -> bool {
        self.reclaim.cursor(index).next_due <= safe.max()
    }

    /// Handles what is due, as long as not too many objects wait for the garbage pass.
    fn reclaim_due(&mut self, safe: &SafeTimes, slice: &mut Slice<'_>) -> Result<(), EngineError> {
        for index in INDEXES {
            self.reclaim.cursor_mut(index).release(safe);
            while !slice.is_over()
                && self.reclaim.fresh.len() < FRESH_MAX
                && self.is_due(index, safe)
            {
                self.reclaim_batch(index, safe, slice)?;
            }
        }
        Ok(())
    }

    /// Handles the next keys of an index, or finds out when there will be one.
    fn reclaim_batch(
        &mut self,
        index: Index,
        safe: &SafeTimes,
        slice: &mut Slice<'_>,
    ) -> Result<(), EngineError> {
        let reader = self.reader()?;
        let after = &self.reclaim.cursor(index).after;
        let keys = self.due_keys_of(index, after, &reader, safe.max(), BATCH)?;
        for key in &keys {
            if !slice.step() {
                return Ok(());
            }
            self.reclaim_key(index, &reader, key, safe)?;
            // What was put meanwhile are tombstones; without an expiry they moved no cursor.
            self.reclaim.cursor_mut(index).pass(key);
        }
        if keys.len() < BATCH {
            let after = &self.reclaim.cursor(index).after;
            let next = self.due_keys_of(index, after, &reader, NEVER - 1, 1)?;
            let next = next.first().map(|key| split_expiry_key(key)).transpose()?;
            self.reclaim.cursor_mut(index).next_due =
                next.map_or(NEVER, |(expire_at, _)| expire_at);
        }
        Ok(())
    }

    /// Up to `max` keys of each index that are due at `now_ms`, among them all of a lane that were
    /// not handled yet.
    pub(super) fn due_keys(
        &self,
        server: ServerIndex,
        file: &FileReader,
        now_ms: u64,
        max: usize,
    ) -> Result<Vec<Box<[u8]>>, EngineError> {
        let mut keys = Vec::new();
        for index in INDEXES {
            let after = self.reclaim.cursor(index).after_for(server);
            keys.extend(self.due_keys_of(index, &after, file, now_ms, max)?);
        }
        Ok(keys)
    }

    fn due_keys_of(
        &self,
        index: Index,
        after: &[u8],
        file: &FileReader,
        now_ms: u64,
        max: usize,
    ) -> Result<Vec<Box<[u8]>>, EngineError> {
        Ok(match index {
            Index::Active => due_in(&self.active.table, after, now_ms, max),
            Index::Frozen => match self.frozen_table() {
                Some(table) => due_in(table, after, now_ms, max),
                None => Vec::new(),
            },
            Index::File => file.expiry_after(after, now_ms, max)?,
        })
    }

    /// Reclaims the record that a due key of an expiry index names, if it is still that record and its
    /// lane's time has come.
    fn reclaim_key(
        &mut self,
        index: Index,
        reader: &FileReader,
        key: &[u8],
        safe: &SafeTimes,
    ) -> Result<(), EngineError> {
        let (expire_at, key) = split_expiry_key(key)?;
        let (prefix, suffix) = split_key(key)?;
        let server = lane_of(prefix, self.options.servers)?;
        if expire_at > safe.of_lane(server) {
            self.reclaim.cursor_mut(index).hold(server, expire_at);
            return Ok(());
        }
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
        let layers = self.layers(reader);
        if layers.has_only_unnamed(prefix) {
            return Ok(false);
        }
        let (mut found, mut tombstones) = (false, 0);
        layers.fields(prefix, NAMED_SUFFIX_START, |_, stored, place| {
            tombstones += 1;
            // A tombstone in memory may stand over a field in the file.
            let is_gone = place == Place::File && stored.body == Body::Tombstone;
            if is_gone && tombstones <= TOMBSTONES_MAX {
                return ControlFlow::Continue(());
            }
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }
}

const INDEXES: [Index; 3] = [Index::Active, Index::Frozen, Index::File];

/// The indexes of what expires when.
#[derive(Clone, Copy, Debug)]
enum Index {
    Active,
    Frozen,
    File,
}

impl ReclaimState {
    fn cursor(&self, index: Index) -> &Cursor {
        match index {
            Index::Active => &self.active,
            Index::Frozen => &self.frozen,
            Index::File => &self.file,
        }
    }

    fn cursor_mut(&mut self, index: Index) -> &mut Cursor {
        match index {
            Index::Active => &mut self.active,
            Index::Frozen => &mut self.frozen,
            Index::File => &mut self.file,
        }
    }
}

fn due_in(table: &Memtable, after: &[u8], now_ms: u64, max: usize) -> Vec<Box<[u8]>> {
    table.expiry_after(after, now_ms).take(max).collect()
}
