//! Writing a frozen memtable into the group's file, on a thread that may block.
//!
//! The records go in key order, in commits whose changed pages fit in half the page cache. Counts go
//! with the records they count; the checkpoint goes with the last commit. A crash between two
//! commits leaves data ahead of the checkpoint, which the replay of the log applies again.

use std::sync::Arc;

use redb::Durability;

use crate::engine::EngineError;
use crate::engine::before::Before;
use crate::engine::chunk::{Chunk, Cursor, Limits};
use crate::engine::file::{GroupFile, Totals, guarded};
use crate::engine::layout::Checkpoint;
use crate::engine::memtable::Memtable;
use crate::engine::readers::Readers;
use crate::engine::store::{Layer, StoreOptions};

/// Bytes of a page of the file.
const PAGE_BYTES: u64 = 4_096;

/// A frozen memtable on its way into the file.
pub struct FlushJob {
    pub(super) file: Arc<GroupFile>,
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
    pub(super) result: Result<Totals, EngineError>,
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
        self.result.as_ref().err()
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
        let result = guarded(&self.file.path, "write", || self.write());
        FlushDone { result, checkpoint: self.checkpoint }
    }

    fn write(&self) -> Result<Totals, redb::Error> {
        let mut totals = self.totals.clone();
        let order = self.table.sorted(0);
        let mut cursor = Cursor::new(&self.table, &order);
        while !self.write_commit(&mut cursor, &mut totals)? {}
        Ok(totals)
    }

    /// Writes and commits the next range of records. Returns whether it was the last.
    pub(super) fn write_commit(
        &self,
        cursor: &mut Cursor<'_>,
        totals: &mut Totals,
    ) -> Result<bool, redb::Error> {
        let budget = (self.options.cache_bytes as u64 / 2).max(PAGE_BYTES);
        let before = Before::new(&self.file.database)?;
        let mut write = self.file.database.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        write.set_quick_repair(true);
        let limits = Limits {
            budget,
            page_share: self.page_share(),
            only_unnamed: self.totals.only_unnamed(),
        };
        let mut chunk = Chunk::open(&write, before, &self.options, limits)?;
        chunk.write(cursor)?;
        chunk.finish(totals)?;
        let last = cursor.is_at_end();
        if last {
            chunk.write_checkpoint(&self.checkpoint)?;
        }
        drop(chunk);
        write.commit()?;
        self.readers.renew();
        Ok(last)
    }

    /// What a record costs in changed pages, on average, besides its own bytes. N records spread
    /// over L pages change about L * N / (L + N) of them.
    fn page_share(&self) -> u64 {
        let pages = self.file_bytes / PAGE_BYTES;
        PAGE_BYTES * pages / (pages + u64::from(self.table.objects()) + 1)
    }
}
