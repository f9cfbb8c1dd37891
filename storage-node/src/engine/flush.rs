//! Writing a frozen memtable into the group's file, on a thread that may block.
//!
//! The records go in key order, in commits whose changed pages fit in half the page cache. Counts go
//! with the records they count; the checkpoint goes with the last commit. A crash between two
//! commits leaves data ahead of the checkpoint, which the replay of the log applies again.

use std::cell::OnceCell;
use std::sync::Arc;

use redb::{Database, Durability};

use crate::engine::EngineError;
use crate::engine::backend::BackendState;
use crate::engine::before::Before;
use crate::engine::chunk::{Chunk, Cursor, Limits};
use crate::engine::file::{GroupFile, Totals, guarded};
use crate::engine::layout::Checkpoint;
use crate::engine::memtable::Memtable;
use crate::engine::open_file::OpenFile;
use crate::engine::readers::Readers;
use crate::engine::rules::{Rule, holds};
use crate::engine::store::{Layer, StoreOptions};

/// Bytes of a page of the file.
const PAGE_BYTES: u64 = 4_096;

/// A frozen memtable on its way into the file.
pub struct FlushJob {
    pub(super) file: Arc<GroupFile>,
    /// The database that all of it goes to. If it is opened again meanwhile, the flush fails.
    pub(super) opened: OnceCell<Arc<OpenFile>>,
    pub(super) readers: Arc<Readers>,
    pub(super) table: Arc<Memtable>,
    pub(super) checkpoint: Checkpoint,
    pub(super) totals: Totals,
    pub(super) options: StoreOptions,
    pub(super) file_bytes: u64,
}

/// What became of a [`FlushJob`].
pub struct FlushDone {
    pub(super) checkpoint: Checkpoint,
    pub(super) result: Result<Totals, FlushFailed>,
}

/// A flush that failed.
pub(super) struct FlushFailed {
    pub(super) error: EngineError,
    /// What the file counts now, if the flush can be tried again: no sync failed, and no write but
    /// for want of room.
    pub(super) again: Option<Totals>,
    /// The disk is full, so that it may be tried as often as one likes.
    pub(super) full: bool,
}

/// A memtable that is in the file, and what the worker had derived from it. Dropping one takes a
/// worker's turn many times over, so it is dropped by a thread that may take its time.
#[must_use = "it is costly to drop: hand it to a thread that may take its time"]
#[derive(Default)]
pub struct Garbage {
    _layer: Option<Layer>,
}

impl Garbage {
    pub(super) fn new(layer: Option<Layer>) -> Self {
        Self { _layer: layer }
    }
}

impl FlushDone {
    /// Why the flush failed.
    #[must_use]
    pub fn error(&self) -> Option<&EngineError> {
        self.result.as_ref().err().map(|failed| &failed.error)
    }
}

impl FlushJob {
    /// The log must be durable up to here before the job runs (I6).
    #[must_use]
    pub fn log_mark(&self) -> (u64, u64) {
        self.checkpoint.log_mark
    }

    /// Memory that the memtable takes, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
    }

    /// Writes everything. Blocks on the disk.
    #[must_use]
    pub fn run(self) -> FlushDone {
        self.run_watched(|_| ())
    }

    /// Writes everything, and tells after each commit for how many bytes of the memtable, more or less,
    /// it was. Blocks on the disk.
    #[must_use]
    pub fn run_watched(self, mut went_on: impl FnMut(usize)) -> FlushDone {
        let result = guarded(&self.file.path, "write", || self.write(&mut went_on));
        let result = result.map_err(|error| self.failed(error));
        FlushDone { result, checkpoint: self.checkpoint }
    }

    /// Opens the file again, so that reads go on. Some commits of the flush may be in it.
    fn failed(&self, error: EngineError) -> FlushFailed {
        // Asked of the database that the flush used: somebody may have opened the file again already.
        let state = self.opened.get().map(|open| open.state());
        // After a panic redb would commit once more when it is closed, and not in two phases.
        if let Some(state) = state.filter(|state| !state.has_failed()) {
            state.note_damage();
        }
        let may_try = state.is_some_and(BackendState::may_try_again);
        let full = state.is_some_and(BackendState::was_full);
        let again = match self.file.state() {
            Ok(state) if may_try => Some(state.totals),
            Ok(_) => None,
            Err(error) => {
                tracing::error!(%error, "not opened again after a flush failed");
                None
            }
        };
        FlushFailed { error, again, full }
    }

    fn write(&self, went_on: &mut impl FnMut(usize)) -> Result<Totals, redb::Error> {
        let mut totals = self.totals.clone();
        let order = self.table.sorted(0);
        let mut cursor = Cursor::new(&self.table, &order);
        let (bytes, mut before) = (self.memory_bytes(), 0);
        loop {
            let last = self.write_commit(&mut cursor, &mut totals)?;
            // As if all objects were alike.
            let left = bytes as u128 * cursor.left() as u128 / order.len().max(1) as u128;
            let written = bytes - usize::try_from(left).unwrap_or(bytes);
            went_on(written - before);
            before = written;
            if last {
                return Ok(totals);
            }
        }
    }

    /// Writes and commits the next range of records. Returns whether it was the last.
    pub(super) fn write_commit(
        &self,
        cursor: &mut Cursor<'_>,
        totals: &mut Totals,
    ) -> Result<bool, redb::Error> {
        let budget = (self.options.cache_bytes as u64 / 2).max(PAGE_BYTES);
        let database = self.database()?;
        let before = Before::new(database)?;
        let mut write = database.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        write.set_quick_repair(true);
        let limits = Limits {
            budget,
            page_share: self.page_share(),
            only_unnamed: self.totals.only_unnamed(),
        };
        let mut chunk = Chunk::open(&write, before, &self.options, limits)?;
        chunk.write(cursor)?;
        let counted_later = (!holds(Rule::CountsWithRecords)).then(|| chunk.take_counts());
        chunk.finish(totals)?;
        let last = cursor.is_at_end();
        if last || !holds(Rule::CheckpointLast) {
            chunk.write_checkpoint(&self.checkpoint)?;
        }
        drop(chunk);
        write.commit()?;
        if let Some(changes) = counted_later {
            let before = Before::new(database)?;
            let write = database.begin_write()?;
            let mut chunk = Chunk::open(&write, before, &self.options, limits)?;
            chunk.put_counts(changes);
            chunk.finish(totals)?;
            drop(chunk);
            write.commit()?;
        }
        self.readers.renew();
        Ok(last)
    }

    /// The database that the flush began with.
    fn database(&self) -> Result<&Database, redb::Error> {
        if let Some(open) = self.opened.get() {
            return Ok(open);
        }
        let open = self.file.database()?;
        Ok(self.opened.get_or_init(|| open))
    }

    /// What a record costs in changed pages, on average, besides its own bytes. N records spread
    /// over L pages change about L * N / (L + N) of them.
    fn page_share(&self) -> u64 {
        let pages = self.file_bytes / PAGE_BYTES;
        PAGE_BYTES * pages / (pages + u64::from(self.table.objects()) + 1)
    }
}
